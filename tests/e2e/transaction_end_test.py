"""Open transactions when the server goes down: by SIGTERM, at the end of the grace, and by kill -9."""
import contextlib
import signal
import sqlite3
import threading
import time
import uuid

import harness
import rpc
import transactions
from rpc import Code, health_pb2
from transactions import begin, begin_with, call, inline, load, outcome, within
from transaction_test import WAYS

SLACK = 1 * harness.PATIENCE


class EndTestCase(transactions.TestCase):
    def drain(self, *signals):
        """Sends them; the server takes nothing new from then on."""
        for number in signals or (signal.SIGTERM,):
            self.server.process.send_signal(number)

        def draining():
            status = self.rpc.health.Check(health_pb2.HealthCheckRequest(), timeout=5).status
            return status == health_pb2.HealthCheckResponse.NOT_SERVING

        harness.wait_for(draining, 5, "the server drains")

    def stored(self):
        with contextlib.closing(sqlite3.connect(self.server.database)) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            return database.execute("SELECT a, b FROM t ORDER BY a").fetchall()

    def assert_draining(self, attempt, *arguments, **fields):
        self.assert_fails(Code.UNAVAILABLE, attempt, *arguments, **fields, reason="SERVER_DRAINING", executed="no")


class DrainTest(EndTestCase):
    grace = "20s"

    def test_Fault79_an_open_transaction_comes_to_its_end_within_the_grace(self):
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
        self.drain()
        transaction.query("INSERT INTO t VALUES(2, 2)")
        transaction.batch(["INSERT INTO t VALUES(3, 3)"])
        transaction.load("t", [(4, 4)])
        transaction.act("Savepoint", name="s")
        transaction.query("INSERT INTO t VALUES(5, 5)")
        transaction.act("RollbackToSavepoint", name="s")
        transaction.act("ReleaseSavepoint", name="s")
        transaction.act("KeepAlive")
        self.assertEqual(transaction.state(), "ACTIVE")
        self.assert_status(transaction.commit(), "COMMITTED", transaction.handle)
        begun = time.monotonic()
        self.assertEqual(self.server.await_exit(), 0)
        self.assertLess(time.monotonic() - begun, 2 * SLACK)
        self.assertEqual(self.stored(), [(key, key) for key in (1, 2, 3, 4)])

    def test_Fault79_a_snapshot_is_read_to_its_end_as_well(self):
        transaction = begin_with(self.rpc, "SELECT 1", read_only=True)
        self.drain()
        self.assertEqual(transaction.rows("SELECT count(*) FROM t"), [(0,)])
        self.assert_status(transaction.commit(), "COMMITTED", transaction.handle)
        self.assertEqual(self.server.await_exit(), 0)

    def test_Fault79_a_stream_ends_and_leaves_its_transaction_to_its_owner(self):
        for options in ({}, {"read_only": True}):
            transaction = begin_with(self.rpc, "SELECT 1", **options)
            messages = transaction.stream(transactions.LONG)
            next(messages)
            another = begin_with(self.rpc, "SELECT 1", read_only=True)  # one that failed is not waited for
            self.drain()
            failure = self.assert_fails((Code.UNAVAILABLE, Code.ABORTED), list, messages, reason="SERVER_DRAINING")
            self.assert_told(failure, transaction.state(), transaction.handle)
            self.assert_status(transaction.rollback(), "ROLLED_BACK", transaction.handle)
            another.rollback()
            self.assertEqual(self.server.await_exit(), 0)
            self.connect(self.serve())

    def test_Fault79_meanwhile_nothing_begins_and_nothing_runs_outside(self):
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
        self.drain()
        self.assert_draining(begin, self.rpc)
        for key, (name, way) in enumerate(WAYS.items(), start=10):
            with self.subTest(way=name):
                self.assert_draining(way, self.rpc, key, transaction=inline(commit=True))
                self.assert_draining(way, self.rpc, key)
        self.assert_draining(self.rpc.query, "SELECT 1")
        self.assert_draining(lambda: list(self.rpc.transactions.Interact(iter([]), timeout=10)))
        transaction.commit()
        self.assertEqual(self.server.await_exit(), 0)
        self.assertEqual(self.stored(), [(1, 1)])

    def test_Fault79_a_repeat_of_a_lost_answer_is_answered_still(self):
        open_one, done = begin(self.rpc), begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
        key = "123e4567-e89b-12d3-a456-426614174000"
        done.commit(request_id=key)
        self.drain()
        again = call(self.rpc, "CommitTransaction", transaction_id=done.id, request_id=key)
        self.assertTrue(again.replayed)
        self.assertEqual(outcome(self.rpc, transaction_id=done.id), transactions.COMMITTED)
        self.assertEqual(outcome(self.rpc, connection_id="default", request_id=key), transactions.COMMITTED)
        open_one.rollback()
        self.assertEqual(self.server.await_exit(), 0)

    def test_Fault79_a_lease_that_ends_is_not_waited_for_any_longer(self):
        begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)", idle_timeout=0.5)
        begun = time.monotonic()
        self.assertEqual(self.server.terminate(), 0)
        self.assertTrue(0.4 < time.monotonic() - begun < 0.5 + 2 * SLACK)
        self.assertEqual(self.stored(), [])

    def test_Fault80_a_second_signal_ends_it_at_once(self):
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
        self.drain()
        self.assertEqual(transaction.state(), "ACTIVE")
        begun = time.monotonic()
        self.server.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.server.await_exit(), 0)
        self.assertLess(time.monotonic() - begun, 2 * SLACK)
        self.assertEqual(self.stored(), [])


