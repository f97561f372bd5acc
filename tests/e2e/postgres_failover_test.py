"""A primary with a streaming standby: what callers see when the one dies and the other takes over."""
import time
import uuid

import harness
import postgres_case
import postgres_standby
import rpc
import transactions
from postgres_case import Load, seconds_since
from rpc import Code

TABLES = ("CREATE TABLE t(a bigint PRIMARY KEY, b text)",
          "CREATE TABLE sluice_request (scope bytea NOT NULL, id bytea NOT NULL, part bigint NOT NULL, content bytea "
          "NOT NULL, reply bytea, kept boolean NOT NULL DEFAULT true, made timestamptz NOT NULL DEFAULT now(), "
          "PRIMARY KEY (scope, id, part))")


class PostgresFailoverTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        self.primary = self.enterContext(harness.start_postgres())
        self.standby = self.enterContext(postgres_standby.Standby(self.primary))
        for sql in TABLES:
            self.primary.psql(sql)
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        self.url = f"postgresql://postgres@{hosts}/postgres?target_session_attrs="
        self.server = self.start(database=self.url + "read-write")
        self.rpc = self.client(self.server)

    def follows(self):
        return (self.primary.psql("SELECT pg_current_wal_lsn() <= min(replay_lsn) FROM pg_stat_replication") == "t")

    def wait_for_sync(self):
        self.primary.psql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.psql("SELECT pg_reload_conf()")
        harness.wait_for(lambda: self.primary.psql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
                         == "1", 20, "the standby is waited for")

    def await_write(self, key):
        def writes():
            try:
                self.rpc.query("INSERT INTO t VALUES($1, 'first')", key, timeout=2)
                return True
            except rpc.grpc.RpcError as error:
                return rpc.Failure(error).code == Code.ALREADY_EXISTS  # the one before was not answered
        harness.wait_for(writes, 30 * harness.PATIENCE, "writes go on")

    def test_Fault18_writes_go_on_at_the_standby_once_it_is_promoted(self):
        self.wait_for_sync()
        acknowledged, uncertain = set(), set()

        def write(client, number, count):
            key = number * 1_000_000 + count
            try:
                client.query("INSERT INTO t VALUES($1, 'x')", key, timeout=5)
                acknowledged.add(key)
            except rpc.grpc.RpcError as error:
                if rpc.Failure(error).code in (Code.UNKNOWN, Code.DEADLINE_EXCEEDED):
                    uncertain.add(key)
                raise

        with Load(self.server.address, write, count=6) as load:
            harness.wait_for(lambda: len(acknowledged) > 200, 30 * harness.PATIENCE, "writes go on")
            self.primary.kill()
            self.standby.promote()
            begin = time.monotonic()
            self.await_write(-1)
            took = seconds_since(begin)
            before = len(acknowledged)
            harness.wait_for(lambda: len(acknowledged) > before + 100, 30 * harness.PATIENCE, "all of them write")
        self.assertLess(took, 2 * harness.PATIENCE)
        self.assertEqual(load.faults, [])
        for failure in load.failures:
            self.assertIn(failure.code, (Code.UNAVAILABLE, Code.UNKNOWN, Code.DEADLINE_EXCEEDED), failure)
        there = {int(key) for key in self.standby.psql("SELECT a FROM t WHERE a >= 0").split()}
        self.assertEqual(acknowledged - there, set(), "acknowledged, and lost")
        self.assertEqual(there - acknowledged - uncertain, set(), "there, though it was called undone")

    def test_Fault18_a_transaction_that_the_primary_took_along_is_rolled_back(self):
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(1, 'mine')")
        self.primary.kill()
        self.standby.promote()
        failure = self.failure(begun.query, "INSERT INTO t VALUES(2, 'mine')")
        self.assertEqual((failure.code, failure.executed), (Code.ABORTED, "rolled_back"), failure)
        self.await_write(3)
        self.assertEqual(self.rpc.rows("SELECT a FROM t"), [(3, )])

    def test_Fault18_which_host_is_chosen_follows_from_what_is_wanted(self):
        self.primary.psql("INSERT INTO t VALUES(1, 'x')")
        harness.wait_for(self.follows, 10, "the standby has it")
        for wanted, at in (("read-write", False), ("primary", False), ("standby", True), ("read-only", True),
                           ("prefer-standby", True)):
            client = self.client(self.start(database=self.url + wanted))
            for sql in ("SELECT pg_is_in_recovery()", "SELECT pg_is_in_recovery() /* advisory */"):
                self.assertEqual(client.rows(sql), [(at, )], wanted)
        failure = self.failure(client.query, "INSERT INTO t VALUES(2, 'x')")
        self.assertEqual((failure.code, failure.reason), (Code.FAILED_PRECONDITION, "READ_ONLY_VIOLATION"), failure)
        self.assertIn(failure.executed, ("no", "rolled_back"))

    def test_Fault19_a_write_that_the_failover_lost_is_not_called_committed(self):
        harness.wait_for(self.follows, 20, "the standby has everything")
        postgres_standby.pause(postgres_standby.walsenders(self.primary))
        request_id = str(uuid.UUID(int=19))
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(19, 'lost')")
        begun.commit(request_id=request_id)
        self.assertEqual(transactions.outcome(self.rpc, connection_id="default", request_id=request_id),
                         transactions.COMMITTED)
        self.primary.kill()
        self.standby.promote()
        for key in range(100, 110):  # transactions of others take the numbers of those that are lost
            self.await_write(key)
        self.assertNotIn((19, ), self.rpc.rows("SELECT a FROM t"))
        self.assertNotEqual(transactions.outcome(self.rpc, connection_id="default", request_id=request_id),
                            transactions.COMMITTED)


if __name__ == "__main__":
    harness.main()
