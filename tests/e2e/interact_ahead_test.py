"""Conversations with several requests ahead: their order, cancels, and no part of them committed."""
import threading
import time

import harness
import interact
import rpc
import transactions
from interact import INSERT, SLACK, Conversation
from rpc import Code, common_pb2, transaction_pb2
from transactions import ENDLESS, begin_with, inline


class AheadTest(interact.TestCase):
    def test_sixteen_may_be_sent_ahead_and_are_answered_in_order(self):
        conversation = self.converse()
        conversation.send(begin=transaction_pb2.BeginTransactionRequest(connection_id="default"))
        for key in range(200):
            conversation.send(query=conversation.query(INSERT, key))
        conversation.send(commit=transaction_pb2.InteractCommit())
        conversation.half_close()
        responses = list(conversation.responses)
        self.assertEqual([response.call_id for response in responses], [*range(1, 203)])
        self.assertEqual({response.WhichOneof("result") for response in responses[1:-1]}, {"query"})
        self.assertEqual(len(self.content()), 200)

    def test_no_commit_that_was_sent_ahead_commits_a_part(self):
        for sql, reason in (("INSERT INTO t VALUES(1, 0)", "SQL_ERROR"), ("SELECT $1", "PARAMETER_INVALID"),
                            ("ROLLBACK", "TRANSACTION_CONTROL_REFUSED")):
            for end in ({"commit": transaction_pb2.InteractCommit()},
                        {"query": Conversation.query(INSERT, 3, selector=common_pb2.TransactionSelector(commit=True))}):
                with self.subTest(reason=reason, end=[*end]):
                    conversation = self.converse()
                    for action in ({"begin": transaction_pb2.BeginTransactionRequest(connection_id="default")},
                                   {"query": conversation.query(INSERT, 1)}, {"query": conversation.query(sql)},
                                   {"query": conversation.query(INSERT, 2)}, end,
                                   {"rollback": transaction_pb2.InteractRollback()}):
                        conversation.send(**action)
                    conversation.half_close()
                    reasons = [response.error.reason for response in conversation.responses]
                    self.assertEqual(reasons, ["", "", reason, "TRANSACTION_FAILED", "TRANSACTION_FAILED", ""])
                    self.assertEqual(self.content(), [])

    def test_a_cancel_is_seen_at_once_while_sixteen_wait(self):
        conversation = self.converse()
        conversation.begin()
        running = conversation.send(query=conversation.query(ENDLESS.format("count(*)")))
        waiting = [conversation.send(query=conversation.query("SELECT 1")) for _ in range(16)]
        conversation.cancel(waiting[-1])
        conversation.cancel(running)
        responses = [conversation.next() for _ in range(17)]
        self.assertEqual([response.call_id for response in responses], [running, *waiting])
        self.assertEqual({responses[0].error.code, responses[-1].error.code}, {Code.CANCELLED.value[0]})
        self.assertEqual({response.error.reason for response in responses[1:-1]}, {"TRANSACTION_FAILED"})

    def test_a_request_that_runs_can_be_cancelled(self):
        conversation = self.converse()
        conversation.begin()
        conversation.run(INSERT, 1)
        running = conversation.send(query=conversation.query(ENDLESS.format("count(*)")))
        harness.wait_for(lambda: self.list().transactions[0].busy, 5, "the statement runs")
        begun = time.monotonic()
        conversation.cancel(running)
        response = conversation.next()
        self.assertLess(time.monotonic() - begun, SLACK)
        self.assertEqual((response.call_id, response.error.code), (running, Code.CANCELLED.value[0]))
        self.assert_state(response, "FAILED")
        self.assert_state(conversation.rollback(), "ROLLED_BACK")
        self.assertEqual(self.content(), [])

    def test_a_request_that_waits_can_be_cancelled_alone(self):
        conversation = self.converse()
        conversation.begin()
        running = conversation.send(query=conversation.query(ENDLESS.format("count(*)")))
        waiting = [conversation.send(query=conversation.query(INSERT, key)) for key in range(3)]
        harness.wait_for(lambda: self.list().transactions[0].busy, 5, "the first one runs")
        conversation.cancel(waiting[1])
        conversation.cancel(99)
        conversation.cancel(running)
        responses = [conversation.next() for _ in range(4)]
        self.assertEqual([response.call_id for response in responses], [running, *waiting])
        self.assertEqual([response.error.code for response in responses][::2], [Code.CANCELLED.value[0]] * 2)
        self.assertEqual(responses[2].error.metadata["executed"], "no")
        self.assertEqual([response.error.reason for response in responses][1::2], ["TRANSACTION_FAILED"] * 2)

    def test_a_request_that_waits_for_the_writer_can_be_cancelled(self):
        holder, conversation = begin_with(self.rpc, INSERT, 9), self.converse()
        conversation.begin()
        waiting = conversation.send(query=conversation.query(INSERT, 1))
        harness.wait_for(lambda: self.rpc.load().queued == 1, 5, "it waits for the writer")
        committing = conversation.send(commit=transaction_pb2.InteractCommit())
        conversation.cancel(waiting)
        response = conversation.next()
        self.assertEqual((response.error.code, response.error.metadata["executed"]), (Code.CANCELLED.value[0], "no"))
        self.assert_state(response, "FAILED")
        response = conversation.next()
        self.assertEqual(response.call_id, committing)
        self.assert_error(response, "TRANSACTION_FAILED", "FAILED", "no")
        holder.rollback()
        self.assertEqual(self.content(), [])

    def test_a_savepoint_is_the_way_on_after_a_cancel(self):
        conversation, point = self.converse(), transaction_pb2.InteractSavepoint(name="s")
        conversation.begin()
        conversation.run(INSERT, 1)
        conversation.ask(savepoint=point)
        first, second = (conversation.send(query=conversation.query(INSERT, key)) for key in (2, 3))
        conversation.cancel(second)
        answers = [conversation.next() for _ in range(2)]
        self.assertEqual([answer.call_id for answer in answers], [first, second])
        self.assert_state(conversation.ask(rollback_to_savepoint=point), "ACTIVE")
        self.assert_state(conversation.commit(), "COMMITTED")
        self.assertEqual(self.content(), [(1, 1)])

    def test_what_is_done_stays_done(self):
        conversation = self.converse()
        conversation.begin()
        for _ in range(50):
            done = conversation.send(query=conversation.query("INSERT INTO t(b) VALUES(1)"))
            conversation.cancel(done)
            response = conversation.next()
            if response.WhichOneof("result") == "error":  # it was in time
                self.assertEqual(response.error.code, Code.CANCELLED.value[0])
                if transactions.state_of(response.transaction) == "FAILED":
                    conversation.rollback()
                    conversation.begin()
        conversation.cancel(1)
        self.assertEqual(conversation.run("SELECT 7").query.rows[0].values[0].int64_value, 7)


