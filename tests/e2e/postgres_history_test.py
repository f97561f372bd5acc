"""The transfers of history_test.py on PostgreSQL: sessions are ended under the gateway, and the gateway itself; what a
client was told of a transfer is what the ledger says.
"""
import functools
import random
import time
import uuid

import harness
import history_reader
import history_test
import rpc
import transactions
from rpc import Code, query_pb2, transaction_pb2

# As a client of KeepRequests would have it made.
REQUESTS = """
CREATE TABLE sluice_request (scope bytea NOT NULL, id bytea NOT NULL, part bigint NOT NULL, content bytea NOT NULL,
  reply bytea, kept boolean NOT NULL DEFAULT true, made timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (scope, id, part));
"""
# A row that says so is slow to be committed.
SLOW_COMMIT = """
CREATE TABLE t(a int PRIMARY KEY, b text);
CREATE FUNCTION sleeps() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(0.8); RETURN NULL; END$$;
CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.b = 'slow')
  EXECUTE FUNCTION sleeps();
"""
OTHERS = "datname = 'shop' AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
LIVES = 0.05, 1  # seconds between two ends of sessions
GATEWAY = 0.15  # of the ends


def start_postgres(test):
    """With a database named shop that keeps requests."""
    server = test.enterContext(harness.start_postgres(settings={"deadlock_timeout": "50ms"}))
    server.create_database("shop")
    server.psql(REQUESTS, database="shop")
    return server


class PostgresHistoryTest(history_test.HistoryTest):
    engine = "postgres"
    few_writers = -1  # nearly each of them meets a conflict, so none need come through
    flags = ("--transactions-idle-timeout", f"{history_test.LEASE * 1000:.0f}ms", "--shutdown-grace", "300ms")

    def setUp(self):
        super().setUp()
        self.postgres = start_postgres(self)
        self.place["database"] = self.postgres.url("shop")

    def live_through_ends(self, server, processes):
        end = time.monotonic() + history_test.SECONDS
        while time.monotonic() < end:
            time.sleep(random.uniform(*LIVES))
            self.assertEqual([process.process.poll() for process in processes], [None] * len(processes))
            self.assertIsNone(server.process.poll(), server.errors()[-3000:])
            if random.random() < GATEWAY:
                server = self.end(server, kill=random.random() > history_test.STOPPED_WELL)
            else:
                self.end_sessions()
        return server

    def end_sessions(self):
        """Some of those that do something at this moment, if there are any."""
        count = random.choice([1, 1, 2, 100])
        ended = self.postgres.psql(f"SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity "
                                   f"WHERE {OTHERS} ORDER BY state = 'idle', random() LIMIT {count}) AS these")
        self.ends["session"] += int(ended)

    def stored(self, path):
        def rows(sql):
            return [line.split("|") for line in self.postgres.psql(sql, database="shop").splitlines()]

        # What a killed gateway left may be running still.
        harness.wait_for(lambda: rows(f"SELECT count(*) FROM pg_stat_activity WHERE {OTHERS}") == [["0"]],
                         harness.CALL_SECONDS, "no session is left")
        ledger = [(id, int(src), int(dst), int(amount), token)
                  for id, src, dst, amount, token in rows("SELECT id, src, dst, amount, token FROM ledger")]
        balances = {int(id): int(balance) for id, balance in rows("SELECT id, balance FROM accounts")}
        self.assertEqual(len(balances), history_test.ACCOUNTS)
        return ledger, balances, history_reader.BALANCE


class OutcomeTest(rpc.TestCase):
    """What the transfers meet now and then, each by itself."""

    def setUp(self):
        super().setUp()
        self.postgres = start_postgres(self)
        self.postgres.psql(SLOW_COMMIT, database="shop")
        self.connect()

    def connect(self):
        self.server = self.start(database=self.postgres.url("shop"), data_dir=self.folder / "data")
        self.rpc = self.client(self.server)

    def content(self):
        return self.rpc.rows("SELECT a, b FROM t ORDER BY a")

    def await_commit(self):
        """It is under way."""
        harness.wait_for(lambda: self.postgres.psql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' "
                                                    "AND query = 'COMMIT'") == "1", 10, "the commit is under way")

    def assert_outcome_is_true(self, id):
        """It may be left open, but not be told otherwise than it is in the end."""
        told = transactions.outcome(self.rpc, connection_id="default", request_id=id)
        harness.wait_for(lambda: self.content() == [(1, "slow")], 10, "it was committed")
        self.assertNotEqual(told, transactions.ROLLED_BACK)
        self.assertEqual(transactions.outcome(self.rpc, connection_id="default", request_id=id), transactions.COMMITTED)

    def begin_commit(self):
        id = str(uuid.uuid4())
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(1, 'slow')")
        call = self.rpc.transactions.CommitTransaction.future(transaction_pb2.CommitTransactionRequest(
            transaction_id=begun.id, connection_id="default", request_id=id), timeout=30)
        self.await_commit()
        return id, call

    def test_the_outcome_of_a_commit_that_its_caller_left(self):
        id, call = self.begin_commit()
        call.cancel()
        self.assert_outcome_is_true(id)

    def test_the_outcome_of_a_commit_whose_gateway_was_killed(self):
        id, _ = self.begin_commit()
        self.server.kill()
        self.connect()
        self.assert_outcome_is_true(id)

    def test_the_outcome_of_a_write_that_its_caller_left(self):
        id = str(uuid.uuid4())
        message = rpc.request(query_pb2.QueryRequest, "INSERT INTO t VALUES(1, 'slow')", (), {"request_id": id})
        call = self.rpc.queries.Query.future(message, timeout=30)
        self.await_commit()
        call.cancel()
        self.assert_outcome_is_true(id)

    def test_what_was_refused_was_not_committed(self):
        id = str(uuid.uuid4())
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(1, 'begun')")
        self.assert_fails(Code.OUT_OF_RANGE, begun.query, "INSERT INTO t VALUES($1, 'refused')", 2**40, request_id=id,
                          commit=True, executed="no")
        try:
            begun.commit()
        except rpc.grpc.RpcError:
            pass  # it may have been rolled back
        told = transactions.outcome(self.rpc, connection_id="default", request_id=id)
        self.assertEqual(told, transactions.ROLLED_BACK)
        self.assertNotIn("refused", [b for _, b in self.content()])

    def test_a_batch_that_is_sent_again_is_not_committed_without_having_run(self):
        for n in range(400):
            begun = transactions.begin(self.rpc)
            again = functools.partial(begun.batch, [("INSERT INTO t VALUES($1, 'a')", 2 * n),
                                                    ("INSERT INTO t VALUES($1, 'b')", 2 * n + 1)],
                                      request_id=str(uuid.uuid4()), commit=True)
            try:
                again(timeout=random.uniform(0.0005, 0.004))
            except rpc.grpc.RpcError:
                try:
                    again()
                except rpc.grpc.RpcError:
                    self.assertNotIn(2 * n, [a for a, _ in self.content()])
                    continue
            self.assertIn((2 * n, "a"), self.content())
            self.assertIn((2 * n + 1, "b"), self.content())


if __name__ == "__main__":
    harness.main()
