"""Repeats of calls whose answer was lost, in a transaction that is over by then, and what became of a transaction."""
import collections
import random
import threading
import time
import uuid

import harness
import loads
import rpc
import transactions
from rpc import Code, query_pb2, transaction_pb2
from transactions import (COMMITTED, PENDING, ROLLED_BACK, batch, begin, begin_with, call, inline, load, outcome,
                          stream, within)

INSERT = "INSERT INTO t(b) VALUES(abs(random())) RETURNING a, b"
# Each inserts what no repeat could make again by chance, where it has rows at all.
WAYS = {
    "Query": lambda client, **fields: [client.query(INSERT, **fields)],
    "StreamQuery": lambda client, **fields: stream(client, INSERT, **fields),
    "ExecuteBatch": lambda client, **fields: [batch(client, [INSERT, "SELECT count(*) FROM t", INSERT], **fields)],
    "BulkInsert": lambda client, **fields: [load(client, "t", [(None, 1)], [(None, 2), (None, 3)], **fields)],
    "BulkInsert CONTINUE": lambda client, **fields: [load(client, "t", [(None, 1)], [(None, 2)], mode=loads.CONTINUE,
                                                          **fields)],
}


def new_id():
    return str(uuid.uuid4())


def comparable(messages):
    """Without what tells a repeat from the first call: times, where the transaction stands, how often a batch was
    tried, and `replayed`."""
    for message in messages:
        for name in ("elapsed", "transaction", "attempts"):
            if name in message.DESCRIPTOR.fields_by_name:
                message.ClearField(name)
        for chunk in getattr(message, "chunks", ()):
            chunk.replayed = False
    return messages


