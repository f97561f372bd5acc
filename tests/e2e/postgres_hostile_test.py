"""What a caller sees of a server that only says that it is a PostgreSQL."""
import contextlib
import struct
import threading
import time

import harness
import hostile_postgres
import postgres_wire
import rpc
from hostile_postgres import HostilePostgres, done, message, row
from rpc import Code

SECRET = "S3cr3t"
ENDLESS = b"\0" * 65_536
MOST_MEMORY = 256  # MiB that a result may cost on its way
ANY_PORT = ("--egress-ports", "")


class PostgresHostileTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        self.server = self.start(*ANY_PORT)
        self.rpc = self.client(self.server)
        self.hosts = 0

    def hostile(self, **options):
        return self.enterContext(HostilePostgres(**options))

    def register(self, url, timeout=harness.CALL_SECONDS):
        self.hosts += 1
        request = rpc.connection_pb2.RegisterConnectionRequest(url=url, name=f"hostile{self.hosts}")
        return self.rpc.connections.RegisterConnection(request, timeout=timeout).connection_id

    def refuses(self, **options):
        """A server that answers `SELECT 'bad'` with an error."""
        def fail(session):
            session.send(message("E", postgres_wire.error(**options)))
        return self.register(self.hostile(answers={"bad": fail}).url())

    def test_Fault26_a_login_that_would_take_half_an_hour_is_given_up(self):
        others = self.client(self.server)
        server = self.hostile(login=hostile_postgres.scram(iterations=2**31 - 1))
        slowest = [0]
        stop = threading.Event()

        def ask():
            while not stop.is_set():
                begin = time.monotonic()
                others.rows("SELECT 1")
                slowest[0] = max(slowest[0], time.monotonic() - begin)
        thread = threading.Thread(target=ask)
        thread.start()
        begin = time.monotonic()
        self.assert_fails((Code.UNAVAILABLE, Code.FAILED_PRECONDITION), self.register, server.url(password=SECRET),
                          executed="no")
        took = time.monotonic() - begin
        stop.set()
        thread.join()
        self.assertLess(took, 5 * harness.PATIENCE)
        self.assertLess(slowest[0], 2 * harness.PATIENCE)

    def test_Fault26_such_logins_keep_nobody_else_from_connecting(self):
        server = self.hostile(login=hostile_postgres.scram(iterations=2**31 - 1))
        futures = []
        for n in range(12):
            request = rpc.connection_pb2.RegisterConnectionRequest(url=server.url(password=SECRET), name=f"bad{n}")
            futures.append(self.rpc.connections.RegisterConnection.future(request, timeout=60))
        for each in futures:
            self.assertIn(each.exception().code(), (Code.UNAVAILABLE, Code.FAILED_PRECONDITION))
        self.assertEqual(self.rpc.rows("SELECT 1", connection_id=self.register(self.hostile().url())), [("fine", )])

    def test_Fault27_a_password_does_not_leave_this_machine_without_tls(self):
        for away, reason in (("10.255.255.1", "BACKEND_INSECURE_AUTH"), ("db.example.com", None)):
            for mode in ("disable", "allow", "prefer"):
                url = f"postgresql://u:{SECRET}@{away}/d?sslmode={mode}"
                failure = self.assert_fails(Code.FAILED_PRECONDITION, self.register, url, reason=reason, executed="no")
                self.assertNotIn(SECRET, repr(failure))

    def test_Fault27_a_password_of_the_servers_own_environment_is_never_sent(self):
        for kind in ("cleartext", "md5"):
            server = self.hostile(login=hostile_postgres.asking(kind))
            gateway = self.start(*ANY_PORT, environment={"PGPASSWORD": SECRET, "PGUSER": SECRET})
            request = rpc.connection_pb2.RegisterConnectionRequest(url=server.url(), name=kind)
            self.failure(self.client(gateway).connections.RegisterConnection, request)
            self.assertGreater(server.connections, 0)
            self.assertEqual(server.passwords, [])

    def test_Fault28_a_row_of_a_gigabyte_is_refused(self):
        def huge(session):
            size = 1 << 30
            session.send(b"D" + struct.pack(">IHi", size + 10, 1, size))
            for _ in range(size // len(ENDLESS)):
                session.send(ENDLESS)
            session.send(done())
        self.assert_bounded(self.register(self.hostile(answers={"bad": huge}).url()), Code.RESOURCE_EXHAUSTED)

    def test_Fault28_rows_without_end_are_cut_off(self):
        def endless(session):
            piece = row("x" * 1000) * 500
            while True:
                session.send(piece)
        # A DECLARE has no rows, and a server that sends some is no PostgreSQL.
        self.assert_bounded(self.register(self.hostile(answers={"bad": endless}).url()), Code.RESOURCE_EXHAUSTED,
                            Code.ABORTED)

    def test_Fault28_a_header_without_end_is_cut_off(self):
        def endless(session):
            session.send(b"T" + struct.pack(">I", (1 << 31) - 1))
            while True:
                session.send(ENDLESS)
        self.assert_bounded(self.register(self.hostile(headers={"bad": endless}).url()), Code.RESOURCE_EXHAUSTED,
                            Code.UNAVAILABLE, Code.ABORTED)

    def assert_bounded(self, hostile, *told):
        before = self.server.memory("VmRSS")
        for ask in (self.rpc.query, self.rpc.stream):
            failure = self.failure(ask, "SELECT 'bad'", connection_id=hostile, timeout=10)
            self.assertIn(failure.code, told, failure)
            self.assertNotEqual((failure.code, failure.executed), (Code.UNAVAILABLE, "unknown"), failure)
        if not harness.SANITIZED:
            self.assertLess(self.server.memory() - before, MOST_MEMORY)
        self.assertEqual(self.rpc.rows("SELECT 1"), [(1, )])

    def test_Fault28_a_wide_result_of_an_honest_server_is_not_taken_whole(self):
        with harness.start_postgres() as server:
            gateway = self.start(database=server.url())
            client = self.client(gateway)
            before = gateway.memory("VmRSS")
            for sql in ("SELECT repeat('x', 1000000) FROM generate_series(1, 1000)",
                        "SELECT repeat('x', 1000000) FROM generate_series(1, 1000) /* advisory */"):
                self.assert_learnt(client, sql)
            if not harness.SANITIZED:
                self.assertLess(gateway.memory() - before, MOST_MEMORY)

    def test_Fault28_what_is_wide_is_known_after_once(self):
        with harness.start_postgres() as server:
            client = self.client(self.start(database=server.url()))
            self.assert_learnt(client, "SELECT repeat('x', 1000000) FROM pg_sleep(0.4), generate_series(1, 1000)")
            wide = "SELECT repeat('x', 3000000) FROM generate_series(1, 100)"
            with contextlib.suppress(rpc.grpc.RpcError):
                client.stream_rows(wide)
            self.assertEqual([len(text) for text, in client.stream_rows(wide)], [3_000_000] * 100)

    def assert_learnt(self, client, sql):
        with contextlib.suppress(rpc.grpc.RpcError):  # nobody knows how large it is before it was met
            client.query(sql)
        self.assertTrue(client.query(sql).truncated)

    def test_Fault29_an_error_without_sqlstate_is_the_databases(self):
        failure = self.assert_fails(Code.INTERNAL, self.rpc.query, "SELECT 'bad'",
                                    connection_id=self.refuses(sqlstate=None, words="odd"))
        self.assertNotIn("sqlstate", failure.info.metadata)

    def test_Fault29_an_error_cannot_forge_lines_or_paint_terminals(self):
        hostile = self.refuses(sqlstate="P0001", words="red \x1b[31m\nfake log line\r\x00".rstrip("\0"))
        failure = self.assert_fails(Code.FAILED_PRECONDITION, self.rpc.query, "SELECT 'bad'", connection_id=hostile)
        self.assertIn("red", failure.message)
        self.assertNotRegex(failure.message, r"[\x00-\x1f\x7f]")
        self.server.log()

    def test_Fault29_an_error_of_64_kilobytes_is_cut(self):
        hostile = self.refuses(sqlstate="P0001", words="x" * 65_536)
        failure = self.assert_fails(Code.FAILED_PRECONDITION, self.rpc.query, "SELECT 'bad'", connection_id=hostile)
        self.assertLess(len(failure.message.encode()) + failure.detail_bytes, 4096)

    def test_Fault29_an_error_that_is_no_utf8_arrives_as_some(self):
        hostile = self.refuses(sqlstate="P0001", words=b"caf\xe9 \xff\xfe \xc3")
        failure = self.assert_fails(Code.FAILED_PRECONDITION, self.rpc.query, "SELECT 'bad'", connection_id=hostile)
        self.assertIn("caf", failure.message)
        failure.message.encode()

    def test_Fault29_a_sqlstate_that_is_none_is_not_repeated(self):
        for sqlstate in ("\x1b[3", "P00011111111111", "", "ab c\n"):
            failure = self.failure(self.rpc.query, "SELECT 'bad'",
                                   connection_id=self.refuses(sqlstate=sqlstate, words="odd"))
            self.assertEqual(failure.code, Code.INTERNAL)
            self.assertEqual(failure.info.metadata.get("sqlstate", ""), "")

    def test_Fault30_a_flood_of_notices_is_dropped(self):
        with harness.start_postgres() as server:
            gateway = self.start(database=server.url())
            client = self.client(gateway)
            before = gateway.memory("VmRSS")
            client.query("DO $$BEGIN FOR i IN 1..100000 LOOP RAISE NOTICE 'flood % %', i, repeat('x', 2000); END LOOP; END$$",
                         timeout=120)
            self.assertEqual(client.rows("SELECT 1"), [(1, )])
            if not harness.SANITIZED:
                self.assertLess(gateway.memory() - before, 100)
            self.assertNotIn("flood", gateway.errors())
            self.assertLess(len(gateway.errors()), 100_000)


if __name__ == "__main__":
    harness.main()
