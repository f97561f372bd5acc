"""What makes a transaction FAILED, what leaves it as it was, and savepoints."""
import harness
import loads
import transactions
from rpc import Code
from transaction_test import METHODS, WAYS
from transactions import begin, begin_with, within


class FailedTest(transactions.TestCase):
    def setUp(self):
        super().setUp()
        self.rpc.query("INSERT INTO t VALUES(1, 1)")

    def fail_one(self, **fields):
        """A transaction that wrote, and that a statement made FAILED."""
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(2, 2)", **fields)
        failure = self.assert_fails(Code.ALREADY_EXISTS, transaction.query, "INSERT INTO t VALUES(1, 3)",
                                    reason="SQL_ERROR")
        self.assert_told(failure, "FAILED", transaction.handle)
        return transaction

    def test_a_failed_one_takes_no_statement_and_is_rolled_back(self):
        transaction = self.fail_one()
        for name, way in WAYS.items():
            for commit in (False, True):
                with self.subTest(way=name, commit=commit):
                    failure = self.assert_fails(Code.FAILED_PRECONDITION, way, self.rpc, 9, executed="no",
                                                transaction=within(transaction.id, commit),
                                                reason="TRANSACTION_FAILED")
                    self.assert_told(failure, "FAILED", transaction.handle)
        for method in ("CommitTransaction", "Savepoint", "ReleaseSavepoint"):
            with self.subTest(method=method):
                failure = self.assert_fails(Code.FAILED_PRECONDITION, transaction.act, method, **METHODS[method],
                                            reason="TRANSACTION_FAILED", executed="no")
                self.assert_told(failure, "FAILED", transaction.handle)
        self.assert_status(transaction.act("KeepAlive"), "FAILED", transaction.handle)
        failure = self.assert_fails(Code.FAILED_PRECONDITION, transaction.act, "RollbackToSavepoint", name="s",
                                    reason="SAVEPOINT_NOT_FOUND", executed="no")
        self.assert_told(failure, "FAILED", transaction.handle)
        self.assert_status(transaction.rollback(), "ROLLED_BACK", transaction.handle)
        self.assertEqual(self.content(), [(1, 1)])

    def test_a_failed_one_without_a_savepoint_is_in_nobodys_way(self):
        transaction = self.fail_one()
        self.assertEqual(self.rpc.load().writer.held_by, "")
        self.rpc.query("INSERT INTO t VALUES(2, 9)", timeout=2 * harness.PATIENCE)
        self.assertFalse(transaction.shown().holds_writer)
        self.assertEqual((transaction.state(), self.content()), ("FAILED", [(1, 1), (2, 9)]))

    def test_every_kind_of_statement_that_fails_makes_it_failed(self):
        attempts = {
            "Query": lambda one: one.query("INSERT INTO t VALUES(1, 3)"),
            "a wrong name": lambda one: one.query("SELECT nothing FROM t"),
            "StreamQuery": lambda one: list(one.stream("INSERT INTO t VALUES(1, 3)")),
            "a stream that fails on its way": lambda one: list(one.stream(
                transactions.ENDLESS.format("CASE n WHEN 90000 THEN abs(-9223372036854775807 - 1) ELSE n END"))),
            "ExecuteBatch": lambda one: one.batch(["INSERT INTO t VALUES(8, 8)", "INSERT INTO t VALUES(1, 3)"]),
            "BulkInsert": lambda one: one.load("t", [(8, 8)], [(1, 3)]),
            "a table that is not there": lambda one: one.load("nothing", [(8, 8)]),
        }
        places = {"ExecuteBatch": {"step": "1"}, "BulkInsert": {"row": "1"}}
        for name, attempt in attempts.items():
            for options in ({}, {"read_only": True}):
                if options and "INSERT" not in name and name not in ("a wrong name", "a stream that fails on its way"):
                    continue
                with self.subTest(attempt=name, **options):
                    transaction = begin_with(self.rpc, "SELECT * FROM t", **options)
                    failure = self.failure(attempt, transaction)
                    self.assert_told(failure, "FAILED", transaction.handle)
                    self.assertEqual({key: failure.info.metadata[key] for key in ("step", "row")
                                      if key in failure.info.metadata}, places.get(name, {}))
                    self.assert_fails(Code.FAILED_PRECONDITION, transaction.commit, reason="TRANSACTION_FAILED")
                    transaction.rollback()
        self.assertEqual(self.content(), [(1, 1)])

    def test_a_stream_that_fails_on_its_way_says_how_far_it_came(self):
        transaction = begin(self.rpc)
        sql, rows = transactions.ENDLESS.format("CASE n WHEN 90000 THEN abs(-9223372036854775807 - 1) ELSE n END"), []
        failure = self.failure(lambda: rows.extend(row for message in transaction.stream(sql) for row in message.rows))
        self.assertGreater(len(rows), 0)
        self.assertEqual(failure.info.metadata["rows_sent"], str(len(rows)))
        self.assert_told(failure, "FAILED", transaction.handle)

    def test_what_was_refused_before_it_ran_leaves_it_active(self):
        refused = {
            "PARAMETER_INVALID": lambda one: one.query("SELECT $1, $2", 1),
            "STATEMENT_REFUSED": lambda one: one.query("ATTACH 'other.db' AS other"),
            "TRANSACTION_CONTROL_REFUSED": lambda one: one.query("COMMIT"),
            "READ_ONLY_VIOLATION": lambda one: one.query("INSERT INTO t VALUES(3, 3)", read_only=True),
            "FIELD_NOT_IMPLEMENTED": lambda one: one.query("SELECT 1", session={"role": "clerk"}),
        }
        for options in ({}, {"read_only": True}):
            transaction = begin_with(self.rpc, "SELECT 1", **options)
            for reason, attempt in refused.items():
                with self.subTest(reason=reason, **options):
                    failure = self.failure(attempt, transaction)
                    self.assertEqual((failure.reason, failure.executed), (reason, "no"), failure)
                    self.assert_told(failure, "ACTIVE", transaction.handle)
            self.assert_status(transaction.query("SELECT 1").transaction, "ACTIVE", transaction.handle)
            self.assert_status(transaction.commit(), "COMMITTED", transaction.handle)

    def test_what_was_undone_alone_leaves_it_active(self):
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(2, 2)")
        failure = self.assert_fails(Code.FAILED_PRECONDITION, transaction.query, "UPDATE t SET b = 9",
                                    max_affected_rows=1, reason="AFFECTED_ROWS_EXCEEDED", executed="rolled_back")
        self.assert_told(failure, "ACTIVE", transaction.handle)
        for attempt in (transaction.query, lambda *a, **k: list(transaction.stream(*a, **k))[-1]):
            tried = attempt("UPDATE t SET b = 8", validate_only=True)
            self.assertEqual(tried.rows_affected, 2)
            self.assert_status(tried.transaction, "ACTIVE", transaction.handle)
        self.assertEqual(transaction.load("t", [(5, 5)], validate_only=True).rows_affected, 1)
        self.assertEqual(transaction.batch(["DELETE FROM t"], validate_only=True).rows_affected, 2)
        transaction.commit()
        self.assertEqual(self.content(), [(1, 1), (2, 2)])

    def test_a_batch_that_goes_on_after_errors_leaves_it_active(self):
        insert = "INSERT INTO t VALUES($1, 0)"
        for mode, wanted in ((loads.STOP_ON_ERROR, [2]), (loads.CONTINUE, [2, 3])):
            with self.subTest(mode=mode):
                transaction = begin(self.rpc)
                done = transaction.batch([(insert, 2), (insert, 1), (insert, 3)], mode=mode)
                self.assertEqual((done.failed, done.rows_affected), (1, len(wanted)))
                self.assertEqual(done.results[1].error.reason, "SQL_ERROR")
                self.assert_status(done.transaction, "ACTIVE", transaction.handle)
                self.assertEqual(transaction.rows("SELECT a FROM t WHERE b = 0"), [(key,) for key in wanted])
                transaction.rollback()
        self.assertEqual(self.content(), [(1, 1)])

    def test_a_load_that_goes_on_after_errors_leaves_it_active(self):
        for mode, wanted in ((loads.STOP_ON_ERROR, [2, 3]), (loads.CONTINUE, [2, 3, 5])):
            with self.subTest(mode=mode):
                transaction = begin(self.rpc)
                done = transaction.load("t", [(2, 0), (3, 0)], [(4, 0), (1, 0)], [(5, 0)], mode=mode)
                self.assertEqual((done.chunks_failed, done.rows_affected), (1, len(wanted)))
                self.assert_status(done.transaction, "ACTIVE", transaction.handle)
                self.assertEqual(transaction.rows("SELECT a FROM t WHERE b = 0"), [(key,) for key in wanted])
                transaction.rollback()
        self.assertEqual(self.content(), [(1, 1)])