class CommitTest(transactions.TestCase):
    def commit(self, id, request_id, **fields):
        return call(self.rpc, "CommitTransaction", transaction_id=id, request_id=request_id, **fields)

    def test_Fault43_a_commit_that_is_repeated_answers_as_the_first(self):
        for statement in ("INSERT INTO t(b) VALUES(1)", "SELECT 1", None):
            with self.subTest(statement=statement):
                transaction, request_id = begin(self.rpc), new_id()
                if statement:
                    transaction.query(statement)
                first = self.commit(transaction.id, request_id)
                self.assertFalse(first.replayed)
                self.assert_status(first.transaction, "COMMITTED", transaction.handle)
                first.transaction.ClearField("durability")  # which a repeat does not tell
                for connection_id in ("", "default"):
                    again = self.commit(transaction.id, request_id, connection_id=connection_id)
                    self.assertTrue(again.replayed)
                    self.assertEqual(again.transaction, first.transaction)
        self.assertEqual((len(self.content()), self.counts().committed), (1, 3))

    def test_Fault43_so_does_one_of_a_snapshot(self):
        transaction, request_id = begin_with(self.rpc, "SELECT 1", read_only=True), new_id()
        self.commit(transaction.id, request_id)
        again = self.commit(transaction.id, request_id)
        self.assert_status(again.transaction, "COMMITTED", transaction.handle)
        self.assertTrue(again.replayed)
        self.assertEqual(outcome(self.rpc, transaction_id=transaction.id), COMMITTED)

    def test_Fault43_a_repeat_after_a_restart_needs_the_connection(self):
        transaction, request_id = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)"), new_id()
        self.commit(transaction.id, request_id)
        self.restart_after_kill()
        self.assert_fails(Code.NOT_FOUND, self.commit, transaction.id, request_id, reason="TRANSACTION_NOT_FOUND",
                          executed="no")
        again = self.commit(transaction.id, request_id, connection_id="default")
        self.assertTrue(again.replayed)
        self.assertEqual(transactions.state_of(again.transaction), "COMMITTED")
        self.assertEqual(self.content(), [(1, 1)])

    def test_Fault43_two_commits_at_once_are_one(self):
        for _ in range(20):
            transaction, request_id = begin_with(self.rpc, "INSERT INTO t(b) VALUES(1)"), new_id()
            answers = []
            threads = [threading.Thread(target=lambda: answers.append(self.commit(transaction.id, request_id)))
                       for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(sorted(answer.replayed for answer in answers), [False, True, True, True])
        self.assertEqual(len(self.content()), 20)

    def test_a_commit_that_is_cancelled_comes_to_its_end_or_was_never_begun(self):
        chance, outcomes = random.Random(7), collections.Counter()
        for number in range(100):
            transaction = begin_with(self.rpc, "INSERT INTO t VALUES($1, 0)", number)
            committing = self.rpc.transactions.CommitTransaction.future(
                transaction_pb2.CommitTransactionRequest(transaction_id=transaction.id), timeout=30)
            time.sleep(chance.uniform(0, 0.002))  # the cancel may meet any moment of it
            committing.cancel()
            try:
                transaction.rollback()
            except rpc.grpc.RpcError as error:
                self.assert_told(rpc.Failure(error), "COMMITTED", transaction.handle)
            known = outcome(self.rpc, transaction_id=transaction.id)
            self.assertEqual((number, 0) in self.content(), known == COMMITTED)
            outcomes[known] += 1
        self.assertEqual({*outcomes} - {ROLLED_BACK}, {COMMITTED})

    def test_a_request_id_commits_one_transaction_only(self):
        request_id = new_id()
        self.commit(begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)").id, request_id)
        for statement in ("INSERT INTO t VALUES(2, 2)", "SELECT 1"):
            other = begin_with(self.rpc, statement)
            failure = self.assert_fails(Code.INVALID_ARGUMENT, self.commit, other.id, request_id,
                                        reason="REQUEST_ID_REUSED", executed="rolled_back")
            self.assert_told(failure, "ROLLED_BACK", other.handle)
            self.assertEqual(outcome(self.rpc, transaction_id=other.id), ROLLED_BACK)
        self.assertEqual(self.content(), [(1, 1)])
        self.assert_nothing_open()

    def test_a_trial_cannot_commit(self):
        """Its outcome would be that nothing of it was stored, though the rest of the transaction is."""
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
        for attempt in (lambda: transaction.query("INSERT INTO t VALUES(2, 2)", commit=True, validate_only=True),
                        lambda: list(transaction.stream("SELECT 1", commit=True, validate_only=True)),
                        lambda: transaction.batch(["SELECT 1"], commit=True, validate_only=True),
                        lambda: transaction.load("t", [(3, 3)], commit=True, validate_only=True)):
            failure = self.assert_fails(Code.INVALID_ARGUMENT, attempt, reason="PARAMETER_INVALID", executed="no")
            self.assertIn("validate_only", failure.message)
        self.assertEqual(transaction.state(), "ACTIVE")
        transaction.commit()
        self.assertEqual(self.content(), [(1, 1)])

    def test_a_request_id_that_is_no_uuid_commits_nothing(self):
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
        failure = self.assert_fails(Code.INVALID_ARGUMENT, transaction.commit, request_id="once", executed="no",
                                    reason="PARAMETER_INVALID")
        self.assertEqual((transaction.state(), self.content()), ("ACTIVE", []))
        self.assert_told(failure, "ACTIVE", transaction.handle)

    def test_without_a_request_id_a_repeat_says_that_it_is_committed(self):
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
        transaction.commit()
        for fields in ({}, {"request_id": new_id()}):
            failure = self.assert_fails(Code.FAILED_PRECONDITION, transaction.commit, **fields, executed="no",
                                        reason="TRANSACTION_FINISHED")
            self.assert_told(failure, "COMMITTED", transaction.handle)


class RequestTest(transactions.TestCase):
    def assert_same(self, way, first, rows, **fields):
        self.assertEqual(comparable(way(self.rpc, **fields)), first)
        self.assertEqual(self.content(), rows)

    def test_Fault43_a_repeat_with_its_commit_answers_what_was_committed(self):
        for name, way in WAYS.items():
            with self.subTest(way=name):
                id = begin_with(self.rpc, "INSERT INTO t(b) VALUES(7)").id
                fields = {"transaction": within(id, commit=True), "request_id": new_id()}
                first, rows = comparable(way(self.rpc, **fields)), self.content()
                for _ in range(2):
                    self.assert_same(way, first, rows, **fields)
                    self.restart_after_kill()
                self.assert_same(way, first, rows, **fields)

    def test_Fault43_so_does_one_that_was_committed_by_another_call(self):
        for name, way in WAYS.items():
            with self.subTest(way=name):
                transaction = begin(self.rpc)
                fields = {"transaction": within(transaction.id), "request_id": new_id()}
                first = comparable(way(self.rpc, **fields))
                inside = comparable(way(self.rpc, **fields))
                self.assertEqual(inside, first)
                transaction.query("INSERT INTO t(b) VALUES(7)")
                transaction.commit()
                rows = self.content()
                self.assert_same(way, first, rows, **fields)
                self.restart_after_kill()
                self.assert_same(way, first, rows, **fields)

    def test_Fault43_so_does_one_that_begins_and_commits(self):
        for name, way in WAYS.items():
            with self.subTest(way=name):
                fields = {"transaction": inline(commit=True), "request_id": new_id()}
                first, rows = comparable(way(self.rpc, **fields)), self.content()
                self.assert_same(way, first, rows, **fields)
                self.restart_after_kill()
                self.assert_same(way, first, rows, **fields)
                self.assert_nothing_open()

    def test_what_was_rolled_back_was_never_asked(self):
        for name, way in WAYS.items():
            with self.subTest(way=name):
                before = self.content()
                transaction, request_id = begin(self.rpc), new_id()
                way(self.rpc, transaction=within(transaction.id), request_id=request_id)
                transaction.rollback()
                failure = self.assert_fails(Code.FAILED_PRECONDITION, way, self.rpc, request_id=request_id,
                                            transaction=within(transaction.id), reason="TRANSACTION_FINISHED")
                self.assert_told(failure, "ROLLED_BACK", transaction.handle)
                self.assertEqual(outcome(self.rpc, connection_id="default", request_id=request_id), ROLLED_BACK)
                self.assertEqual(self.content(), before)
                way(self.rpc, request_id=request_id)
                self.assertGreater(len(self.content()), len(before))

    def test_another_content_under_the_id_of_a_finished_one_is_refused(self):
        id, request_id = begin(self.rpc).id, new_id()
        self.rpc.query(INSERT, transaction=within(id, True), request_id=request_id)
        before = self.content()
        for name, way in WAYS.items():
            if name == "Query":
                continue
            with self.subTest(way=name):
                self.assert_fails(Code.INVALID_ARGUMENT, way, self.rpc, transaction=within(id, True),
                                  request_id=request_id, reason="REQUEST_ID_REUSED")
        self.assert_fails(Code.INVALID_ARGUMENT, self.rpc.query, INSERT + ", 1", transaction=within(id, True),
                          request_id=request_id, reason="REQUEST_ID_REUSED")
        transaction = begin_with(self.rpc, "INSERT INTO t(b) VALUES(1)")
        failure = self.assert_fails(Code.INVALID_ARGUMENT, transaction.query, INSERT, request_id=request_id,
                                    reason="REQUEST_ID_REUSED", executed="no")
        self.assert_told(failure, "ACTIVE", transaction.handle)
        transaction.rollback()
        self.assertEqual(self.content(), before)


class OutcomeTest(transactions.TestCase):
    def of_request(self, request_id, **fields):
        return outcome(self.rpc, connection_id="default", request_id=request_id, **fields)

    def test_of_a_transaction_by_its_id(self):
        transaction = begin(self.rpc)
        self.assertEqual(outcome(self.rpc, transaction_id=transaction.id), PENDING)
        transaction.query("INSERT INTO t VALUES(1, 1)")
        self.assertEqual(outcome(self.rpc, transaction_id=transaction.id), PENDING)
        transaction.commit()
        self.assertEqual(outcome(self.rpc, transaction_id=transaction.id), COMMITTED)
        failed = begin(self.rpc)
        self.assert_fails(Code.ALREADY_EXISTS, failed.query, "INSERT INTO t VALUES(1, 1)")
        self.assertEqual(outcome(self.rpc, transaction_id=failed.id), PENDING)
        failed.rollback()
        ended, expired = begin(self.rpc), begin(self.rpc, idle_timeout=0.001)
        call(self.rpc, "EndTransaction", handle=ended.handle)
        harness.wait_for(lambda: expired.state() == "EXPIRED", 5, "a lease ends")
        for one in (failed, ended, expired):
            self.assertEqual(outcome(self.rpc, transaction_id=one.id), ROLLED_BACK)
        self.restart_after_kill()
        self.assert_fails(Code.NOT_FOUND, outcome, self.rpc, transaction_id=transaction.id,
                          reason="TRANSACTION_NOT_FOUND", executed="no")

    def test_of_a_commit_or_any_write_by_its_request_id(self):
        kept = {"commit": new_id(), "interact": new_id(), "autocommit": new_id(), **{name: new_id() for name in WAYS}}
        transaction = begin_with(self.rpc, "INSERT INTO t(b) VALUES(1)")
        for name, way in WAYS.items():
            way(self.rpc, transaction=within(transaction.id), request_id=kept[name])
        transaction.commit(request_id=kept["commit"])
        self.rpc.query("INSERT INTO t(b) VALUES(1)", request_id=kept["autocommit"])
        list(self.rpc.transactions.Interact(iter([
            transaction_pb2.InteractRequest(query=query_pb2.QueryRequest(
                connection_id="default", sql="INSERT INTO t(b) VALUES(2)", transaction=inline())),
            transaction_pb2.InteractRequest(commit={"request_id": kept["interact"]})]), timeout=30))
        for _ in range(2):
            for name, request_id in kept.items():
                with self.subTest(of=name):
                    self.assertEqual(self.of_request(request_id), COMMITTED)
            self.assertEqual(self.of_request(new_id()), ROLLED_BACK)
            self.restart_after_kill()

    def test_of_an_answer_that_was_too_large_to_be_kept(self):
        request_id = new_id()
        transaction = begin(self.rpc)
        fields = {"transaction": within(transaction.id, commit=True), "request_id": request_id}
        self.rpc.query("INSERT INTO t(b) VALUES(1) RETURNING hex(zeroblob(50000))", **fields)
        failure = self.assert_fails(Code.FAILED_PRECONDITION, self.rpc.query, reason="REPLAY_TOO_LARGE",
                                    sql="INSERT INTO t(b) VALUES(1) RETURNING hex(zeroblob(50000))", **fields)
        self.assertEqual(failure.info.metadata["outcome"], "committed")
        self.assertEqual((self.of_request(request_id), len(self.content())), (COMMITTED, 1))

    def test_it_waits_behind_the_transaction_that_would_store_it(self):
        for end, wanted in (("CommitTransaction", COMMITTED), ("RollbackTransaction", ROLLED_BACK)):
            request_id = new_id()
            transaction = begin(self.rpc)
            transaction.query("INSERT INTO t(b) VALUES(1)", request_id=request_id)
            failure = self.assert_fails(Code.DEADLINE_EXCEEDED, self.of_request, request_id, timeout=0.5, executed="no")
            self.assertEqual(failure.info.metadata["held_by"], transaction.handle)
            asked = self.rpc.transactions.GetTransactionOutcome.future(
                transaction_pb2.GetTransactionOutcomeRequest(connection_id="default",
                                                                          request_id=request_id), timeout=30)
            harness.wait_for(lambda: self.rpc.load().queued == 1, 5, "the question waits")
            self.assertFalse(asked.done())
            transaction.act(end)
            self.assertEqual(asked.result().outcome, wanted)

    def test_a_question_that_asks_for_nothing_is_refused(self):
        for code, reason, fields in (
                (Code.INVALID_ARGUMENT, "PARAMETER_INVALID", {}),
                (Code.INVALID_ARGUMENT, "PARAMETER_INVALID", {"connection_id": "default"}),
                (Code.INVALID_ARGUMENT, "PARAMETER_INVALID", {"connection_id": "default", "request_id": "7"}),
                (Code.INVALID_ARGUMENT, "PARAMETER_INVALID", {"connection_id": "default", "request_id": ""}),
                (Code.NOT_FOUND, "CONNECTION_NOT_FOUND", {"connection_id": "conn_none", "request_id": new_id()}),
                (Code.NOT_FOUND, "TRANSACTION_NOT_FOUND", {"transaction_id": "txn_none"}),
                (Code.UNIMPLEMENTED, "FIELD_NOT_IMPLEMENTED", {"connection_id": "default", "outcome_token": "x"}),
                (Code.INVALID_ARGUMENT, "PARAMETER_INVALID", {"outcome_token": "x"})):
            with self.subTest(**fields):
                self.assert_fails(code, outcome, self.rpc, reason=reason, executed="no", **fields)
        self.assert_fails((Code.INVALID_ARGUMENT, Code.NOT_FOUND), outcome, self.rpc, request_id=new_id())


if __name__ == "__main__":
    harness.main()
