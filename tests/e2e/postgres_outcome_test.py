"""What became of a COMMIT without an answer, by the token of its error; and how safe one is that had an answer."""
import os
import signal

import harness
import postgres_case
import postgres_standby
import rpc
import transactions
from fault_proxy import CLIENT, SERVER, FaultProxy
from rpc import Code
from transactions import COMMITTED, PENDING, ROLLED_BACK, UNKNOWN

MEMORY, LOCAL, REPLICATED = 1, 2, 3
CHECKPOINTER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"


def number_in(token):
    return int(token.split(":")[2])


class PostgresOutcomeTest(postgres_case.TestCase):
    postgres_options = {"fsync": True}

    def lose_commit(self, key, speaker=SERVER, **options):
        """The token of a transaction that wrote `key` and whose COMMIT was cut short."""
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES($1, 'x')", key)
        self.proxy.cut_on(speaker, "C" if speaker == SERVER else "P", b"COMMIT")
        failure = self.failure(begun.commit, **options)
        self.assertEqual(failure.reason, "COMMIT_OUTCOME_UNKNOWN")
        self.proxy.clear()
        self.await_answers()
        return failure.info.metadata["outcome_token"], begun

    def outcome(self, token, client=None):
        return transactions.outcome(client or self.rpc, connection_id="default", outcome_token=token)

    def test_Fault6_a_token_tells_what_became_of_a_commit(self):
        token, begun = self.lose_commit(1)
        self.assertEqual(self.outcome(token), COMMITTED)
        self.assertEqual(transactions.outcome(self.rpc, transaction_id=begun.id), COMMITTED)
        token, begun = self.lose_commit(2, CLIENT)
        harness.wait_for(lambda: self.outcome(token) != PENDING, 20, "the server has noticed the cut")
        self.assertEqual(self.outcome(token), ROLLED_BACK)
        self.assertEqual(transactions.outcome(self.rpc, transaction_id=begun.id), ROLLED_BACK)
        self.assertEqual(self.content(), {1})

    def test_a_token_is_good_after_a_restart_of_either_server(self):
        token, _ = self.lose_commit(1)
        self.server.terminate()
        self.server = self.start(database=self.proxy.url("shop"))
        self.rpc = self.client(self.server)
        self.assertEqual(self.outcome(token), COMMITTED)
        self.postgres.stop()
        self.postgres.start()
        self.await_answers()
        self.assertEqual(self.outcome(token), COMMITTED)

    def test_a_key_is_the_better_witness(self):
        self.run_tool(self.server, "connections", "keep-requests", check=0)
        key = "3a6e1b52-0a7e-4d53-9a51-6c1f0c1b7f11"
        token, _ = self.lose_commit(1, request_id=key)
        self.assertEqual(self.outcome(token), COMMITTED)
        self.crash()
        self.assertEqual(self.outcome(token), COMMITTED)
        self.psql("DELETE FROM sluice_request")
        self.assertEqual(self.outcome(token), UNKNOWN, "only the number is left, and the server has crashed since")

    def crash(self):
        """All backends go with one; what was not on the disk is lost."""
        pid = self.psql("SELECT pid FROM pg_stat_activity WHERE datname = 'shop' AND pid <> pg_backend_pid() LIMIT 1")
        before = self.psql(CHECKPOINTER)
        os.kill(int(pid), signal.SIGKILL)

        def up():
            try:
                return self.psql(CHECKPOINTER) not in ("", before)  # it lets in for a moment before it notices
            except harness.postgres.Error:
                return False
        harness.wait_for(up, 30, "it has recovered")
        self.await_answers()

    def test_a_number_means_nothing_after_a_crash(self):
        committed, _ = self.lose_commit(1)
        self.crash()
        self.assertEqual(self.outcome(committed), UNKNOWN)

    def test_a_commit_that_still_runs_is_pending(self):
        self.psql("ALTER SYSTEM SET synchronous_standby_names = 'ghost'")
        self.psql("SELECT pg_reload_conf()")
        harness.wait_for(lambda: self.psql("SHOW synchronous_standby_names") == "ghost", 10, "it is in force")
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(1, 'x')")
        failure = self.failure(begun.commit, timeout=2)
        self.assertEqual((failure.code, failure.reason), (Code.UNKNOWN, "COMMIT_OUTCOME_UNKNOWN"))
        token = failure.info.metadata["outcome_token"]
        self.assertEqual(self.outcome(token), PENDING)
        self.psql("ALTER SYSTEM RESET synchronous_standby_names")
        self.psql("SELECT pg_reload_conf()")
        harness.wait_for(lambda: self.outcome(token) == COMMITTED, 20, "it is committed")

    def test_a_key_that_is_not_the_transactions_own_is_no_witness(self):
        self.run_tool(self.server, "connections", "keep-requests", check=0)
        key = "0d1f6f2e-7a63-4a34-8f0c-5a0a5a2a7c11"
        self.rpc.query("INSERT INTO t VALUES(1, 'x')", request_id=key)

        def token_of(before):
            begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(2, 'y')")
            before(begun)
            self.proxy.cut_on(CLIENT, "P", b"COMMIT")
            token = self.failure(begun.commit).info.metadata["outcome_token"]
            self.proxy.clear()
            self.await_answers()
            harness.wait_for(lambda: self.outcome(token) != PENDING, 20, "the server has noticed the cut")
            return token

        def undo(begun):
            begun.act("Savepoint", name="s")
            begun.query("INSERT INTO t VALUES(3, 'z')", request_id="0d1f6f2e-7a63-4a34-8f0c-5a0a5a2a7c12")
            begun.act("RollbackToSavepoint", name="s")
            self.rpc.query("INSERT INTO t VALUES(3, 'z')", request_id="0d1f6f2e-7a63-4a34-8f0c-5a0a5a2a7c12")
        refused = token_of(lambda begun: self.failure(begun.query, "INSERT INTO t VALUES(9, 'z')", request_id=key))
        self.assertEqual(self.outcome(refused), ROLLED_BACK)
        self.assertEqual(self.outcome(token_of(undo)), ROLLED_BACK)
        self.assertEqual(self.content(), {1, 3})

    def test_a_commit_that_no_standby_has_confirmed_is_not_told_done(self):
        self.psql("ALTER SYSTEM SET synchronous_standby_names = 'ghost'")
        self.psql("SELECT pg_reload_conf()")
        harness.wait_for(lambda: self.psql("SHOW synchronous_standby_names") == "ghost", 10, "it is in force")
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(1, 'x')")
        message = transactions.transaction_pb2.CommitTransactionRequest(transaction_id=begun.id)
        commit = self.rpc.transactions.CommitTransaction.future(message, timeout=20)
        waiting = harness.wait_for(lambda: self.psql("SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"), 10,
                                   "it waits for its standby")
        self.psql(f"SELECT pg_cancel_backend({waiting})")
        failure = rpc.Failure(commit.exception(timeout=10))
        self.assertEqual((failure.code, failure.reason, failure.info.metadata["durability"]),
                         (Code.UNKNOWN, "COMMIT_OUTCOME_UNKNOWN", "unconfirmed"), failure)
        self.assertEqual(self.content(), {1})

    def test_a_repeat_of_a_request_that_still_runs_is_not_told_undone(self):
        self.run_tool(self.server, "connections", "keep-requests", check=0)
        self.psql("ALTER SYSTEM SET synchronous_standby_names = 'ghost'")
        self.psql("SELECT pg_reload_conf()")
        harness.wait_for(lambda: self.psql("SHOW synchronous_standby_names") == "ghost", 10, "it is in force")
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(1, 'x')")
        key = "5b0c2f64-4d0c-4a0e-8f53-0d9a0a3f9f21"
        for _ in range(2):
            self.assert_told((Code.UNKNOWN, "COMMIT_OUTCOME_UNKNOWN", "unknown"), begun.commit, request_id=key,
                             timeout=3)
        self.psql("ALTER SYSTEM RESET synchronous_standby_names")
        self.psql("SELECT pg_reload_conf()")
        harness.wait_for(lambda: transactions.outcome(self.rpc, connection_id="default", request_id=key) == COMMITTED,
                         20, "it is committed")
        again = transactions.call(self.rpc, "CommitTransaction", transaction_id=begun.id, request_id=key)
        self.assertTrue(again.replayed)

    def test_a_token_of_another_cluster_or_none_tells_nothing(self):
        token, _ = self.lose_commit(1)
        with harness.start_postgres() as other:
            other.create_database("shop")
            elsewhere = self.client(self.start(database=f"postgresql://postgres@127.0.0.1:{other.port}/shop"))
            self.assertEqual(self.outcome(token, elsewhere), UNKNOWN)
        later = token.replace(f":{number_in(token)}:", f":{10**15}:")
        self.assertEqual(self.outcome(later), UNKNOWN, "a number that was not given yet")
        for bad in ("", "x", token + ":", token.replace("v1", "v2"), token.replace(f":{number_in(token)}:", "::"),
                    token.replace(f":{number_in(token)}:", ":1;drop:"), "v1:ab:1:2:3:4", "v1:" + "é" * 300):
            failure = self.failure(self.outcome, bad)
            self.assertEqual((failure.code, failure.reason), (Code.INVALID_ARGUMENT, "PARAMETER_INVALID"), bad)
        embedded = self.client(self.start())
        self.assertEqual(self.failure(self.outcome, token, embedded).reason, "FIELD_NOT_IMPLEMENTED")

    def test_a_commit_says_how_safe_it_is(self):
        def durability(*statements):
            begun = transactions.begin(self.rpc)
            for sql in statements:
                begun.query(sql)
            return begun.commit().durability
        write = "INSERT INTO t SELECT coalesce(max(a), 0) + 1, 'x' FROM t"
        self.assertEqual(durability(write), LOCAL)
        self.assertEqual(durability("SELECT 1"), 0)
        self.assertEqual(durability(write, "SELECT set_config('synchronous_commit', 'off', true)"), MEMORY)
        self.assertEqual(durability("UPDATE t SET b = 'y' WHERE a < 0", write), LOCAL)
        for name, expected in (("off", MEMORY), ("local", LOCAL), ("remote_apply", LOCAL)):
            self.psql(f"ALTER DATABASE shop SET synchronous_commit = '{name}'")
            server = self.start(database=self.proxy.url("shop"))
            self.rpc = self.client(server)
            self.assertEqual(durability(write), expected, name)
        begun = transactions.begin(self.rpc)
        begun.batch([write, write])
        self.assertEqual(begun.commit().durability, LOCAL)
        self.rpc = self.client(self.start())
        self.assertEqual(durability("CREATE TABLE t(a)", "INSERT INTO t VALUES(1)"), LOCAL, "on SQLite")


