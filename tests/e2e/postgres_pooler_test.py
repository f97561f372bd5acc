"""A target that is a pooler in transaction mode, which may give each transaction another session: Debian's PgBouncer."""
import concurrent.futures
import time

import harness
import pgbouncer
import rpc
import transactions
from rpc import Code
from transactions import batch, load

SESSIONS = 2
CALLERS = 16
CALLS = 50


class PostgresPoolerTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        harness.need(pgbouncer.is_installed(), pgbouncer.INSTALL)
        self.postgres = self.enterContext(harness.start_postgres())
        self.postgres.create_database("shop")
        self.psql("CREATE TABLE t(a int PRIMARY KEY, b text)")
        self.pooler = self.enterContext(pgbouncer.PgBouncer(self.postgres, SESSIONS))
        self.server = self.start(database=self.pooler.url("shop"))
        self.rpc = self.client(self.server)

    def psql(self, sql):
        return self.postgres.psql(sql, database="shop")

    def content(self):
        return [tuple(line.split("|")) for line in self.psql("SELECT a, b FROM t ORDER BY a").splitlines()]

    def test_the_same_statements_on_ever_other_sessions(self):
        def call(number):
            for n in range(number * CALLS, (number + 1) * CALLS):
                self.assertEqual(self.rpc.rows("SELECT $1::int + 1, pg_backend_pid() > 0", n), [(n + 1, True)])
                self.rpc.query("INSERT INTO t VALUES($1, $2)", n, str(n))

        with concurrent.futures.ThreadPoolExecutor(CALLERS) as callers:
            list(callers.map(call, range(CALLERS)))
        self.assertEqual(self.content(), [(str(n), str(n)) for n in range(CALLERS * CALLS)])
        used = self.psql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop' AND pid <> pg_backend_pid()")
        self.assertLessEqual(int(used), SESSIONS)

    def test_nothing_is_prepared_under_a_name(self):
        for _ in range(20):
            self.rpc.rows("SELECT $1::int", 1)
        self.assertEqual(self.rpc.rows("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''"), [(0,)])

    def test_transactions_batches_and_loads(self):
        begun = [transactions.begin_with(self.rpc, "INSERT INTO t VALUES($1, 'mine')", n) for n in range(SESSIONS)]
        for each, n in zip(begun, range(SESSIONS)):
            self.assertEqual(each.rows("SELECT b FROM t WHERE a = $1", n), [("mine",)])
            self.assertEqual(each.rows("SELECT count(*) FROM t"), [(1,)])
        begun[0].commit()
        begun[1].rollback()
        self.assertEqual(self.content(), [("0", "mine")])
        insert = "INSERT INTO t VALUES($1, $2)"
        batch(self.rpc, [(insert, 10, "a"), (insert, 11, "b"), (insert, 12, "c")])
        self.assert_fails(Code.ALREADY_EXISTS, batch, self.rpc, [(insert, 13, "d"), (insert, 10, "e")],
                          executed="rolled_back")
        load(self.rpc, "t", [(n, str(n)) for n in range(20, 600)])
        self.assertEqual(len(self.content()), 1 + 3 + 580)

    def test_a_stream_has_its_session_to_its_end(self):
        rows = self.rpc.stream_rows("SELECT g, repeat('x', 100) FROM generate_series(1, 30000) g")
        self.assertEqual([key for key, _ in rows], list(range(1, 30001)))

    def test_a_statement_is_cancelled_through_the_pooler(self):
        begin = time.monotonic()
        self.assert_fails(Code.DEADLINE_EXCEEDED, self.rpc.query, "SELECT pg_sleep(60)", timeout=0.3)
        self.assertLess(time.monotonic() - begin, 30)
        harness.wait_for(lambda: not self.psql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"),
                         harness.PATIENCE, "the statement is ended")
        self.assertEqual(self.rpc.rows("SELECT 1"), [(1,)])


if __name__ == "__main__":
    harness.main()
