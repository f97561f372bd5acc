"""The ways in which connections that short statements share could lie: each as a second caller sees it."""
import contextlib
import threading
from concurrent import futures

import harness
import rpc
import transactions
from rpc import Code

KILL = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'shop' AND pid <> pg_backend_pid()"
ALONE = " /* advisory */"  # such a text has a connection of its own
# Of the others: longer than a statement may take there.
LONG = 0.6

SCHEMA = """
CREATE TABLE t(a int PRIMARY KEY, b text);
CREATE TABLE parent(a int PRIMARY KEY);
CREATE TABLE child(a int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
CREATE PROCEDURE commits(n int) LANGUAGE plpgsql AS
  $$BEGIN INSERT INTO t VALUES(n, 'kept'); COMMIT; INSERT INTO t VALUES(n + 1, 'lost'); PERFORM 1 / (n - n); END$$;
CREATE FUNCTION forgets() RETURNS int LANGUAGE plpgsql AS $$BEGIN EXECUTE 'DEALLOCATE ALL'; RETURN 1; END$$;
CREATE FUNCTION moves_zone() RETURNS int LANGUAGE plpgsql AS
  $$BEGIN PERFORM set_config('TimeZone', 'Asia/Kolkata', false); RETURN 1; END$$;
CREATE FUNCTION catches(seconds float8) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN PERFORM pg_sleep(seconds); RETURN 'done'; EXCEPTION WHEN query_canceled THEN RETURN 'gave up'; END$$;
CREATE FUNCTION waits(n int) RETURNS text LANGUAGE plpgsql AS
  $$BEGIN UPDATE t SET b = 'done' WHERE a = n; RETURN 'done'; EXCEPTION WHEN OTHERS THEN RETURN 'gave up'; END$$;
"""