class SavepointTest(transactions.TestCase):
    def setUp(self):
        super().setUp()
        self.transaction = begin(self.rpc)

    def set(self, name):
        return self.transaction.act("Savepoint", name=name)

    def back_to(self, name):
        return self.transaction.act("RollbackToSavepoint", name=name)

    def release(self, name):
        return self.transaction.act("ReleaseSavepoint", name=name)

    def insert(self, key):
        self.transaction.query("INSERT INTO t VALUES($1, 0)", key)

    def keys(self):
        return [key for key, in self.transaction.rows("SELECT a FROM t ORDER BY a")]

    def assert_not_found(self, act, name):
        failure = self.assert_fails(Code.FAILED_PRECONDITION, act, name, reason="SAVEPOINT_NOT_FOUND", executed="no")
        self.assert_told(failure, "ACTIVE", self.transaction.handle)

    def test_one_goes_back_as_often_as_one_likes(self):
        self.insert(1)
        self.assert_status(self.set("s"), "ACTIVE", self.transaction.handle)
        for key in (2, 3):
            self.insert(key)
            self.assert_status(self.back_to("s"), "ACTIVE", self.transaction.handle)
            self.assertEqual(self.keys(), [1])
        self.insert(4)
        self.transaction.commit()
        self.assertEqual(self.content(), [(1, 0), (4, 0)])

    def test_the_newer_one_of_a_name_hides_the_older(self):
        for key in (1, 2):
            self.insert(key)
            self.set("s")
        self.insert(3)
        self.back_to("s")
        self.assertEqual(self.keys(), [1, 2])
        self.release("s")
        self.back_to("s")
        self.assertEqual(self.keys(), [1])
        self.release("s")
        self.assert_not_found(self.back_to, "s")
        self.assertEqual(self.transaction.shown().savepoints, 0)

    def test_going_back_forgets_those_set_after(self):
        for name in ("a", "b", "c"):
            self.set(name)
        self.assertEqual(self.transaction.shown().savepoints, 3)
        self.back_to("a")
        self.assertEqual(self.transaction.shown().savepoints, 1)
        self.assert_not_found(self.back_to, "b")
        self.assert_not_found(self.release, "c")

    def test_a_release_forgets_it_and_those_set_after_and_keeps_what_they_guarded(self):
        for key, name in enumerate(("a", "b", "c")):
            self.set(name)
            self.insert(key)
        self.release("b")
        self.assert_not_found(self.back_to, "c")
        self.assert_not_found(self.release, "b")
        self.assertEqual(self.keys(), [0, 1, 2])
        self.back_to("a")
        self.assertEqual(self.keys(), [])

    def test_a_failed_transaction_is_active_again_at_its_savepoint(self):
        self.insert(1)
        self.set("s")
        self.insert(2)
        failure = self.assert_fails(Code.ALREADY_EXISTS, self.insert, 1)
        self.assert_told(failure, "FAILED", self.transaction.handle)
        self.assert_fails(Code.FAILED_PRECONDITION, self.release, "s", reason="TRANSACTION_FAILED")
        self.assert_fails(Code.FAILED_PRECONDITION, self.set, "other", reason="TRANSACTION_FAILED")
        self.assert_status(self.back_to("s"), "ACTIVE", self.transaction.handle)
        self.assertEqual(self.keys(), [1])
        self.insert(3)
        self.transaction.commit()
        self.assertEqual(self.content(), [(1, 0), (3, 0)])

    def test_names_are_any_text_and_never_sql(self):
        names = ["s", "S", "a b", "'; DROP TABLE t; --", '"', "é😀", "x" * 63, "guard", "load", "s1", "\n"]
        for key, name in enumerate(names):
            self.set(name)
            self.insert(key)
        for key, name in reversed(list(enumerate(names))):
            self.back_to(name)
            self.assertEqual(len(self.keys()), key)
        for name in ("", "x" * 64, "é" * 32):
            for act in (self.set, self.back_to, self.release):
                failure = self.assert_fails(Code.INVALID_ARGUMENT, act, name, reason="PARAMETER_INVALID", executed="no")
                self.assert_told(failure, "ACTIVE", self.transaction.handle)

    def test_a_hundred_may_be_set(self):
        for number in range(100):
            self.set(f"s{number}")
        failure = self.assert_fails(Code.RESOURCE_EXHAUSTED, self.set, "one more", reason="TRANSACTION_LIMIT",
                                    executed="no")
        self.assertIn("100", failure.message)
        self.assert_told(failure, "ACTIVE", self.transaction.handle)
        self.insert(1)
        self.release("s99")
        self.set("one more")
        self.back_to("s0")
        self.assertEqual(self.keys(), [])

    def test_they_work_in_a_snapshot_too(self):
        transaction = begin_with(self.rpc, "SELECT 1", read_only=True)
        transaction.act("Savepoint", name="s")
        failure = self.assert_fails(Code.INVALID_ARGUMENT, transaction.query, "SELECT nothing")
        self.assert_told(failure, "FAILED", transaction.handle)
        transaction.act("RollbackToSavepoint", name="s")
        self.assertEqual(transaction.rows("SELECT count(*) FROM t"), [(0,)])
        transaction.act("ReleaseSavepoint", name="s")
        self.assert_status(transaction.commit(), "COMMITTED", transaction.handle)


if __name__ == "__main__":
    harness.main()
