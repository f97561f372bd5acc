"""Transactions over several calls: begun and ended inside other calls, failed, with savepoints, and told of in every
answer and every error."""
import harness
import rpc
import transactions
from rpc import Code, common_pb2
from transactions import batch, begin, begin_with, call, inline, load, stream, within

ID = "txn_00000000000000000000000000"
INSERT = "INSERT INTO t VALUES($1, $2)"


def last_of(messages):
    return messages[-1].transaction


# Every way to run a statement: with a selector, it inserts (key, 1) into t, or fails where the key is taken. Each
# answers the status.
WAYS = {
    "Query": lambda client, key, **fields: client.query(INSERT, key, 1, **fields).transaction,
    "StreamQuery": lambda client, key, **fields: last_of(stream(client, INSERT, key, 1, **fields)),
    "ExecuteBatch": lambda client, key, **fields: batch(client, [(INSERT, key, 1)], **fields).transaction,
    "BulkInsert": lambda client, key, **fields: load(client, "t", [(key, 1)], **fields).transaction,
}
# Every method about a transaction that takes its id.
METHODS = {
    "CommitTransaction": {},
    "RollbackTransaction": {},
    "Savepoint": {"name": "s"},
    "RollbackToSavepoint": {"name": "s"},
    "ReleaseSavepoint": {"name": "s"},
    "KeepAlive": {},
}


