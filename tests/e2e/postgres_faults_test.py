"""What a caller sees when PostgreSQL, or the way to it, breaks."""
import threading
import time

import harness
import rpc
import transactions
from rpc import Code

KILL = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'shop' AND pid <> pg_backend_pid()"


class PostgresFaultsTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        self.postgres = self.enterContext(harness.start_postgres())
        self.postgres.create_database("shop")
        self.server = self.start(database=self.postgres.url("shop"))
        self.rpc = self.client(self.server)
        self.rpc.query("CREATE TABLE t(a int PRIMARY KEY, b text)")

    def sleeps(self, which="true"):
        """Some statement is in pg_sleep, whatever its text is to the server."""
        return self.postgres.psql(
            f"SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND {which}").strip() != "0"

    def sleeps_alone(self):
        """On a shared connection it would have been ended by now."""
        return self.sleeps("now() - query_start > '0.4 s'")

    def begin_call(self, sql, **fields):
        """The call, on its way to the server's knowledge."""
        message = rpc.request(rpc.query_pb2.QueryRequest, sql, (), fields)
        return self.rpc.queries.Query.future(message, timeout=30)

    def test_Fault1_an_idle_connection_that_was_ended_is_made_anew(self):
        for _ in range(20):
            self.assertEqual(self.rpc.rows("SELECT a FROM t"), [])
            self.postgres.psql(KILL)
            self.assertEqual(self.rpc.rows("SELECT a FROM t"), [])

    def test_Fault4_a_write_whose_answer_is_lost_may_have_been_applied(self):
        call = self.begin_call("INSERT INTO t SELECT 1, pg_sleep(20)::text")
        harness.wait_for(self.sleeps_alone, 10, "it runs on a connection of its own")
        self.postgres.psql(KILL)
        failure = rpc.Failure(call.exception(timeout=10))
        self.assertEqual((failure.code, failure.reason, failure.executed), (Code.UNKNOWN, "BACKEND_LOST", "unknown"))
        self.assertEqual(self.rpc.rows("SELECT a FROM t"), [])

    def test_Fault5_a_transaction_whose_connection_is_lost_is_rolled_back(self):
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(1, 'mine')")
        self.postgres.psql(KILL)
        self.assert_fails(Code.ABORTED, begun.query, "INSERT INTO t VALUES(2, 'mine')")
        failure = self.failure(begun.query, "INSERT INTO t VALUES(3, 'mine')")
        self.assertIn(failure.code, (Code.ABORTED, Code.FAILED_PRECONDITION))
        self.assertEqual(self.rpc.rows("SELECT a FROM t"), [])

    def test_Fault8_it_recovers_from_a_restart_by_itself(self):
        for mode in ("fast", "immediate"):
            self.assertEqual(self.rpc.rows("SELECT a FROM t"), [])
            self.postgres.stop(mode)
            failure = self.failure(self.rpc.query, "SELECT a FROM t")
            self.assertIn(failure.code, (Code.UNAVAILABLE, Code.UNKNOWN))
            self.postgres.start()

            def answers():
                try:
                    return self.rpc.rows("SELECT a FROM t") == []
                except rpc.grpc.RpcError:
                    return False
            harness.wait_for(answers, 20, "it answers again")

    def test_Fault16_a_wrong_password_is_told_without_it(self):
        with harness.start_postgres(password="right") as locked:
            url = locked.url("postgres", password="S3cr3t-wrong")
            client = self.client(self.start("--egress-ports", str(locked.port)))
            request = rpc.connection_pb2.RegisterConnectionRequest(url=url, name="locked")
            failure = self.assert_fails(Code.FAILED_PRECONDITION, client.connections.RegisterConnection, request,
                                        reason="BACKEND_AUTH_FAILED", executed="no")
            self.assertNotIn("S3cr3t", repr(failure))

    def test_Fault32_a_call_that_is_cancelled_ends_its_statement(self):
        call = self.begin_call("SELECT pg_sleep(30), 32")
        harness.wait_for(self.sleeps_alone, 10, "it runs on a connection of its own")
        call.cancel()
        harness.wait_for(lambda: not self.sleeps(), 10, "it is ended")
        for n in range(50):
            self.assertEqual(self.rpc.rows("SELECT $1::int", n), [(n,)])

    def test_Fault35_a_deadline_ends_a_statement_and_its_transaction(self):
        begun = transactions.begin_with(self.rpc, "INSERT INTO t VALUES(1, 'mine')")
        begin = time.monotonic()
        self.assert_fails(Code.DEADLINE_EXCEEDED, begun.query, "SELECT pg_sleep(30)", timeout=0.5)
        self.assertLess(time.monotonic() - begin, 5)
        harness.wait_for(lambda: not self.sleeps(), 10, "it is ended")
        self.assertEqual(self.rpc.rows("SELECT a FROM t"), [])

    def test_Fault49_a_failure_is_only_its_own_callers(self):
        def ask(n, failures):
            for i in range(200):
                if n % 4 == 0:
                    code = self.failure(self.rpc.query, "SELECT 1 / ($1::int - $1::int)", i).code
                    if code != Code.INVALID_ARGUMENT:
                        failures.append(code)
                elif self.rpc.rows("SELECT $1::int", n * 1000 + i) != [(n * 1000 + i,)]:
                    failures.append((n, i))
        failures = []
        threads = [threading.Thread(target=ask, args=(n, failures)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])


if __name__ == "__main__":
    harness.main()
