"""Waiting for the one writer of SQLite: in line, by one's own deadline, and told for whom."""
import time

import harness
import rpc
import transactions
from rpc import Code, query_pb2
from transactions import batch, begin, begin_with, inline, load, outcome, seconds_of, stream

SLACK = 1 * harness.PATIENCE
INSERT = "INSERT INTO t(b) VALUES($1)"


class WaitTest(transactions.TestCase):
    def setUp(self):
        super().setUp()
        self.other = self.client(self.server)

    def begin_insert(self, value, timeout=harness.CALL_SECONDS):
        message = rpc.request(query_pb2.QueryRequest, INSERT, (value,), {})
        return self.other.queries.Query.future(message, timeout=timeout)

    def await_queued(self, count):
        harness.wait_for(lambda: self.rpc.load().queued == count, 5, f"{count} writes wait")

    def values(self):
        return [value for value, in self.rpc.rows("SELECT b FROM t ORDER BY a")]

    def assert_told_of(self, failure, holder, label, at_least):
        facts = failure.info.metadata
        self.assertEqual((facts["held_by"], facts["held_by_label"]), (holder.handle, label), failure)
        self.assertTrue(at_least <= int(facts["held_for_ms"]) / 1000 < at_least + 1 + SLACK, failure)
        self.assertIn(holder.handle, failure.message)

    def test_every_kind_of_writer_is_told_for_whom_it_waited_before_its_deadline(self):
        holder = begin_with(self.rpc, INSERT, 1, label="month's end")
        another = begin(self.other)
        ways = {
            "Query": lambda: self.other.query(INSERT, 2, timeout=0.4),
            "StreamQuery": lambda: stream(self.other, INSERT, 2, timeout=0.4),
            "ExecuteBatch": lambda: batch(self.other, [(INSERT, 2)], timeout=0.4),
            "BulkInsert": lambda: load(self.other, "t", [(None, 2)], timeout=0.4),
            "BulkInsert CONTINUE": lambda: load(self.other, "t", [(None, 2)], mode=transactions.loads.CONTINUE,
                                                timeout=0.4),
            "a load in a transaction": lambda: another.load("t", [(None, 2)], timeout=0.4),
            "a transaction": lambda: another.query(INSERT, 2, timeout=0.4),
            "one that begins": lambda: self.other.query(INSERT, 2, transaction=inline(commit=True), timeout=0.4),
            "a question": lambda: outcome(self.other, connection_id="default", timeout=0.4,
                                          request_id="123e4567-e89b-12d3-a456-426614174000"),
        }
        for number, (name, way) in enumerate(ways.items()):
            with self.subTest(way=name):
                holder.act("KeepAlive")
                begun = time.monotonic()
                failure = self.assert_fails(Code.DEADLINE_EXCEEDED, way, executed="no")
                self.assertTrue(0.3 < time.monotonic() - begun < 0.4 + SLACK)
                self.assert_told_of(failure, holder, "month's end", 0.3 * (number + 1))
        self.assertEqual(another.state(), "ACTIVE")
        holder.commit()
        self.assert_status(another.query(INSERT, 3, commit=True).transaction, "COMMITTED", another.handle)
        self.assertEqual(self.values(), [1, 3])

    def test_one_is_told_of_who_has_the_writer_in_the_end(self):
        """Not of who had it when the call came: another transaction, or a single statement."""
        def first_of_transactions():
            transaction = begin_with(self.rpc, INSERT, 1)
            return lambda: transaction.rollback()

        def statement():
            running = self.other.queries.Query.future(rpc.request(
                query_pb2.QueryRequest, f"INSERT INTO t {transactions.ENDLESS.format('n, n')}", (), {}), timeout=30)
            harness.wait_for(lambda: self.rpc.load().active == 1, 5, "the statement runs")
            return running.cancel

        for before in (first_of_transactions, statement):
            with self.subTest(before=before.__name__):
                end = before()
                holder = begin(self.rpc)
                taking = holder.begin_query(INSERT, 2)
                self.await_queued(1)
                waiting = self.begin_insert(3, timeout=1)
                self.await_queued(2)
                end()
                taking.result()
                failure = rpc.Failure(waiting.exception())
                self.assertEqual((failure.code, failure.executed), (Code.DEADLINE_EXCEEDED, "no"), failure)
                self.assert_told_of(failure, holder, "", 0)
                holder.rollback()
        self.assertEqual(self.values(), [])

    def test_who_reads_waits_for_nobody(self):
        begin_with(self.rpc, INSERT, 1)
        self.assertEqual(self.other.rows("SELECT count(*) FROM t", timeout=SLACK), [(0,)])
        snapshot = begin(self.other, read_only=True)
        self.assertEqual(snapshot.rows("SELECT count(*) FROM t", timeout=SLACK), [(0,)])
        self.assert_status(snapshot.commit(timeout=SLACK), "COMMITTED", snapshot.handle)

    def test_those_who_wait_come_in_their_order(self):
        holder = begin_with(self.rpc, INSERT, 0)
        waiting = []
        for number in range(1, 6):
            waiting.append(self.begin_insert(number))
            self.await_queued(number)
        self.assertEqual([call.done() for call in waiting], [False] * 5)
        holder.commit()
        for call in waiting:
            self.assertEqual(call.result().rows_affected, 1)
        self.assertEqual(self.values(), [0, 1, 2, 3, 4, 5])

    def test_transactions_and_single_writes_share_one_line(self):
        holder = begin_with(self.rpc, INSERT, 0)
        first = self.begin_insert(1)
        self.await_queued(1)
        transaction = begin(self.other)
        second = transaction.begin_query(INSERT, 2)
        self.await_queued(2)
        third = self.begin_insert(4)
        self.await_queued(3)
        holder.commit()
        first.result()
        second.result()
        self.assertFalse(third.done())
        transaction.query(INSERT, 3, commit=True)
        third.result()
        self.assertEqual(self.values(), [0, 1, 2, 3, 4])

    def test_who_gives_up_leaves_the_line_to_the_others(self):
        holder = begin_with(self.rpc, INSERT, 0)
        cancelled, kept = self.begin_insert(1), self.begin_insert(2)
        self.await_queued(2)
        transaction = begin(self.other)
        ended = transaction.begin_query(INSERT, 3)
        self.await_queued(3)
        cancelled.cancel()
        ended.cancel()
        self.await_queued(1)
        holder.rollback()
        kept.result()
        self.assertEqual((self.values(), transaction.state()), ([2], "ACTIVE"))
        transaction.query(INSERT, 4, commit=True)
        self.assertEqual(self.values(), [2, 4])

    def test_a_transaction_that_waits_keeps_its_lease(self):
        holder = begin_with(self.rpc, INSERT, 0)
        waiter = begin(self.other, idle_timeout=0.3)
        waiting = waiter.begin_query(INSERT, 1)
        harness.wait_for(lambda: waiter.shown().HasField("waits_for") and
                         seconds_of(waiter.shown().waits_for.waited) > 0.6, 5, "it has waited for twice its idle time")
        holder.commit()
        self.assert_status(waiting.result().transaction, "ACTIVE", waiter.handle)
        waiter.rollback()

    def test_a_transaction_whose_life_ends_in_line_says_so(self):
        begin_with(self.rpc, INSERT, 0)
        waiter = begin(self.other, max_life=0.3)
        begun = time.monotonic()
        failure = self.assert_fails(Code.ABORTED, waiter.query, INSERT, 1, reason="TRANSACTION_EXPIRED")
        self.assertTrue(0.29 < time.monotonic() - begun < 0.3 + SLACK, failure)
        self.assert_told(failure, "EXPIRED", waiter.handle)
        self.await_queued(0)

    def test_an_atomic_load_and_a_transaction_wait_for_each_other(self):
        def chunks():
            yield transactions.loads.header("t", [(None, 1)])
            # Not by what is queued: a question about that may be in a queue itself.
            harness.wait_for(lambda: any(each.HasField("waits_for") for each in self.list().transactions), 5,
                             "the transaction waits")
            yield transactions.loads.chunk([(None, 2)])

        loading = self.other.queries.BulkInsert.future(chunks(), timeout=harness.CALL_SECONDS)
        harness.wait_for(lambda: self.rpc.load().writer.held_by == "load", 5, "the load has the writer")
        transaction = begin(self.rpc)
        waiting = transaction.begin_query(INSERT, 3)
        self.assertEqual(loading.result().rows_affected, 2)
        waiting.result()
        failure = self.assert_fails(Code.DEADLINE_EXCEEDED, load, self.other, "t", [(None, 4)], timeout=0.3)
        self.assert_told_of(failure, transaction, "", 0.2)
        transaction.commit()
        self.assertEqual(self.values(), [1, 2, 3])

    def test_a_batch_of_short_statements_keeps_the_writer_no_longer_than_its_lease(self):
        holder = begin(self.other, max_life=0.5)
        # None of them takes long enough to ask by itself whether its time is over.
        running = holder.begin_batch(["SELECT length(hex(randomblob(10000000)))"] * 200)
        harness.wait_for(lambda: self.rpc.load().writer.held_by == holder.handle, 5, "it has the writer")
        self.rpc.query(INSERT, 1, timeout=0.5 + SLACK)
        self.assert_fails(Code.ABORTED, running.result, reason="TRANSACTION_EXPIRED", executed="rolled_back")

    def test_Fault60_transactions_that_read_and_then_write_queue(self):
        """Never a snapshot that is behind: each has the writer from its first statement on."""
        self.rpc.query("INSERT INTO t VALUES(1, 0)")
        first = begin_with(self.rpc, "SELECT b FROM t WHERE a = 1")
        second = begin(self.other)
        reading = second.begin_query("SELECT b FROM t WHERE a = 1")
        self.await_queued(1)
        first.query("UPDATE t SET b = 10 WHERE a = 1", commit=True)
        self.assertEqual(rpc.rows_of(reading.result()), [(10,)])
        second.query("UPDATE t SET b = b + 1 WHERE a = 1", commit=True)
        self.assertEqual(self.content(), [(1, 11)])

    def test_Fault60_a_read_only_transaction_that_would_write_is_refused_at_once(self):
        begin_with(self.rpc, INSERT, 0)  # has the writer, for which none of these waits
        for first in (False, True):
            transaction = begin(self.other, read_only=True)
            if not first:
                transaction.query("SELECT 1")
            for attempt in (lambda: transaction.query(INSERT, 1, timeout=SLACK),
                            lambda: list(transaction.stream(INSERT, 1, timeout=SLACK)),
                            lambda: transaction.batch(["SELECT 1", (INSERT, 1)], timeout=SLACK),
                            lambda: transaction.load("t", [(None, 1)], timeout=SLACK),
                            lambda: transaction.query("CREATE TABLE u(a)", timeout=SLACK),
                            lambda: transaction.query("CREATE TEMP TABLE u(a)", timeout=SLACK),
                            lambda: transaction.query(INSERT, 1, validate_only=True, timeout=SLACK)):
                failure = self.assert_fails((Code.PERMISSION_DENIED, Code.INVALID_ARGUMENT), attempt)
                self.assertIn(failure.reason, ("READ_ONLY_VIOLATION", "STATEMENT_REFUSED"), failure)
                self.assertEqual(transaction.state(), "ACTIVE")
            self.assert_status(transaction.commit(), "COMMITTED", transaction.handle)


class FullTest(transactions.TestCase):
    flags = ("--limits-max-calls", "8")

    def test_who_waits_for_a_transaction_does_not_keep_it_from_its_end(self):
        holder = begin_with(self.rpc, INSERT, 0)
        waiting = []

        def full():
            """Some are refused, for the question counts as a call, too."""
            message = rpc.request(query_pb2.QueryRequest, INSERT, (1,), {})
            waiting.append(self.rpc.queries.Query.future(message, timeout=20))
            return self.rpc.load().queued == 8

        harness.wait_for(full, 5, "the server is full of those who wait")
        self.assert_fails(Code.RESOURCE_EXHAUSTED, self.rpc.query, "SELECT 1", reason="SERVER_OVERLOADED")
        holder.act("KeepAlive")
        holder.commit()
        stored = sum(each.exception() is None for each in waiting)
        self.assertEqual(stored, 8)
        self.assertEqual(len(self.content()), 1 + stored)


if __name__ == "__main__":
    harness.main()
