"""The lease of a transaction: what ends it, what starts it anew, and what becomes of it when its client is gone."""
import subprocess
import sys
import threading
import time

import harness
import loads
import rpc
import transactions
from rpc import Code
from transactions import ENDLESS, begin, begin_with, outcome, seconds_of, within

SLACK = 1 * harness.PATIENCE  # a lease that is over is ended within a second


class LeaseTest(transactions.TestCase):
    def assert_expired(self, transaction):
        """Whatever is asked for, and however often."""
        for _ in range(2):
            for attempt in (lambda: transaction.query("INSERT INTO t VALUES(9, 9)"), transaction.commit,
                            lambda: list(transaction.stream("SELECT 1")), lambda: transaction.batch(["SELECT 1"]),
                            lambda: transaction.load("t", [(9, 9)]), lambda: transaction.act("KeepAlive"),
                            lambda: transaction.act("Savepoint", name="s"),
                            lambda: transaction.act("RollbackToSavepoint", name="s"),
                            lambda: transaction.act("ReleaseSavepoint", name="s")):
                failure = self.assert_fails(Code.ABORTED, attempt, reason="TRANSACTION_EXPIRED", executed="rolled_back")
                self.assert_told(failure, "EXPIRED", transaction.handle)
        self.assertEqual(outcome(self.rpc, transaction_id=transaction.id), transactions.ROLLED_BACK)
        self.assert_status(transaction.rollback(), "EXPIRED", transaction.handle)

    def await_expiry(self, transaction, begun, lease):
        """It ends when its lease is over, and not before."""
        while transaction.state() == "ACTIVE":
            self.assertLess(time.monotonic() - begun, lease + SLACK)
            time.sleep(0.005)
        self.assertEqual(transaction.state(), "EXPIRED")
        self.assertGreater(time.monotonic() - begun, lease - 0.01)

    def test_it_ends_when_nothing_is_done(self):
        for statement in ("SELECT 1", "INSERT INTO t VALUES(1, 1)"):
            for options in ({}, {"read_only": True}):
                if options and statement != "SELECT 1":
                    continue
                with self.subTest(statement=statement, **options):
                    transaction = begin(self.rpc, idle_timeout=0.4, **options)
                    begun = time.monotonic()
                    transaction.query(statement)
                    self.await_expiry(transaction, begun, 0.4)
                    self.assert_expired(transaction)
        self.assertEqual((self.content(), self.counts().expired), ([], 3))
        self.assert_nothing_open()

    def test_every_use_starts_the_idle_time_anew(self):
        transaction = begin(self.rpc, idle_timeout=1)
        uses = (lambda: transaction.query("SELECT 1"), lambda: transaction.batch(["INSERT INTO t(b) VALUES(1)"]),
                lambda: transaction.act("Savepoint", name="s"), lambda: list(transaction.stream("SELECT 1")),
                lambda: transaction.act("KeepAlive"),
                lambda: self.assert_fails(Code.INVALID_ARGUMENT, transaction.query, "SELECT $1"))
        for use in uses:
            harness.wait_for(lambda: seconds_of(transaction.shown().expires_in) < 0.6, 5, "the lease runs")
            use()
            self.assertGreater(seconds_of(transaction.shown().expires_in), 0.6)
        self.assert_status(transaction.commit(), "COMMITTED", transaction.handle)

    def test_no_use_prolongs_its_life(self):
        transaction = begin(self.rpc, max_life=0.8)
        begun = time.monotonic()
        while time.monotonic() - begun < 0.8 + SLACK:
            try:
                transaction.act("KeepAlive")
                transaction.query("SELECT 1")
            except rpc.grpc.RpcError as error:
                self.assertEqual(rpc.Failure(error).reason, "TRANSACTION_EXPIRED")
                break
        self.assertTrue(0.79 < time.monotonic() - begun < 0.8 + SLACK)
        self.assert_expired(transaction)

    def test_the_end_of_its_life_ends_what_runs(self):
        for options in ({}, {"read_only": True}):
            transaction = begin(self.rpc, max_life=0.4, idle_timeout=0.1, **options)
            begun = time.monotonic()
            failure = self.assert_fails(Code.ABORTED, transaction.query, ENDLESS.format("count(*)"),
                                        reason="TRANSACTION_EXPIRED", executed="rolled_back")
            self.assertTrue(0.39 < time.monotonic() - begun < 0.4 + SLACK, failure)
            self.assert_told(failure, "EXPIRED", transaction.handle)
            self.assert_expired(transaction)

    def test_keep_alive_never_waits_for_what_runs(self):
        transaction = begin(self.rpc)
        running = transaction.begin_query(ENDLESS.format("count(*)"))
        harness.wait_for(lambda: transaction.shown().busy, 5, "the statement runs")
        for _ in range(3):
            self.assert_status(transaction.act("KeepAlive", timeout=SLACK), "ACTIVE", transaction.handle)
        self.assertFalse(running.done())
        running.cancel()
        transaction.rollback()

    def test_an_answer_tells_the_lease_as_it_is(self):
        for idle, life, wanted in ((10, 100, 10), (100, 10, 10), (1000, 10_000, 30), (0.5, 0.7, 0.5)):
            transaction = begin(self.rpc, idle_timeout=idle, max_life=life)
            status, now = transaction.act("KeepAlive"), time.time()
            self.assertTrue(wanted - 0.5 * harness.PATIENCE < seconds_of(status.expires_in) <= wanted, status)
            expire_time = status.expire_time.ToNanoseconds() / 1e9
            self.assertAlmostEqual(expire_time, now + wanted, delta=0.5 * harness.PATIENCE)

    def test_a_transaction_that_has_the_writer_has_a_shorter_lease(self):
        transaction = begin(self.rpc)
        self.assertGreater(seconds_of(transaction.query("SELECT 1").transaction.expires_in), 0)
        status = transaction.query("INSERT INTO t VALUES(1, 1)").transaction
        self.assertTrue(4 < seconds_of(status.expires_in) <= 5, status)
        snapshot = begin_with(self.rpc, "SELECT 1", read_only=True)
        self.assertGreater(seconds_of(snapshot.act("KeepAlive").expires_in), 25)


