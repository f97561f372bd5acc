"""What callers and those who look see while PostgreSQL recovers, or is not there, for longer than a moment."""
import time

import harness
import postgres_recovery
import rpc
import transactions
from postgres_case import Load, seconds_since
from rpc import Code, health_pb2, monitoring_pb2

ONCE = rpc.common_pb2.RetryOptions(max_attempts=1)  # so that every refusal is seen
ALONE = " /* advisory */"  # such a text has a connection of its own
INSERT = "INSERT INTO t VALUES($1, 'x')"
STARTING = (Code.UNAVAILABLE, "BACKEND_STARTING", "no")
GONE = (Code.UNAVAILABLE, "BACKEND_LOST", "no")
HEALTH_SECONDS = 10 + 2  # every ten seconds the server asks its databases, and waits two for an answer


class PostgresStartingTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        harness.need(harness.postgres.binaries(), harness.postgres.INSTALL)
        self.postgres = self.enterContext(postgres_recovery.RecoveringPostgres())
        self.postgres.psql("CREATE TABLE t(a bigint PRIMARY KEY, b text)")
        self.server = self.start(database=self.postgres.url())
        self.rpc = self.client(self.server)

    def told(self, sql, *params):
        failure = self.failure(self.rpc.query, sql, *params, retry=ONCE, timeout=10)
        self.assertIsNotNone(failure.retry, failure)
        return failure.code, failure.reason, failure.executed

    def state(self):
        request = monitoring_pb2.GetHealthRequest(connection_id="default")
        return self.rpc.monitoring.GetHealth(request, timeout=5).connections[0].state

    def serves(self, name):
        """What load balancers are told."""
        request = health_pb2.HealthCheckRequest(service=name)
        return self.rpc.health.Check(request, timeout=5).status == health_pb2.HealthCheckResponse.SERVING

    def is_known(self, name):
        try:
            return self.serves(name) is not None
        except rpc.grpc.RpcError as error:
            self.assertEqual(error.code(), Code.NOT_FOUND)
            return False

    def log_lines(self):
        return [line for line in self.server.log() if line["logger"] == "postgres"]

    def await_answers(self):
        def answers():
            try:
                return self.rpc.rows("SELECT 1", timeout=5) == [(1, )]
            except rpc.grpc.RpcError:
                return False
        harness.wait_for(answers, 5 * harness.PATIENCE, "it answers again")

    def test_Fault9_a_long_recovery_is_told_as_one_and_waited_out(self):
        acknowledged, failed = set(), {}

        def write(client, number, count):
            key = number * 1_000_000 + count
            try:
                client.query(INSERT + (ALONE if count % 2 else ""), key, retry=ONCE)
                acknowledged.add(key)
            except rpc.grpc.RpcError as error:
                failed[key] = rpc.Failure(error)
                raise

        with Load(self.server.address, write, count=6) as load:
            harness.wait_for(lambda: len(acknowledged) > 100, 30 * harness.PATIENCE, "writes go on")
            self.postgres.stop("immediate")
            self.postgres.begin_recovery()
            harness.wait_for(lambda: self.told("SELECT 1") == STARTING, 5 * harness.PATIENCE, "it is told")
            refused = len(failed)
            harness.wait_for(lambda: len(failed) > refused + 1000, 60 * harness.PATIENCE, "all of them are refused")
            recent = list(failed.values())[refused:]
            pool = self.rpc.monitoring.GetPoolStats(monitoring_pb2.GetPoolStatsRequest(connection_id="default"))
            before = len(acknowledged)
            self.postgres.end_recovery()
            begin = time.monotonic()
            harness.wait_for(lambda: len(acknowledged) > before + 100, 30 * harness.PATIENCE, "writes go on")
            took = seconds_since(begin)
        self.assertEqual(load.faults, [])
        self.assertEqual({(each.code, each.reason, each.executed) for each in recent}, {STARTING})
        self.assertEqual([each for each in recent if each.retry is None], [])
        self.assertLess(took, 3 * harness.PATIENCE)
        self.assertLess(pool.connections[0].pool.connects_failed, 100, "a storm of connections")
        self.assertLess(len(self.log_lines()), 20, "the log is flooded")
        uncertain = {key for key, failure in failed.items() if failure.executed == "unknown"}
        there = {int(key) for key in self.postgres.psql("SELECT a FROM t").split()}
        self.assertEqual(acknowledged - there, set(), "acknowledged, and not there")
        self.assertEqual(there - acknowledged - uncertain, set(), "there, though it was called undone")

    def test_Fault9_those_who_look_see_that_the_database_is_not_there_and_the_server_is(self):
        name = "connections/default"
        harness.wait_for(lambda: self.is_known(name) and self.serves(name), (HEALTH_SECONDS + 3) * harness.PATIENCE,
                         "it was asked for the first time")
        self.postgres.stop("immediate")
        self.postgres.begin_recovery()
        self.assertEqual(self.state(), monitoring_pb2.HEALTH_STATE_UNHEALTHY)
        harness.wait_for(lambda: not self.serves(name), (HEALTH_SECONDS + 3) * harness.PATIENCE, "it is seen")
        self.assertTrue(self.serves(""))
        self.assertEqual(self.told("SELECT 1"), STARTING)
        self.postgres.end_recovery()
        self.await_answers()
        self.assertEqual(self.state(), monitoring_pb2.HEALTH_STATE_HEALTHY)
        harness.wait_for(lambda: self.serves(name), (HEALTH_SECONDS + 3) * harness.PATIENCE, "it is seen")

    def test_Fault9_a_gateway_that_starts_first_waits_for_its_database(self):
        self.postgres.stop("immediate")
        for begin, expected in ((lambda: None, GONE), (self.postgres.begin_recovery, STARTING)):
            begin()
            self.server = self.start(database=self.postgres.url())
            self.rpc = self.client(self.server)
            for sql in ("SELECT 1", "SELECT 1" + ALONE):
                self.assertEqual(self.told(sql), expected)
        self.assertTrue(self.serves(""))
        self.postgres.end_recovery()
        self.await_answers()
        self.rpc.query(INSERT, 1)

    def test_Fault9_an_open_transaction_holds_up_nobody_while_the_server_is_down(self):
        begun = transactions.begin_with(self.rpc, INSERT, 1)
        self.postgres.stop("immediate")
        for _ in range(10):
            begin = time.monotonic()
            self.assertEqual(self.told("SELECT 1" + ALONE), GONE)
            self.assertLess(seconds_since(begin), 2 * harness.PATIENCE, "it waited for the transaction's connection")
        self.postgres.start()
        failure = self.failure(begun.query, INSERT, 2)
        self.assertEqual((failure.code, failure.executed), (Code.ABORTED, "rolled_back"), failure)
        self.await_answers()
        self.assertEqual(self.rpc.rows("SELECT a FROM t"), [])


if __name__ == "__main__":
    harness.main()
