"""A crowd of readers that take nothing has PostgreSQL's connections, and nobody else suffers for it."""
import contextlib
import resource
import struct

import harness
import http2
import postgres_case
import rpc
import transactions
from postgres_case import Load
from rpc import Code

CROWD = 10_000 if harness.NIGHTLY else 200 if harness.SANITIZED else 600
METHOD = "/sluice.v1.QueryService/StreamQuery"
LONG = "SELECT n, repeat('x', 1000) FROM generate_series(1, 10000000) AS n"
ALONE = "SELECT $1::bigint /* advisory */"  # such a text has a connection of its own
LANES, SESSIONS = 2, 16
POOL = f"?pool_max={SESSIONS}&pool_overflow=0&lanes={LANES}"
WAITING_SECONDS = 3
CLOSED = "closed"
STALLED, REFUSED = (str(code.value[0]) for code in (Code.CANCELLED, Code.RESOURCE_EXHAUSTED))
# What one of the crowd may cost the server, and all that is under way for those that have a connection.
CONNECTION_MIB, STREAMS_MIB = 0.1, 96


class Reader(http2.Call):
    """Asks for a long stream, and leaves the window as it is at the beginning: 64 KiB."""

    MESSAGE = http2.message(rpc.request(rpc.query_pb2.StreamQueryRequest, LONG, (), {}).SerializeToString())

    def __init__(self, address):
        super().__init__(address, METHOD)
        self.send(self.MESSAGE, end=True)
        self.socket.setblocking(False)
        self._got, self.end = b"", None

    def look(self):
        """The status with which the server ended the stream; None: it goes on."""
        with contextlib.suppress(BlockingIOError):
            while self.end is None:
                more = self.socket.recv(65_536)
                if not more:  # it answers no pings, and those that wait for long are asked
                    self.end = CLOSED
                    break
                self._got += more
                self._take_frames()
        return self.end

    def _take_frames(self):
        while len(self._got) >= 9:
            size = struct.unpack(">I", b"\0" + self._got[:3])[0]
            if len(self._got) < 9 + size:
                return
            kind, payload = self._got[3], self._got[9:9 + size]
            self._got = self._got[9 + size:]
            if kind == http2.RST_STREAM:
                self.end = self.end or "without a status"
            elif kind == http2.HEADERS and b"grpc-status" in payload:
                self.end = chr(payload[payload.index(b"grpc-status") + 12])


