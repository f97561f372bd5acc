"""Beginnings and ends of the process: a second instance, SIGTERM under load, a second SIGTERM, kill -9."""
import contextlib
import json
import signal
import sqlite3
import subprocess
import threading
import time

import harness
import rpc
from rpc import Code, health_pb2, query_pb2

SERIES = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {}) SELECT n, hex(n) FROM s"
ENDLESS = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT {} FROM s"


class SecondInstanceTest(rpc.TestCase):
    def assert_refused(self, words, **options):
        server = harness.Server(self.folder, **options)
        self.addCleanup(server.kill)
        self.assertEqual(server.await_exit(harness.START_SECONDS), 1)
        self.assertEqual(server.output(), "")
        self.assertRegex(server.errors(), rf"(?m)^sluiced: .*{words}")

    def assert_goes_on(self, server):
        self.assertEqual(self.client(server).rows("SELECT 1"), [(1,)])

    def test_Fault78_a_second_server_on_the_port_ends_with_a_clear_word(self):
        first = self.start()
        self.assert_refused("in use.*--listen", listen=first.address)
        self.assert_goes_on(first)

    def test_Fault78_a_second_server_on_the_folder_ends_with_a_clear_word(self):
        first = self.start()
        self.assert_refused("in use.*--data-dir", data_dir=first.data_dir)
        self.assert_goes_on(first)

    def test_Fault78_a_second_server_on_the_database_ends_with_a_clear_word(self):
        first = self.start()
        self.assert_refused(f"process {first.pid}", database=first.database)
        self.assert_goes_on(first)

    def test_Fault78_a_second_server_on_the_unix_socket_ends_with_a_clear_word(self):
        first = self.start(listen=f"unix:{self.folder}/s.sock")
        self.assert_refused("in use", listen=first.address)
        self.assert_goes_on(first)

    def test_Fault78_a_socket_that_a_killed_server_left_is_no_second_instance(self):
        first = self.start(listen=f"unix:{self.folder}/s.sock")
        first.kill()
        again = self.start(listen=first.address, data_dir=first.data_dir)
        self.assert_goes_on(again)


class Load:
    """Writes and reads from many clients, and what each of them was told."""

    def __init__(self, test, server):
        self.test, self.server = test, server
        self.lock = threading.Lock()
        self.writes, self.others, self.node_lines = {}, [], []
        self.stop = threading.Event()
        node = harness.node_client("load.mjs")
        self.node = subprocess.Popen([*node, server.address, "node"], stdout=subprocess.PIPE, text=True)
        work = [(self.python_writes, 0), (self.python_writes, 1), (self.python_reads,), (self.python_streams,),
                (self.tool_writes,), (self.tool_streams,), (self.node_reads,)]
        self.threads = [threading.Thread(target=target, args=arguments) for target, *arguments in work]
        for thread in self.threads:
            thread.start()

    def acknowledged(self, name):
        with self.lock:
            return sum(id.startswith(name) and outcome[0] == "OK" for id, outcome in self.writes.items())

    def join(self):
        for thread in self.threads:
            thread.join(harness.STOP_SECONDS)
            self.test.assertFalse(thread.is_alive(), "a client hangs")
        self.node.wait(harness.STOP_SECONDS)
        self.node.stdout.close()

    def note(self, id, code, executed, words):
        with self.lock:
            if id:
                self.writes[id] = (code, executed, words)
            else:
                self.others.append((code, executed, words))

    def attempt(self, id, call):
        try:
            call()
        except rpc.grpc.RpcError as error:
            failure = rpc.Failure(error)
            self.note(id, failure.code.name, failure.executed, repr(failure))
            return False
        self.note(id, "OK", "", "")
        return True

    def python_writes(self, worker):
        with rpc.Client(self.server.address) as client:
            for n in range(1_000_000):
                id = f"python-{worker}-{n}"
                if not self.attempt(id, lambda: client.query("INSERT INTO t VALUES(?1)", id)):
                    return

    def python_reads(self):
        with rpc.Client(self.server.address) as client:
            while self.attempt(None, lambda: client.rows("SELECT count(*) FROM t WHERE id = ?1", "none")):
                pass

    def python_streams(self):
        with rpc.Client(self.server.address) as client:
            while self.attempt(None, lambda: self.read_all(client)):
                pass

    @staticmethod
    def read_all(client):
        count = sum(1 for _ in rpc.joined(client.stream(SERIES.format(20_000))))
        assert count == 20_000, count

    def tool_writes(self):
        for n in range(1_000_000):
            id = f"tool-{n}"
            done = self.run("query", "INSERT INTO t VALUES(?1)", "-p", f"text:{id}")
            self.note(id, self.tool_code(done), "", done.stderr)
            if done.returncode:
                return

    def tool_streams(self):
        while True:
            done = self.run("query", "--read-only", "--stream", "-o", "csv", SERIES.format(20_000))
            code = self.tool_code(done)
            if code == "OK" and done.stdout.count("\n") != 20_001:
                code = "cut short"
            self.note(None, code, "", done.stderr)
            if done.returncode:
                return

    @staticmethod
    def tool_code(done):
        """The tool's exit codes say what became of a statement: 3 is certainly not executed."""
        if done.returncode == 1 and "code: ABORTED" in done.stderr:
            return "ABORTED"
        return {0: "OK", 3: "UNAVAILABLE", 4: "UNKNOWN"}.get(done.returncode, f"exit {done.returncode}")

    def run(self, *arguments):
        return subprocess.run([str(harness.BIN / "sluice"), "--server", self.server.address, *arguments],
                              capture_output=True, text=True, check=False, timeout=harness.STOP_SECONDS,
                              stdin=subprocess.DEVNULL, env=harness.clean_environment())

    def node_reads(self):
        names = {number: code.name for code in Code for number in code.value[:1]}
        for line in self.node.stdout:
            outcome = json.loads(line)
            code = names[outcome["code"]]
            if outcome.get("stream") and code == "OK" and not (outcome["last"] and outcome["count"] == 50_000):
                code = "cut short"
            self.note(outcome.get("id"), code, outcome.get("executed", ""), line)


