"""What a caller sees when PostgreSQL itself gives up: conflicts, locks, a full disk, no memory, a missing standby."""
import os
import shutil
import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor

import harness
import postgres_case
import rpc
import transactions
from postgres_case import Load
from rpc import Code


class PostgresConflictTest(postgres_case.TestCase):
    schema = f"{postgres_case.TestCase.schema}; INSERT INTO t VALUES(1, 'a'), (2, 'b')"

    def test_Fault21_a_transaction_that_lost_against_another_is_to_be_redone(self):
        one, other = (transactions.begin(self.rpc, isolation=transactions.SERIALIZABLE) for _ in range(2))
        one.query("SELECT count(*) FROM t")
        other.query("SELECT count(*) FROM t")
        one.query("INSERT INTO t VALUES(3, 'one')")
        other.query("INSERT INTO t VALUES(4, 'other')")
        one.commit()
        failure = self.assert_told((Code.ABORTED, "SERIALIZATION_FAILURE", "rolled_back"), other.commit)
        self.assertIsNotNone(failure.retry)
        self.assertEqual(self.content(), {1, 2, 3})

    def test_Fault21_an_update_of_what_changed_is_to_be_redone(self):
        begun = transactions.begin(self.rpc, isolation=transactions.REPEATABLE_READ)
        begun.query("SELECT * FROM t")
        self.rpc.query("UPDATE t SET b = 'mine' WHERE a = 1")
        failure = self.assert_told((Code.ABORTED, "SERIALIZATION_FAILURE", "rolled_back"), begun.query,
                                   "UPDATE t SET b = 'yours' WHERE a = 1")
        self.assertIsNotNone(failure.retry)
        self.assertEqual(self.rpc.rows("SELECT b FROM t WHERE a = 1"), [("mine", )])

    def test_Fault21_a_deadlock_ends_one_of_the_two(self):
        one, other = transactions.begin(self.rpc), transactions.begin(self.rpc)
        one.query("UPDATE t SET b = 'one' WHERE a = 1")
        other.query("UPDATE t SET b = 'other' WHERE a = 2")
        calls = [one.begin_query("UPDATE t SET b = 'one' WHERE a = 2"),
                 other.begin_query("UPDATE t SET b = 'other' WHERE a = 1")]
        failures = [rpc.Failure(call.exception(timeout=20)) for call in calls if call.exception(timeout=20)]
        self.assertEqual([(f.code, f.reason, f.executed) for f in failures],
                         [(Code.ABORTED, "DEADLOCK", "rolled_back")])
        self.assertIsNotNone(failures[0].retry)

    def test_Fault22_a_lock_that_is_not_had_in_time_is_told(self):
        self.psql("ALTER ROLE postgres SET lock_timeout = '100ms'")
        self.proxy.cut()
        holder = transactions.begin_with(self.rpc, "LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        for sql in ("SELECT a FROM t /* advisory */", "INSERT INTO t VALUES(9, 'x') /* advisory */",
                    "SELECT a FROM t FOR UPDATE NOWAIT"):
            failure = self.assert_told((Code.ABORTED, "LOCK_TIMEOUT", "rolled_back"), self.rpc.query, sql)
            self.assertIsNotNone(failure.retry)
        holder.rollback()
        self.assertEqual(len(self.rpc.rows("SELECT a FROM t")), 2)

    def test_Fault22_those_who_wait_for_a_lock_hold_up_nobody_else(self):
        holder = transactions.begin_with(self.rpc, "LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        waiting = [self.begin_call("SELECT a FROM t", timeout=60) for _ in range(20)]
        harness.wait_for(lambda: int(self.psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
                         > 10, 20 * harness.PATIENCE, "they wait for the lock")
        with Load(self.server.address, lambda client, n, i: client.query("SELECT $1::bigint", i), count=4) as load:
            harness.wait_for(lambda: load.calls > 200, 20 * harness.PATIENCE, "others go on")
        self.assertEqual((load.failures, load.faults), ([], []))
        holder.rollback()
        for call in waiting:
            self.assertEqual(len(call.result().rows), 2)

    def lose_the_standby(self):
        self.psql("ALTER SYSTEM SET synchronous_standby_names = 'ghost'")
        self.psql("SELECT pg_reload_conf()")
        harness.wait_for(lambda: self.psql("SHOW synchronous_standby_names") == "ghost", 5, "it is known")

    def brief_client(self):
        """Of a server that waits for nothing long."""
        url = self.proxy.url("shop", options="?commit_grace=2s")
        return self.client(self.start("--command-timeout", "1s", database=url))

    def test_Fault20_a_commit_without_its_standby_is_not_told_done(self):
        client = self.brief_client()
        begun = transactions.begin_with(client, "INSERT INTO t VALUES(20, 'transaction')")
        self.lose_the_standby()
        calls = [begun.commit, lambda: client.query("INSERT INTO t VALUES(21, 'shared')"),
                 lambda: client.query("INSERT INTO t VALUES(23, 'x')", transaction=transactions.inline(commit=True))]
        with ThreadPoolExecutor(len(calls)) as threads:
            told = [each.result() for each in [threads.submit(self.what_is_told, call) for call in calls]]
        self.assertEqual(told, [(Code.UNKNOWN, "unknown")] * len(calls))

    def test_Fault20_a_write_that_is_ended_while_it_waits_for_its_standby_is_not_told_done(self):
        """The server itself calls it done, with a warning."""
        client = self.brief_client()
        self.lose_the_standby()
        told = self.what_is_told(lambda: client.query("INSERT INTO t VALUES(22, 'alone') /* advisory */"))
        self.assertEqual(told, (Code.UNKNOWN, "unknown"))

    def test_Fault20_a_commit_is_answered_while_its_caller_listens_and_goes_on(self):
        self.rpc.connections.KeepRequests(rpc.connection_pb2.KeepRequestsRequest(connection_id="default"))
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(24, 'goes on')")
        self.psql("ALTER SYSTEM SET synchronous_standby_names = 'ghost'")
        self.psql("SELECT pg_reload_conf()")
        harness.wait_for(lambda: self.psql("SHOW synchronous_standby_names") == "ghost", 5, "it is known")
        id = str(uuid.uuid4())
        self.assert_told((Code.UNKNOWN, "COMMIT_OUTCOME_UNKNOWN", "unknown"), begun.commit, timeout=3, request_id=id)
        which = {"connection_id": "default", "request_id": id}
        self.assertEqual(transactions.outcome(self.rpc, **which), transactions.PENDING)
        self.assertEqual(transactions.outcome(self.rpc, transaction_id=begun.id), transactions.PENDING)
        self.assert_told((Code.FAILED_PRECONDITION, "TRANSACTION_FINISHED", "no"), begun.rollback)
        self.psql("ALTER SYSTEM RESET synchronous_standby_names")
        self.psql("SELECT pg_reload_conf()")
        harness.wait_for(lambda: transactions.outcome(self.rpc, **which) == transactions.COMMITTED, 20, "it is committed")
        harness.wait_for(lambda: transactions.outcome(self.rpc, transaction_id=begun.id) == transactions.COMMITTED, 5,
                         "that is known of the transaction, too")
        begun.commit(request_id=id)
        self.assertEqual(self.rpc.rows("SELECT b FROM t WHERE a = 24"), [("goes on", )])

    def what_is_told(self, call):
        try:
            call()
            return Code.OK, "yes"
        except rpc.grpc.RpcError as error:
            failure = rpc.Failure(error)
            return failure.code, failure.executed

    def test_Fault25_a_server_without_memory_says_so(self):
        failure = self.assert_told((Code.RESOURCE_EXHAUSTED, "SQL_ERROR", "rolled_back"), self.rpc.query,
                                   "SELECT count(pg_advisory_xact_lock(n)) FROM generate_series(1, 1000000) AS n")
        self.assertEqual(failure.info.metadata["sqlstate"], "53200")
        self.assert_answers()


class PostgresDiskTest(postgres_case.TestCase):
    def test_Fault24_a_full_disk_is_told_and_reads_go_on(self):
        harness.need(os.geteuid() == 0 and shutil.which("mount"), "a small disk is mounted by root only", optional=True)
        disk = self.postgres.folder / "disk"
        disk.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=0777", "tmpfs", str(disk)],
                              capture_output=True, check=False)
        harness.need(done.returncode == 0, "this machine lets nobody mount a tmpfs", optional=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", str(disk)], check=True)
        owner = os.stat(self.postgres.data)
        os.chown(disk, owner.st_uid, owner.st_gid)
        self.postgres.psql(f"CREATE TABLESPACE small LOCATION '{disk}'")
        self.psql("CREATE TABLE full_up(a int, b text) TABLESPACE small")
        fill = "INSERT INTO full_up SELECT n, repeat('x', 1000) FROM generate_series(1, 10000) AS n"
        for _ in range(3):
            self.assert_told((Code.RESOURCE_EXHAUSTED, "DISK_FULL", "rolled_back"), self.rpc.query, fill)
            self.assertEqual(self.rpc.rows("SELECT count(*) FROM full_up"), [(0, )])
        self.rpc.query("INSERT INTO t VALUES(1, 'elsewhere')")
        self.assert_answers()


if __name__ == "__main__":
    harness.main()
