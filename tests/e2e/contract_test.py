"""The contract as clients meet it: reflection, health, details of errors, fields that are not built yet."""
import json
import subprocess
import threading

import harness
import rpc
from rpc import (Code, common_pb2, connection_pb2, health_pb2, monitoring_pb2, query_pb2, transaction_pb2,
                 value_pb2)

SERVICES = ["grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection", "sluice.v1.ConnectionService",
            "sluice.v1.MonitoringService", "sluice.v1.QueryService", "sluice.v1.SchemaService",
            "sluice.v1.TransactionService"]


class ReflectionTest(rpc.TestCase):
    def buf_curl(self, server, *arguments):
        done = subprocess.run([harness.buf(), "curl", "--http2-prior-knowledge", "--protocol", "grpc", *arguments[:-1],
                               f"http://{server.address}{arguments[-1]}"], capture_output=True, text=True, check=False,
                              timeout=harness.CALL_SECONDS, env=harness.clean_environment())
        return done

    def test_every_service_is_listed_and_health_resolves(self):
        server = self.start()
        listed = self.buf_curl(server, "--list-services", "")
        self.assertEqual(listed.stdout.split(), SERVICES, listed.stderr)
        methods = self.buf_curl(server, "--list-methods", "")
        self.assertIn("grpc.health.v1.Health/Check", methods.stdout.split(), methods.stderr)
        self.assertIn("sluice.v1.QueryService/StreamQuery", methods.stdout.split())
        self.assertIn("sluice.v1.TransactionService/Interact", methods.stdout.split())
        check = self.buf_curl(server, "-d", "{}", "/grpc.health.v1.Health/Check")
        self.assertEqual(json.loads(check.stdout or "null"), {"status": "SERVING"}, check.stderr)

    def test_reflection_can_be_turned_off(self):
        server = self.start("--reflection", "off")
        self.assertNotEqual(self.buf_curl(server, "--list-services", "").returncode, 0)
        self.assertEqual(self.client(server).rows("SELECT 1"), [(1,)])


class HealthTest(rpc.TestCase):
    def test_check_knows_the_process_the_services_and_the_databases(self):
        client = self.client(self.start())
        names = ["", "sluice.v1.QueryService", "sluice.v1.ConnectionService", "sluice.v1.MonitoringService",
                 "connections/default"]

        def status(name):
            return client.health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5).status

        # A database's state is known once it was first asked.
        harness.wait_for(lambda: self._known(client, names[-1]), 5, names[-1])
        for name in names:
            self.assertEqual(status(name), health_pb2.HealthCheckResponse.SERVING, name)
        self.assert_fails(Code.NOT_FOUND, client.health.Check, health_pb2.HealthCheckRequest(service="nothing"))

    def _known(self, client, name):
        try:
            return client.health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
        except rpc.grpc.RpcError:
            return None

    def test_watch_says_when_the_server_drains(self):
        server = self.start()
        client = self.client(server)
        watch = client.health.Watch(health_pb2.HealthCheckRequest(), timeout=harness.STOP_SECONDS)
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.SERVING)
        server.process.terminate()
        seen = []
        try:
            for response in watch:
                seen.append(response.status)
        except rpc.grpc.RpcError as error:
            self.assertEqual(error.code(), Code.UNAVAILABLE)
        self.assertEqual(seen, [health_pb2.HealthCheckResponse.NOT_SERVING])
        self.assertEqual(server.await_exit(), 0)

    def test_watch_of_an_unknown_service_stays_open(self):
        client = self.client(self.start())
        watch = client.health.Watch(health_pb2.HealthCheckRequest(service="nothing"), timeout=5)
        self.assertEqual(next(watch).status, health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        watch.cancel()


class ErrorDetailsTest(rpc.TestCase):
    SQL = "SELECT 'é😀', frm FROM sqlite_schema"
    POSITION = 14

    def test_python_decodes_reason_executed_and_position(self):
        client = self.client(self.start())
        for call in (client.query, client.stream):
            failure = self.assert_fails(Code.INVALID_ARGUMENT, call, self.SQL, reason="SQL_ERROR", executed="no")
            self.assertEqual(failure.info.domain, "sluice")
            self.assertEqual(failure.info.metadata["sqlstate"], "42703")
            self.assertEqual(failure.sql.position, self.POSITION)
            self.assertEqual(failure.sql.engine, "sqlite")
            self.assertEqual(failure.sql.engine_code, "SQLITE_ERROR")
            self.assertTrue(failure.request_id.request_id.startswith("req_"))
            self.assertIn("frm", failure.message)

    def test_node_decodes_reason_executed_and_position(self):
        server = self.start()
        command = [*harness.node_client("query.mjs"), server.address]
        lines = "\n".join(json.dumps({"sql": self.SQL, "stream": stream}) for stream in (False, True))
        done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True,
                              timeout=harness.CALL_SECONDS)
        answers = [json.loads(line)["error"] for line in done.stdout.splitlines()]
        self.assertEqual(len(answers), 2)
        for error in answers:
            self.assertEqual(error["code"], 3)
            self.assertEqual(error["ErrorInfo"]["reason"], "SQL_ERROR")
            self.assertEqual(error["ErrorInfo"]["metadata"]["executed"], "no")
            self.assertEqual(error["SqlDiagnostic"]["position"], self.POSITION)

    def test_a_broken_constraint_names_it_and_is_rolled_back(self):
        client = self.client(self.start())
        client.query("CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL)")
        client.query("INSERT INTO person(name) VALUES('Ada')")
        failure = self.assert_fails(Code.ALREADY_EXISTS, client.query, "INSERT INTO person(name) VALUES('Ada')",
                                    executed="rolled_back")
        self.assertEqual((failure.sql.table, failure.sql.column), ("person", "name"))
        self.assertEqual(failure.sql.engine_code, "SQLITE_CONSTRAINT_UNIQUE")
        self.assertNotIn("Ada", failure.message)

    def test_a_parameter_that_is_missing_names_its_field(self):
        client = self.client(self.start())
        failure = self.assert_fails(Code.INVALID_ARGUMENT, client.query, "SELECT ?1, ?2", 1, reason="PARAMETER_INVALID",
                                    executed="no")
        self.assertIn("params", failure.fields.field_violations[0].field)

    def test_an_unknown_connection_is_not_found(self):
        client = self.client(self.start())
        for call in (client.query, client.stream):
            self.assert_fails(Code.NOT_FOUND, call, "SELECT 1", connection_id="conn_nothing",
                              reason="CONNECTION_NOT_FOUND", executed="no")
        self.assert_fails(Code.NOT_FOUND, client.connections.GetConnection,
                          connection_pb2.GetConnectionRequest(connection_id="conn_nothing"),
                          reason="CONNECTION_NOT_FOUND")

    def test_details_stay_small_however_long_the_words(self):
        client = self.client(self.start())
        failure = self.assert_fails(Code.INVALID_ARGUMENT, client.query, f"SELECT {'x' * 100_000}")
        self.assertLessEqual(failure.detail_bytes, 4096)
        self.assertEqual(failure.reason, "SQL_ERROR")


