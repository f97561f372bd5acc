"""A primary that is told to take no more writes, and lives on: callers move to the standby that is promoted."""
import time

import harness
import postgres_standby
import rpc
import transactions
from postgres_case import Load, seconds_since
from rpc import Code

ALONE = " /* advisory */"  # such a text has a connection of its own
INSERT = "INSERT INTO t VALUES($1, 'x')"
WRITERS = 6
# Each of them writes nothing, whatever the server is.
LOCKED = """
CREATE FUNCTION locked(n bigint) RETURNS int LANGUAGE plpgsql AS
  $$BEGIN PERFORM set_config('transaction_read_only', 'on', true); INSERT INTO t VALUES(n, 'no'); RETURN 1; END$$
"""
ONCE = rpc.common_pb2.RetryOptions(max_attempts=1)  # so that every refusal is seen
REFUSED = (Code.FAILED_PRECONDITION, "READ_ONLY_VIOLATION", "rolled_back")
# A client acts upon the first by itself; the other is what a transaction is told.
NOT_DONE = {(Code.UNAVAILABLE, "no")}
UNDONE = {(Code.UNAVAILABLE, "no"), (Code.ABORTED, "rolled_back")}


class PostgresDemotionTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        self.primary = self.enterContext(harness.start_postgres())
        self.primary.psql("CREATE TABLE t(a bigint PRIMARY KEY, b text)")
        self.standby = self.enterContext(postgres_standby.Standby(self.primary))
        self.primary.psql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.psql("SELECT pg_reload_conf()")
        harness.wait_for(lambda: self.primary.psql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
                         == "1", 20, "the standby is waited for")
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        self.url = f"postgresql://postgres@{hosts}/postgres?target_session_attrs="
        self.server = self.start(database=self.url + "read-write")
        self.rpc = self.client(self.server)

    def demote(self):
        """New transactions of the primary only read, also those of sessions that it has; those that write are over on
        return, and the standby has what they wrote."""
        self.primary.psql("ALTER SYSTEM SET default_transaction_read_only = on")
        self.primary.psql("SELECT pg_reload_conf()")
        harness.wait_for(lambda: self.primary.psql("SHOW default_transaction_read_only") == "on", 10, "it is told")
        writing = "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
        harness.wait_for(lambda: self.primary.psql(writing) == "0", 20 * harness.PATIENCE, "nobody writes any more")
        harness.wait_for(lambda: self.primary.psql("SELECT pg_current_wal_lsn() <= min(replay_lsn) FROM "
                                                   "pg_stat_replication") == "t", 20, "the standby has all of it")

    def told(self, failures):
        return {(failure.code, failure.executed) for failure in failures}

    def keys(self, server):
        return {int(key) for key in server.psql("SELECT a FROM t").split()}

    def ports(self):
        """Where statements are run: on shared connections, on others, and in transactions."""
        sql = "SELECT inet_server_port()"
        answers = [self.rpc.rows(sql), self.rpc.rows(sql + ALONE), self.rpc.rows(sql, read_only=True)]
        return {port for [[port]] in answers}

    def fill_pool(self):
        """Several connections that nobody uses, beside the shared ones."""
        message = rpc.request(rpc.query_pb2.QueryRequest, "SELECT pg_sleep(0.2)" + ALONE, (), {})
        for call in [self.rpc.queries.Query.future(message, timeout=30) for _ in range(6)]:
            call.result()
        self.rpc.query("SELECT 1")

    def await_nobody(self):
        """The primary serves none but those who look."""
        harness.wait_for(lambda: not self.primary.backend_pids(), 5 * harness.PATIENCE, "connections to it are closed")

    def retried(self, call, *arguments, told=None):
        """Calls again as clients do by themselves; how often it took another attempt."""
        end = time.monotonic() + 10 * harness.PATIENCE
        for count in range(10**6):
            try:
                call(*arguments)
                return count
            except rpc.grpc.RpcError as error:
                failure = rpc.Failure(error)
                self.assertIn((failure.code, failure.executed), told or NOT_DONE, failure)
                self.assertIsNotNone(failure.retry, failure)
                self.assertLess(time.monotonic(), end, failure)
                time.sleep(failure.retry.retry_delay.ToMilliseconds() / 1000)

    def test_Fault18_writers_move_to_the_new_primary_and_lose_nothing(self):
        acknowledged = set()

        def write(client, number, count):
            key = number * 1_000_000 + count
            client.query(INSERT + (ALONE if count % 2 else ""), key, retry=ONCE, timeout=10)
            acknowledged.add(key)

        def writing(known):
            """How many of them have written since."""
            return len({key // 1_000_000 for key in acknowledged.copy() - known})

        with Load(self.server.address, write, count=WRITERS) as load:
            harness.wait_for(lambda: len(acknowledged) > 200 and writing(set()) == WRITERS,
                             30 * harness.PATIENCE, "writes go on")
            self.demote()
            before = acknowledged.copy()
            self.standby.promote()
            begin = time.monotonic()
            harness.wait_for(lambda: writing(before), 30 * harness.PATIENCE, "writes go on")
            took = seconds_since(begin)
            harness.wait_for(lambda: writing(before) == WRITERS, 10 * harness.PATIENCE, "all of them write again")
        self.assertEqual(load.faults, [])
        self.assertEqual(self.told(load.failures), NOT_DONE, load.failures[:3])
        self.assertEqual([failure for failure in load.failures if failure.retry is None], [])
        self.assertLess(took, 2 * harness.PATIENCE)
        self.assertEqual(self.keys(self.standby), acknowledged)
        self.assertEqual(self.keys(self.primary) - acknowledged, set(), "written to the demoted one")
        self.assertEqual(self.ports(), {self.standby.port})
        self.await_nobody()

    def test_Fault18_one_write_that_is_refused_is_enough_to_leave(self):
        self.fill_pool()
        self.demote()
        self.standby.promote()
        attempts = self.retried(self.rpc.query, INSERT, 1)
        self.assertLess(attempts, 2, "each connection was tried")
        self.assertEqual(self.ports(), {self.standby.port})
        self.await_nobody()
        self.assertEqual((self.keys(self.primary), self.keys(self.standby)), (set(), {1}))

    def test_Fault18_reads_do_not_stay_behind(self):
        self.fill_pool()
        self.demote()
        self.standby.promote()
        harness.wait_for(lambda: self.ports() == {self.standby.port}, 5 * harness.PATIENCE, "reads are answered there")
        self.await_nobody()

    def test_Fault18_until_one_is_promoted_writes_are_to_be_sent_again(self):
        self.fill_pool()
        self.demote()
        for _ in range(50):
            failure = self.failure(self.rpc.query, INSERT, 1, retry=ONCE)
            self.assertEqual((failure.code, failure.executed), (Code.UNAVAILABLE, "no"), failure)
            self.assertIsNotNone(failure.retry, failure)
        told = [line for line in self.server.log() if line["logger"] == "postgres"]
        self.assertLess(len(told), 20, "the log is flooded")
        self.standby.promote()
        self.retried(self.rpc.query, INSERT, 1)
        self.assertEqual(self.keys(self.standby), {1})

    def test_Fault18_a_transaction_at_the_demoted_one_is_to_be_done_again(self):
        self.fill_pool()
        early = transactions.begin_with(self.rpc, INSERT, 1)
        read = transactions.begin_with(self.rpc, "SELECT 1")
        self.primary.psql("ALTER SYSTEM SET default_transaction_read_only = on")
        self.primary.psql("SELECT pg_reload_conf()")
        early.query(INSERT, 2, commit=True)  # begun while it was allowed
        read.query(INSERT, 3, commit=True)
        self.demote()
        failure = self.failure(transactions.begin_with, self.rpc, INSERT, 4)
        self.assertIn((failure.code, failure.executed), UNDONE, failure)
        self.standby.promote()
        for key, call in ((5, lambda: transactions.begin_with(self.rpc, INSERT, 5).commit()),
                          (6, lambda: transactions.batch(self.rpc, [(INSERT, 6)])),
                          (7, lambda: transactions.load(self.rpc, "t", [(7, "x")]))):
            with self.subTest(key=key):
                self.retried(call, told=UNDONE)
        self.assertEqual(self.keys(self.standby), {1, 2, 3, 5, 6, 7})

    def test_Fault18_a_statement_that_keeps_itself_from_writing_is_no_demotion(self):
        self.primary.psql(LOCKED)
        self.fill_pool()
        there = self.primary.backend_pids()
        for sql in ("SELECT locked(8)", "SELECT locked(9)" + ALONE):
            failure = self.failure(self.rpc.query, sql)
            self.assertEqual((failure.code, failure.reason, failure.executed), REFUSED, failure)
        self.failure(self.rpc.query, INSERT, 1, read_only=True)
        # One that does so to its session has that forgotten.
        self.primary.psql("CREATE FUNCTION lock_session() RETURNS text LANGUAGE sql AS "
                          "$$SELECT set_config('default_transaction_read_only', 'on', false)$$")
        lanes = {pid for (pid, ) in (self.rpc.rows("SELECT pg_backend_pid()")[0] for _ in range(10))}
        for sql in ("SELECT lock_session()", "SELECT lock_session()" + ALONE):
            self.assertEqual(self.rpc.rows(sql), [("on", )])
        self.rpc.query(INSERT, 10)
        self.rpc.query(INSERT + ALONE, 11)
        self.fill_pool()
        there = [pid for pid in there if pid not in lanes]  # those that share it get a new one
        self.assertEqual(set(there) - set(self.primary.backend_pids()), set(), "connections were dropped")

    def test_Fault18_who_takes_any_server_is_told_that_this_one_only_reads(self):
        client = self.client(self.start(database=self.url + "any"))
        client.query(INSERT, 1)
        self.demote()
        for sql in (INSERT, INSERT + ALONE):
            failure = self.failure(client.query, sql, 2)
            self.assertEqual((failure.code, failure.reason, failure.executed), REFUSED, failure)
        self.assertEqual(client.rows("SELECT a FROM t"), [(1, )])


if __name__ == "__main__":
    harness.main()
