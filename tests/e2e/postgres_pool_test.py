"""What operators and callers do with a PostgreSQL database beside SQL: the table for request ids, and a look at its pool."""
import json
import threading
import uuid

import harness
import rpc
from rpc import Code, connection_pb2, monitoring_pb2, transaction_pb2
from transactions import inline


class PostgresPoolTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        self.postgres = self.enterContext(harness.start_postgres())
        self.postgres.create_database("shop")
        url = self.postgres.url("shop") + "?pool_max=3&pool_overflow=1&commit_grace=7s"
        self.server = self.start("--egress-ports", "", database=url)
        self.rpc = self.client(self.server)
        self.rpc.query("CREATE TABLE t(a int PRIMARY KEY)")

    def pool(self, connection_id="default"):
        request = monitoring_pb2.GetPoolStatsRequest(connection_id=connection_id)
        return self.rpc.monitoring.GetPoolStats(request, timeout=harness.CALL_SECONDS).connections[0].pool

    def insert(self, key, connection_id="default"):
        return self.rpc.query("INSERT INTO t VALUES(1)", request_id=key, connection_id=connection_id)

    def keep(self, connection_id="default"):
        self.rpc.connections.KeepRequests(connection_pb2.KeepRequestsRequest(connection_id=connection_id))

    def test_request_ids_need_a_table_which_a_call_makes(self):
        key = str(uuid.uuid4())
        failure = self.assert_fails(Code.FAILED_PRECONDITION, self.insert, key, reason="REQUEST_LOG_MISSING", executed="no")
        self.assertIn("KeepRequests", failure.message)
        self.keep()
        self.keep()
        self.assertEqual([self.insert(key).rows_affected for _ in range(2)], [1, 1])

    def test_what_is_too_old_to_be_answered_again_is_deleted(self):
        self.keep()
        self.postgres.psql("INSERT INTO sluice_request SELECT '\\x00', int8send(n), 0, '\\x00', NULL, true, "
                           "now() - interval '25 hours' FROM generate_series(1, 2500) AS n; "
                           "INSERT INTO sluice_request VALUES('\\x01', '\\x01', 0, '\\x00', NULL, true, "
                           "now() - interval '23 hours')", database="shop")
        self.insert(str(uuid.uuid4()))
        harness.wait_for(lambda: self.postgres.psql("SELECT count(*) FROM sluice_request", database="shop") == "2", 10,
                         "only what may be asked for is there")

    def test_many_may_ask_for_the_table_at_once(self):
        failures = []

        def ask():
            with rpc.Client(self.server.address) as client:
                try:
                    client.connections.KeepRequests(connection_pb2.KeepRequestsRequest(connection_id="default"), timeout=60)
                except rpc.grpc.RpcError as error:
                    failures.append(error.details())

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_it_can_be_made_with_the_registration(self):
        url = self.postgres.url("shop")
        for fields, code in (({"read_only": True}, Code.PERMISSION_DENIED), ({}, None)):
            request = connection_pb2.RegisterConnectionRequest(url=url, name="shop", keep_requests=True, **fields)
            if code:
                self.assert_fails(code, self.rpc.connections.RegisterConnection, request, reason="READ_ONLY_VIOLATION")
            else:
                id = self.rpc.connections.RegisterConnection(request).connection_id
        self.assertEqual(self.insert(str(uuid.uuid4()), id).rows_affected, 1)

    def test_one_that_is_read_only_makes_none(self):
        request = connection_pb2.RegisterConnectionRequest(url=self.postgres.url("shop"), read_only=True)
        id = self.rpc.connections.RegisterConnection(request).connection_id
        self.assert_fails(Code.PERMISSION_DENIED, self.keep, id, reason="READ_ONLY_VIOLATION", executed="no")
        self.assert_fails(Code.NOT_FOUND, self.keep, "nowhere", reason="CONNECTION_NOT_FOUND")

    def test_the_tool_makes_it_and_shows_the_pool(self):
        self.run_tool(self.server, "connections", "keep-requests", check=0)
        self.assertEqual(self.insert(str(uuid.uuid4())).rows_affected, 1)
        stats = self.run_tool(self.server, "stats", "-o", "json", check=0)
        shown = json.loads(stats.stdout)["connections"][0]
        self.assertEqual(shown["name"], "default")
        self.assertIn("pool", shown)
        self.assertIn(b"breaker", self.run_tool(self.server, "stats", "-o", "csv", check=0).stdout)

    def test_a_statement_is_explained_by_running_it(self):
        shown = self.run_tool(self.server, "-o", "table", "explain", "--analyze",
                              "INSERT INTO t SELECT generate_series(1, 10)", check=0)
        self.assertIn(b"rolled back", shown.stderr)
        self.assertEqual(self.rpc.rows("SELECT count(*) FROM t"), [(0,)])

    def test_the_limits_are_those_of_the_target(self):
        limits = self.pool().limits
        self.assertEqual((limits.min, limits.max, limits.overflow, limits.lanes, limits.commit_grace.seconds,
                          limits.waiters, limits.strict_hygiene), (0, 3, 1, 2, 7, 1024, False))

    def test_every_number_can_be_said_of_a_connection(self):
        options = {"pool_min": "1", "pool_max": "4", "pool_overflow": "2", "pool_waiters": "3", "pool_acquire_timeout": "2s",
                   "pool_idle_timeout": "9s", "pool_recycle": "1h", "pool_pre_ping": "0s", "lanes": "1",
                   "lane_allowance": "100ms", "commit_grace": "11s", "session_hygiene": "strict", "statement_cache": "9"}
        url = self.postgres.url("shop") + "?" + "&".join(f"{name}={value}" for name, value in options.items())
        id = self.rpc.connections.RegisterConnection(connection_pb2.RegisterConnectionRequest(url=url)).connection_id
        limits = self.pool(id).limits
        self.assertEqual((limits.min, limits.max, limits.overflow, limits.waiters, limits.lanes), (1, 4, 2, 3, 1))
        self.assertEqual((limits.acquire_timeout.seconds, limits.idle_timeout.seconds, limits.recycle.seconds,
                          limits.pre_ping.seconds, limits.lane_allowance.nanos, limits.commit_grace.seconds),
                         (2, 9, 3600, 0, 100_000_000, 11))
        self.assertTrue(limits.strict_hygiene)

    def test_a_transaction_that_has_a_connection_is_shown(self):
        begun = self.rpc.query("INSERT INTO t VALUES(42)", transaction=inline()).transaction
        pool = self.pool()
        self.assertEqual(pool.leased, 1)
        holder, = pool.holders
        self.assertEqual((holder.transaction, holder.busy, holder.statement),
                         (begun.handle, False, "insert into t values (?)"))
        self.assertRegex(holder.caller, "127.0.0.1")
        self.assertGreaterEqual(pool.open, pool.leased)
        self.assertGreaterEqual(pool.connects, pool.open)
        self.rpc.transactions.RollbackTransaction(
            transaction_pb2.RollbackTransactionRequest(transaction_id=begun.transaction_id))
        self.assertEqual(list(self.pool().holders), [])

    def test_a_server_that_is_gone_shows_as_an_open_breaker(self):
        self.assertFalse(self.pool().breaker_open)
        self.postgres.stop("immediate")
        self.failure(self.rpc.query, "SELECT 1", timeout=20)
        harness.wait_for(lambda: self.failure(self.rpc.query, "SELECT 1", timeout=20) and self.pool().breaker_open, 20,
                         "an attempt to connect has failed")
        pool = self.pool()
        self.assertGreater(pool.connects_failed, 0)
        self.assertIn(pool.last_failure, ("BACKEND_LOST", "BACKEND_STARTING"))
        self.postgres.start()
        harness.wait_for(lambda: self.try_once() and not self.pool().breaker_open, 30, "it is closed again")

    def try_once(self):
        try:
            return self.rpc.query("SELECT 1", timeout=5)
        except rpc.grpc.RpcError:
            return None


if __name__ == "__main__":
    harness.main()