class SettingsTest(transactions.TestCase):
    flags = ("--sqlite-writer-idle", "300ms", "--sqlite-writer-limit", "1s", "--transactions-idle-timeout", "5s",
             "--transactions-max-life", "20s", "--sqlite-max-snapshot-age", "1s")

    def test_an_idle_writer_gives_way_after_its_setting(self):
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)", idle_timeout=4)
        begun = time.monotonic()
        self.rpc.query("INSERT INTO t VALUES(2, 2)", timeout=5)
        self.assertTrue(0.29 < time.monotonic() - begun < 0.3 + SLACK)
        self.assert_fails(Code.ABORTED, transaction.commit, reason="TRANSACTION_EXPIRED")
        self.assertEqual(self.content(), [(2, 2)])

    def test_a_busy_writer_gives_way_after_its_setting(self):
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
        begun = time.monotonic()
        waiting = self.rpc.queries.Query.future(rpc.request(rpc.query_pb2.QueryRequest, "INSERT INTO t VALUES(2, 2)",
                                                            (), {}), timeout=10)
        failure = self.assert_fails(Code.ABORTED, lambda: [transaction.query("SELECT 1") for _ in iter(int, 1)],
                                    reason="TRANSACTION_EXPIRED")
        self.assert_told(failure, "EXPIRED", transaction.handle)
        waiting.result()
        self.assertTrue(0.99 < time.monotonic() - begun < 1 + SLACK)
        self.assertEqual(self.content(), [(2, 2)])

    def test_a_snapshot_gives_way_to_the_journal_after_its_setting(self):
        transaction = begin_with(self.rpc, "SELECT 1", read_only=True)
        begun = time.monotonic()
        failure = self.assert_fails(Code.ABORTED, lambda: [transaction.query("SELECT 1") for _ in iter(int, 1)],
                                    executed="rolled_back")
        self.assertTrue(0.99 < time.monotonic() - begun < 1 + SLACK)
        self.assertEqual(failure.reason, "TRANSACTION_EXPIRED", failure)
        self.assert_told(failure, "EXPIRED", transaction.handle)

    def test_no_lease_is_longer_than_the_settings(self):
        status = begin(self.rpc, idle_timeout=1000, max_life=10_000).act("KeepAlive")
        self.assertTrue(4 < seconds_of(status.expires_in) <= 5)


class LoadTest(transactions.TestCase):
    flags = ("--sqlite-load-idle", "200ms", "--sqlite-load-limit", "400ms")

    def slow(self, transaction, event):
        """A load in the transaction whose second chunk waits for the event."""
        yield loads.header("t", [(1, 1)], connection_id="", transaction=within(transaction.id))
        event.wait()
        yield loads.chunk([(2, 2)])

    def begin_load(self, transaction, event):
        return self.rpc.queries.BulkInsert.future(self.slow(transaction, event), timeout=harness.CALL_SECONDS)

    def test_a_load_lives_as_long_as_its_transaction(self):
        transaction, event = begin(self.rpc), threading.Event()
        loading = self.begin_load(transaction, event)
        harness.wait_for(lambda: transaction.shown().statements == 1, 5, "a chunk is in")
        harness.wait_for(lambda: seconds_of(transaction.shown().holds_writer_for) > 0.6, 5,
                         "it lasts longer than a load of its own may")
        event.set()
        self.assertEqual(loading.result().rows_affected, 2)
        self.assert_status(transaction.commit(), "COMMITTED", transaction.handle)
        self.assertEqual(self.content(), [(1, 1), (2, 2)])

    def test_a_load_ends_with_its_transaction(self):
        event = threading.Event()
        self.addCleanup(event.set)
        for end, state in ((None, "EXPIRED"), ("EndTransaction", "ROLLED_BACK")):
            transaction = begin(self.rpc, idle_timeout=0.4 if end is None else 20)
            loading = self.begin_load(transaction, event)
            harness.wait_for(lambda: transaction.shown().statements == 1, 5, "a chunk is in")
            if end:
                transactions.call(self.rpc, end, handle=transaction.handle)
            failure = rpc.Failure(loading.exception(0.4 + SLACK))
            self.assertEqual((failure.code, failure.reason, failure.executed),
                             (Code.ABORTED, "TRANSACTION_EXPIRED", "rolled_back"), failure)
            self.assert_told(failure, state, transaction.handle)
        self.assertEqual(self.content(), [])
        self.assert_nothing_open()


