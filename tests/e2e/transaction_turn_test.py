"""Calls that come at once in one transaction take turns."""
import threading
import time

import harness
import rpc
import transactions
from rpc import Code
from transactions import ENDLESS, begin, begin_with

SLACK = 1 * harness.PATIENCE


class TurnTest(transactions.TestCase):
    def test_Fault41_calls_at_once_take_turns(self):
        transaction = begin(self.rpc)
        running = transaction.begin_query(f"INSERT INTO t {ENDLESS.format('n, n')} LIMIT 200000")
        harness.wait_for(lambda: transaction.shown().busy, 5, "the first one runs")
        waiting = [transaction.begin_query("UPDATE t SET b = b * 2 + $1 WHERE a = 1 RETURNING b", n) for n in range(3)]
        harness.wait_for(lambda: transaction.shown().waiting_calls == 3 or running.done(), 5, "the others wait")
        self.assertEqual(running.result().rows_affected, 200_000)
        values = {rpc.rows_of(call.result())[0][0] for call in waiting}  # each of them saw the one before
        self.assertEqual(len(values), 3)
        transaction.rollback()
        self.assertEqual(self.content(), [])

    def test_Fault41_many_threads_on_one_handle_are_one_after_another(self):
        transaction, wrong = begin_with(self.rpc, "INSERT INTO t VALUES(1, 0)"), []

        def work():
            with rpc.Client(self.server.address) as client:
                mine = transactions.Transaction(client, transactions.common_pb2.TransactionStatus(
                    transaction_id=transaction.id))
                for _ in range(50):
                    seen = mine.batch(["SELECT b FROM t", "UPDATE t SET b = b + 1", "SELECT b FROM t"])
                    before, after = (rpc.rows_of(seen.results[step])[0][0] for step in (0, 2))
                    if after != before + 1:
                        wrong.append((before, after))

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        transaction.commit()
        self.assertEqual(self.content(), [(1, 300)])

    def test_Fault41_a_call_that_gives_up_does_not_run_later(self):
        transaction = begin(self.rpc)
        running = transaction.begin_query(ENDLESS.format("count(*)"))
        harness.wait_for(lambda: transaction.shown().busy, 5, "the first one runs")
        begun = time.monotonic()
        self.assert_fails(Code.DEADLINE_EXCEEDED, transaction.query, "INSERT INTO t VALUES(1, 1)", timeout=0.2)
        self.assertLess(time.monotonic() - begun, 0.2 + SLACK)
        harness.wait_for(lambda: transaction.shown().waiting_calls == 0, SLACK, "it has left the line")
        self.assertEqual(transaction.state(), "ACTIVE")
        self.assertFalse(running.done())
        running.cancel()


class GiveUpTest(transactions.TestCase):
    flags = ("--command-timeout", "300ms")

    def test_Fault41_a_call_that_gives_up_its_turn_leaves_the_transaction_as_it_was(self):
        transaction = begin_with(self.rpc, "SELECT 1")
        messages = transaction.stream(transactions.LONG)
        next(messages)
        waits = (lambda: transaction.query("INSERT INTO t VALUES(0, 0)"), lambda: transaction.batch(["SELECT 1"]),
                 lambda: transaction.act("Savepoint", name="s"), transaction.commit, transaction.rollback)
        for attempt in waits:
            failure = self.assert_fails(Code.DEADLINE_EXCEEDED, attempt, executed="no")
            self.assert_told(failure, "ACTIVE", transaction.handle)
        *_, last = messages
        self.assertEqual(last.row_count, transactions.LONG_ROWS)
        self.assert_status(last.transaction, "ACTIVE", transaction.handle)
        transaction.rollback()
        self.assertEqual(self.content(), [])


if __name__ == "__main__":
    harness.main()
