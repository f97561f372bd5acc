"""What a caller sees when the way to PostgreSQL is cut, or nothing passes on it any more."""
import time

import harness
import postgres_case
import rpc
import transactions
from fault_proxy import CLIENT, FIN, RST, SERVER
from postgres_case import LOST, UNDONE, seconds_since
from rpc import Code

# Runs on a connection of its own by its word, as its text may leave something behind.
ALONE = "SELECT $1::bigint /* advisory */"
ENDS = (RST, FIN)
# How a row of one bigint begins, so that it is no answer to a question of the gateway's own.
BIGINT = b"\0\1\0\0\0\x08"


class PostgresCutTest(postgres_case.TestCase):
    def test_Fault2_a_select_without_an_answer_may_have_called_a_function(self):
        self.psql("CREATE SEQUENCE s")
        for how in ENDS:
            for sql in ("SELECT nextval('s')", "SELECT nextval('s') /* advisory */"):
                self.rpc.query(sql)
                before = int(self.psql("SELECT last_value FROM s"))
                self.proxy.cut_on(SERVER, "D", BIGINT, how=how)
                self.assert_told([LOST, UNDONE], self.rpc.query, sql)
                self.assertEqual(int(self.psql("SELECT last_value FROM s")), before + 1, "it ran once")
        self.assert_answers()

    def test_Fault2_a_read_only_select_is_told_to_be_sent_again(self):
        for sql in ("SELECT $1::bigint", ALONE):
            self.rpc.query(sql, 1, read_only=True)
            self.proxy.cut_on(SERVER, "D", BIGINT, times=10)
            self.assert_told((Code.UNAVAILABLE, "BACKEND_LOST", "no"), self.rpc.query, sql, 2, read_only=True)
            self.proxy.clear()
            self.assertEqual(self.rpc.rows(sql, 3, read_only=True), [(3, )])

    def test_Fault3_a_stream_that_breaks_is_never_taken_for_whole(self):
        sql = "SELECT n, repeat('x', 100) FROM generate_series(1, 200000) AS n"
        for read_only in (False, True):
            for size in (3_000_000, 12_345_678):
                stream = self.rpc.stream(sql, read_only=read_only)
                got = next(stream)
                rows = len(got.rows)
                self.proxy.eat_after(size)
                with self.assertRaises(rpc.grpc.RpcError) as raised:
                    for message in stream:
                        rows += len(message.rows)
                        self.assertFalse(message.last)
                        if rows > 10_000:
                            self.proxy.cut()
                failure = rpc.Failure(raised.exception)
                self.assertEqual(failure.reason, "BACKEND_LOST", failure)
                self.assertEqual(int(failure.info.metadata["rows_sent"]), rows)
                expected = (Code.UNAVAILABLE, "no") if read_only else (Code.ABORTED, "rolled_back")
                self.assertEqual((failure.code, failure.executed), expected)
                self.proxy.resume()
                self.await_answers()

    def test_Fault13_an_end_inside_a_message_desyncs_nobody(self):
        for how in ENDS:
            for keep in (1, 4, 7):
                for sql in ("SELECT $1::bigint", ALONE):
                    self.assertEqual(self.rpc.rows(sql, keep), [(keep, )])
                    self.proxy.cut_on(SERVER, "D", BIGINT, how=how, keep=keep)
                    self.assert_told([LOST, UNDONE], self.rpc.query, sql, keep)
                    self.assert_answers(3)

    def test_Fault13_an_end_inside_a_message_of_ours_leaves_nothing_behind(self):
        for number, how in enumerate(ENDS):
            self.await_rest()
            # By a name: what a new connection is asked has none.
            self.proxy.cut_on(CLIENT, "B", b"sluice_", how=how, keep=6)
            self.assert_told(LOST, self.rpc.query, "INSERT INTO t VALUES($1, 'x')", number)
            self.assert_answers(3)
        self.assertEqual(self.content(), set())

    def await_rest(self):
        """Connections are cleaned up after their answers."""
        for _ in range(2):
            harness.wait_for(lambda: not self.psql("SELECT 1 FROM pg_stat_activity WHERE datname = 'shop' AND state <> "
                                                   "'idle' AND pid <> pg_backend_pid()"), 10, "nothing runs")

    def test_Fault13_a_half_closed_connection_is_not_used(self):
        for side in (CLIENT, SERVER):
            for _ in range(5):
                self.assert_answers(3)
                self.assertEqual(self.rpc.rows(ALONE, 5), [(5, )])
                self.proxy.half_close(side)
                # The server ends what it hears no more of.
                harness.wait_for(lambda: side == CLIENT or self.proxy.open == 0, 10, "it is closed from both sides")
                self.assertEqual(self.rpc.rows("SELECT $1::bigint", 6), [(6, )])
                self.assertEqual(self.rpc.rows(ALONE, 7), [(7, )])

    def test_Fault13_a_half_closed_connection_ends_what_runs_on_it(self):
        for side in (CLIENT, SERVER):
            call = self.begin_call("SELECT pg_sleep(20), 13", timeout=30)
            self.await_sleeping(alone=True)
            begin = time.monotonic()
            self.proxy.half_close(side)
            failure = rpc.Failure(call.exception(timeout=20))
            self.assertIn((failure.code, failure.reason, failure.executed), (LOST, UNDONE), failure)
            self.assertLess(seconds_since(begin), 10 * harness.PATIENCE)
            harness.wait_for(lambda: not self.sleeping(), 10, "the statement is ended, too")
            self.assert_answers(3)

    def test_Fault12_when_packets_vanish_calls_end_on_time(self):
        self.rpc.query("SELECT $1::bigint", 1)
        self.rpc.query(ALONE, 1)
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(1, 'mine')")
        self.proxy.swallow()
        for call in (lambda: self.rpc.query("SELECT $1::bigint", 2, timeout=1),
                     lambda: self.rpc.query(ALONE, 2, timeout=1),
                     lambda: self.rpc.query("INSERT INTO t VALUES(2, 'x')", timeout=1),
                     lambda: list(self.rpc.stream("SELECT 1", timeout=1)),
                     lambda: begun.query("SELECT 1", timeout=1)):
            begin = time.monotonic()
            failure = self.failure(call)
            self.assertIn(failure.code, (Code.DEADLINE_EXCEEDED, Code.UNKNOWN), failure)
            self.assertLess(seconds_since(begin), 5 * harness.PATIENCE)
        self.proxy.resume()
        self.await_answers()
        self.assertEqual(self.content() - {2}, set())

    def test_Fault12_a_connection_on_which_nothing_arrives_is_dead_after_10_seconds(self):
        for n in range(4):
            self.rpc.query(ALONE, n)
        calls = [self.begin_call("SELECT pg_sleep(0.3), $1::bigint /* advisory */", n) for n in range(3)]
        self.assertEqual([rpc.rows_of(call.result())[0][1] for call in calls], [0, 1, 2])
        stranded = self.proxy.open
        self.assertGreater(stranded, 2)
        self.proxy.strand()
        begin = time.monotonic()

        def answers():
            try:
                return self.rpc.rows("SELECT 1", timeout=1) == self.rpc.rows("SELECT 1 /* advisory */", timeout=1)
            except rpc.grpc.RpcError:
                return False
        harness.wait_for(answers, 20 * harness.PATIENCE, "only new connections are used")
        self.assertLess(seconds_since(begin), 15 * harness.PATIENCE)
        self.assert_answers()

    def test_Fault14_rows_trickle_and_the_deadline_holds(self):
        sql = "SELECT n, repeat('x', 100) FROM generate_series(1, 300) AS n"
        self.rpc.stream_rows(sql)
        self.proxy.throttle(15_000)
        self.assertEqual(len(self.rpc.stream_rows(sql)), 300)
        before, busy = self.server.memory("VmRSS"), _cpu_seconds(self.server.pid)
        self.proxy.throttle(20)
        begin = time.monotonic()
        self.assertEqual(self.failure(self.rpc.stream, sql, timeout=2).code, Code.DEADLINE_EXCEEDED)
        self.assertLess(seconds_since(begin), 6 * harness.PATIENCE)
        self.assertLess(_cpu_seconds(self.server.pid) - busy, 1 * harness.PATIENCE, "nobody waits awake")
        self.assertLess(self.server.memory("VmRSS") - before, 20)
        self.proxy.resume()
        self.await_answers()


def _cpu_seconds(pid):
    fields = harness.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / harness.os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    harness.main()
