"""What a caller sees when PostgreSQL gets no more memory, or is ended for having too much of it."""
import os
import signal
import threading

import harness
import postgres_case
import postgres_memory
import rpc
import transactions
from postgres_case import LOST, UNDONE, Load
from rpc import Code

ALONE = " /* advisory */"  # such a text has a connection of its own
GREEDY = "SELECT length(string_agg(repeat('x', 1000), '')) FROM generate_series(1, 500000)"
OUT = (Code.RESOURCE_EXHAUSTED, "SQL_ERROR", "rolled_back")
INSERT = "INSERT INTO t VALUES($1, 'x')"


class PostgresMemoryTest(postgres_case.TestCase):
    """Backends may not grow without bound."""

    def setUp(self):
        super(postgres_case.TestCase, self).setUp()  # the server is of another kind
        harness.need(harness.postgres.binaries(), harness.postgres.INSTALL)
        settings = {"jit": "off", "max_parallel_workers_per_gather": 0}
        self.postgres = self.enterContext(postgres_memory.LimitedPostgres(240, settings=settings))
        self.postgres.create_database("shop")
        self.psql(self.schema)
        self.server = self.start(database=self.postgres.url("shop"))
        self.rpc = self.client(self.server)

    def assert_out_of_memory(self, call, *arguments, **options):
        failure = self.assert_told(OUT, call, *arguments, **options)
        self.assertEqual((failure.sql.sqlstate, failure.info.metadata["sqlstate"]), ("53200", "53200"), failure)

    def test_Fault25_a_statement_that_needs_too_much_is_refused_and_its_connection_serves_on(self):
        for ask in (self.rpc.query, self.rpc.stream):
            for mark in ("", ALONE):
                self.assert_out_of_memory(ask, GREEDY + mark)
        there = self.postgres.backend_pids()
        for _ in range(5):
            self.assert_out_of_memory(self.rpc.query, GREEDY)
            self.assert_out_of_memory(self.rpc.query, GREEDY, read_only=True)
        self.assert_answers()
        self.assertEqual(set(there) - set(self.postgres.backend_pids()), set(), "connections were dropped")
        self.assertEqual(self.rpc.rows("SELECT length(repeat('x', 1000000))"), [(1_000_000, )])

    def test_Fault25_a_write_that_needs_too_much_leaves_nothing(self):
        self.rpc.query(INSERT, 1)
        greedy = f"INSERT INTO t SELECT n + 10, ({GREEDY})::text FROM generate_series(1, 10) AS n"
        self.assert_out_of_memory(self.rpc.query, greedy)
        self.assert_out_of_memory(transactions.batch, self.rpc, [(INSERT, 2), greedy, (INSERT, 3)])
        begun = transactions.begin_with(self.rpc, INSERT, 4)
        self.assert_out_of_memory(begun.query, GREEDY)
        failure = self.failure(begun.query, INSERT, 5)
        self.assertIn(failure.code, (Code.ABORTED, Code.FAILED_PRECONDITION), failure)
        self.assertEqual(self.content(), {1})

    def test_Fault25_neighbours_do_not_notice(self):
        stop = threading.Event()
        outcomes = set()

        def waste():
            with rpc.Client(self.server.address) as client:
                while not stop.is_set():
                    failure = self.failure(client.query, GREEDY + ALONE)
                    outcomes.add((failure.code, failure.reason, failure.executed))

        def write(client, number, count):
            client.query(INSERT, number * 1_000_000 + count)
        thread = threading.Thread(target=waste)
        thread.start()
        try:
            with Load(self.server.address, write, count=4) as load:
                harness.wait_for(lambda: load.calls > 500 and outcomes or load.failures, 30 * harness.PATIENCE,
                                 "they go on")
        finally:
            stop.set()
            thread.join()
        self.assertEqual((load.failures, load.faults), ([], []))
        self.assertEqual(outcomes, {OUT})
        self.assertEqual(len(self.content()), load.calls)


class PostgresKilledTest(postgres_case.TestCase):
    """The system ends the largest process; the server then ends all others, and begins anew."""

    def kill_largest(self, pid):
        """As the system does it: without a word."""
        os.kill(pid, signal.SIGKILL)

    def inserting(self):
        return int(self.psql("SELECT pid FROM pg_stat_activity WHERE query LIKE 'INSERT%' AND wait_event = 'PgSleep'"))

    def test_Fault25_each_call_is_told_what_became_of_it(self):
        begun = transactions.begin_with(self.rpc, INSERT, 1)
        calls = {told: self.begin_call(sql, **fields) for told, sql, fields in (
            (LOST, "INSERT INTO t SELECT 2, pg_sleep(60)::text", {}),
            ((Code.UNAVAILABLE, "BACKEND_LOST", "no"), "SELECT pg_sleep(60), 3",
             {"read_only": True, "retry": rpc.common_pb2.RetryOptions(max_attempts=1)}))}
        stream = self.rpc.stream("SELECT n, repeat('x', 1000) FROM generate_series(1, 10000000) AS n")
        next(stream)
        harness.wait_for(lambda: len(self.sleeping(alone=True)) == 2, 20 * harness.PATIENCE, "both sleep")
        self.kill_largest(self.inserting())
        for told, call in calls.items():
            failure = rpc.Failure(call.exception(timeout=20))
            self.assertEqual((failure.code, failure.reason, failure.executed), told, failure)
        self.assert_told([LOST, UNDONE], lambda: list(stream))
        self.assert_told(UNDONE, begun.query, INSERT, 4)
        self.await_answers()
        self.assertEqual(self.content(), set())

    def test_Fault25_under_load_nothing_is_lost_and_it_recovers_by_itself(self):
        acknowledged, failed = set(), {}

        def write(client, number, count):
            key = number * 1_000_000 + count
            try:
                if number % 2:
                    client.query(INSERT, key)
                else:
                    transactions.begin_with(client, INSERT, key).commit()
                acknowledged.add(key)
            except rpc.grpc.RpcError as error:
                failed[key] = rpc.Failure(error)
                raise

        with Load(self.server.address, write, count=8) as load:
            for _ in range(3):
                harness.wait_for(lambda goal=len(acknowledged) + 100: len(acknowledged) > goal or load.faults,
                                 30 * harness.PATIENCE, "writes go on")
                call = self.begin_call("SELECT pg_sleep(60), 'greedy'", timeout=60)
                pid = self.await_sleeping(alone=True)[0]
                self.kill_largest(pid)
                failure = rpc.Failure(call.exception(timeout=20))
                self.assertIn((failure.code, failure.reason, failure.executed), (LOST, UNDONE), failure)
            harness.wait_for(lambda goal=len(acknowledged) + 100: len(acknowledged) > goal or load.faults,
                             30 * harness.PATIENCE, "writes go on")
        self.assertEqual(load.faults, [])
        for failure in failed.values():
            self.assertIn((failure.code, failure.executed), {(Code.UNAVAILABLE, "no"), (Code.UNKNOWN, "unknown"),
                                                             (Code.ABORTED, "rolled_back")}, failure)
            if failure.code != Code.UNKNOWN:
                self.assertIsNotNone(failure.retry, failure)
        there = self.content()
        uncertain = {key for key, failure in failed.items() if failure.code == Code.UNKNOWN}
        self.assertEqual(acknowledged - there, set(), "acknowledged, and not there")
        self.assertEqual(there - acknowledged - uncertain, set(), "there, though it was called undone")


if __name__ == "__main__":
    harness.main()