class InlineTest(transactions.TestCase):
    def test_begin_and_commit_ride_in_one_call_of_any_kind(self):
        for key, (name, way) in enumerate(WAYS.items()):
            with self.subTest(way=name):
                status = way(self.rpc, key, transaction=inline(commit=True))
                self.assert_status(status, "COMMITTED")
                self.assert_nothing_open()
                self.assertIn((key, 1), self.content())

    def test_begin_comes_with_the_first_and_commit_with_the_last_statement_of_any_kind(self):
        for key, (name, way) in enumerate(WAYS.items()):
            with self.subTest(way=name):
                first = way(self.rpc, 2 * key, transaction=inline())
                self.assert_status(first, "ACTIVE")
                self.assertNotIn((2 * key, 1), self.content())
                last = way(self.rpc, 2 * key + 1, connection_id="", transaction=within(first.transaction_id, True))
                self.assert_status(last, "COMMITTED", first.handle)
                self.assertEqual(self.content()[-2:], [(2 * key, 1), (2 * key + 1, 1)])

    def test_a_transfer_takes_as_many_round_trips_as_decisions(self):
        """BEGIN, SELECT, UPDATE, COMMIT: to look, and to decide."""
        self.rpc.query("INSERT INTO t VALUES(1, 100), (2, 0)")
        looked = self.rpc.query("SELECT b FROM t WHERE a = 1 AND b >= 70", transaction=inline(label="transfer"))
        self.assertEqual(rpc.rows_of(looked), [(100,)])
        moved = self.rpc.query("UPDATE t SET b = b + CASE a WHEN 1 THEN -70 ELSE 70 END", connection_id="",
                               transaction=within(looked.transaction.transaction_id, commit=True))
        self.assert_status(moved.transaction, "COMMITTED", looked.transaction.handle)
        self.assertEqual((moved.rows_affected, self.content()), (2, [(1, 30), (2, 70)]))

    def test_without_a_selector_no_answer_tells_of_a_transaction(self):
        self.assertFalse(self.rpc.query("SELECT 1").HasField("transaction"))
        self.assertFalse(stream(self.rpc, "SELECT 1")[-1].HasField("transaction"))
        self.assertFalse(batch(self.rpc, ["SELECT 1"]).HasField("transaction"))
        self.assertFalse(load(self.rpc, "t", [(1, 1)]).HasField("transaction"))

    def test_one_sees_what_it_wrote_and_nobody_else_does(self):
        transaction = begin(self.rpc)
        transaction.query("INSERT INTO t VALUES(1, 1)")
        transaction.query("CREATE TABLE u(a)")
        self.assertEqual(transaction.rows("SELECT * FROM t"), [(1, 1)])
        self.assertEqual(self.content(), [])
        self.assert_fails(Code.INVALID_ARGUMENT, self.rpc.query, "SELECT * FROM u", reason="SQL_ERROR")
        self.assert_status(transaction.commit(), "COMMITTED", transaction.handle)
        self.assertEqual((self.content(), self.rpc.rows("SELECT * FROM u")), ([(1, 1)], []))

    def test_the_statement_that_begins_and_fails_leaves_nothing_open(self):
        self.rpc.query("INSERT INTO t VALUES(1, 1)")
        for name, way in WAYS.items():
            for commit in (False, True):
                with self.subTest(way=name, commit=commit):
                    failure = self.assert_fails(Code.ALREADY_EXISTS, way, self.rpc, 1, transaction=inline(commit),
                                                reason="SQL_ERROR", executed="rolled_back")
                    self.assert_told(failure, "ROLLED_BACK")
                    self.assert_nothing_open()
        for sql, reason in (("SELECT nothing", "SQL_ERROR"), ("COMMIT", "TRANSACTION_CONTROL_REFUSED"),
                            ("SELECT $1", "PARAMETER_INVALID"), ("ATTACH 'a' AS b", "STATEMENT_REFUSED")):
            failure = self.assert_fails((Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED), self.rpc.query, sql,
                                        transaction=inline(), reason=reason, executed="no")
            self.assert_told(failure, "ROLLED_BACK")
            self.assert_nothing_open()
        self.assertEqual(self.content(), [(1, 1)])

    def test_a_commit_behind_a_statement_that_fails_does_not_happen(self):
        self.rpc.query("INSERT INTO t VALUES(1, 1)")
        for key, (name, way) in enumerate(WAYS.items(), start=10):
            with self.subTest(way=name):
                transaction = begin_with(self.rpc, INSERT, key, 1)
                selector = within(transaction.id, commit=True)
                failure = self.assert_fails(Code.INVALID_ARGUMENT, transaction.query, "SELECT $1", commit=True,
                                            reason="PARAMETER_INVALID", executed="no")
                self.assert_told(failure, "ACTIVE", transaction.handle)
                failure = self.assert_fails(Code.ALREADY_EXISTS, way, self.rpc, 1, transaction=selector)
                self.assert_told(failure, "FAILED", transaction.handle)
                self.assertEqual((transaction.state(), self.content()), ("FAILED", [(1, 1)]))
                self.assert_status(transaction.rollback(), "ROLLED_BACK", transaction.handle)

    def test_a_commit_that_fails_is_the_error_of_the_call_and_leaves_nothing(self):
        self.rpc.query("CREATE TABLE c(a REFERENCES t(a) DEFERRABLE INITIALLY DEFERRED)")
        insert = "INSERT INTO c VALUES(7)"

        def inline_commit():
            begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)").query(insert, commit=True)

        def explicit_commit():
            begin_with(self.rpc, insert).commit()

        def streamed_commit():
            list(begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)").stream(insert + " RETURNING a", commit=True))

        for attempt in (inline_commit, explicit_commit, streamed_commit):
            with self.subTest(attempt=attempt.__name__):
                failure = self.assert_fails(Code.FAILED_PRECONDITION, attempt, reason="SQL_ERROR",
                                            executed="rolled_back")
                self.assertEqual(failure.sql.engine_code, "SQLITE_CONSTRAINT_FOREIGNKEY")
                self.assert_told(failure, "ROLLED_BACK")
                self.assert_nothing_open()
        self.assertEqual((self.content(), self.rpc.rows("SELECT * FROM c")), ([], []))
        self.assertEqual(self.counts().rolled_back, 3)

    def test_a_stream_keeps_its_transaction_until_its_end_and_commits_there(self):
        transaction = begin_with(self.rpc, "INSERT INTO t VALUES(1, 1)")
        messages = transaction.stream(transactions.LONG, commit=True)
        first = next(messages)
        self.assertFalse(first.HasField("transaction"))
        waiting = transaction.begin_query("SELECT 1")
        harness.wait_for(lambda: transaction.shown().waiting_calls == 1, 10, "a call waits for its turn")
        self.assertEqual((self.content(), waiting.done()), ([], False))
        *_, last = messages
        self.assertEqual(last.row_count, transactions.LONG_ROWS)
        self.assert_status(last.transaction, "COMMITTED", transaction.handle)
        self.assertEqual(self.content(), [(1, 1)])
        failure = rpc.Failure(waiting.exception())
        self.assertEqual((failure.code, failure.reason), (Code.FAILED_PRECONDITION, "TRANSACTION_FINISHED"), failure)

    def test_a_stream_that_is_cut_off_takes_the_transaction_it_began_with_it(self):
        messages = self.rpc.stream(transactions.LONG, transaction=inline(commit=True))
        next(messages)
        self.assertEqual(len(self.list().transactions), 1)
        messages.cancel()
        harness.wait_for(lambda: not self.list().transactions, 2 * harness.PATIENCE, "it is rolled back")
        self.assert_nothing_open()
        self.assertEqual((self.counts().rolled_back, self.counts().committed), (1, 0))


