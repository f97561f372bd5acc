"""Conversations: a transaction from its beginning to its end, and what fails in it."""
import harness
import interact
import rpc
from interact import INSERT
from rpc import Code, common_pb2, query_pb2, transaction_pb2
from transactions import COMMITTED, begin_with, inline, outcome, within

KEY = "123e4567-e89b-12d3-a456-426614174000"


class ConversationTest(interact.TestCase):
    def test_a_transaction_from_its_beginning_to_its_commit(self):
        conversation = self.converse()
        begun = conversation.begin(label="talk")
        self.assertEqual(begun.WhichOneof("result"), "done")
        self.assert_state(begun, "ACTIVE")
        shown = self.list().transactions[0]
        self.assertEqual((shown.handle, shown.interactive, shown.label), (begun.transaction.handle, True, "talk"))
        inserted = conversation.run(INSERT, 1)
        self.assertEqual((inserted.query.rows_affected, inserted.query.command_tag), (1, "INSERT 0 1"))
        self.assert_state(inserted, "ACTIVE")
        steps = [query_pb2.BatchStep(sql=INSERT, params=[rpc.to_value(2)]), query_pb2.BatchStep(sql="SELECT a FROM t")]
        done = conversation.ask(batch=query_pb2.ExecuteBatchRequest(steps=steps))
        self.assertEqual([len(result.rows) for result in done.batch.results], [0, 2])
        self.assertEqual(conversation.ask(keep_alive=transaction_pb2.InteractKeepAlive()).WhichOneof("result"), "done")
        self.assertEqual(self.content(), [])
        committed = conversation.commit()
        self.assertEqual(committed.WhichOneof("result"), "done")
        self.assert_state(committed, "COMMITTED")
        self.assertEqual(self.content(), [(1, 1), (2, 2)])
        conversation.half_close()
        self.assert_ends(conversation)

    def test_one_stream_has_one_transaction_after_another(self):
        conversation = self.converse()
        first = conversation.run(INSERT, 1, selector=inline(), connection_id="default")
        self.assert_state(conversation.rollback(), "ROLLED_BACK")
        second = conversation.run(INSERT, 2, selector=inline(commit=True), connection_id="default")
        self.assert_state(second, "COMMITTED")
        conversation.begin()
        third = conversation.run(INSERT, 3, selector=common_pb2.TransactionSelector(commit=True))
        self.assert_state(third, "COMMITTED")
        self.assertEqual(len({response.transaction.handle for response in (first, second, third)}), 3)
        self.assertEqual(self.content(), [(2, 2), (3, 3)])
        self.assert_nothing_open()

    def test_a_savepoint_makes_a_failed_one_active_again(self):
        conversation, point = self.converse(), transaction_pb2.InteractSavepoint(name="s")
        conversation.begin()
        conversation.run(INSERT, 1)
        self.assertEqual(conversation.ask(savepoint=point).WhichOneof("result"), "done")
        self.assert_error(conversation.run(INSERT, 1), "SQL_ERROR", "FAILED")
        self.assert_error(conversation.run("SELECT 1"), "TRANSACTION_FAILED", "FAILED", "no")
        self.assert_error(conversation.ask(release_savepoint=point), "TRANSACTION_FAILED", "FAILED", "no")
        self.assert_error(conversation.commit(), "TRANSACTION_FAILED", "FAILED", "no")
        self.assert_state(conversation.ask(rollback_to_savepoint=point), "ACTIVE")
        self.assert_state(conversation.ask(release_savepoint=point), "ACTIVE")
        self.assert_state(conversation.commit(), "COMMITTED")
        self.assertEqual(self.content(), [(1, 1)])

    def test_with_nothing_open_an_error_changes_nothing(self):
        conversation = self.converse()
        nothing_open = ({"commit": transaction_pb2.InteractCommit()}, {"rollback": transaction_pb2.InteractRollback()},
                        {"query": conversation.query("SELECT 1")}, {"batch": query_pb2.ExecuteBatchRequest()},
                        {"savepoint": transaction_pb2.InteractSavepoint(name="s")}, {},
                        {"keep_alive": transaction_pb2.InteractKeepAlive()})
        for action in nothing_open:
            self.assert_error(conversation.ask(**action), "PARAMETER_INVALID", executed="no")
        for fields, reason in (({"connection_id": "conn_none"}, "CONNECTION_NOT_FOUND"),
                               ({"connection_id": ""}, None)):
            response = conversation.ask(begin=transaction_pb2.BeginTransactionRequest(**fields))
            self.assert_error(response, reason or response.error.reason, executed="no")
        self.assert_state(conversation.begin(), "ACTIVE")

    def test_whatever_fails_makes_the_open_transaction_failed_and_leaves_the_stream_as_it_is(self):
        """Though it was refused before it ran: what was sent behind it relies on it."""
        conversation, point = self.converse(), transaction_pb2.InteractSavepoint(name="none")
        failures = (
            ("PARAMETER_INVALID", {"begin": transaction_pb2.BeginTransactionRequest(connection_id="default")}),
            ("PARAMETER_INVALID", {"query": conversation.query(
                "SELECT 1", selector=inline(), connection_id="default")}),
            ("PARAMETER_INVALID", {}),
            ("PARAMETER_INVALID", {"query": conversation.query("SELECT $1")}),
            ("PARAMETER_INVALID", {"query": conversation.query("SELECT 1", connection_id="conn_none")}),
            ("PARAMETER_INVALID", {"batch": query_pb2.ExecuteBatchRequest()}),
            ("PARAMETER_INVALID", {"savepoint": transaction_pb2.InteractSavepoint()}),
            ("PARAMETER_INVALID", {"commit": transaction_pb2.InteractCommit(request_id="no uuid")}),
            ("TRANSACTION_CONTROL_REFUSED", {"query": conversation.query("COMMIT")}),
            ("STATEMENT_REFUSED", {"query": conversation.query("ATTACH 'other.db' AS other")}),
            ("READ_ONLY_VIOLATION", {"query": conversation.query(INSERT, 2, read_only=True)}),
            ("FIELD_NOT_IMPLEMENTED", {"query": conversation.query("SELECT 1", session={"role": "clerk"})}),
            ("AFFECTED_ROWS_EXCEEDED", {"query": conversation.query(
                "INSERT INTO t VALUES(2, 2), (3, 3)", max_affected_rows=1)}),
            ("SAVEPOINT_NOT_FOUND", {"rollback_to_savepoint": point}),
            ("SAVEPOINT_NOT_FOUND", {"release_savepoint": point}),
            ("SQL_ERROR", {"query": conversation.query("SELECT nothing")}),
        )
        for number, (reason, action) in enumerate(failures):
            with self.subTest(number=number, reason=reason):
                conversation.begin()
                conversation.run(INSERT, 1)
                self.assert_error(conversation.ask(**action), reason, "FAILED")
                self.assertEqual(self.rpc.load().writer.held_by, "")
                self.assert_error(conversation.run(INSERT, 2), "TRANSACTION_FAILED", "FAILED", "no")
                self.assert_error(conversation.commit(), "TRANSACTION_FAILED", "FAILED", "no")
                self.assert_state(conversation.rollback(), "ROLLED_BACK")
        conversation.half_close()
        self.assert_ends(conversation)
        self.assertEqual(self.content(), [])
        self.assert_nothing_open()

    def test_an_id_has_no_place_in_it(self):
        other, conversation = begin_with(self.rpc, "SELECT 1"), self.converse()
        for opened in (False, True):
            if opened:
                conversation.begin(read_only=True)
            response = conversation.run(INSERT, 1, selector=within(other.id))
            self.assert_error(response, "PARAMETER_INVALID", "FAILED" if opened else None, "no")
        self.assertEqual(other.rows("SELECT count(*) FROM t"), [(0,)])

    def test_its_handle_opens_nothing(self):
        conversation = self.converse()
        handle = conversation.begin().transaction.handle
        self.assert_fails(Code.NOT_FOUND, self.rpc.query, "SELECT 1", transaction=within(handle),
                          reason="TRANSACTION_NOT_FOUND")

    def test_a_statement_that_begins_and_fails_leaves_nothing_open(self):
        self.rpc.query(INSERT, 1)
        conversation = self.converse()
        response = conversation.run(INSERT, 1, selector=inline(), connection_id="default")
        self.assert_error(response, "SQL_ERROR", "ROLLED_BACK", "rolled_back")
        self.assert_nothing_open()
        self.assert_error(conversation.run("SELECT 1"), "PARAMETER_INVALID", executed="no")
        self.assert_state(conversation.begin(), "ACTIVE")

    def test_a_commit_that_fails_is_an_error_and_the_stream_goes_on(self):
        self.rpc.query("CREATE TABLE c(a REFERENCES t(a) DEFERRABLE INITIALLY DEFERRED)")
        conversation = self.converse()
        conversation.begin()
        conversation.run("INSERT INTO c VALUES(7)")
        response = conversation.commit()
        self.assert_error(response, "SQL_ERROR", "ROLLED_BACK", "rolled_back")
        self.assertEqual(response.error.sql.engine_code, "SQLITE_CONSTRAINT_FOREIGNKEY")
        whole = conversation.run("INSERT INTO c VALUES(7)", selector=inline(commit=True), connection_id="default")
        self.assert_error(whole, "SQL_ERROR", "ROLLED_BACK", "rolled_back")
        whole = conversation.run(INSERT, 7, selector=inline(commit=True), connection_id="default")
        self.assert_state(whole, "COMMITTED")
        self.assertEqual(self.content(), [(7, 7)])

    def test_the_outcome_of_a_commit_is_known_by_its_request_id(self):
        conversation = self.converse()
        conversation.run(INSERT, 1, selector=inline(), connection_id="default")
        self.assert_state(conversation.commit(request_id=KEY), "COMMITTED")
        self.assertEqual(outcome(self.rpc, connection_id="default", request_id=KEY), COMMITTED)
        conversation.run(INSERT, 2, selector=inline(), connection_id="default")
        self.assert_error(conversation.commit(request_id=KEY), "REQUEST_ID_REUSED", "ROLLED_BACK", "rolled_back")
        self.assertEqual(self.content(), [(1, 1)])


if __name__ == "__main__":
    harness.main()