class PostgresLostWriteTest(rpc.TestCase):
    """A primary whose standby lags behind takes over, and what it had acknowledged is gone."""

    def setUp(self):
        super().setUp()
        self.primary = self.enterContext(harness.start_postgres(fsync=True))
        self.primary.psql("CREATE TABLE t(a bigint PRIMARY KEY, b text)")
        self.standby = self.enterContext(postgres_standby.Standby(self.primary))
        self.proxy = self.enterContext(FaultProxy(self.primary.port))
        hosts = f"127.0.0.1:{self.proxy.port},127.0.0.1:{self.standby.port}"
        self.server = self.start(database=f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write")
        self.rpc = self.client(self.server)

    def stats(self):
        request = rpc.monitoring_pb2.GetPoolStatsRequest(connection_id="default")
        return self.rpc.monitoring.GetPoolStats(request, timeout=harness.CALL_SECONDS).connections[0].pool

    def answers(self):
        try:
            return self.rpc.rows("SELECT count(*) FROM t", timeout=2)
        except rpc.grpc.RpcError:
            return None

    def test_Fault19_a_number_is_not_asked_of_a_server_that_took_over(self):
        harness.wait_for(lambda: self.primary.psql("SELECT count(*) FROM pg_stat_replication WHERE replay_lsn = "
                                                   "pg_current_wal_lsn()") == "1", 20, "the standby has all")
        postgres_standby.pause(postgres_standby.walsenders(self.primary))
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(1, 'acknowledged')")
        committed = begun.commit()
        self.assertEqual(committed.durability, LOCAL, "one disk has it")
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(2, 'unknown')")
        self.proxy.cut_on(SERVER, "C", b"COMMIT")
        token = self.failure(begun.commit).info.metadata["outcome_token"]
        self.proxy.clear()
        harness.wait_for(self.answers, 20, "it answers again")
        self.assertEqual(transactions.outcome(self.rpc, connection_id="default", outcome_token=token), COMMITTED)
        before = self.stats()
        self.assertEqual((before.timeline, before.timeline_changes), (1, 0))

        self.primary.kill()
        self.standby.promote()
        harness.wait_for(self.answers, 30 * harness.PATIENCE, "it answers again")
        while int(self.standby.psql("SELECT pg_current_xact_id()")) <= number_in(token):
            pass
        self.standby.psql("INSERT INTO t VALUES(3, 'of another')")
        self.assertEqual(self.standby.psql(f"SELECT pg_xact_status('{number_in(token)}')"), "committed", "as it lies")
        self.assertEqual(transactions.outcome(self.rpc, connection_id="default", outcome_token=token), UNKNOWN)
        self.assertEqual(self.standby.psql("SELECT a FROM t"), "3")
        after = self.stats()
        self.assertEqual((after.timeline, after.timeline_changes), (2, 1))
        told = [line for line in self.server.log() if "another timeline" in line["message"]]
        self.assertEqual([(line["from"], line["to"]) for line in told], [("00000001", "00000002")])

    def test_a_commit_that_a_standby_has_confirmed_is_replicated(self):
        self.primary.psql("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.psql("SELECT pg_reload_conf()")
        harness.wait_for(lambda: self.primary.psql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
                         == "1", 20, "the standby is waited for")
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(1, 'x')")
        self.assertEqual(begun.commit().durability, REPLICATED)


if __name__ == "__main__":
    harness.main()
