"""Connections that callers register and close, and what becomes of them when the server ends."""
import os
import re
import sqlite3
import contextlib

import harness
import rpc
from rpc import Code, connection_pb2, health_pb2, monitoring_pb2

ENDLESS = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT count(*) FROM s"
TARGET = "CONNECTION_INVALID_TARGET"


class RegistryTest(rpc.TestCase):
    def register(self, client, url, **fields):
        request = connection_pb2.RegisterConnectionRequest(url=url, **fields)
        return client.connections.RegisterConnection(request, timeout=harness.CALL_SECONDS)

    def close(self, client, id, seconds=10):
        request = connection_pb2.CloseConnectionRequest(connection_id=id)
        request.drain_timeout.seconds = seconds
        return client.connections.CloseConnection(request, timeout=harness.CALL_SECONDS)

    def names(self, client):
        listed = client.connections.ListConnections(connection_pb2.ListConnectionsRequest(), timeout=5)
        return [connection.name for connection in listed.connections]

    def status_of(self, client, name):
        try:
            return client.health.Check(health_pb2.HealthCheckRequest(service=f"connections/{name}"), timeout=5).status
        except rpc.grpc.RpcError as error:
            self.assertEqual(error.code(), Code.NOT_FOUND)
            return None

    def assert_gone(self, client, id):
        self.assert_fails(Code.NOT_FOUND, client.query, "SELECT 1", connection_id=id, reason="CONNECTION_NOT_FOUND",
                          executed="no")

    def test_a_registered_file_is_a_database_of_its_own_until_it_is_closed(self):
        server = self.start()
        client = self.client(server)
        made = self.register(client, "sqlite:///shop.db", name="shop")
        id = made.connection_id
        client.query("CREATE TABLE t(a)", connection_id=id)
        client.query("INSERT INTO t VALUES(7)", connection_id=id)
        self.assertEqual(client.rows("SELECT a FROM t", connection_id=id), [(7,)])
        self.assert_fails(Code.INVALID_ARGUMENT, client.query, "SELECT a FROM t", reason="SQL_ERROR")
        self.assertEqual(self.names(client), ["default", "shop"])
        self.assertEqual(self.status_of(client, "shop"), health_pb2.HealthCheckResponse.SERVING)
        path = server.data_dir / "databases/shop.db"
        self.assertEqual(made.connection.target, str(path))
        self.assertEqual(os.stat(path.parent).st_mode & 0o777, 0o700)

        closed = self.close(client, id)
        self.assertEqual((closed.drained, closed.database_closed), (True, True))
        self.assert_gone(client, id)
        self.assert_fails(Code.NOT_FOUND, self.close, client, id, reason="CONNECTION_NOT_FOUND")
        self.assertEqual(self.names(client), ["default"])
        self.assertIsNone(self.status_of(client, "shop"))
        with contextlib.closing(sqlite3.connect(path)) as database:  # nobody holds it any more
            database.execute("INSERT INTO t VALUES(8)")
            database.commit()
        self.assertEqual([entry.name for entry in path.parent.iterdir()], ["shop.db"])

    def test_a_read_only_connection_shares_the_file_and_writes_nothing(self):
        client = self.client(self.start())
        writer = self.register(client, "sqlite:///shop.db").connection_id
        reader = self.register(client, "sqlite:///shop.db", read_only=True).connection_id
        client.query("CREATE TABLE t(a)", connection_id=writer)
        self.assertEqual(client.rows("SELECT count(*) FROM t", connection_id=reader), [(0,)])
        self.assert_fails(Code.PERMISSION_DENIED, client.query, "INSERT INTO t VALUES(1)", connection_id=reader,
                          reason="READ_ONLY_VIOLATION", executed="no")
        closed = self.close(client, reader)
        self.assertEqual((closed.drained, closed.database_closed), (True, False))
        client.query("INSERT INTO t VALUES(1)", connection_id=writer)

    def test_a_close_does_not_cut_off_a_call(self):
        client = self.client(self.start())
        id = self.register(client, "sqlite:///shop.db").connection_id
        running = client.queries.Query.future(
            rpc.query_pb2.QueryRequest(connection_id=id, sql=ENDLESS), timeout=harness.CALL_SECONDS)
        harness.wait_for(lambda: self.active(client, id), 10, "the statement runs")
        closed = self.close(client, id, seconds=0)
        self.assertEqual((closed.drained, closed.database_closed), (False, False))
        self.assert_gone(client, id)
        self.assertFalse(running.done())
        running.cancel()
        harness.wait_for(lambda: self.reopened(client), 10, "the database closes behind the call")

    def active(self, client, id):
        health = client.monitoring.GetHealth(monitoring_pb2.GetHealthRequest(connection_id=id), timeout=5)
        return health.connections[0].active

    def reopened(self, client):
        """With other options, which needs the file to be closed."""
        try:
            return self.register(client, "sqlite:///shop.db?foreign_keys=off").connection_id
        except rpc.grpc.RpcError as error:
            self.assertEqual(error.code(), Code.FAILED_PRECONDITION)
            return None

    def test_Fault81_registrations_survive_kill_9(self):
        data_dir = self.folder / "data"
        kept, closed = {}, []
        for number in range(3):
            server = self.start(data_dir=data_dir, stop_well=False)
            client = self.client(server)
            for other, id in kept.items():
                self.assertEqual(client.rows("SELECT name FROM t", connection_id=id), [(other,)])
            for id in closed:
                self.assert_gone(client, id)
            name = f"n{number}"
            kept[name] = self.register(client, f"sqlite:///{name}.db", name=name).connection_id
            client.query("CREATE TABLE t(name)", connection_id=kept[name])
            client.query("INSERT INTO t VALUES(?1)", name, connection_id=kept[name])
            brief = self.register(client, f"sqlite:///brief{number}.db").connection_id
            private = self.register(client, "sqlite:///:memory:").connection_id
            self.close(client, brief)
            server.kill()
            closed += [brief, private]
        client = self.client(self.start(data_dir=data_dir))
        self.assertEqual(self.names(client), ["default", "n0", "n1", "n2"])
        for id in closed:
            self.assert_gone(client, id)

    def test_after_a_restart_a_broken_file_is_unhealthy_and_the_rest_serves(self):
        data_dir = self.folder / "data"
        server = self.start(data_dir=data_dir)
        client = self.client(server)
        broken = self.register(client, "sqlite:///broken.db", name="broken").connection_id
        well = self.register(client, "sqlite:///well.db", name="well").connection_id
        client.query("CREATE TABLE t(a)", connection_id=broken)
        self.assertEqual(server.terminate(), 0)
        (data_dir / "databases/broken.db").write_bytes(b"no database at all" * 500)

        client = self.client(self.start(data_dir=data_dir))
        serving = health_pb2.HealthCheckResponse
        harness.wait_for(lambda: self.status_of(client, "broken") == serving.NOT_SERVING, 10, "it is found broken")
        harness.wait_for(lambda: self.status_of(client, "well") == serving.SERVING, 10, "the other one is well")
        self.assert_fails(Code.DATA_LOSS, client.query, "SELECT 1", connection_id=broken, reason="DATABASE_CORRUPT",
                          executed="no")
        self.assertEqual(client.rows("SELECT 1", connection_id=well), [(1,)])
        self.assertTrue(self.close(client, broken).drained)

    def test_a_page_token_survives_a_restart_and_is_good_on_its_own_server_only(self):
        def page(client, token):
            request = connection_pb2.ListConnectionsRequest(page_size=1, page_token=token)
            return client.connections.ListConnections(request, timeout=5)

        data_dir = self.folder / "data"
        server = self.start(data_dir=data_dir)
        client = self.client(server)
        self.register(client, "sqlite:///shop.db", name="shop")
        token = page(client, "").page.next_page_token
        other = self.client(self.start())
        self.assert_fails(Code.INVALID_ARGUMENT, page, other, token, reason="PARAMETER_INVALID")
        self.assertEqual(server.terminate(), 0)
        client = self.client(self.start(data_dir=data_dir))
        self.assertEqual([connection.name for connection in page(client, token).connections], ["shop"])

    def test_Fault65_no_file_of_an_open_database_can_be_registered(self):
        # The operator's folder holds the default database and the server's own files, too.
        data_dir = self.folder / "data"
        server = self.start("--sqlite-root", str(data_dir), data_dir=data_dir)
        client = self.client(server)
        client.query("CREATE TABLE t(a)")
        os.symlink(server.database, data_dir / "symbolic.db")
        locks = self.locks(server)
        self.assertGreater(len(locks), 1, "/proc/locks")
        for name in ("sluice.db-wal", "sluice.db-shm", "sluice.db.sluice-lock", "sluiced.lock", "registry.db",
                     "registry.db-wal", "symbolic.db", "../data/sluice.db"):
            self.assert_refused(client, f"sqlite:///{name}")
        os.link(server.database, data_dir / "hard.db")
        self.assert_refused(client, "sqlite:///hard.db")
        os.unlink(data_dir / "hard.db")
        self.assertEqual(self.locks(server), locks)
        with contextlib.closing(sqlite3.connect(server.database, timeout=0)) as intruder:
            with self.assertRaisesRegex(sqlite3.OperationalError, "locked"):
                intruder.execute("PRAGMA locking_mode=EXCLUSIVE")
                intruder.execute("PRAGMA journal_mode=DELETE")
                intruder.execute("BEGIN EXCLUSIVE")
        client.query("INSERT INTO t VALUES(1)")

    def locks(self, server):
        """The locks that the server holds on its default database, from the kernel."""
        inodes = {str(os.stat(f"{server.database}{end}").st_ino) for end in ("", "-shm")}
        with open("/proc/locks", encoding="ascii") as lines:
            found = (re.match(r"\d+: (?:-> )?(\w+ +\w+ +\w+) (\d+) \w+:\w+:(\d+) (\d+) (\w+)", line)
                     for line in lines)
            return sorted(match.groups() for match in found
                          if match and match[2] == str(server.pid) and match[3] in inodes)

    def assert_refused(self, client, url):
        failure = self.assert_fails(Code.PERMISSION_DENIED, self.register, client, url, reason=TARGET, executed="no")
        self.assertNotIn(str(self.folder), failure.message)

    def test_Fault92_no_url_leads_out_of_the_folder(self):
        server = self.start()
        client = self.client(server)
        self.register(client, "sqlite:///a.db")
        root = server.data_dir / "databases"
        outside = harness.make_database(self.folder / "outside.db", "CREATE TABLE t(a)")
        os.symlink(self.folder, root / "way")
        os.mkfifo(root / "fifo.db")
        for url in ("sqlite:///../sluice.db", "sqlite:///%2e%2e/sluice.db", f"sqlite:///{outside}",
                    "sqlite:////etc/passwd", "sqlite:////proc/self/exe", "sqlite:////dev/null",
                    "sqlite:///way/outside.db", "sqlite:///fifo.db", f"sqlite:///{root}/../registry.db"):
            self.assert_refused(client, url)

    def test_neither_logs_nor_files_hold_an_id(self):
        server = self.start("--log-level", "debug", "--log-sql", "true")
        client = self.client(server)
        id = self.register(client, "sqlite:///shop.db", name="shop").connection_id
        client.query("SELECT 1", connection_id=id)
        self.assert_fails(Code.INVALID_ARGUMENT, client.query, "SELEC 1", connection_id=id)
        self.close(client, id)
        self.assert_gone(client, id)
        events = [line for line in server.log() if line.get("name") == "shop" or "shop" in str(line)]
        self.assertTrue(events, "registering and closing are logged")
        self.assertEqual(server.terminate(), 0)
        self.assertNotIn(id, server.errors() + server.output())
        for path in server.data_dir.rglob("*"):
            if path.is_file():
                self.assertNotIn(id.encode(), path.read_bytes(), path)

    def test_a_refused_url_of_postgresql_is_not_repeated(self):
        server = self.start()
        client = self.client(server)
        failure = self.assert_fails(Code.PERMISSION_DENIED, self.register, client,
                                    "postgresql://user:S3cr3t@127.0.0.1:22/db", reason="EGRESS_DENIED", executed="no")
        for secret in ("S3cr3t", "user:"):
            self.assertNotIn(secret, repr(failure))
            self.assertNotIn(secret, server.errors())

    def test_a_registry_of_a_newer_server_stops_the_start_with_one_sentence(self):
        server = self.start()
        self.assertEqual(server.terminate(), 0)
        with contextlib.closing(sqlite3.connect(server.data_dir / "registry.db")) as registry:
            registry.execute("INSERT INTO migration VALUES(99)")
            registry.commit()
        later = harness.Server(self.folder, data_dir=server.data_dir)
        self.addCleanup(later.kill)
        self.assertEqual(later.await_exit(harness.START_SECONDS), 1)
        self.assertRegex(later.errors(), r"(?m)^sluiced: .*newer sluiced \(its version is 99")


if __name__ == "__main__":
    harness.main()
