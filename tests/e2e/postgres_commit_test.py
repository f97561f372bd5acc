"""No COMMIT whose answer is lost is called done, and none is called undone that may have been done."""
import collections
import os
import random
import time
import uuid

import harness
import postgres_case
import rpc
import transactions
from fault_proxy import CLIENT, FIN, RST, SERVER
from rpc import Code

CUTS = int(os.environ.get("SLUICE_COMMIT_CUTS", 10_000 if harness.NIGHTLY else 500))
REQUESTS = ("CREATE TABLE sluice_request (scope bytea NOT NULL, id bytea NOT NULL, part bigint NOT NULL, content bytea "
            "NOT NULL, reply bytea, kept boolean NOT NULL DEFAULT true, made timestamptz NOT NULL DEFAULT now(), "
            "PRIMARY KEY (scope, id, part))")
# Where the way is cut: before the server hears of it, before it answers, before it is ready again.
PLACES = ((CLIENT, "P", b"COMMIT"), (CLIENT, "P", b"COMMIT"), (SERVER, "C", b"COMMIT"), (SERVER, "C", b"COMMIT"),
          (SERVER, "Z", b""))
ROLLED_BACK, UNKNOWN, DONE = "rolled back", "unknown", "done"


def verdict_of(failure):
    if failure.executed in ("no", "rolled_back"):
        return ROLLED_BACK
    return UNKNOWN


