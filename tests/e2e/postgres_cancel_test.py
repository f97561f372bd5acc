"""Whoever ends a statement on PostgreSQL, only that one ends, and its caller is told who it was."""
import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time

import harness
import postgres_case
import rpc
from fault_proxy import CLIENT
from postgres_case import Load
from rpc import Code

RACES = 100_000 if harness.NIGHTLY else 2_000
LONG = "SELECT n, repeat('x', 1000) FROM generate_series(1, 10000000) AS n"
# A client that reads the beginning of a stream, says so, and stays.
READER = """
import sys, time
sys.path.append(sys.argv[1])
import rpc
with rpc.Client(sys.argv[2]) as client:
    stream = client.stream(sys.argv[3])
    next(stream)
    print("reads", flush=True)
    time.sleep(60)
"""


class PostgresCancelTest(postgres_case.TestCase):
    flags = ("--limits-stream-stall", "1s")

    def backends(self, condition):
        return self.psql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                         f"AND pid <> pg_backend_pid() AND {condition}")

    def test_Fault23_who_ended_it_decides_on_the_code(self):
        failure = self.failure(self.rpc.query, "SELECT pg_sleep(30)", timeout=1)
        self.assertEqual(failure.code, Code.DEADLINE_EXCEEDED)
        harness.wait_for(lambda: not self.sleeping(), 10, "it is ended")
        call = self.begin_call("SELECT pg_sleep(30)")
        self.await_sleeping(alone=True)
        call.cancel()
        self.assertEqual(call.code(), Code.CANCELLED)
        harness.wait_for(lambda: not self.sleeping(), 10, "it is ended")
        call = self.begin_call("SELECT pg_sleep(30)")
        self.await_sleeping(alone=True)
        self.psql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        failure = rpc.Failure(call.exception(timeout=10))
        self.assertEqual((failure.code, failure.reason, failure.executed),
                         (Code.ABORTED, "SQL_CANCELLED_BY_ADMIN", "rolled_back"), failure)

    def test_Fault23_the_servers_own_limit_is_a_deadline(self):
        client = self.client(self.start("--command-timeout", "1s", database=self.proxy.url("shop")))
        for sql in ("SELECT pg_sleep(30)", "SELECT pg_sleep(30) /* advisory */"):
            failure = self.failure(client.query, sql)
            self.assertEqual((failure.code, failure.executed), (Code.DEADLINE_EXCEEDED, "rolled_back"), failure)

    def test_Fault23_a_shared_statement_is_ended_by_an_admin_too(self):
        self.rpc.query("SELECT pg_sleep(0.001), $1::bigint", 1)
        stop = threading.Event()

        def cancel():
            while not stop.is_set():
                self.psql("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
        thread = threading.Thread(target=cancel)
        thread.start()

        def ask(client, number, count):
            if client.rows("SELECT pg_sleep(0.005)::text, $1::bigint", number * 1_000_000 + count)[0][1] != (
                    number * 1_000_000 + count):
                raise AssertionError("another's answer")
        try:
            with Load(self.server.address, ask) as load:
                harness.wait_for(lambda: len(load.failures) > 20, 30 * harness.PATIENCE, "some are ended")
        finally:
            stop.set()
            thread.join()
        self.assertEqual(load.faults, [])
        told = {(failure.code, failure.reason, failure.executed) for failure in load.failures}
        self.assertEqual(told, {(Code.ABORTED, "SQL_CANCELLED_BY_ADMIN", "rolled_back")})

    def test_Fault33_a_cancel_that_comes_late_ends_nobody_elses_statement(self):
        """Statements end about when they are cancelled, and others use the same few connections."""
        rand = random.Random(33)
        wrong, done = [], [0] * 4

        def cancelled():
            while sum(done) < RACES and not wrong:
                call = self.begin_call("SELECT pg_sleep(0.003)::text /* advisory */", timeout=30)
                time.sleep(rand.uniform(0, 0.008))
                call.cancel()

        def neighbour(number):
            with rpc.Client(self.server.address) as client:
                while sum(done) < RACES and not wrong:
                    nonce = random.getrandbits(60)
                    try:
                        rows = client.rows("SELECT pg_sleep(0.001)::text, $1::bigint /* advisory */", nonce)
                        if rows[0][1] != nonce:
                            wrong.append((nonce, rows))
                    except rpc.grpc.RpcError as error:
                        wrong.append(rpc.Failure(error))
                    done[number] += 1
        threads = [threading.Thread(target=cancelled) for _ in range(4)]
        threads += [threading.Thread(target=neighbour, args=(n, )) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_Fault36_a_client_that_dies_frees_its_backend(self):
        command = [sys.executable, "-B", "-c", READER, str(harness.FOLDER), self.server.address, LONG]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={
                **harness.clean_environment(), "SLUICE_STUBS": str(harness.STUBS),
                "SLUICE_BIN": str(harness.BIN)}) as reader:
            self.assertEqual(reader.stdout.readline(), "reads\n")
            self.assertEqual(self.backends("state <> 'idle'"), "1")
            os.kill(reader.pid, signal.SIGKILL)
            harness.wait_for(lambda: self.backends("state <> 'idle'") == "0", 1 * harness.PATIENCE + 1,
                             "the backend is free")

    def test_Fault36_a_client_that_dies_ends_its_statement(self):
        with rpc.Client(self.server.address) as client:
            message = rpc.request(rpc.query_pb2.QueryRequest, "SELECT pg_sleep(60)", (), {})
            call = client.queries.Query.future(message, timeout=60)
            self.await_sleeping(alone=True)
            client.channel.close()
            harness.wait_for(lambda: not self.sleeping(), 1 * harness.PATIENCE + 1, "it is ended")
            with contextlib.suppress(Exception):
                call.result(timeout=1)

    def test_Fault37_a_stalled_reader_is_ended_and_pins_nothing(self):
        stalled = self.client(self.server)
        before = self.server.memory("VmRSS")
        stream = stalled.stream(LONG)
        next(stream)
        self.assertEqual(self.backends("backend_xmin IS NOT NULL"), "1")
        harness.wait_for(lambda: "STREAM_STALLED" in self.server.errors(), 5 * harness.PATIENCE, "it is ended")
        harness.wait_for(lambda: self.backends("(backend_xmin IS NOT NULL OR state <> 'idle')") == "0",
                         2 * harness.PATIENCE, "nothing is pinned")
        if not harness.SANITIZED:
            self.assertLess(self.server.memory() - before, 64)
        failure = self.failure(lambda: list(stream))
        self.assertEqual(failure.code, Code.CANCELLED, failure)
        self.assertIn("STREAM_STALLED", failure.message)
        self.assert_answers()

    def test_Fault53_a_gateway_that_is_killed_leaves_nothing_running(self):
        gateway = self.start(database=self.proxy.url("shop"))
        client = self.client(gateway)
        message = rpc.request(rpc.query_pb2.QueryRequest, "SELECT pg_sleep(60), 53", (), {})
        call = client.queries.Query.future(message, timeout=60)
        self.await_sleeping(alone=True)
        gateway.kill()
        harness.wait_for(lambda: not self.sleeping(), 5 * harness.PATIENCE, "the server notices")
        self.assertIsNotNone(call.exception(timeout=10))


class PostgresQueueTest(postgres_case.TestCase):
    postgres_options = {"settings": {"log_statement": "all"}}
    options = "?pool_max=1&pool_overflow=0&lanes=0"

    def test_Fault31_what_is_cancelled_in_the_queue_is_never_sent(self):
        holder = self.begin_call("SELECT pg_sleep(30)")
        self.await_sleeping()
        queued = [self.begin_call(f"INSERT INTO t VALUES({n}, 'ghost')") for n in range(10)]
        harness.wait_for(lambda: self.rpc.load().queued == 10, 20 * harness.PATIENCE, "they wait")
        for call in queued:
            call.cancel()
            self.assertEqual(call.code(), Code.CANCELLED)
        holder.cancel()
        harness.wait_for(lambda: not self.sleeping(), 10, "it is ended")
        self.assertEqual(self.rpc.rows("SELECT 1"), [(1, )])
        self.assertNotIn("ghost", self.postgres.log_text())
        self.assertEqual(self.content(), set())

    def test_Fault32_a_cancel_that_is_there_before_its_statement_is_sent_again(self):
        pid = self.rpc.rows("SELECT pg_backend_pid()")
        self.rpc.query("SELECT pg_sleep($1::float8)", 0.0)
        self.proxy.delay(0.15, CLIENT)  # each message, of which a cancel is only one
        call = self.begin_call("SELECT pg_sleep($1::float8)", 30.0)
        stats = rpc.monitoring_pb2.GetPoolStatsRequest(connection_id="default")

        def sent():
            holders = self.rpc.monitoring.GetPoolStats(stats, timeout=5).connections[0].pool.holders
            return any("pg_sleep" in holder.statement for holder in holders)
        harness.wait_for(sent, 10, "it is sent")
        call.cancel()
        harness.wait_for(lambda: "canceling statement due to user request" in self.postgres.log_text(),
                         4 * harness.PATIENCE, "it is ended")
        self.proxy.resume()
        self.assertEqual(self.rpc.rows("SELECT pg_backend_pid()"), pid)

    def test_Fault39_an_empty_pool_is_told_with_its_figures(self):
        self.rpc = self.client(self.start(database=self.proxy.url("shop", options=self.options +
                                                                  "&pool_acquire_timeout=1s")))
        holder = self.begin_call("SELECT pg_sleep(30)")
        self.await_sleeping()
        queued = [self.begin_call("SELECT 2") for _ in range(3)]
        for call in queued:
            begin = time.monotonic()
            failure = rpc.Failure(call.exception(timeout=10))
            self.assertEqual((failure.code, failure.reason, failure.executed),
                             (Code.RESOURCE_EXHAUSTED, "POOL_EXHAUSTED", "no"), failure)
            facts = failure.info.metadata
            self.assertEqual((facts["pool_limit"], facts["waited_ms"]), ("1", "1000"), facts)
            self.assertLess(int(facts["pool_waiting"]), 3)
            self.assertIsNotNone(failure.retry)
            self.assertLess(time.monotonic() - begin, 3 * harness.PATIENCE)
        holder.cancel()
        self.await_answers()

    def test_Fault39_connections_do_not_starve_each_other(self):
        """Ten times the callers of another connection's have no say over this one's turn."""
        request = rpc.connection_pb2.RegisterConnectionRequest(
            url=self.postgres.url("shop") + "?pool_max=1&pool_overflow=0&lanes=0", name="busy")
        gateway = self.start("--egress-ports", str(self.postgres.port), database=self.proxy.url("shop"))
        client = self.client(gateway)
        busy = client.connections.RegisterConnection(request, timeout=10).connection_id

        def crowd(each, number, count):
            each.query("SELECT pg_sleep(0.05), $1::bigint", count, connection_id=busy)
        with Load(gateway.address, crowd, count=10):
            with Load(gateway.address, lambda each, n, i: each.query("SELECT $1::bigint", i), count=1) as lone:
                harness.wait_for(lambda: lone.calls > 200, 20 * harness.PATIENCE, "the lone caller goes on")
        self.assertEqual((lone.failures, lone.faults), ([], []))
        self.assertLess(lone.slowest, 1 * harness.PATIENCE)


if __name__ == "__main__":
    harness.main()