class PostgresStalledTest(postgres_case.TestCase):
    def begin(self, *flags, options=""):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        harness.need(most >= CROWD + 1000, f"ulimit -n {CROWD + 1000}", optional=True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # of the server, too
        self.server = self.start(*flags, database=self.postgres.url("shop") + POOL + options)
        self.rpc = self.client(self.server)
        self.assert_answers()
        for n in range(3):
            self.rpc.query(ALONE, n)
        self.base = self.server.memory("VmRSS")

    def crowd(self, count=CROWD):
        return [self.enterContext(Reader(self.server.address)) for _ in range(count)]

    def pool(self):
        request = rpc.monitoring_pb2.GetPoolStatsRequest(connection_id="default")
        return self.rpc.monitoring.GetPoolStats(request, timeout=harness.CALL_SECONDS).connections[0].pool

    def await_full(self):
        harness.wait_for(lambda: self.pool().leased >= SESSIONS - LANES, 60 * harness.PATIENCE, "they have all of them")

    def pinned(self):
        return int(self.psql("SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = "
                             "'client backend' AND (backend_xmin IS NOT NULL OR state <> 'idle')"))

    def assert_recovers(self):
        harness.wait_for(lambda: not self.pool().leased and not self.pool().waiting, 10 * harness.PATIENCE,
                         "connections are given back")
        harness.wait_for(lambda: not self.pinned(), 10 * harness.PATIENCE, "nothing is pinned")
        for n in range(2 * SESSIONS):
            self.assertEqual(self.rpc.rows(ALONE, n), [(n, )])
        self.assert_answers()

    def assert_bounded(self, count=CROWD):
        if not harness.SANITIZED:
            self.assertLess(self.server.memory() - self.base, count * CONNECTION_MIB + STREAMS_MIB)

    def test_Fault38_others_are_served_or_refused_soon_until_all_of_them_are_cut_off(self):
        self.begin("--limits-stream-stall", "1s", "--limits-max-calls", str(2 * CROWD),
                   options=f"&pool_acquire_timeout={WAITING_SECONDS}s")
        with (Load(self.server.address, lambda client, n, i: client.query("SELECT $1::bigint", i), count=2) as lanes,
              Load(self.server.address, lambda client, n, i: client.query(ALONE, i), count=2) as alone):
            crowd = self.crowd()
            self.await_full()
            goal = lanes.calls + 200
            harness.wait_for(lambda: lanes.calls > goal and alone.failures or lanes.faults or alone.faults,
                             30 * harness.PATIENCE, "others go on")
            self.assertLessEqual(self.pinned(), SESSIONS)
            harness.wait_for(lambda: all(reader.look() for reader in crowd), 120 * harness.PATIENCE, "all are ended")
        self.assertEqual((lanes.faults, alone.faults), ([], []))
        # On a busy machine a short statement may seem slow, and then waits like the others.
        self.assertLess(len(lanes.failures), lanes.calls / 10)
        for failure in lanes.failures + alone.failures:
            self.assertEqual((failure.code, failure.reason, failure.executed),
                             (Code.RESOURCE_EXHAUSTED, "POOL_EXHAUSTED", "no"), failure)
            self.assertIsNotNone(failure.retry, failure)
        self.assertLess(max(lanes.slowest, alone.slowest), WAITING_SECONDS + 2 * harness.PATIENCE)
        ends = [reader.end for reader in crowd]
        self.assertEqual({STALLED, REFUSED} - set(ends), set())
        self.assertEqual(set(ends) - {STALLED, REFUSED, CLOSED}, set())
        self.assertLess(ends.count(CLOSED), CROWD / 2)
        self.assertGreaterEqual(ends.count(STALLED), SESSIONS - LANES)
        self.assertGreaterEqual(self.server.errors().count("STREAM_STALLED"), ends.count(STALLED))
        self.assert_bounded()
        self.assert_recovers()

    def test_Fault38_who_has_the_whole_pool_leaves_the_short_statements_theirs(self):
        self.begin(options=f"&pool_acquire_timeout={WAITING_SECONDS}s")
        holders = [transactions.begin(self.rpc) for _ in range(SESSIONS)]
        calls = [holder.begin_query("SELECT 1") for holder in holders]
        self.await_full()
        with Load(self.server.address, lambda client, n, i: client.query("SELECT $1::bigint", i), count=4) as load:
            harness.wait_for(lambda: load.calls > 500 or load.failures or load.faults, 30 * harness.PATIENCE,
                             "short statements go on")
        self.assertEqual((load.failures, load.faults), ([], []))
        self.assertLess(load.slowest, 2 * harness.PATIENCE)
        for call in calls:
            if call.exception(timeout=harness.CALL_SECONDS) is not None:
                self.assertEqual(rpc.Failure(call.exception()).reason, "POOL_EXHAUSTED")
        for holder in holders:
            holder.rollback()
        self.assert_recovers()

    def test_Fault38_when_they_go_all_is_given_back(self):
        self.begin("--limits-max-calls", str(2 * CROWD), "--pool-waiters", str(2 * CROWD))
        files = harness.Path(f"/proc/{self.server.pid}/fd")
        before = len(list(files.iterdir()))
        crowd = self.crowd()
        self.await_full()
        call = self.begin_call(ALONE, 7)
        for reader in crowd:
            reader.abort_connection()
        self.assertEqual(rpc.rows_of(call.result(timeout=10 * harness.PATIENCE)), [(7, )])
        self.assert_recovers()
        harness.wait_for(lambda: len(list(files.iterdir())) < before + 2 * SESSIONS, 20 * harness.PATIENCE,
                         "their connections are closed")
        self.assert_bounded()

    def test_Fault38_a_server_that_is_full_of_them_says_so_at_once(self):
        most = 200
        self.begin("--limits-max-calls", str(most), "--limits-stream-stall", "2s",
                   options=f"&pool_acquire_timeout={WAITING_SECONDS}s")
        crowd = self.crowd(2 * most)
        harness.wait_for(lambda: sum(reader.look() == REFUSED for reader in crowd) >= most, 20 * harness.PATIENCE,
                         "half of them are refused")
        begin = harness.time.monotonic()
        failure = self.failure(self.rpc.query, "SELECT 1")
        self.assertEqual((failure.code, failure.reason, failure.executed),
                         (Code.RESOURCE_EXHAUSTED, "SERVER_OVERLOADED", "no"), failure)
        self.assertLess(harness.time.monotonic() - begin, 1 * harness.PATIENCE)
        self.assertGreater(self.pool().leased, 0, "who asks how it is gets an answer")
        harness.wait_for(lambda: all(reader.look() for reader in crowd), 60 * harness.PATIENCE, "all are ended")
        self.assert_recovers()


if __name__ == "__main__":
    harness.main()
