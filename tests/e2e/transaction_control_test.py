"""SQL text that would control a transaction is refused, outside of one and inside, however it is spelt."""
import harness
import transactions
from rpc import Code
from transactions import batch, begin, begin_with, call, inline, stream


class ControlTest(transactions.TestCase):
    VERBS = ["BEGIN", "BEGIN DEFERRED", "BEGIN IMMEDIATE TRANSACTION", "BEGIN EXCLUSIVE", "COMMIT",
             "COMMIT TRANSACTION", "END", "END TRANSACTION", "ROLLBACK", "ROLLBACK TRANSACTION", "ROLLBACK TO s",
             "ROLLBACK TRANSACTION TO SAVEPOINT s", "SAVEPOINT s", "SAVEPOINT guard", "RELEASE s",
             "RELEASE SAVEPOINT s"]
    SHAPES = ["{}", "{};", "{} ; ; -- behind", "/* before */ {}", "-- before\n{}", ";;{}", " \t\r\n\f{}", "\ufeff{}",
              "/**//* two */\n--\n{} /* open"]
    FOREIGN = ["PREPARE TRANSACTION 'x'", "prepare /* a */ transaction 'x'", "COMMIT PREPARED 'x'",
               "ROLLBACK PREPARED 'x'", "START TRANSACTION", "ABORT", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"]

    def corpus(self):
        for verb in self.VERBS:
            for spelling in (verb, verb.lower(), verb.swapcase().title()):
                for shape in self.SHAPES:
                    yield shape.format(spelling)

    def assert_refused(self, sql, ways, state):
        for name, way in ways.items():
            with self.subTest(sql=sql, way=name):
                failure = self.assert_fails(Code.INVALID_ARGUMENT, way, sql)
                self.assertIn(failure.executed, ("no", "rolled_back") if name == "ExecuteBatch" else ("no",))
                foreign = sql in self.FOREIGN
                self.assertIn(failure.reason, ("TRANSACTION_CONTROL_REFUSED", "SQL_ERROR")[:1 + foreign])
                if state:
                    self.assert_told(failure, state)

    def test_Fault44_outside_of_a_transaction_it_is_refused(self):
        ways = {"Query": self.rpc.query, "StreamQuery": lambda sql: stream(self.rpc, sql),
                "ExecuteBatch": lambda sql: batch(self.rpc, [sql])}
        for sql in [*self.corpus(), *self.FOREIGN]:
            self.assert_refused(sql, ways, None)
        for sql in self.corpus():
            self.assert_refused(sql, {"begin": lambda sql: self.rpc.query(sql, transaction=inline())}, "ROLLED_BACK")
        self.assert_nothing_open()

    def test_Fault44_inside_of_a_transaction_it_is_refused_and_changes_nothing(self):
        for options in ({}, {"read_only": True}):
            transaction = begin_with(self.rpc, "SELECT 1", **options)
            if not options:
                transaction.query("INSERT INTO t VALUES(1, 1)")
            transaction.act("Savepoint", name="s")
            ways = {"Query": transaction.query, "StreamQuery": lambda sql: list(transaction.stream(sql)),
                    "commit": lambda sql: transaction.query(sql, commit=True)}
            for sql in self.corpus():
                self.assert_refused(sql, ways, "ACTIVE")
            self.assert_refused("COMMIT", {"ExecuteBatch": lambda sql: transaction.batch(["SELECT 1", sql])}, None)
            shown = transaction.shown()
            self.assertEqual((shown.savepoints, shown.read_only, self.content()), (1, bool(options), []))
            transaction.rollback()
        self.assertEqual(self.content(), [])

    def test_Fault44_words_of_it_elsewhere_are_no_control(self):
        transaction = begin(self.rpc)
        for sql in ("SELECT 'COMMIT'", 'SELECT 1 AS "ROLLBACK"', "SELECT 1 -- COMMIT", "/* BEGIN */ SELECT 1",
                    "SELECT CASE WHEN 1 THEN 2 END", "EXPLAIN SELECT 1"):
            self.assert_status(transaction.query(sql).transaction, "ACTIVE", transaction.handle)
        transaction.query("CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET b = b + 1; END")
        transaction.query("INSERT OR ROLLBACK INTO t VALUES(1, 1)")
        self.assertEqual(transaction.rows("SELECT * FROM t"), [(1, 2)])
        failure = self.assert_fails(Code.ALREADY_EXISTS, transaction.query, "INSERT OR ROLLBACK INTO t VALUES(1, 1)")
        self.assert_told(failure, "FAILED", transaction.handle)
        self.assert_fails(Code.FAILED_PRECONDITION, transaction.query, "SELECT 1", reason="TRANSACTION_FAILED")
        self.assert_status(call(self.rpc, "RollbackTransaction", transaction_id=transaction.id).transaction,
                           "ROLLED_BACK", transaction.handle)
        self.assertEqual(self.content(), [])


if __name__ == "__main__":
    harness.main()
