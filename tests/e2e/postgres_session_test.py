"""SessionOptions on PostgreSQL: settings that hold for one request, or one transaction, and that nobody else sees."""
import uuid

import harness
import rpc
from rpc import Code, common_pb2, query_pb2, transaction_pb2
from transactions import batch, inline, load, within

ZONE = "SELECT current_setting('TimeZone')"
OWN = "SELECT current_setting('app.tenant', true)"


def options(**fields):
    return common_pb2.SessionOptions(**fields)


class PostgresSessionTest(rpc.TestCase):
    """One connection in all, so that whoever comes next has the one that was used."""

    def setUp(self):
        super().setUp()
        self.postgres = self.enterContext(harness.start_postgres())
        self.postgres.create_database("shop")
        self.postgres.psql("""
            CREATE SCHEMA a; CREATE TABLE a.t(x int, who text); INSERT INTO a.t VALUES(1, 'a');
            CREATE SCHEMA "B.x"; CREATE TABLE "B.x".t(y text); INSERT INTO "B.x".t VALUES('b');
            CREATE ROLE clerk; CREATE ROLE stranger;
            CREATE TABLE sale(tenant text, n int); ALTER TABLE sale ENABLE ROW LEVEL SECURITY;
            CREATE POLICY own ON sale USING (tenant = current_setting('app.tenant', true))
                                      WITH CHECK (tenant = current_setting('app.tenant', true));
            GRANT ALL ON sale TO clerk;
            INSERT INTO sale VALUES('one', 1), ('two', 2)""", database="shop")
        self.server = self.start("--egress-ports", "", database=self.postgres.url("shop") + "?pool_max=1&pool_overflow=0")
        self.rpc = self.client(self.server)

    def one(self, sql, *params, **fields):
        (row,), = self.rpc.rows(sql, *params, **fields)
        return row

    def assert_untouched(self):
        self.assertEqual(self.rpc.rows("SELECT current_setting('TimeZone'), current_setting('search_path'), current_user, "
                                       "coalesce(current_setting('app.tenant', true), '')"), [self.before])

    def test_they_hold_for_one_request_and_nobody_else_sees_them(self):
        self.before, = self.rpc.rows("SELECT current_setting('TimeZone'), current_setting('search_path'), current_user, ''")
        session = options(search_path=["B.x", "public"], time_zone="Asia/Tokyo", role="clerk",
                          settings={"app.tenant": "it's; DROP TABLE sale --", "work_mem": "7MB"})
        seen, = self.rpc.rows("SELECT current_setting('TimeZone'), current_setting('search_path'), current_user, "
                              "current_setting('app.tenant', true), current_setting('work_mem')", session=session)
        self.assertEqual(seen, ("Asia/Tokyo", '"B.x", "public"', "clerk", "it's; DROP TABLE sale --", "7MB"))
        self.assert_untouched()
        self.assert_fails(Code.INVALID_ARGUMENT, self.rpc.query, "SELECT 1/0", session=session, executed="rolled_back")
        self.assert_untouched()
        self.assertEqual(self.rpc.stream_rows(ZONE, session=session), [("Asia/Tokyo",)])
        self.assert_untouched()
        for mode in query_pb2.BATCH_MODE_ATOMIC, query_pb2.BATCH_MODE_CONTINUE:
            answer = batch(self.rpc, [ZONE, OWN], session=session, mode=mode)
            self.assertEqual([rpc.rows_of(each)[0][0] for each in answer.results], ["Asia/Tokyo", "it's; DROP TABLE sale --"])
            self.assert_untouched()

    def test_names_mean_what_the_search_path_says_each_time(self):
        for _ in range(3):
            self.rpc.query("CREATE TABLE IF NOT EXISTS public.t(z bool)")
            for path, columns, rows in (["a"], ["x", "who"], [(1, "a")]), (["B.x"], ["y"], [("b",)]), (None, ["z"], []):
                fields = {"session": options(search_path=path)} if path else {}
                answer = self.rpc.query("SELECT * FROM t", **fields)
                self.assertEqual([column.name for column in answer.columns], columns)
                self.assertEqual(rpc.rows_of(answer), rows)

    def test_an_instant_in_the_text_is_one_of_the_zone(self):
        sql = "SELECT extract(epoch FROM '2020-01-01 00:00'::timestamptz)::int8"
        utc = self.one(sql)
        for _ in range(3):
            self.assertEqual(utc - self.one(sql, session=options(time_zone="Asia/Tokyo")), 9 * 3600)
            self.assertEqual(self.one(sql), utc)

    def test_a_tenant_sees_and_writes_his_own_rows(self):
        for tenant, n in ("one", 1), ("two", 2), ("one", 1):
            session = options(role="clerk", settings={"app.tenant": tenant})
            self.assertEqual(self.rpc.rows("SELECT tenant, n FROM sale", session=session), [(tenant, n)])
        session = options(role="clerk", settings={"app.tenant": "one"})
        self.rpc.query("INSERT INTO sale VALUES('one', 3)", session=session)
        self.assert_fails(Code.PERMISSION_DENIED, self.rpc.query, "INSERT INTO sale VALUES('two', 4)", session=session,
                          executed="rolled_back")
        load(self.rpc, "sale", [("one", 5)], [("one", 6)], session=session)
        self.assert_fails(Code.PERMISSION_DENIED, load, self.rpc, "sale", [("two", 7)], session=session)
        self.assertEqual(self.rpc.rows("SELECT tenant, n FROM sale ORDER BY n"),
                         [("one", 1), ("two", 2), ("one", 3), ("one", 5), ("one", 6)])

    def test_a_transaction_has_those_that_it_was_begun_with(self):
        session = options(time_zone="Asia/Tokyo", role="clerk", settings={"app.tenant": "one"})
        request = transaction_pb2.BeginTransactionRequest(connection_id="default", session=session)
        for begin in (lambda: self.rpc.transactions.BeginTransaction(request),
                      lambda: self.rpc.query(OWN, transaction=inline(), session=session)):
            id = begin().transaction.transaction_id
            self.assertEqual(self.one(ZONE, transaction=within(id)), "Asia/Tokyo")
            self.rpc.transactions.Savepoint(transaction_pb2.SavepointRequest(transaction_id=id, name="s"))
            self.assert_fails(Code.INVALID_ARGUMENT, self.rpc.query, "SELECT 1/0", transaction=within(id))
            self.rpc.transactions.RollbackToSavepoint(
                transaction_pb2.RollbackToSavepointRequest(transaction_id=id, name="s"))
            self.assertEqual(self.rpc.rows("SELECT n FROM sale", transaction=within(id)), [(1,)])
            failure = self.assert_fails(Code.INVALID_ARGUMENT, self.rpc.query, ZONE, transaction=within(id),
                                        session=options(time_zone="UTC"), reason="PARAMETER_INVALID", executed="no")
            self.assertEqual(failure.fields.field_violations[0].field, "session")
            self.assertEqual(self.one(OWN, transaction=within(id, commit=True)), "one")
        self.assertNotEqual(self.one(ZONE), "Asia/Tokyo")

    def test_a_conversation_has_them_for_each_of_its_transactions(self):
        session = options(time_zone="Asia/Tokyo", settings={"app.tenant": "one"})
        zone = query_pb2.QueryRequest(sql=ZONE)
        inside = query_pb2.QueryRequest(connection_id="default", sql=ZONE, session=options(time_zone="Asia/Seoul"),
                                        transaction=inline(commit=True))
        requests = [
            transaction_pb2.InteractRequest(call_id=1, begin=transaction_pb2.BeginTransactionRequest(
                connection_id="default", session=session)),
            transaction_pb2.InteractRequest(call_id=2, query=zone),
            transaction_pb2.InteractRequest(call_id=3, commit=transaction_pb2.InteractCommit()),
            transaction_pb2.InteractRequest(call_id=4, query=inside)]
        answers = list(self.rpc.transactions.Interact(iter(requests), timeout=harness.CALL_SECONDS))
        self.assertEqual([rpc.rows_of(each.query) for each in answers if each.HasField("query")],
                         [[("Asia/Tokyo",)], [("Asia/Seoul",)]])

    def test_answers_are_kept_by_the_connections_own_role(self):
        self.rpc.connections.KeepRequests(rpc.connection_pb2.KeepRequestsRequest(connection_id="default"))
        session = options(search_path=["a"], role="clerk", settings={"app.tenant": "one"})
        self.postgres.psql("GRANT USAGE ON SCHEMA a TO clerk", database="shop")
        key = str(uuid.uuid4())
        for _ in range(3):
            answer = self.rpc.query("INSERT INTO public.sale VALUES('one', 9) RETURNING n", session=session, request_id=key)
            self.assertEqual(rpc.rows_of(answer), [(9,)])
        self.assert_fails(Code.INVALID_ARGUMENT, self.rpc.query, "INSERT INTO public.sale VALUES('one', 9) RETURNING n",
                          request_id=key, reason="REQUEST_ID_REUSED")
        begun = self.rpc.query("INSERT INTO public.sale VALUES('one', 10)", session=session, transaction=inline(),
                               request_id=str(uuid.uuid4())).transaction
        self.assertEqual(self.one("SELECT current_user::text", transaction=within(begun.transaction_id)), "clerk")
        last = str(uuid.uuid4())
        for replayed in False, True:
            answer = self.rpc.transactions.CommitTransaction(transaction_pb2.CommitTransactionRequest(
                connection_id="default", transaction_id=begun.transaction_id, request_id=last))
            self.assertEqual(answer.replayed, replayed)
        self.assertEqual(self.rpc.rows("SELECT count(*) FROM sale WHERE n IN (9, 10)"), [(2,)])

    def test_what_is_not_taken_is_named(self):
        for session, field in (
                (options(settings={"statement_timeout": "0"}), 'session.settings["statement_timeout"]'),
                (options(settings={"Role": "clerk"}), 'session.settings["Role"]'),
                (options(settings={"synchronous_commit": "off"}), 'session.settings["synchronous_commit"]'),
                (options(settings={"transaction_read_only": "off"}), 'session.settings["transaction_read_only"]'),
                (options(settings={"DateStyle": "German"}), 'session.settings["DateStyle"]'),
                (options(settings={"app.": "x"}), 'session.settings["app."]'),
                (options(settings={"app.a": "x" * 4097}), 'session.settings["app.a"]'),
                (options(search_path=["a", ""]), "session.search_path[1]"),
                (options(role="NONE"), "session.role")):
            for call in self.rpc.query, self.rpc.stream:
                failure = self.assert_fails(Code.INVALID_ARGUMENT, call, "SELECT 1", session=session,
                                            reason="PARAMETER_INVALID", executed="no")
                self.assertEqual(failure.fields.field_violations[0].field, field)
            self.assert_fails(Code.INVALID_ARGUMENT, batch, self.rpc, ["SELECT 1"], session=session)
            begin = transaction_pb2.BeginTransactionRequest(connection_id="default", session=session)
            self.assert_fails(Code.INVALID_ARGUMENT, self.rpc.transactions.BeginTransaction, begin)

    def test_what_the_database_refuses_is_its_own_error(self):
        for session, code in ((options(time_zone="Mars/Olympus"), Code.INVALID_ARGUMENT),
                              (options(role="nobody_at_all"), Code.INVALID_ARGUMENT)):
            self.assert_fails(code, self.rpc.query, "SELECT 1", session=session, reason="SQL_ERROR")
        self.assertEqual(self.one("SELECT 1"), 1)

    def test_a_connection_may_list_the_settings_that_it_takes(self):
        url = self.postgres.url("shop") + "?session_settings=app.tenant,app.User"
        id = self.rpc.connections.RegisterConnection(rpc.connection_pb2.RegisterConnectionRequest(url=url)).connection_id
        for name in "app.tenant", "APP.user":
            self.rpc.query("SELECT 1", connection_id=id, session=options(settings={name: "x"}))
        failure = self.assert_fails(Code.INVALID_ARGUMENT, self.rpc.query, "SELECT 1", connection_id=id,
                                    session=options(settings={"app.other": "x"}))
        self.assertIn("app.tenant", failure.message)


if __name__ == "__main__":
    harness.main()