class PostgresLanesTest(rpc.TestCase):
    """One shared connection, and one that is leased: what is left behind would certainly be found."""

    def setUp(self):
        super().setUp()
        self.postgres = self.enterContext(harness.start_postgres())
        self.postgres.create_database("shop")
        self.postgres.psql(SCHEMA, database="shop")
        self.server = self.start(database=self.postgres.url("shop") + "?pool_max=2&pool_overflow=0&lanes=1")
        self.rpc, self.second = self.client(self.server), self.client(self.server)
        alone = self.second.rows("SELECT pg_backend_pid()" + ALONE)
        # On a busy machine it may seem slow at first.
        shared = harness.wait_for(lambda: [row for row in self.second.rows("SELECT pg_backend_pid()") if [row] != alone],
                                  10 * harness.PATIENCE, "it shares a connection")
        self.shared = shared[0][0]

    def look(self, sql):
        """What the second caller gets, on the shared connection and on the other one."""
        return [self.second.rows(sql), self.second.rows(sql), self.second.rows(sql + ALONE)]

    def assert_found(self, rows, sql):
        for found in self.look(sql):
            self.assertEqual(found, rows)

    def content(self):
        return self.second.rows("SELECT a, b FROM t ORDER BY a")

    @contextlib.contextmanager
    def new_sessions(self):
        """Whatever is left behind, nobody finds it afterwards."""
        try:
            yield
        finally:
            self.postgres.psql(KILL)

    # What the tests stand on.

    def test_short_statements_share_a_connection(self):
        with futures.ThreadPoolExecutor(8) as pool:
            pids = list(pool.map(lambda _: self.rpc.rows("SELECT pg_backend_pid()")[0][0], range(100)))
        self.assertGreater(pids.count(self.shared), 50, "but for what seemed slow on a busy machine")
        self.assertNotEqual(self.rpc.rows("SELECT pg_backend_pid()" + ALONE)[0][0], self.shared)

    # What is left behind.

    def test_a_setting_made_in_a_select_is_nobody_elses(self):
        path = self.second.rows("SELECT current_setting('search_path')")
        for sql in ("SELECT set_config('search_path', 'pg_catalog', false)",
                    "SELECT \"set_config\"('search_path', 'pg_catalog', false)",
                    "SELECT U&\"set\\005fconfig\"('search_path', 'pg_catalog', false)",
                    "VALUES(SET_CONFIG('search_path', 'pg_catalog', false))",
                    "WITH x AS (SELECT set_config('search_path', 'pg_catalog', false)) SELECT * FROM x",
                    "INSERT INTO t SELECT 1, set_config('search_path', 'pg_catalog', false) RETURNING a",
                    "UPDATE pg_settings SET setting = 'pg_catalog' WHERE name = 'search_path'",
                    "EXPLAIN ANALYZE SELECT set_config('search_path', 'pg_catalog', false)"):
            with self.subTest(sql=sql), self.new_sessions():
                self.rpc.query(sql)
                self.assert_found(path, "SELECT current_setting('search_path')")

    def test_a_statement_in_a_parameter_leaves_nothing_behind(self):
        path = self.second.rows("SELECT current_setting('search_path')")
        value = "SELECT set_config('search_path', 'pg_catalog', false)::tsvector"
        for sql in ("SELECT query_to_xml($1, true, false, '')::text", "SELECT word FROM ts_stat($1)"):
            with self.subTest(sql=sql), self.new_sessions():
                self.rpc.query(sql, value)
                self.assert_found(path, "SELECT current_setting('search_path')")

    def test_a_temporary_table_hides_nobody_elses_table(self):
        self.rpc.query("INSERT INTO t VALUES(1, 'all see this')")
        for sql in ("SELECT 2 AS a, 'mine' AS b INTO TEMP t", "CREATE TEMP TABLE t AS SELECT 2 AS a, 'mine' AS b",
                    "WITH x AS (SELECT 2 AS a, 'mine' AS b) SELECT a, b INTO TEMPORARY TABLE t FROM x",
                    "WITH x AS (SELECT 2 AS a, 'mine' AS b) TABLE x"):
            with self.subTest(sql=sql), self.new_sessions():
                self.rpc.query(sql)
                self.assert_found([(1, "all see this")], "SELECT a, b FROM t")

    def test_an_advisory_lock_is_given_back(self):
        for sql in ("SELECT pg_advisory_lock(7)", "SELECT pg_try_advisory_lock($1)", "SELECT PG_ADVISORY_LOCK_SHARED(7, 8)",
                    "INSERT INTO t SELECT 7, pg_advisory_lock(7)::text RETURNING a"):
            self.rpc.query(sql, *[9] * sql.count("$1"))
            # After the answer, which does not wait for that.
            locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            harness.wait_for(lambda: self.second.rows(locks) == [(0, )], 10 * harness.PATIENCE, sql)

    def test_a_function_that_sets_the_zone_ends_the_sharing_of_its_connection(self):
        now = self.second.rows("SELECT current_setting('TimeZone')")
        self.rpc.query("SELECT moves_zone()")
        self.assert_found(now, "SELECT current_setting('TimeZone')")

    def test_a_function_that_forgets_prepared_statements_is_noticed(self):
        for n in range(20):
            self.rpc.query("SELECT forgets()")
            self.assertEqual(self.second.rows("SELECT $1::int", n), [(n, )])

    # What commits, or is rolled back, at another time than it seems.

    def test_a_procedure_that_commits_inside_is_told_as_not_known(self):
        for n, sql in ((10, "CALL commits(10)"), (20, "DO $$BEGIN CALL commits(20); END$$"),
                       (30, "DO $$BEGIN INSERT INTO t VALUES(30, 'kept'); COMMIT; PERFORM 1 / (a - a) FROM t; END$$")):
            with self.subTest(sql=sql):
                failure = self.failure(self.rpc.query, sql)
                self.assertEqual(failure.executed, "unknown", failure)
                self.assertIn((n, "kept"), self.content())
                self.assertNotIn((n + 1, "lost"), self.content())
                self.assert_found([(1, )], "SELECT 1")

    def test_a_deferred_constraint_fails_its_own_caller(self):
        """It is looked at when the answer has already been sent."""
        self.rpc.query("INSERT INTO parent VALUES(1)")
        sql = "INSERT INTO child VALUES($1)"
        outcomes = []

        def insert(n):
            try:
                outcomes.append((n, self.rpc.query(sql, n % 2).rows_affected))
            except rpc.grpc.RpcError as error:
                failure = rpc.Failure(error)
                outcomes.append((n, (failure.info.metadata["sqlstate"], failure.executed)))

        with futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(insert, range(400)))
        self.assertEqual(sorted(outcomes), [(n, 1 if n % 2 else ("23503", "rolled_back")) for n in range(400)])
        self.assert_found([(200, )], "SELECT count(*) FROM child")
        begun = transactions.begin_with(self.rpc, sql, 0)
        failure = self.failure(begun.commit)
        self.assertEqual((failure.info.metadata["sqlstate"], failure.executed), ("23503", "rolled_back"))

    def test_a_write_that_turns_out_slow_is_done_once(self):
        sql = "INSERT INTO t SELECT $1, pg_sleep($2)::text"
        for n in range(10):
            self.rpc.query(sql, n, 0.0)
        neighbours = []

        def ask():
            neighbours.extend(self.second.rows("SELECT $1::int", n) == [(n, )] for n in range(300))

        for n in range(10, 13):
            thread = threading.Thread(target=ask)
            thread.start()
            self.assertEqual(self.rpc.query(sql, n, LONG).rows_affected, 1)
            thread.join()
        self.assertEqual(len(self.content()), 13)
        self.assertEqual(neighbours, [True] * 900)

    def test_a_write_that_waits_for_a_lock_is_done_once(self):
        self.rpc.query("INSERT INTO t VALUES(1, '')")
        sql = "UPDATE t SET b = b || $2 WHERE a = $1"
        for _ in range(3):
            self.rpc.query(sql, 2, "x")
        holder = transactions.begin_with(self.second, "UPDATE t SET b = b || 'h' WHERE a = 1")
        with futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(self.rpc.query, sql, 1, "w")
            self.assertRaises(futures.TimeoutError, waiting.result, LONG)
            holder.commit()
            self.assertEqual(waiting.result(harness.CALL_SECONDS).rows_affected, 1)
        self.assert_found([("hw", )], "SELECT b FROM t WHERE a = 1")

    # What a statement sees of the limits there.

    def test_a_function_that_waits_for_a_lock_does_not_see_a_limit_of_ours(self):
        self.rpc.query("INSERT INTO t VALUES(1, '')")
        for _ in range(3):
            self.assertEqual(self.rpc.rows("SELECT waits($1)", 2), [("done", )])
        holder = transactions.begin_with(self.second, "UPDATE t SET b = 'held' WHERE a = 1")
        with futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(self.rpc.rows, "SELECT waits($1)", 1)
            self.assertRaises(futures.TimeoutError, waiting.result, LONG)
            holder.commit()
            self.assertEqual(waiting.result(harness.CALL_SECONDS), [("done", )])

    def test_a_function_that_catches_cancels_sees_ours_once_at_most(self):
        self.assertEqual(self.rpc.rows("SELECT catches($1)", 0.0), [("done", )])
        self.rpc.rows("SELECT catches($1)", LONG)  # nobody could know that it would take so long, and it may write
        for _ in range(2):
            self.assertEqual(self.rpc.rows("SELECT catches($1)", LONG), [("done", )])

    def test_what_only_reads_never_sees_a_cancel_of_ours(self):
        self.assertEqual(self.rpc.rows("SELECT catches($1), 2", 0.0, read_only=True), [("done", 2)])
        self.assertEqual(self.rpc.rows("SELECT catches($1), 2", LONG, read_only=True), [("done", 2)])

    # What a table was, and is no more.

    def columns(self, sql):
        """Names of columns and their values, as a stream and a call give them."""
        streamed = list(self.rpc.stream(sql))
        called = self.rpc.query(sql)
        rows = [row for message in streamed for row in message.rows]
        return [(tuple(column.name for column in columns), tuple(map(rpc.from_value, row.values)))
                for columns, row in ((streamed[0].columns, rows[0]), (called.columns, called.rows[0]))]

    def test_Fault48_columns_have_the_names_that_they_have_now(self):
        self.rpc.query("INSERT INTO t VALUES(1, 'one')")
        sql = "SELECT * FROM t"
        self.assertEqual(self.columns(sql), [(("a", "b"), (1, "one"))] * 2)
        for change, now in (("ALTER TABLE t RENAME b TO c", (("a", "c"), (1, "one"))),
                            ("ALTER TABLE t ADD d int DEFAULT 4", (("a", "c", "d"), (1, "one", 4))),
                            ("ALTER TABLE t ALTER d TYPE text", (("a", "c", "d"), (1, "one", "4"))),
                            ("ALTER TABLE t DROP a", (("c", "d"), ("one", "4")))):
            self.rpc.query(change)
            for where in ("the same connections", "new ones"):
                with self.subTest(change=change, where=where), self.new_sessions():
                    self.assertEqual(self.columns(sql), [now] * 2)

    def test_Fault48_names_that_change_places(self):
        self.rpc.query("INSERT INTO t VALUES(1, 'one')")
        sql = "SELECT * FROM t"
        for _ in range(2):
            self.assertEqual(self.columns(sql), [(("a", "b"), (1, "one"))] * 2)
        transactions.batch(self.rpc, ["ALTER TABLE t RENAME a TO x", "ALTER TABLE t RENAME b TO a",
                                      "ALTER TABLE t RENAME x TO b"])
        self.assertEqual(self.columns(sql), [(("b", "a"), (1, "one"))] * 2)


if __name__ == "__main__":
    harness.main()