class TimeoutTest(interact.TestCase):
    flags = ("--command-timeout", "300ms")

    def test_a_request_that_takes_too_long_is_an_error_and_the_stream_goes_on(self):
        conversation = self.converse()
        conversation.begin()
        response = conversation.run(ENDLESS.format("count(*)"))
        self.assertEqual(response.error.code, Code.DEADLINE_EXCEEDED.value[0])
        self.assert_state(response, "FAILED")
        self.assert_state(conversation.rollback(), "ROLLED_BACK")
        self.assert_state(conversation.begin(), "ACTIVE")

    def test_a_request_that_waits_too_long_for_the_writer_is_told_for_whom(self):
        holder, conversation = begin_with(self.rpc, INSERT, 9, label="first"), self.converse()
        conversation.begin()
        response = conversation.run(INSERT, 1)
        self.assertEqual(response.error.code, Code.DEADLINE_EXCEEDED.value[0])
        self.assertEqual((response.error.metadata["held_by"], response.error.metadata["held_by_label"]),
                         (holder.handle, "first"))
        self.assert_state(response, "FAILED")


class StormTest(interact.TestCase):
    def test_many_streams_at_once_are_each_answered_in_order(self):
        """A counter that each of them reads and writes, one transaction after another."""
        self.rpc.query("INSERT INTO t VALUES(1, 0)")
        wrong, streams, rounds = [], 12, 15

        def work(number):
            with rpc.Client(self.server.address) as client:
                conversation = Conversation(client, timeout=120)
                for _ in range(rounds):
                    conversation.send(query=conversation.query("SELECT b FROM t WHERE a = 1", selector=inline(),
                                                               connection_id="default"))
                    (row,) = conversation.next().query.rows
                    value = row.values[0].int64_value
                    conversation.send(query=conversation.query("UPDATE t SET b = $1 WHERE a = 1", value + 1))
                    conversation.send(query=conversation.query(INSERT, 1000 * (number + 1) + value))
                    conversation.send(commit=transaction_pb2.InteractCommit())
                    answers = [conversation.next() for _ in range(3)]
                    if transactions.state_of(answers[-1].transaction) != "COMMITTED":
                        wrong.append(answers)
                conversation.half_close()
                wrong.extend(conversation.responses)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(streams)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(self.rpc.rows("SELECT b, (SELECT count(*) FROM t) FROM t WHERE a = 1"),
                         [(streams * rounds, streams * rounds + 1)])
        self.assert_nothing_open()


if __name__ == "__main__":
    harness.main()
