"""What becomes of the database's file under a running server: replaced, removed, locked by others, damaged."""
import contextlib
import os
import random
import shutil
import sqlite3
import threading
import time

import harness
import rpc
from rpc import Code, common_pb2, monitoring_pb2, query_pb2

TARGET = "CONNECTION_INVALID_TARGET"
# As root, but bound by the files' modes like anyone else.
UNPRIVILEGED = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--") if os.geteuid() == 0 else ()


def read_table(path):
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return database.execute("SELECT a FROM t ORDER BY a").fetchall()


class MovedFileTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        self.server = self.start()
        self.rpc = self.client(self.server)
        self.rpc.query("CREATE TABLE t(a)")
        self.rpc.query("INSERT INTO t VALUES(1)")

    def assert_refused(self):
        """Writes at once, reads within the second in which the file is looked at again."""
        self.assert_fails(Code.FAILED_PRECONDITION, self.rpc.query, "INSERT INTO t VALUES(2)", reason=TARGET,
                          executed="no")
        for call in (self.rpc.query, self.rpc.stream):
            self.assert_fails(Code.FAILED_PRECONDITION, call, "SELECT a FROM t", reason=TARGET, executed="no")
        health = self.rpc.monitoring.GetHealth(monitoring_pb2.GetHealthRequest(), timeout=5)
        self.assertEqual(health.state, monitoring_pb2.HEALTH_STATE_UNHEALTHY)
        self.run_tool(self.server, "health", check=1)

    def test_Fault58_a_file_that_is_replaced_is_neither_read_nor_written(self):
        path, aside = self.server.database, self.folder / "aside.db"
        # Another SQLite that opened `path` while the server runs would take the journal beside it for its own and reset
        # it; so the other file is made elsewhere, and looked at elsewhere.
        other = harness.make_database(self.folder / "other.db", "CREATE TABLE t(a)", "INSERT INTO t VALUES(99)")
        os.rename(path, aside)
        os.rename(other, path)
        self.assert_refused()
        os.rename(path, other)
        self.assertEqual(read_table(other), [(99,)])
        os.rename(aside, path)
        harness.wait_for(self.works_again, 5, "the database, put back, is used again")
        self.rpc.query("INSERT INTO t VALUES(3)")
        self.assertEqual(self.rpc.rows("SELECT a FROM t ORDER BY a"), [(1,), (3,)])

    def works_again(self):
        try:
            return self.rpc.rows("SELECT min(a) FROM t") == [(1,)]
        except rpc.grpc.RpcError:
            return False

    def test_Fault58_a_file_that_is_removed_is_not_made_anew(self):
        self.server.database.unlink()
        self.assert_refused()
        self.assertFalse(self.server.database.exists())
        self.assertEqual(self.server.terminate(), 0)
        self.assertFalse(self.server.database.exists())

    def test_Fault58_a_data_folder_that_is_removed_leaves_an_honest_server(self):
        shutil.rmtree(self.server.data_dir)
        self.assert_refused()
        self.assertFalse(self.server.data_dir.exists())

    def test_Fault58_a_folder_that_becomes_read_only_loses_nothing(self):
        harness.need(not UNPRIVILEGED or shutil.which("setpriv"), "apt-get install util-linux")
        server = self.start(wrap=UNPRIVILEGED)
        client = self.client(server)
        client.query("CREATE TABLE t(a)")
        client.query("INSERT INTO t VALUES(0)")
        acknowledged = [(0,)]
        os.chmod(server.database, 0o400)
        os.chmod(server.data_dir, 0o500)
        self.addCleanup(os.chmod, server.data_dir, 0o700)
        for n in range(1, 6):  # files that are open stay so; what has to be opened is refused
            try:
                client.query("INSERT INTO t VALUES(?1)", n)
                acknowledged.append((n,))
            except rpc.grpc.RpcError as error:
                failure = rpc.Failure(error)
                self.assertEqual((failure.code, failure.executed), (Code.FAILED_PRECONDITION, "no"), failure)
            self.assertEqual(client.rows("SELECT a FROM t ORDER BY a"), acknowledged)
        server.terminate()
        os.chmod(server.data_dir, 0o700)
        self.assertEqual(read_table(server.database), acknowledged)

    def test_Fault58_a_folder_that_cannot_be_written_stops_the_start_with_a_clear_word(self):
        harness.need(not UNPRIVILEGED or shutil.which("setpriv"), "apt-get install util-linux")
        folder = self.folder / "closed"
        folder.mkdir(mode=0o500)
        harness.make_database(self.folder / "a.db", "CREATE TABLE t(a)")
        closed = self.folder / "closed2"
        closed.mkdir()
        shutil.copyfile(self.folder / "a.db", closed / "a.db")
        os.chmod(closed, 0o500)
        self.addCleanup(os.chmod, closed, 0o700)
        for options in ({"data_dir": folder}, {"database": closed / "a.db"}):
            server = harness.Server(self.folder, wrap=UNPRIVILEGED, **options)
            self.assertEqual(server.await_exit(harness.START_SECONDS), 1)
            self.assertRegex(server.errors(), r"(?m)^sluiced: .*(writ|ermission|cannot|may not)", options)


class ForeignLockTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        self.server = self.start("--sqlite-busy-timeout", "300ms")
        self.rpc = self.client(self.server)
        self.rpc.query("CREATE TABLE t(a)")

    def foreign(self):
        """A lock held by this process, which is not the server's."""
        database = sqlite3.connect(self.server.database, isolation_level=None, check_same_thread=False)
        self.enterContext(contextlib.closing(database))
        database.execute("BEGIN EXCLUSIVE")
        return database

    def test_Fault59_a_write_gives_up_after_the_busy_timeout_without_a_trace(self):
        database = self.foreign()
        begin, spent = time.monotonic(), self.cpu_seconds()
        failure = self.assert_fails(Code.UNAVAILABLE, self.rpc.query, "INSERT INTO t VALUES(1)", executed="no",
                                    retry=common_pb2.RetryOptions(max_attempts=1))
        self.assertEqual(failure.sql.engine_code, "SQLITE_BUSY")
        self.assertGreater(failure.retry.retry_delay.ToMilliseconds(), 0)
        took = time.monotonic() - begin
        self.assertGreaterEqual(took, 0.3)
        self.assertLess(took, 0.3 + 1 * harness.PATIENCE)
        if not harness.SANITIZED:
            self.assertLess(self.cpu_seconds() - spent, 0.2, "it waits, it does not spin")
        for n in range(50):  # whoever only reads is not kept waiting
            self.assertEqual(self.rpc.rows("SELECT count(*), ?1 FROM t", n, timeout=2 * harness.PATIENCE), [(0, n)])
        database.execute("COMMIT")
        self.rpc.query("INSERT INTO t VALUES(2)")
        self.assertEqual(self.rpc.rows("SELECT a FROM t"), [(2,)])

    def test_Fault59_a_write_is_tried_again_and_succeeds_once_the_lock_is_released(self):
        database = self.foreign()
        release = threading.Timer(0.8, database.execute, ["COMMIT"])
        release.start()
        try:
            retry = common_pb2.RetryOptions(max_attempts=10)
            retry.delay.FromMilliseconds(100)
            response = self.rpc.query("INSERT INTO t VALUES(1)", retry=retry)
        finally:
            release.join()
        self.assertEqual(response.rows_affected, 1)
        self.assertEqual(self.rpc.rows("SELECT a FROM t"), [(1,)])

    def test_Fault59_a_call_that_waits_for_the_lock_can_be_cancelled(self):
        self.foreign()
        call = self.rpc.queries.Query.future(query_pb2.QueryRequest(
            connection_id="default", sql="INSERT INTO t VALUES(1)", retry=common_pb2.RetryOptions(max_attempts=10)))
        harness.wait_for(lambda: self.rpc.load().queued, 5, "the write waits")
        call.cancel()
        self.await_idle(self.rpc, 1 * harness.PATIENCE)

    def cpu_seconds(self):
        fields = harness.Path(f"/proc/{self.server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class DamagedFileTest(rpc.TestCase):
    # Damage that SQL meets is DATA_LOSS; damage to the schema's own text can look like wrong SQL, and damage to lengths
    # like values that are too large. What it must never look like is success with a crash behind it.
    HONEST = {Code.DATA_LOSS, Code.FAILED_PRECONDITION, Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED,
              Code.ALREADY_EXISTS}

    def make(self):
        path = self.folder / "whole.db"
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT UNIQUE, c BLOB)")
            database.execute("CREATE INDEX t_c ON t(length(c), b)")
            database.execute("CREATE TABLE u(a, b, PRIMARY KEY(b, a)) WITHOUT ROWID")
            generator = random.Random(1)
            database.executemany("INSERT INTO t VALUES(?, ?, ?)", [
                (n, f"text {n}", generator.randbytes(generator.choice((0, 10, 300, 9000)))) for n in range(100)])
            database.executemany("INSERT INTO u VALUES(?, ?)", [(n, str(n)) for n in range(300)])
            database.commit()
        return path

    def start_or_refuse(self, path):
        """A server on the file, or None where it says that it is damaged."""
        server = harness.Server(self.folder, database=path)
        self.addCleanup(server.kill)
        try:
            return server.await_ready()
        except AssertionError:
            self.assertEqual(server.process.poll(), 1, server.errors())
            self.assertRegex(server.errors(), r"(?m)^sluiced: .*(amaged|not a SQLite|malformed|[Dd]atabase)")
            return None

    def test_Fault64_flipped_bytes_never_crash_the_server(self):
        whole = self.make().read_bytes()
        seeds = range(150) if harness.NIGHTLY else range(12)
        outcomes = set()
        for seed in seeds:
            with self.subTest(seed=seed):
                generator, data = random.Random(seed), bytearray(whole)
                pages = len(data) // 4096
                for _ in range(generator.choice((1, 5, 40))):
                    page = generator.randrange(pages)
                    within = generator.choice((12, 100, 4096))  # headers are the tender parts
                    data[page * 4096 + generator.randrange(within)] = generator.randrange(256)
                path = self.folder / f"damaged{seed}.db"
                path.write_bytes(data)
                server = self.start_or_refuse(path)
                outcomes.add("started" if server else "refused")
                if server:
                    outcomes |= self.use(server)
                    self.assertEqual(server.terminate(), 0, server.errors()[-3000:])
        self.assertLessEqual(outcomes - {"started", "refused", "OK"}, {code.name for code in self.HONEST})
        self.assertIn("started", outcomes)

    def use(self, server):
        client, seen = self.client(server), set()
        for sql in ("SELECT * FROM t", "SELECT b FROM t ORDER BY b", "SELECT count(*) FROM t WHERE length(c) = 300",
                    "SELECT sum(a), max(b) FROM u", "INSERT INTO t(b, c) VALUES('new', zeroblob(5000))",
                    "UPDATE t SET b = b || 'x' WHERE a > 50", "DELETE FROM u WHERE a % 2", "SELECT * FROM sqlite_schema"):
            for call in (client.query, client.stream):
                try:
                    list(rpc.rows_of(call(sql)) if call == client.query else call(sql))
                    seen.add("OK")
                except rpc.grpc.RpcError as error:
                    failure = rpc.Failure(error)
                    self.assertIn(failure.code, self.HONEST, f"{sql}: {failure}")
                    seen.add(failure.code.name)
        return seen

    def test_Fault64_a_damaged_table_is_data_loss_from_then_on(self):
        path = self.make()
        with contextlib.closing(sqlite3.connect(path)) as database:
            root, = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 't'").fetchone()
        data = bytearray(path.read_bytes())
        data[(root - 1) * 4096:root * 4096] = b"\x00" * 4096
        path.write_bytes(data)
        client = self.client(self.start(database=path))
        for call in (client.query, client.stream):
            failure = self.assert_fails(Code.DATA_LOSS, call, "SELECT * FROM t", reason="DATABASE_CORRUPT")
            self.assertIn("backup", failure.message)
        self.assert_fails(Code.DATA_LOSS, client.query, "INSERT INTO u VALUES(1000, 'x')", executed="no")
        health = client.monitoring.GetHealth(monitoring_pb2.GetHealthRequest(), timeout=5)
        self.assertEqual(health.state, monitoring_pb2.HEALTH_STATE_UNHEALTHY)

    def test_Fault64_what_is_no_database_is_refused_at_the_start(self):
        for number, data in enumerate((b"not a database at all\n" * 300, b"SQLite format 3\0" + b"\xff" * 5000,
                                       self.make().read_bytes()[:5000])):
            path = self.folder / f"garbage{number}.db"
            path.write_bytes(data)
            server = self.start_or_refuse(path)
            if server:  # cut short in the middle: the header is whole
                self.assertEqual(number, 2)
                self.assert_fails((Code.DATA_LOSS, Code.FAILED_PRECONDITION), self.client(server).query,
                                  "SELECT * FROM t")
                self.assertEqual(server.terminate(), 0)
            self.assertEqual(path.read_bytes()[:16], data[:16])


if __name__ == "__main__":
    harness.main()
