"""PostgreSQL behind TLS: the same answers, and no password for those who are not who they say they are."""
import concurrent.futures
import contextlib
import shutil
import signal
import time

import harness
import hostile_postgres
import loads
import rpc
from certificates import INSTALL, PROGRAM, make
from hostile_postgres import HostilePostgres
from rpc import Code

PASSWORD = "S3cr3t"
ROWS = 100_000
CALLERS = 64


class PostgresTlsTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        harness.need(shutil.which(PROGRAM), INSTALL)
        self.postgres = self.enterContext(harness.start_postgres(password=PASSWORD))
        self.postgres.create_database("shop")
        self.postgres.offer_tls(make)

    def connect(self, options):
        self.server = self.start(database=self.postgres.url("shop") + options)
        return self.client(self.server)

    def register(self, client, url, timeout=harness.CALL_SECONDS):
        request = rpc.connection_pb2.RegisterConnectionRequest(url=url, name="away")
        return client.connections.RegisterConnection(request, timeout=timeout).connection_id

    def unsafe_sessions(self):
        return self.postgres.psql("SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE NOT ssl AND "
                                  "datname = 'shop' AND backend_type = 'client backend' AND pid <> pg_backend_pid()")

    def test_every_caller_gets_its_own_answer(self):
        client = self.connect("?sslmode=require")

        def ask(number):
            sizes = [1, 100, 5_000, 40_000]
            for turn in range(50):
                nonce, size = f"{number}.{turn}", sizes[(number + turn) % len(sizes)]
                rows = client.rows("SELECT $1::text, repeat($1::text, $2::int)", nonce, size)
                self.assertEqual(rows, [(nonce, nonce * size)])
        with concurrent.futures.ThreadPoolExecutor(CALLERS) as pool:
            list(pool.map(ask, range(CALLERS)))
        self.assertEqual(self.unsafe_sessions(), "0")

    def test_large_values_and_results_pass(self):
        client = self.connect("?sslmode=require")
        large = "x" * (8 << 20)
        self.assertEqual(client.rows("SELECT length($1::text)", large), [(len(large), )])
        rows = client.stream_rows("SELECT n, repeat('y', 100) FROM generate_series(1::bigint, $1::bigint) AS n", ROWS)
        self.assertEqual([number for number, _ in rows], list(range(1, ROWS + 1)))
        client.query("CREATE TABLE item (id bigint PRIMARY KEY, name text)")
        chunks = [[(id, f"item {id}") for id in range(first, first + 1000)] for first in range(0, 10_000, 1000)]
        client.queries.BulkInsert(iter(loads.messages("item", chunks, columns=["id", "name"])),
                                  timeout=harness.CALL_SECONDS)
        self.assertEqual(client.rows("SELECT count(*), max(name) FROM item"), [(10_000, "item 9999")])

    def test_a_statement_ends_with_its_caller(self):
        client = self.connect("?sslmode=require")
        self.assertEqual(self.failure(client.query, "SELECT pg_sleep(60)", timeout=1).code, Code.DEADLINE_EXCEEDED)
        harness.wait_for(lambda: self.postgres.psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
                         == "0", 10, "it is ended")

    def test_lost_sessions_are_replaced(self):
        client = self.connect("?sslmode=require")
        for _ in range(20):
            self.assertEqual(client.rows("SELECT 1"), [(1, )])
            self.postgres.psql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'shop'")
            with contextlib.suppress(rpc.grpc.RpcError):
                client.rows("SELECT 1")
        self.assertEqual(client.rows("SELECT 1"), [(1, )])

    def test_a_certificate_that_nobody_vouches_for_is_refused(self):
        client = self.client(self.start("--egress-ports", ""))
        for mode in ("verify-ca", "verify-full"):
            failure = self.assert_fails((Code.UNAVAILABLE, Code.FAILED_PRECONDITION), self.register, client,
                                        self.postgres.url("shop") + f"?sslmode={mode}", executed="no")
            self.assertNotIn("certificate verify failed", repr(failure))
            self.assertNotIn(PASSWORD, repr(failure))

    def test_a_login_that_takes_half_an_hour_keeps_nobody_from_ending_well(self):
        impostor = self.enterContext(HostilePostgres(login=hostile_postgres.scram(iterations=2**31 - 1),
                                                     tls=make(self.folder)))
        server = self.start("--egress-ports", "")
        begin = time.monotonic()
        self.assert_fails((Code.UNAVAILABLE, Code.FAILED_PRECONDITION), self.register, self.client(server),
                          impostor.url(password=PASSWORD) + "?connect_timeout=2", executed="no")
        self.assertLess(time.monotonic() - begin, 10 * harness.PATIENCE)
        for _ in range(3):  # of which some may be deep in it
            other = self.start("--egress-ports", "")
            self.assert_fails((Code.UNAVAILABLE, Code.FAILED_PRECONDITION), self.register, self.client(other),
                              impostor.url(password=PASSWORD) + "?connect_timeout=2", executed="no")
            other.process.send_signal(signal.SIGTERM)
            self.assertEqual(other.await_exit(), 0)


if __name__ == "__main__":
    harness.main()