class UnbuiltFieldsTest(rpc.TestCase):
    FIELDS = {
        "session": common_pb2.SessionOptions(time_zone="Europe/Paris"),
    }

    def test_each_field_that_is_set_but_not_built_is_refused_and_nothing_runs(self):
        client = self.client(self.start())
        client.query("CREATE TABLE t(a)")
        for name, value in self.FIELDS.items():
            for call in (client.query, client.stream):
                with self.subTest(field=name, call=call.__name__):
                    failure = self.assert_fails(Code.UNIMPLEMENTED, call, "INSERT INTO t VALUES(1)", **{name: value},
                                                reason="FIELD_NOT_IMPLEMENTED", executed="no")
                    self.assertIn(name, failure.message)
        self.assertEqual(client.rows("SELECT count(*) FROM t"), [(0,)])

    def test_each_method_that_takes_a_session_refuses_it(self):
        client, session = self.client(self.start()), self.FIELDS["session"]
        client.query("CREATE TABLE t(a)")
        step = query_pb2.BatchStep(sql="INSERT INTO t VALUES(1)")
        row = value_pb2.Row(values=[value_pb2.Value(int64_value=1)])
        for call, request in (
                (client.queries.ExecuteBatch,
                 query_pb2.ExecuteBatchRequest(connection_id="default", steps=[step], session=session)),
                (client.queries.BulkInsert,
                 iter([query_pb2.BulkInsertRequest(connection_id="default", table="t", rows=[row], session=session)])),
                (client.transactions.BeginTransaction,
                 transaction_pb2.BeginTransactionRequest(connection_id="default", session=session))):
            self.assert_fails(Code.UNIMPLEMENTED, call, request, timeout=30, reason="FIELD_NOT_IMPLEMENTED",
                              executed="no")
        self.assertEqual(client.rows("SELECT count(*) FROM t"), [(0,)])
        listed = client.transactions.ListTransactions(transaction_pb2.ListTransactionsRequest(), timeout=30)
        self.assertEqual(listed.total_size, 0)

    def test_an_empty_message_counts_as_set(self):
        client = self.client(self.start())
        self.assert_fails(Code.UNIMPLEMENTED, client.query, "SELECT 1", session=common_pb2.SessionOptions())
        self.assert_fails(Code.INVALID_ARGUMENT, client.query, "SELECT 1",
                          transaction=common_pb2.TransactionSelector(), reason="PARAMETER_INVALID", executed="no")