class SelectorTest(transactions.TestCase):
    def test_a_selector_names_a_transaction_or_begins_one(self):
        for name, way in WAYS.items():
            with self.subTest(way=name):
                self.assert_fails(Code.INVALID_ARGUMENT, way, self.rpc, 1, transaction=common_pb2.TransactionSelector(),
                                  reason="PARAMETER_INVALID", executed="no")
                self.assert_fails(Code.INVALID_ARGUMENT, way, self.rpc, 1, transaction=within(""), executed="no",
                                  reason="PARAMETER_INVALID")
                self.assert_fails(Code.INVALID_ARGUMENT, way, self.rpc, 1, connection_id="", transaction=inline(),
                                  executed="no")
                self.assert_fails(Code.NOT_FOUND, way, self.rpc, 1, connection_id="conn_none", transaction=inline(),
                                  reason="CONNECTION_NOT_FOUND", executed="no")
        self.assert_nothing_open()
        self.assertEqual(self.content(), [])

    def test_a_lease_below_a_millisecond_or_a_long_label_begins_nothing(self):
        for fields in ({"idle_timeout": 0}, {"idle_timeout": 0.0009}, {"idle_timeout": -1}, {"max_life": 0},
                       {"max_life": -5}, {"label": "x" * 65}, {"isolation": 17}):
            with self.subTest(**fields):
                for attempt in (lambda: begin(self.rpc, **fields), lambda: begin_with(self.rpc, "SELECT 1", **fields)):
                    self.assert_fails(Code.INVALID_ARGUMENT, attempt, reason="PARAMETER_INVALID", executed="no")
        self.assert_fails((Code.INVALID_ARGUMENT, Code.NOT_FOUND), begin, self.rpc, connection_id="")
        self.assert_fails(Code.NOT_FOUND, begin, self.rpc, connection_id="conn_none", reason="CONNECTION_NOT_FOUND")
        self.assertEqual(self.counts().begun, 0)

    def test_a_session_is_refused_as_not_built(self):
        session = common_pb2.SessionOptions(time_zone="Europe/Paris")
        for value in (session, common_pb2.SessionOptions()):
            failure = self.assert_fails(Code.UNIMPLEMENTED, call, self.rpc, "BeginTransaction", session=value,
                                        connection_id="default", reason="FIELD_NOT_IMPLEMENTED", executed="no")
            self.assertIn("session", failure.message)
            transaction = begin(self.rpc)
            failure = self.assert_fails(Code.UNIMPLEMENTED, transaction.query, "SELECT 1", session=value,
                                        reason="FIELD_NOT_IMPLEMENTED", executed="no")
            self.assert_told(failure, "ACTIVE", transaction.handle)
            transaction.rollback()
        self.assert_nothing_open()

    def test_a_connection_that_is_given_must_be_the_transactions(self):
        other = self.register("other")
        transaction = begin(self.rpc)
        for connection_id in ("", "default"):
            self.assertEqual(transaction.rows("SELECT 1", connection_id=connection_id), [(1,)])
            transaction.act("KeepAlive", connection_id=connection_id)
        for connection_id in (other, "conn_none"):
            for key, (name, way) in enumerate(WAYS.items()):
                with self.subTest(way=name, connection_id=connection_id):
                    self.assert_fails(Code.INVALID_ARGUMENT, way, self.rpc, key, connection_id=connection_id,
                                      transaction=within(transaction.id), reason="PARAMETER_INVALID", executed="no")
            for method, fields in METHODS.items():
                with self.subTest(method=method, connection_id=connection_id):
                    self.assert_fails(Code.INVALID_ARGUMENT, transaction.act, method, connection_id=connection_id,
                                      **fields, reason="PARAMETER_INVALID", executed="no")
        self.assertEqual((transaction.state(), transaction.rows("SELECT * FROM t")), ("ACTIVE", []))
        self.assert_status(transaction.commit(connection_id="default"), "COMMITTED", transaction.handle)

    def test_an_id_that_nobody_has_leads_nowhere(self):
        for id, code, reason in ((ID, Code.NOT_FOUND, "TRANSACTION_NOT_FOUND"),
                                 ("no id at all", Code.NOT_FOUND, "TRANSACTION_NOT_FOUND"),
                                 ("", Code.INVALID_ARGUMENT, "PARAMETER_INVALID")):
            for name, way in WAYS.items():
                with self.subTest(way=name, id=id):
                    self.assert_fails(code, way, self.rpc, 1, transaction=within(id), reason=reason, executed="no")
            for method, fields in {**METHODS, "GetTransaction": {}}.items():
                with self.subTest(method=method, id=id):
                    self.assert_fails(code, call, self.rpc, method, transaction_id=id, **fields, reason=reason,
                                      executed="no")
        self.assertEqual(self.content(), [])

    def test_the_public_handle_opens_nothing(self):
        transaction = begin(self.rpc)
        self.assert_fails(Code.NOT_FOUND, self.rpc.query, "SELECT 1", transaction=within(transaction.handle),
                          reason="TRANSACTION_NOT_FOUND", executed="no")
        self.assert_fails(Code.NOT_FOUND, call, self.rpc, "RollbackTransaction", transaction_id=transaction.handle)
        self.assertEqual(transaction.state(), "ACTIVE")

    def test_after_its_end_nothing_runs_in_it_nor_beside_it(self):
        for end, state in (("CommitTransaction", "COMMITTED"), ("RollbackTransaction", "ROLLED_BACK")):
            transaction = begin_with(self.rpc, "SELECT 1")
            transaction.act(end)
            for name, way in WAYS.items():
                with self.subTest(way=name, state=state):
                    failure = self.assert_fails(Code.FAILED_PRECONDITION, way, self.rpc, 9, connection_id="",
                                                transaction=within(transaction.id, True), executed="no",
                                                reason="TRANSACTION_FINISHED")
                    self.assert_told(failure, state, transaction.handle)
                    self.assertIn(state, failure.message)
            for method, fields in METHODS.items():
                if method == "RollbackTransaction" and state == "ROLLED_BACK":
                    continue
                with self.subTest(method=method, state=state):
                    failure = self.assert_fails(Code.FAILED_PRECONDITION, transaction.act, method, **fields,
                                                executed="no", reason="TRANSACTION_FINISHED")
                    self.assert_told(failure, state, transaction.handle)
        self.assertEqual(self.content(), [])

    def test_a_rollback_may_be_repeated(self):
        self.rpc.query("INSERT INTO t VALUES(1, 1)")
        silent, used, failed = begin(self.rpc), begin_with(self.rpc, "INSERT INTO t VALUES(2, 2)"), begin(self.rpc)
        used.rollback()
        self.assert_fails(Code.ALREADY_EXISTS, failed.query, "INSERT INTO t VALUES(1, 3)")
        for transaction in (silent, used, failed):
            for _ in range(3):
                self.assert_status(transaction.rollback(), "ROLLED_BACK", transaction.handle)
        self.assertEqual((self.content(), self.counts().rolled_back), ([(1, 1)], 3))


if __name__ == "__main__":
    harness.main()
