"""PostgreSQL behind the gateway: the services do there what they do on SQLite."""
import harness
import rpc
import transactions
from rpc import Code, common_pb2, connection_pb2, value_pb2
from transactions import batch, inline, load, within

FORGET = "CREATE FUNCTION forget() RETURNS int LANGUAGE plpgsql AS $$BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN 1; END$$"


class PostgresTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        self.postgres = self.enterContext(harness.start_postgres())
        self.postgres.create_database("shop")
        self.server = self.start(database=self.postgres.url("shop"))
        self.rpc = self.client(self.server)
        self.rpc.query("CREATE TABLE t(a int PRIMARY KEY, b text)")

    def content(self):
        return self.rpc.rows("SELECT a, b FROM t ORDER BY a")

    def test_statements_take_values_and_give_rows(self):
        inserted = self.rpc.query("INSERT INTO t VALUES($1, $2), ($3, $4)", 1, "one", 2, None)
        self.assertEqual((inserted.rows_affected, inserted.command_tag), (2, "INSERT 0 2"))
        self.assertEqual(self.content(), [(1, "one"), (2, None)])
        self.assertEqual(self.rpc.rows("SELECT b FROM t WHERE a = :key", named={"key": 1}), [("one",)])
        found = self.rpc.query("SELECT 1.50::numeric AS n, true AS yes, '{\"a\": 1}'::jsonb AS j")
        self.assertEqual(rpc.rows_of(found), [("1.50", True, '{"a": 1}')])
        self.assertEqual([column.native_type for column in found.columns], ["numeric", "boolean", "jsonb"])

    def test_callers_may_say_what_types_their_values_have(self):
        sql, big, text = "SELECT $1 AS a", value_pb2.VALUE_TYPE_INT64, value_pb2.VALUE_TYPE_STRING
        for _ in range(2):
            self.assert_fails(Code.INVALID_ARGUMENT, self.rpc.query, sql, 12, executed="no")  # text, for want of more
            said = self.rpc.query(sql, 12, param_types=[big])
            self.assertEqual((rpc.rows_of(said), said.columns[0].native_type), ([(12,)], "bigint"))
            said = self.rpc.query(sql, "12", param_types=[text])
            self.assertEqual((rpc.rows_of(said), said.columns[0].native_type), ([("12",)], "text"))
            self.assertEqual(list(self.rpc.stream_rows(sql, 12, param_types=[big])), [(12,)])

    def test_a_stream_gives_every_row_once(self):
        self.rpc.query("INSERT INTO t SELECT g, 'row ' || g FROM generate_series(1, 50000) g")
        rows = self.rpc.stream_rows("SELECT a, b FROM t ORDER BY a")
        self.assertEqual(rows, [(n, f"row {n}") for n in range(1, 50001)])

    def test_a_stream_gives_every_row_once_however_wide_it_is(self):
        for size in (7_000, 20_000, 33_000, 50_000, 65_000, 66_000, 100_000, 200_000, 1_200_000):
            count = max(130, 4_000_000 // size)  # so that it is fetched several times
            rows = self.rpc.stream_rows("SELECT n, repeat('x', $2::int) FROM generate_series(1::bigint, $1::bigint) AS n",
                                        count, size)
            self.assertEqual([(number, len(text)) for number, text in rows],
                             [(number, size) for number in range(1, count + 1)])

    def test_a_value_larger_than_a_chunk_arrives_in_parts(self):
        rows = self.rpc.stream_rows("SELECT repeat('x', 3000000), 1, decode(repeat('00ff', 500000), 'hex')")
        self.assertEqual(rows, [("x" * 3000000, 1, b"\x00\xff" * 500000)])

    def test_a_batch_and_a_load_are_all_or_nothing(self):
        insert = "INSERT INTO t VALUES($1, $2)"
        batch(self.rpc, [(insert, 1, "a"), (insert, 2, "b")])
        failure = self.assert_fails(Code.ALREADY_EXISTS, batch, self.rpc, [(insert, 3, "c"), (insert, 1, "d")],
                                    executed="rolled_back")
        self.assertEqual(failure.info.metadata["step"], "1")
        load(self.rpc, "t", [(10, "x"), (11, "y")], [(12, "z")])
        self.assert_fails(Code.ALREADY_EXISTS, load, self.rpc, "t", [(13, "x")], [(10, "y")], executed="rolled_back")
        self.assertEqual([key for key, _ in self.content()], [1, 2, 10, 11, 12])

    def test_a_batch_after_its_table_was_changed_is_told_to_be_sent_again(self):
        for _ in range(3):
            batch(self.rpc, ["SELECT * FROM t", "SELECT 1"])
        self.postgres.psql("ALTER TABLE t ADD COLUMN c int", database="shop")
        failure = self.failure(batch, self.rpc, ["SELECT * FROM t", "SELECT 1"])
        self.assertEqual((failure.code, failure.executed), (Code.ABORTED, "rolled_back"), failure)
        self.assertIsNotNone(failure.retry, failure)
        self.assertEqual(len(batch(self.rpc, ["SELECT * FROM t", "SELECT 1"]).results), 2)

    def test_a_function_that_makes_its_session_forget_costs_one_failure(self):
        self.postgres.psql(FORGET, database="shop")
        for _ in range(3):
            batch(self.rpc, ["SELECT 1", "SELECT 2"])
        self.rpc.query("SELECT forget()", transaction=inline(commit=True))
        failures = []
        for _ in range(5):
            try:
                batch(self.rpc, ["SELECT 1", "SELECT 2"])
            except rpc.grpc.RpcError as error:
                failures.append(rpc.Failure(error))
        self.assertLessEqual(len(failures), 1, failures)
        self.assertEqual({(each.code, each.executed) for each in failures} - {(Code.ABORTED, "rolled_back")}, set())

    def test_a_function_that_makes_its_session_forget_costs_one_commit(self):
        self.assert_forgetting_costs_one_commit()

    def test_a_function_that_makes_a_session_with_settings_forget_costs_one_commit(self):
        self.assert_forgetting_costs_one_commit(session=common_pb2.SessionOptions(time_zone="UTC"))

    def assert_forgetting_costs_one_commit(self, **fields):
        self.postgres.psql(FORGET, database="shop")
        transactions.begin_with(self.rpc, "INSERT INTO t VALUES(100, 'x')").commit()  # COMMIT's question is prepared
        commits, done = [], []
        for key in range(9):
            try:
                first = self.rpc.query("INSERT INTO t VALUES($1, 'x')", key, transaction=inline(), **fields)
            except rpc.grpc.RpcError as error:
                self.assertEqual(rpc.Failure(error).code, Code.ABORTED)  # it was prepared before, too
                continue
            begun = transactions.Transaction(self.rpc, first.transaction)
            begun.query("SELECT forget()")
            try:
                begun.commit()
                done.append(key)
            except rpc.grpc.RpcError as error:
                commits.append(rpc.Failure(error))
        self.assertEqual([(each.code, each.executed) for each in commits], [(Code.ABORTED, "rolled_back")], commits)
        self.assertIsNotNone(commits[0].retry, commits)
        self.assertGreater(len(done), 2)
        self.assertEqual([key for key, _ in self.content()], [*done, 100])

    def test_a_batch_that_brings_too_much_is_told_what_to_do(self):
        sql = "SELECT repeat('x', 1000000) FROM generate_series(1, $1::int)"
        for _ in range(3):
            batch(self.rpc, [(sql, 1), "SELECT 1"])
        for _ in range(2):
            failure = self.failure(batch, self.rpc, [(sql, 300), "SELECT 1"])
            self.assertEqual(failure.code, Code.RESOURCE_EXHAUSTED, failure)

    def test_a_name_that_stands_for_another_cursor_gives_what_that_one_gives(self):
        begun = transactions.begin(self.rpc)
        for sql, expected in (("1::bigint", [(1, )]), ("1.5::float8", [(1.5, )]), ("'a', 2::bigint", [("a", 2)])):
            for _ in range(3):
                begun.query(f"DECLARE c CURSOR FOR SELECT {sql}")
                self.assertEqual(rpc.rows_of(begun.query("FETCH 1 FROM c")), expected)
                begun.query("CLOSE c")

    def test_a_transaction_over_several_calls(self):
        begun = self.rpc.query("INSERT INTO t VALUES(1, 'mine')", transaction=inline()).transaction
        self.assertEqual(self.content(), [])
        inside = self.rpc.query("SELECT count(*) FROM t", transaction=within(begun.transaction_id))
        self.assertEqual(rpc.rows_of(inside), [(1,)])
        self.rpc.query("UPDATE t SET b = 'ours'", transaction=within(begun.transaction_id, commit=True))
        self.assertEqual(self.content(), [(1, "ours")])

    def test_the_tool_commits_where_no_requests_are_kept(self):
        id = self.run_tool(self.server, "-q", "tx", "begin", check=0).stdout.decode().strip()
        self.run_tool(self.server, "query", "--transaction", id, "INSERT INTO t VALUES(1, 'one')", check=0)
        self.run_tool(self.server, "tx", "commit", id, check=0)
        self.assertEqual(self.content(), [(1, "one")])

    def test_a_statement_that_fails_fails_its_transaction(self):
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(1, 'mine')")
        self.assert_fails(Code.INVALID_ARGUMENT, begun.query, "SELECT 1/0", reason="SQL_ERROR")
        self.assert_fails(Code.FAILED_PRECONDITION, begun.query, "SELECT 1", reason="TRANSACTION_FAILED")
        begun.rollback()
        self.assertEqual(self.content(), [])

    def test_errors_say_what_the_server_said(self):
        failure = self.assert_fails(Code.INVALID_ARGUMENT, self.rpc.query, "SELECT * FROM nowhere", reason="SQL_ERROR")
        self.assertEqual(failure.info.metadata["sqlstate"], "42P01")
        self.assert_fails(Code.OUT_OF_RANGE, self.rpc.query, "SELECT $1::int", 2**40, reason="PARAMETER_INVALID",
                          executed="no")
        self.assert_fails(Code.INVALID_ARGUMENT, self.rpc.query, "COPY t TO STDOUT", reason="STATEMENT_REFUSED")
        self.assert_fails(Code.INVALID_ARGUMENT, self.rpc.query, "COMMIT", reason="TRANSACTION_CONTROL_REFUSED")

    def test_what_one_caller_sets_the_next_does_not_find(self):
        dirty = ["SELECT set_config('search_path', 'pg_catalog', false)", "SELECT pg_advisory_lock(7)",
                 "CREATE TEMP TABLE mine(a int)", "SELECT set_config('sluice.tenant', 'a', false)",
                 "DO $$BEGIN EXECUTE 'SET ROLE pg_read_all_data'; END$$",
                 "DO $$BEGIN EXECUTE 'LISTEN somewhere'; END$$", "DO $$BEGIN EXECUTE 'PREPARE mine AS SELECT 1'; END$$"]
        clean = ("SELECT current_setting('search_path'), current_setting('sluice.tenant', true), current_user, "
                 "to_regclass('pg_temp.mine')::text, (SELECT count(*) FROM pg_prepared_statements WHERE name = 'mine'), "
                 "(SELECT count(*) FROM pg_listening_channels()), "
                 "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())")
        for sql in dirty:
            self.rpc.query(sql)
            for _ in range(3):
                path, tenant, *rest = self.rpc.rows(clean + " /* advisory: on a connection of its own */")[0]
                self.assertEqual((path, tenant or None, *rest), ('"$user", public', None, "postgres", None, 0, 0, 0), sql)

    def test_a_connection_is_registered_used_and_closed(self):
        self.postgres.create_database("other")
        server = self.start("--egress-ports", str(self.postgres.port))
        client = self.client(server)
        request = connection_pb2.RegisterConnectionRequest(url=self.postgres.url("other"), name="other")
        registered = client.connections.RegisterConnection(request, timeout=10)
        self.assertFalse(registered.persistent)
        self.assertEqual(registered.connection.target, f"127.0.0.1:{self.postgres.port}/other")
        id = registered.connection_id
        self.assertEqual(client.rows("SELECT current_database()::text", connection_id=id), [("other",)])
        closed = client.connections.CloseConnection(connection_pb2.CloseConnectionRequest(connection_id=id), timeout=10)
        self.assertTrue(closed.database_closed)
        backends = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'other'"
        harness.wait_for(lambda: self.postgres.psql(backends).strip() == "0", 5, "its connections are gone")

    def test_a_database_that_comes_later_is_found(self):
        self.postgres.stop()
        server = self.start(database=self.postgres.url("shop"))
        client = self.client(server)
        self.assert_fails(Code.UNAVAILABLE, client.query, "SELECT 1", executed="no")
        self.postgres.start()

        def answers():
            try:
                return client.rows("SELECT 1") == [(1,)]
            except rpc.grpc.RpcError:
                return False
        harness.wait_for(answers, 20, "the database is found")


if __name__ == "__main__":
    harness.main()