class PostgresCommitTest(postgres_case.TestCase):
    schema = f"{postgres_case.TestCase.schema}; {REQUESTS}"

    def commit_by_call(self, key, request_id):
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES($1, 'call')", key)
        self.cut()
        begun.commit(request_id=request_id)

    def commit_with_statement(self, key, request_id):
        begun = transactions.begin(self.rpc)
        self.cut()
        begun.query("INSERT INTO t VALUES($1, 'statement')", key, commit=True, request_id=request_id)

    def commit_at_once(self, key, request_id):
        self.cut()
        self.rpc.query("INSERT INTO t VALUES($1, 'inline')", key, transaction=transactions.inline(commit=True),
                       request_id=request_id)

    def commit_batch(self, key, request_id):
        self.cut()
        transactions.batch(self.rpc, [("INSERT INTO t VALUES($1, 'batch')", key), "SELECT 1"], request_id=request_id)

    def cut(self):
        speaker, kind, contains = self.random.choice(PLACES)
        self.rule = self.proxy.cut_on(speaker, kind, contains, how=self.random.choice((RST, FIN)),
                                      keep=self.random.choice((0, 0, 5)))

    def test_Fault6_a_cut_commit_is_honest(self):
        self.random = random.Random(6)
        ways = (self.commit_by_call, self.commit_with_statement, self.commit_at_once, self.commit_batch)
        verdicts, reasons, resolved = {}, collections.Counter(), collections.Counter()
        for key in range(CUTS):
            request_id = str(uuid.UUID(int=self.random.getrandbits(128))) if key % 2 else ""
            try:
                ways[key // 2 % len(ways)](key, request_id)
                verdicts[key] = DONE
            except rpc.grpc.RpcError as error:
                failure = rpc.Failure(error)
                verdicts[key] = verdict_of(failure)
                reasons[failure.reason] += 1
                self.assertIn(failure.code, (Code.UNKNOWN, Code.ABORTED, Code.UNAVAILABLE), failure)
                if failure.code != Code.UNKNOWN:
                    self.assertNotEqual(verdicts[key], UNKNOWN, failure)
            self.proxy.clear()
            if verdicts[key] == UNKNOWN:
                token = failure.info.metadata["outcome_token"]
                # A batch by itself has its COMMIT in the trip of its statements.
                if failure.reason == "COMMIT_OUTCOME_UNKNOWN" and (request_id or ways[key // 2 % 4] != self.commit_batch):
                    self.assertTrue(token, failure)
                if token and key % 4 != 1:
                    resolved[key] = self.outcome(outcome_token=token)
                elif request_id:
                    resolved[key] = self.outcome(request_id=request_id)
        self.judge(verdicts, resolved)
        self.assertGreater(reasons["COMMIT_OUTCOME_UNKNOWN"], CUTS / 3, reasons)

    def outcome(self, **by):
        self.await_answers()
        outcome = transactions.PENDING
        end = time.monotonic() + 20 * harness.PATIENCE
        while outcome == transactions.PENDING and time.monotonic() < end:  # the server has not noticed the cut
            outcome = transactions.outcome(self.rpc, connection_id="default", **by)
        return outcome

    def judge(self, verdicts, resolved):
        harness.wait_for(lambda: not self.busy(), 20, "nobody commits any more")
        there = self.content()
        wrong = [(key, said) for key, said in verdicts.items()
                 if (said == DONE and key not in there) or (said == ROLLED_BACK and key in there)]
        self.assertEqual(wrong, [], "said, but the database has it otherwise")
        unknown = {key for key, said in verdicts.items() if said == UNKNOWN}
        self.assertTrue(unknown & there and unknown - there, "cuts came before and after the commit")
        told = {key: outcome == transactions.COMMITTED for key, outcome in resolved.items()
                if outcome != transactions.PENDING}
        self.assertGreaterEqual(len(told), 0.999 * len(resolved))
        self.assertEqual({key: key in there for key in told}, told, "what the request's id or the token tells")

    def test_a_commit_that_waits_for_its_key_ends_with_the_server(self):
        self.psql("CREATE FUNCTION alike() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.scope = ''; RETURN NEW; "
                  "END $$; CREATE TRIGGER alike BEFORE INSERT ON sluice_request FOR EACH ROW EXECUTE FUNCTION alike()")
        request_id = str(uuid.uuid4())
        server = self.start("--shutdown-grace", "1s", database=self.postgres.url("shop"))
        client, other = self.client(server), self.client(self.server)
        holder = transactions.begin(other)
        holder.query("INSERT INTO sluice_request (scope, id, part, content) SELECT ''::bytea, $1::bytea, 0, ''::bytea",
                     uuid.UUID(request_id).bytes)
        begun = transactions.begin_with(client, "INSERT INTO t VALUES(1, 'x')")
        message = transactions.transaction_pb2.CommitTransactionRequest(transaction_id=begun.id, request_id=request_id)
        commit = client.transactions.CommitTransaction.future(message, timeout=50)
        harness.wait_for(lambda: self.psql("SELECT 1 FROM pg_locks WHERE NOT granted"), 10, "it waits for the key")
        self.assertEqual(server.terminate(), 0)
        failure = rpc.Failure(commit.exception(timeout=1))
        self.assertEqual((failure.code, failure.reason, failure.executed),
                         (Code.ABORTED, "SERVER_DRAINING", "rolled_back"), failure)
        holder.rollback()
        self.assertEqual(self.content(), set())

    def test_a_commit_that_waits_for_its_standby_is_unknown_when_the_server_ends(self):
        self.psql("ALTER SYSTEM SET synchronous_standby_names = 'ghost'")
        self.psql("SELECT pg_reload_conf()")
        harness.wait_for(lambda: self.psql("SHOW synchronous_standby_names") == "ghost", 10, "it is in force")
        server = self.start("--shutdown-grace", "1s", "--pool-commit-grace", "8s", database=self.postgres.url("shop"))
        client = self.client(server)
        begun = transactions.begin_with(client, "INSERT INTO t VALUES(1, 'x')")
        message = transactions.transaction_pb2.CommitTransactionRequest(transaction_id=begun.id)
        commit = client.transactions.CommitTransaction.future(message, timeout=50)
        harness.wait_for(lambda: self.psql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"), 10, "it waits")
        self.assertEqual(server.terminate(), 0)
        failure = rpc.Failure(commit.exception(timeout=1))
        self.assertEqual((failure.code, failure.reason), (Code.UNKNOWN, "COMMIT_OUTCOME_UNKNOWN"), failure)
        self.psql("ALTER SYSTEM RESET synchronous_standby_names")
        self.psql("SELECT pg_reload_conf()")
        self.assertEqual(self.outcome(outcome_token=failure.info.metadata["outcome_token"]), transactions.COMMITTED)
        self.assertEqual(self.content(), {1})

    def busy(self):
        return int(self.psql("SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND backend_type = "
                             "'client backend' AND pid <> pg_backend_pid()"))

    def test_Fault6_a_commit_without_an_answer_says_so(self):
        for speaker, there in ((CLIENT, False), (SERVER, True)):
            key = int(there)
            begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES($1, 'x')", key)
            self.proxy.cut_on(speaker, "P" if speaker == CLIENT else "C", b"COMMIT")
            failure = self.assert_told((Code.UNKNOWN, "COMMIT_OUTCOME_UNKNOWN", "unknown"), begun.commit)
            self.assertIsNone(failure.retry, "not to be sent again")
            harness.wait_for(lambda: not self.busy(), 10, "nobody commits any more")
            self.assertEqual(key in self.content(), there)
            self.assertNotEqual(begun.state(), "ACTIVE")


if __name__ == "__main__":
    harness.main()