class DeadlineTest(transactions.TestCase):
    def test_Fault35_a_deadline_that_passes_in_a_statement_leaves_the_transaction_failed(self):
        for options in ({}, {"read_only": True}):
            with self.subTest(**options):
                transaction = begin_with(self.rpc, "SELECT 1", **options)
                if not options:
                    transaction.query("INSERT INTO t VALUES(1, 1)")
                begun = time.monotonic()
                self.assert_fails(Code.DEADLINE_EXCEEDED, transaction.query, ENDLESS.format("count(*)"), timeout=0.1)
                self.assertLess(time.monotonic() - begun, 0.1 + SLACK)
                for attempt in (lambda: transaction.query("SELECT 1"), transaction.commit):
                    failure = self.assert_fails(Code.FAILED_PRECONDITION, attempt, reason="TRANSACTION_FAILED",
                                                executed="no")
                    self.assert_told(failure, "FAILED", transaction.handle)
                self.assert_status(transaction.rollback(), "ROLLED_BACK", transaction.handle)
        self.assertEqual(self.content(), [])

    def test_Fault35_with_a_savepoint_it_is_active_again(self):
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
        transaction.act("Savepoint", name="s")
        self.assert_fails(Code.DEADLINE_EXCEEDED, transaction.query, ENDLESS.format("count(*)"), timeout=0.1)
        self.assert_status(transaction.act("RollbackToSavepoint", name="s"), "ACTIVE", transaction.handle)
        transaction.query("INSERT INTO t VALUES(2, 2)", commit=True)
        self.assertEqual(self.content(), [(1, 1), (2, 2)])

    def test_Fault35_a_client_that_cancels_leaves_it_failed_as_well(self):
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
        running = transaction.begin_query(ENDLESS.format("count(*)"))
        harness.wait_for(lambda: transaction.shown().busy, 5, "the statement runs")
        running.cancel()
        self.assert_fails(Code.FAILED_PRECONDITION, transaction.commit, reason="TRANSACTION_FAILED", timeout=SLACK)
        self.assertEqual((transaction.state(), self.content()), ("FAILED", []))


class CommandTimeoutTest(transactions.TestCase):
    flags = ("--command-timeout", "300ms")

    def test_Fault35_the_servers_own_limit_says_so_with_details(self):
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
        failure = self.assert_fails(Code.DEADLINE_EXCEEDED, transaction.query, ENDLESS.format("count(*)"),
                                    executed="rolled_back")
        self.assert_told(failure, "FAILED", transaction.handle)
        self.assertEqual(self.content(), [])


class AbandonedTest(transactions.TestCase):
    flags = ("--sqlite-writer-idle", "2s")

    def start_client(self, kind):
        """A process that holds the writer; answers it and what it printed."""
        client = subprocess.Popen([sys.executable, "-B", str(harness.FOLDER / "transaction_client.py"),
                                   self.server.address, kind], stdout=subprocess.PIPE, text=True)
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        return client, client.stdout.readline().strip()

    def test_Fault40_a_killed_clients_writer_is_free_within_its_lease(self):
        client, id = self.start_client("call")
        begun = time.monotonic()
        self.assertEqual(self.list().transactions[0].label, "killed")
        client.kill()
        self.rpc.query("INSERT INTO t VALUES(2, 2)", timeout=10)
        self.assertTrue(1 < time.monotonic() - begun < 2 + SLACK)
        abandoned = transactions.Transaction(self.rpc, transactions.common_pb2.TransactionStatus(transaction_id=id))
        for attempt in (lambda: abandoned.query("SELECT 1"), abandoned.commit):
            failure = self.assert_fails(Code.ABORTED, attempt, reason="TRANSACTION_EXPIRED", executed="rolled_back")
            self.assert_told(failure, "EXPIRED")
        self.assertEqual(self.content(), [(2, 2)])
        self.assert_nothing_open()

    def test_Fault40_a_killed_clients_stream_frees_it_at_once(self):
        client, handle = self.start_client("stream")
        self.assertEqual([(one.handle, one.interactive) for one in self.list().transactions], [(handle, True)])
        begun = time.monotonic()
        client.kill()
        self.rpc.query("INSERT INTO t VALUES(2, 2)", timeout=10)
        self.assertLess(time.monotonic() - begun, SLACK)
        self.assertEqual(self.content(), [(2, 2)])
        self.assert_nothing_open()


if __name__ == "__main__":
    harness.main()
