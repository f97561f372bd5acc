"""A wall clock that is set while transactions are open: leases are measured by one that nobody can set."""
import struct
import time

import harness
import rpc
import transactions
from rpc import Code, query_pb2
from transactions import begin, begin_with, seconds_of

SHIM = harness.STUBS.parent / "clock_shim.so"
SLACK = 1 * harness.PATIENCE
HOUR, YEAR = 3600, 365 * 86_400
JUMPS = (HOUR, -HOUR, YEAR, -YEAR)
LEASE = 1


class NoDeadline(rpc.grpc.UnaryUnaryClientInterceptor):
    """What a call's own deadline is worth when the clock is set is another matter than a lease."""

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(details._replace(timeout=None), request)


class ClockTestCase(transactions.TestCase):
    def setUp(self):
        harness.need(not harness.SANITIZED, "a sanitizer has to be the first library of a process, and so has the shim",
                     optional=True)
        harness.need(SHIM.is_file(), f"ninja e2e_clock_shim makes {SHIM}")
        super().setUp()

    def serve(self, **fields):
        self.ahead = self.folder / "ahead"
        self.jump(0)
        return super().serve(environment={"LD_PRELOAD": str(SHIM), "CLOCK_SHIM": str(self.ahead)}, **fields)

    def connect(self, server):
        super().connect(server)
        self.rpc = self.client(server, NoDeadline())

    def jump(self, seconds):
        """The server's wall clock is ahead by that from now on."""
        with open(self.ahead, "r+b" if self.ahead.exists() else "w+b") as file:
            file.write(struct.pack("=q", seconds))

    def clock(self):
        """The server's idea of the time, less ours."""
        return self.rpc.rows("SELECT unixepoch('now')")[0][0] - time.time()


class LeaseTest(ClockTestCase):
    def ways(self):
        """Transactions of every kind that has a lease, with one that is short."""
        yield begin(self.rpc, idle_timeout=LEASE)
        yield begin_with(self.rpc, "SELECT * FROM t", read_only=True, idle_timeout=LEASE)
        yield begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)", idle_timeout=LEASE)

    def test_Fault83_no_lease_ends_sooner_or_later(self):
        for jump in JUMPS:
            with self.subTest(jump=jump):
                self.jump(0)
                kept = [begin(self.rpc), begin_with(self.rpc, "SELECT * FROM t", read_only=True)]
                short, begun = list(self.ways()), time.monotonic()
                self.jump(jump)
                self.assertAlmostEqual(self.clock(), jump, delta=2 * SLACK)
                while time.monotonic() - begun < LEASE - 0.2:
                    self.assertEqual({one.state() for one in short}, {"ACTIVE"})
                    time.sleep(0.01)
                harness.wait_for(lambda: {one.state() for one in short} == {"EXPIRED"}, SLACK, "the leases end")
                self.assertTrue(LEASE - 0.01 < time.monotonic() - begun < LEASE + SLACK)
                for one in kept:
                    self.assertGreater(seconds_of(one.shown().expires_in), 30 - LEASE - 2 * SLACK)
                    self.assert_status(one.commit(), "COMMITTED", one.handle)
        self.assertEqual(self.content(), [])

    def test_Fault83_what_an_answer_says_of_the_wall_clock_is_the_servers(self):
        transaction = begin(self.rpc)
        for jump in JUMPS:
            self.jump(jump)
            harness.wait_for(lambda: self.is_told_of(transaction, jump), 10, "the server has seen it")
        transaction.rollback()

    def is_told_of(self, transaction, jump):
        status, now = transaction.act("KeepAlive"), time.time()
        self.assertTrue(30 - SLACK < seconds_of(status.expires_in) <= 30, status)
        return abs(status.expire_time.ToNanoseconds() / 1e9 - (now + jump + 30)) < 2 * SLACK

    def test_Fault83_the_writer_is_held_as_long_as_it_may_be(self):
        for jump in JUMPS:
            with self.subTest(jump=jump):
                self.jump(0)
                holder, begun = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)", idle_timeout=LEASE), time.monotonic()
                self.jump(jump)
                harness.wait_for(lambda: not self.rpc.load().writer.held_by, LEASE + SLACK, "the writer is free")
                self.assertGreater(time.monotonic() - begun, LEASE - 0.01)
                self.assert_fails(Code.ABORTED, holder.commit, reason="TRANSACTION_EXPIRED")

    def test_Fault83_what_is_finished_is_remembered(self):
        transaction = begin(self.rpc)
        transaction.commit()
        for jump in JUMPS:
            self.jump(jump)
            self.assertEqual(transaction.state(), "COMMITTED")


class CallTest(ClockTestCase):
    def setUp(self):
        super().setUp()
        self.hurried = self.client(self.server)

    def assert_goes_on(self, running):
        begun = time.monotonic()
        while time.monotonic() - begun < 0.3:
            self.assertFalse(running.done(), running.done() and rpc.Failure(running.exception()))
            time.sleep(0.01)

    def test_Fault83_a_call_that_comes_after_it_has_its_time(self):
        for ahead in (0, -HOUR, 0):
            with self.subTest(ahead=ahead):
                self.jump(ahead)
                begun = time.monotonic()
                while time.monotonic() - begun < 4:  # longer than anything in the server remembers a time
                    self.assertEqual(self.hurried.rows("SELECT count(*) FROM t WHERE a < 0"), [(0,)])
                    self.hurried.query("INSERT INTO t(b) VALUES(1)")
                    begin_with(self.hurried, "SELECT count(*) FROM t", read_only=True).rollback()
                    time.sleep(0.02)

    def test_Fault83_a_call_that_waits_goes_on_waiting(self):
        for jump in JUMPS:
            with self.subTest(jump=jump):
                self.jump(0)
                holder = begin_with(self.rpc, "INSERT INTO t(b) VALUES(1)")
                waiting = self.hurried.queries.Query.future(rpc.request(
                    query_pb2.QueryRequest, "INSERT INTO t(b) VALUES(2)", (), {}), timeout=20)
                harness.wait_for(lambda: self.rpc.load().queued == 1, 5, "a write waits")
                self.jump(jump)
                self.assert_goes_on(waiting)
                holder.commit()
                self.assertEqual(waiting.result().rows_affected, 1)

    def test_Fault83_a_statement_that_runs_goes_on(self):
        for jump in JUMPS:
            with self.subTest(jump=jump):
                self.jump(0)
                transaction = begin(self.rpc)
                running = transaction.begin_query(transactions.ENDLESS.format("count(*)"), timeout=20)
                harness.wait_for(lambda: transaction.shown().busy, 5, "the statement runs")
                self.jump(jump)
                self.assert_goes_on(running)
                running.cancel()
                transaction.rollback()


if __name__ == "__main__":
    harness.main()