class CapsTest(rpc.TestCase):
    SERIES = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {}) SELECT n FROM s"

    def test_truncated_is_a_fact(self):
        client = self.client(self.start())
        for rows, max_rows, kept, truncated in ((1000, 0, 1000, False), (1001, 0, 1000, True), (5, 5, 5, False),
                                                (6, 5, 5, True), (0, 5, 1, False)):
            response = client.query(self.SERIES.format(rows), max_rows=max_rows)
            self.assertEqual((len(response.rows), response.truncated), (kept, truncated), (rows, max_rows))
        response = client.query(self.SERIES.format(1000), max_bytes=100)
        self.assertTrue(response.truncated and 0 < len(response.rows) < 100, len(response.rows))

    def test_read_only_refuses_to_write(self):
        client = self.client(self.start())
        client.query("CREATE TABLE t(a)")
        for call in (client.query, client.stream):
            self.assert_fails(Code.PERMISSION_DENIED, call, "INSERT INTO t VALUES(1)", read_only=True,
                              reason="READ_ONLY_VIOLATION", executed="no")
        self.assertEqual(client.rows("SELECT count(*) FROM t", read_only=True), [(0,)])

    def test_values_come_back_as_they_went(self):
        client = self.client(self.start())
        values = [None, 0, -1, 2**63 - 1, -2**63, 0.1, -0.0, 1e308, 5e-324, float("inf"), float("-inf"), "", "a\0b",
                  "é😀", b"", b"\x00\xff"]
        for call in (client.rows, client.stream_rows):
            got = call("SELECT " + ", ".join(f"?{n + 1}" for n in range(len(values))), *values)
            self.assertEqual([repr(value) for value in got[0]], [repr(value) for value in values])
        self.assert_fails(Code.INVALID_ARGUMENT, client.query, "SELECT ?1", float("nan"))


class ServerInfoTest(rpc.TestCase):
    def test_limits_are_those_of_the_flags_and_the_log_is_json(self):
        server = self.start("--limits-max-rows", "7", "--command-timeout", "9s")
        client = self.client(server)
        info = client.monitoring.GetServerInfo(monitoring_pb2.GetServerInfoRequest(), timeout=5)
        self.assertEqual((info.limits.default_max_rows, info.limits.command_timeout.seconds), (7, 9))
        self.assertGreaterEqual(info.calls_in_flight, 1)
        response = client.query(CapsTest.SERIES.format(8))
        self.assertEqual((len(response.rows), response.truncated), (7, True))
        failure = self.assert_fails(Code.INVALID_ARGUMENT, client.query, "SELECT 'a secret', frm")
        line = harness.wait_for(
            lambda: next((x for x in server.log() if x.get("request_id") == failure.request_id.request_id), None), 5,
            "the failed call in the log")
        self.assertEqual((line["level"], line["reason"]), ("info", "SQL_ERROR"))
        self.assertNotIn("a secret", server.errors())

    def test_connections_are_listed_tested_and_shown_without_secrets(self):
        client = self.client(self.start())
        listed = client.connections.ListConnections(connection_pb2.ListConnectionsRequest(), timeout=5)
        self.assertEqual([connection.name for connection in listed.connections], ["default"])
        test = client.connections.TestConnection(connection_pb2.TestConnectionRequest(connection_id="default"), timeout=5)
        self.assertEqual(test.engine, connection_pb2.ENGINE_SQLITE)
        self.assert_fails(Code.INVALID_ARGUMENT, client.connections.ListConnections,
                          connection_pb2.ListConnectionsRequest(page_size=-1))

    def test_a_unix_socket_serves(self):
        server = self.start(listen=f"unix:{self.folder}/s.sock")
        self.assertEqual(self.client(server).rows("SELECT 1"), [(1,)])
        self.run_tool(server, "query", "SELECT 1", check=0)


class ParallelTest(rpc.TestCase):
    def test_answers_are_never_mixed_up(self):
        """Forty threads on four channels, each with a nonce of its own, unary and streamed."""
        server = self.start()
        clients = [self.client(server) for _ in range(4)]
        wrong = []

        def work(number):
            client = clients[number % len(clients)]
            for i in range(25):
                nonce = f"{number}-{i}"
                call = client.stream_rows if i % 5 == 0 else client.rows
                got = call("SELECT ?1, ?2", nonce, i)
                if got != [(nonce, i)]:
                    wrong.append((nonce, got))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(harness.CALL_SECONDS * 2)
            self.assertFalse(thread.is_alive(), "a client hangs")
        self.assertEqual(wrong, [])


if __name__ == "__main__":
    harness.main()