class GraceTest(EndTestCase):
    grace = "700ms"

    def test_Fault79_at_the_end_of_the_grace_it_is_rolled_back(self):
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
        self.drain()
        failure = self.assert_fails((Code.UNAVAILABLE, Code.ABORTED),
                                    lambda: [transaction.query("SELECT 1") for _ in iter(int, 1)])
        self.assertNotEqual(failure.executed, "unknown", failure)
        self.assertEqual(self.server.await_exit(), 0)
        self.assertEqual(self.stored(), [])

    def test_Fault79_at_the_end_of_the_grace_what_runs_is_ended_and_told_so(self):
        for options in ({}, {"read_only": True}):
            transaction = begin_with(self.rpc, "SELECT 1", **options)
            if not options:
                transaction.query("INSERT INTO t VALUES(1, 1)")
            running = transaction.begin_query(transactions.ENDLESS.format("count(*)"))
            harness.wait_for(lambda: transaction.shown().busy, 5, "the statement runs")
            begun = time.monotonic()
            self.assertEqual(self.server.terminate(), 0)
            self.assertTrue(0.6 < time.monotonic() - begun < 0.7 + 2 * SLACK)
            failure = rpc.Failure(running.exception())
            self.assertIn((failure.code, failure.executed), ((Code.ABORTED, "rolled_back"), (Code.UNAVAILABLE, "no")))
            self.assertEqual(failure.reason, "SERVER_DRAINING", failure)
            self.assertEqual(failure.info.metadata["transaction"], transaction.handle)
            self.assertEqual(self.stored(), [])
            self.connect(self.serve())

    def test_Fault79_at_the_end_of_the_grace_what_waits_in_line_is_told_so(self):
        begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
        waiting = self.rpc.queries.Query.future(rpc.request(rpc.query_pb2.QueryRequest, "INSERT INTO t VALUES(2, 2)",
                                                            (), {}), timeout=30)
        harness.wait_for(lambda: self.rpc.load().queued == 1, 5, "a write waits")
        begun = time.monotonic()
        self.assertEqual(self.server.terminate(), 0)
        self.assertLess(time.monotonic() - begun, 0.7 + 2 * SLACK)
        failure = rpc.Failure(waiting.exception())
        self.assertEqual((failure.code, failure.reason, failure.executed), (Code.UNAVAILABLE, "SERVER_DRAINING", "no"),
                         failure)
        self.assertEqual(self.stored(), [])


class KillTest(transactions.TestCase):
    def test_Fault81_after_kill_9_no_handle_leads_anywhere_and_nothing_is_applied(self):
        writer = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
        writer.act("Savepoint", name="s")
        others = [begin(self.rpc), begin_with(self.rpc, "SELECT * FROM t", read_only=True)]
        done = begin(self.rpc)
        done.rollback()
        self.restart_after_kill()
        for old in (writer, *others, done):
            attempts = [lambda: self.rpc.query("INSERT INTO t VALUES(2, 2)", transaction=within(old.id, commit=True)),
                        lambda: load(self.rpc, "t", [(3, 3)], transaction=within(old.id))]
            attempts += [lambda method=method: call(self.rpc, method, transaction_id=old.id) for method in
                         ("CommitTransaction", "RollbackTransaction", "KeepAlive", "GetTransaction")]
            attempts.append(lambda: outcome(self.rpc, transaction_id=old.id))
            for attempt in attempts:
                self.assert_fails(Code.NOT_FOUND, attempt, reason="TRANSACTION_NOT_FOUND", executed="no")
        self.assertEqual(self.content(), [])
        self.assert_nothing_open()
        self.rpc.query("INSERT INTO t VALUES(4, 4)")

    def test_Fault81_what_was_asked_of_is_whole_or_not_there_as_the_outcome_says(self):
        """Transactions of two rows that share a number: every answer, and every outcome, is true of what is stored."""
        told = {}
        for number in range(30 if harness.NIGHTLY else 6):
            before = len(told)
            threads = [threading.Thread(target=self.write, args=(self.server.address, told)) for _ in range(4)]
            for thread in threads:
                thread.start()
            harness.wait_for(lambda: len(told) > before + 30 + 7 * number, harness.CALL_SECONDS, "commits")
            self.server.kill()
            for thread in threads:
                thread.join()
            self.connect(self.serve())
        stored = dict(self.rpc.rows("SELECT b, count(*) FROM t GROUP BY b", max_rows=100_000))
        self.assertEqual({*stored.values()}, {2}, "half of a transaction")
        unknown = 0
        for request_id, (value, code) in told.items():
            is_there = value in stored
            self.assertEqual(outcome(self.rpc, connection_id="default", request_id=request_id),
                             transactions.COMMITTED if is_there else transactions.ROLLED_BACK)
            self.assertTrue(is_there or code != "OK", "acknowledged, and lost")
            unknown += code != "OK"
        self.assertEqual(len(told), len({value for value, _ in told.values()}))
        print(f"{len(told)} commits, {unknown} of them without an answer")

    @staticmethod
    def write(address, told):
        with rpc.Client(address) as client:
            while True:
                request_id = str(uuid.uuid4())
                value = uuid.UUID(request_id).int % 2**62
                try:
                    transaction = begin_with(client, "INSERT INTO t(b) VALUES($1)", value)
                    transaction.query("INSERT INTO t(b) VALUES($1)", value)
                except rpc.grpc.RpcError:
                    return
                try:
                    transaction.commit(request_id=request_id)
                    told[request_id] = (value, "OK")
                except rpc.grpc.RpcError as error:
                    told[request_id] = (value, error.code().name)
                    return


if __name__ == "__main__":
    harness.main()