class ShutdownTest(rpc.TestCase):
    def ids(self, server):
        with contextlib.closing(sqlite3.connect(server.database)) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchone(), ("ok",))
            return {id for id, in database.execute("SELECT id FROM t")}

    def test_Fault79_sigterm_under_load_answers_every_call_honestly(self):
        unknown = []
        for number in range(100 if harness.NIGHTLY else 8 if not harness.SANITIZED else 2):
            with self.subTest(round=number):
                server = self.start()
                self.client(server).query("CREATE TABLE t(id TEXT PRIMARY KEY)")
                load = Load(self, server)
                try:
                    for name in ("python-0", "python-1", "node", "tool"):
                        harness.wait_for(lambda: load.acknowledged(name) >= 1 + number % 4, harness.CALL_SECONDS,
                                         f"{name} writes")
                finally:
                    begin = time.monotonic()
                    code = server.terminate()
                    took = time.monotonic() - begin
                    load.join()
                self.assertEqual(code, 0, server.errors()[-3000:])
                self.assertLess(took, 12 * harness.PATIENCE)
                unknown += self.judge(load, self.ids(server))
        print(f"{len(unknown)} outcomes unknown:", *unknown)

    def judge(self, load, stored):
        """Every answer is true of what is on disk; gives back those that leave it open."""
        unknown = []
        for id, (code, executed, words) in load.writes.items():
            if code == "OK":
                self.assertIn(id, stored, "acknowledged, and lost")
            elif code in ("UNAVAILABLE", "ABORTED") or executed in ("no", "rolled_back"):
                self.assertNotIn(id, stored, f"said not to be applied: {words}")
            else:
                self.assertEqual(code, "UNKNOWN", words)
                unknown.append(words)
        self.assertLessEqual(stored, set(load.writes), "written by nobody")
        for code, executed, words in load.others:
            self.assertIn(code, ("OK", "UNAVAILABLE", "ABORTED"), words)
            self.assertNotEqual(executed, "unknown", words)
        return unknown

    def test_Fault79_a_statement_that_outlasts_the_grace_is_ended_and_rolled_back(self):
        server = self.start("--shutdown-grace", "500ms")
        client = self.client(server)
        client.query("CREATE TABLE t(id)")
        calls = [client.queries.Query.future(query_pb2.QueryRequest(connection_id="default", sql=sql), timeout=60)
                 for sql in ("INSERT INTO t " + ENDLESS.format("n"), ENDLESS.format("count(*)"))]
        harness.wait_for(lambda: client.load().active == 2, 10, "both statements run")
        begin = time.monotonic()
        self.assertEqual(server.terminate(), 0)
        self.assertLess(time.monotonic() - begin, 0.5 + 2 * harness.PATIENCE)
        write, read = [rpc.Failure(call.exception()) for call in calls]
        self.assertEqual((write.code, write.reason, write.executed),
                         (Code.ABORTED, "SERVER_DRAINING", "rolled_back"), write)
        self.assertEqual((read.code, read.reason, read.executed), (Code.UNAVAILABLE, "SERVER_DRAINING", "no"), read)
        self.assertEqual(self.ids(server), set())

    def test_Fault79_new_calls_are_refused_while_the_server_drains(self):
        server = self.start("--shutdown-grace", "30s")
        client = self.client(server)
        running = self.begin_endless(client)
        server.process.send_signal(signal.SIGINT)
        self.await_draining(client)
        self.assert_fails(Code.UNAVAILABLE, client.query, "SELECT 1", reason="SERVER_DRAINING", executed="no")
        self.run_tool(server, "health", check=1)
        running.cancel()
        self.assertEqual(server.await_exit(5 * harness.PATIENCE), 0)

    def begin_endless(self, client):
        call = client.queries.Query.future(
            query_pb2.QueryRequest(connection_id="default", sql=ENDLESS.format("count(*)")), timeout=120)
        harness.wait_for(lambda: client.load().active, 10, "the statement runs")
        return call

    def await_draining(self, client):
        def draining():
            status = client.health.Check(health_pb2.HealthCheckRequest(), timeout=5).status
            return status == health_pb2.HealthCheckResponse.NOT_SERVING

        harness.wait_for(draining, 5, "the server drains")

    def test_Fault80_a_second_signal_stops_at_once(self):
        for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)):
            server = self.start("--shutdown-grace", "60s")
            client = self.client(server)
            running = self.begin_endless(client)
            server.process.send_signal(first)
            self.await_draining(client)
            self.assertIsNone(server.process.poll())
            if first == signal.SIGINT:
                harness.wait_for(lambda: '"awaits":"calls"' in server.errors(), 15 * harness.PATIENCE, "it tells why")
            begin = time.monotonic()
            server.process.send_signal(second)
            self.assertEqual(server.await_exit(10 * harness.PATIENCE), 0)
            self.assertLess(time.monotonic() - begin, 2 * harness.PATIENCE)
            failure = rpc.Failure(running.exception())
            self.assertEqual((failure.code, failure.reason, failure.executed),
                             (Code.UNAVAILABLE, "SERVER_DRAINING", "no"), failure)  # it only reads

    def test_Fault81_what_was_acknowledged_survives_kill_9(self):
        data_dir = self.folder / "data"
        acknowledged, lock = set(), threading.Lock()
        for number in range(50 if harness.NIGHTLY else 4):
            server = self.start(data_dir=data_dir)
            client = self.client(server)
            client.query("CREATE TABLE IF NOT EXISTS t(id TEXT PRIMARY KEY, filler BLOB)")

            def insert(worker, address=server.address, number=number):
                with rpc.Client(address) as own:
                    for n in range(1_000_000):
                        id = f"{number}-{worker}-{n}"
                        try:
                            own.query("INSERT INTO t VALUES(?1, zeroblob(?2))", id, n * 97 % 5000)
                        except rpc.grpc.RpcError:
                            return
                        with lock:
                            acknowledged.add(id)

            threads = [threading.Thread(target=insert, args=(worker,)) for worker in range(4)]
            for thread in threads:
                thread.start()
            wanted = len(acknowledged) + 40 + 30 * (number % 3)
            try:
                harness.wait_for(lambda: len(acknowledged) >= wanted, harness.CALL_SECONDS, "acknowledged rows")
            finally:
                server.kill()
                for thread in threads:
                    thread.join()
        server = self.start(data_dir=data_dir)
        client = self.client(server)
        stored = {id for id, in client.stream_rows("SELECT id FROM t")}
        self.assertLessEqual(acknowledged, stored)
        client.query("INSERT INTO t VALUES('after', NULL)")
        self.run_tool(server, "health", check=0)
        self.assertEqual(server.terminate(), 0)
        self.assertEqual(self.ids(server), stored | {"after"})


if __name__ == "__main__":
    harness.main()
