"""What a caller sees when PostgreSQL crashes, hangs, starts up or is not there any more."""
import os
import pathlib
import signal
import threading
import time

import harness
import hostile_postgres
import postgres_case
import postgres_wire
import rpc
from fault_proxy import CLIENT
from postgres_case import Load, seconds_since
from rpc import Code

# What a fault may bring, and what became of the call then.
HONEST = {Code.UNAVAILABLE: ("no", ), Code.UNKNOWN: ("unknown", ), Code.ABORTED: ("rolled_back", ),
          Code.RESOURCE_EXHAUSTED: ("no", )}
CHAOS_SECONDS = 600 if harness.NIGHTLY else 6


def is_established(port):
    """Whether the socket of this machine that has the port is connected."""
    lines = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(int(local.split(":")[1], 16) == port and state == "01" for _, local, _, state, *_ in lines)


class PostgresCrashTest(postgres_case.TestCase):
    def assert_honest(self, failures):
        for failure in failures:
            self.assertIn(failure.executed, HONEST.get(failure.code, ()), failure)
            if failure.code == Code.UNAVAILABLE:
                self.assertIsNotNone(failure.retry, failure)

    def write(self, client, number, count):
        client.query("INSERT INTO t VALUES($1, 'x')", number * 1_000_000 + count)

    def some_backends(self):
        try:
            return self.postgres.backend_pids()
        except harness.postgres.Error:
            return []  # it recovers

    def test_Fault7_a_killed_backend_restarts_all_and_no_storm_follows(self):
        with Load(self.server.address, self.write, count=12) as load:
            for _ in range(3):
                harness.wait_for(lambda goal=load.calls + 50: load.calls > goal, 20 * harness.PATIENCE, "writes go on")
                made = self.proxy.connections
                os.kill(harness.wait_for(self.some_backends, 20, "there are backends")[0], signal.SIGKILL)
                self.await_answers()
                self.assertLess(self.proxy.connections - made, 100, "a storm of connections")
        self.assertEqual(load.faults, [])
        self.assertTrue(load.failures)
        self.assert_honest(load.failures)

    def test_Fault8_no_write_is_lost_or_done_twice_while_the_server_goes_down_and_up(self):
        acknowledged, uncertain = set(), set()

        def write(client, number, count):
            key = number * 1_000_000 + count
            try:
                client.query("INSERT INTO t VALUES($1, 'x')", key)
                acknowledged.add(key)
            except rpc.grpc.RpcError as error:
                if rpc.Failure(error).code == Code.UNKNOWN:
                    uncertain.add(key)
                raise

        end = time.monotonic() + CHAOS_SECONDS
        with Load(self.server.address, write, count=6) as load:
            for number in range(10**9):
                if time.monotonic() > end:
                    break
                self.postgres.stop(("fast", "immediate")[number % 2])
                self.postgres.start()
                harness.wait_for(lambda goal=len(acknowledged) + 20: len(acknowledged) > goal, 20 * harness.PATIENCE,
                                 "writes go on")
        self.assertEqual(load.faults, [])
        self.assert_honest(load.failures)
        there = self.content()
        self.assertEqual(acknowledged - there, set(), "acknowledged, and not there")
        self.assertEqual(there - acknowledged - uncertain, set(), "there, though it was called undone")
        self.assertGreater(len(acknowledged), 50)

    def test_Fault9_a_server_that_starts_up_is_waited_for(self):
        starting = threading.Event()

        def login(session):
            if not starting.is_set():
                return hostile_postgres.trusting(session)
            session.send(postgres_wire.message("E", postgres_wire.error("57P03", "starting up", "FATAL")))
            return False

        with hostile_postgres.HostilePostgres(login=login) as server:
            gateway = self.start(database=server.url())
            client = self.client(gateway)
            self.assertTrue(self.works(client))
            starting.set()
            server.end_sessions()
            made = server.connections
            self.failure(client.query, "SELECT 1")
            end = time.monotonic() + 2
            while time.monotonic() < end:
                self.assert_told((Code.UNAVAILABLE, "BACKEND_STARTING", "no"), client.query, "SELECT 1")
            self.assertIsNotNone(self.failure(client.query, "SELECT 1").retry)
            self.assertLess(server.connections - made, 60)
            told = [line for line in gateway.log() if line["logger"] == "postgres"]
            self.assertLess(len(told), 10, "the log is not flooded")
            starting.clear()
            harness.wait_for(lambda: self.works(client), 10, "it answers")

    def works(self, client):
        try:
            return client.rows("SELECT 1") == [("fine", )]
        except rpc.grpc.RpcError:
            return False

    def test_Fault10_a_hung_backend_holds_up_its_own_caller_only(self):
        with Load(self.server.address, lambda client, n, i: client.query("SELECT $1::bigint", i), count=4) as load:
            harness.wait_for(lambda: load.calls > 50, 60 * harness.PATIENCE, "all shared connections are there")
            call = self.begin_call("SELECT pg_sleep(60)", timeout=3)
            [pid] = self.await_sleeping(alone=True)
            port = int(self.psql(f"SELECT client_port FROM pg_stat_activity WHERE pid = {pid}"))
            begin = time.monotonic()
            os.kill(pid, signal.SIGSTOP)
            self.addCleanup(self._continue, pid)
            self.assertEqual(call.exception(timeout=10).code(), Code.DEADLINE_EXCEEDED)
            self.assertLess(seconds_since(begin), 8 * harness.PATIENCE)
        self.assertEqual((load.failures, load.faults), ([], []))
        self.assertLess(load.slowest, 2 * harness.PATIENCE)
        harness.wait_for(lambda: not is_established(port), 20, "the connection is closed")
        self._continue(pid)
        harness.wait_for(lambda: pid not in self.postgres.backend_pids(), 10, "the statement is ended")

    def _continue(self, pid):
        with harness.contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def test_Fault10_a_hung_shared_backend_is_given_up(self):
        self.assert_answers()
        pids = self.postgres.backend_pids()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            self.addCleanup(self._continue, pid)
        begin = time.monotonic()
        failure = self.failure(self.rpc.query, "SELECT $1::bigint", 1)
        self.assertEqual((failure.code, failure.executed), (Code.UNKNOWN, "unknown"), failure)
        self.assertLess(seconds_since(begin), 8 * harness.PATIENCE)
        self.await_answers()
        self.assert_answers()
        for pid in pids:
            self._continue(pid)

    def test_Fault10_a_gateway_that_was_held_up_itself_gives_up_nobody(self):
        gateway = self.start(database=self.postgres.url("shop") + "?lanes=1")
        self.rpc = self.client(gateway)
        self.rpc.query("SELECT $1::bigint", 1)
        backend = int(self.psql("SELECT pid FROM pg_stat_activity WHERE query = 'SELECT $1::bigint'"))
        for pid in (gateway.pid, backend):
            self.addCleanup(self._continue, pid)
        os.kill(backend, signal.SIGSTOP)
        call = self.begin_call("SELECT $1::bigint", 2)
        time.sleep(0.1)  # in which it is sent; the time that a silent server has is far from over
        os.kill(gateway.pid, signal.SIGSTOP)
        time.sleep(1)  # longer than that
        self._continue(gateway.pid)
        time.sleep(0.05)  # in which it sees that it is late
        self._continue(backend)
        self.assertEqual(rpc.rows_of(call.result()), [(2, )])
        stats = rpc.monitoring_pb2.GetPoolStatsRequest(connection_id="default")
        self.assertEqual(self.rpc.monitoring.GetPoolStats(stats).connections[0].pool.lanes_condemned, 0)

    def test_Fault10_what_a_hung_shared_backend_never_got_goes_elsewhere(self):
        self.rpc = self.client(self.start(database=self.postgres.url("shop") + "?lanes=1"))
        insert = "INSERT INTO t VALUES($1, $2)"
        self.rpc.query(insert, 1, "known")
        pid = int(self.psql("SELECT pid FROM pg_stat_activity WHERE query LIKE 'INSERT%'"))
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(self._continue, pid)
        large = self.begin_call(insert, 2, "x" * 12_000_000)  # more than sockets hold
        stats = rpc.monitoring_pb2.GetPoolStatsRequest(connection_id="default")
        harness.wait_for(lambda: self.rpc.monitoring.GetPoolStats(stats).connections[0].pool.lane_statements == 1, 5,
                         "it is on its way")
        self.rpc.query(insert, 3, "behind it")
        self.assertEqual(rpc.Failure(large.exception()).executed, "unknown")
        self._continue(pid)
        self.assertEqual(self.content() - {2}, {1, 3})

    def test_Fault10_a_server_that_lets_in_and_says_nothing_more_holds_up_neither_start_nor_end(self):
        self.proxy.on(CLIENT, "P", b"", lambda link: None, times=1000)
        url = self.proxy.url("shop", options="?connect_timeout=1")
        self.rpc = self.client(self.start(database=url))
        silent = self.start(database=url)  # ends while it still tries
        failure = self.failure(self.rpc.query, "SELECT 1")
        self.assertEqual((failure.code, failure.executed), (Code.UNAVAILABLE, "no"), failure)
        self.assertEqual(silent.terminate(), 0)
        self.proxy.clear()
        self.await_answers()

    def test_Fault11_a_hung_cancel_holds_up_nobody(self):
        """More of them than there are threads for it."""
        other = self.client(self.start(database=self.postgres.url("shop")))
        self.rpc = self.client(self.start("--egress-ports", "", database=self.proxy.url("shop")))
        calls = [self.begin_call("SELECT pg_sleep(60)", timeout=3) for _ in range(12)]
        harness.wait_for(lambda: len(self.sleeping(alone=True)) == 12, 20, "all of them sleep")
        self.proxy.swallow()
        begin = time.monotonic()
        for call in calls:
            self.assertEqual(call.exception(timeout=10).code(), Code.DEADLINE_EXCEEDED)
        self.assertLess(seconds_since(begin), 8 * harness.PATIENCE)
        self.assertEqual(other.rows("SELECT 1"), [(1, )])
        request = rpc.connection_pb2.RegisterConnectionRequest(url=self.postgres.url("shop"), name="direct")
        time.sleep(6)  # cancels are given up after five seconds, and their threads are not waited for
        direct = self.rpc.connections.RegisterConnection(request, timeout=10).connection_id
        call = self.begin_call("SELECT pg_sleep(60), 11", connection_id=direct, timeout=30)
        harness.wait_for(lambda: len(self.sleeping(alone=True)) == 13, 10, "it sleeps, too")
        call.cancel()
        harness.wait_for(lambda: len(self.sleeping()) <= 12, 3 * harness.PATIENCE, "it is ended though others hang")
        self.proxy.resume()
        self.await_answers()
        harness.wait_for(lambda: not self.sleeping(), 20, "all are ended")
        self.assert_answers(100)

    def test_Fault17_a_dropped_database_is_told_and_not_asked_for_again_and_again(self):
        self.assert_answers()
        self.postgres.psql("DROP DATABASE shop WITH (FORCE)")
        made = self.proxy.connections

        def gone():
            return self.failure(self.rpc.query, "SELECT 1").code == Code.FAILED_PRECONDITION
        harness.wait_for(gone, 5, "it is told")
        end = time.monotonic() + 3
        while time.monotonic() < end:
            failure = self.failure(self.rpc.query, "SELECT 1")
            self.assertEqual((failure.code, failure.executed), (Code.FAILED_PRECONDITION, "no"), failure)
        self.assertLess(self.proxy.connections - made, 30, "a loop of retries")


class PostgresFullTest(postgres_case.TestCase):
    postgres_options = {"max_connections": 5}
    flags = ("--pool-acquire-timeout", "1s")

    def test_Fault15_a_server_without_room_is_waited_for_and_no_place_is_lost(self):
        for _ in range(2):
            calls = [self.begin_call("SELECT pg_sleep(3) /* advisory */", timeout=20) for _ in range(12)]
            failures = [rpc.Failure(call.exception()) for call in calls if call.exception() is not None]
            self.assertGreater(len(failures), 5)
            for failure in failures:
                self.assertEqual((failure.code, failure.reason, failure.executed),
                                 (Code.RESOURCE_EXHAUSTED, "POOL_EXHAUSTED", "no"), failure)
                self.assertIsNotNone(failure.retry)
            self.assertGreater(len(calls) - len(failures), 0)
            self.assertLess(self.proxy.connections, 150, "it is dialled again and again")
            self.await_answers()
        # Nobody else holds a place but the gateway itself: all of those that it can have are there to be used.
        calls = [self.begin_call("SELECT pg_sleep(0.2) /* advisory */", timeout=20) for _ in range(4)]
        for call in calls:
            call.result()


if __name__ == "__main__":
    harness.main()
