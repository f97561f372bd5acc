"""A request id makes a repeat safe: whatever clients repeat, at once or later, through kills of the server, each call
is applied once, and all its answers are the same but for the time they took and, in loads, `replayed`."""
import collections
import contextlib
import json
import random
import sqlite3
import subprocess
import sys
import threading

import harness
import loads
import once_client
import rpc
from rpc import Code, query_pb2

CALLS = 10_000 if not harness.SANITIZED else 1000
PROCESSES = 2
KILLS = 20


class Clients:
    """The processes of once_client.py, and how far they are."""

    def __init__(self, address):
        self.done, self.reports = collections.Counter(), {}
        self.processes = [subprocess.Popen(
            [sys.executable, "-B", str(harness.FOLDER / "once_client.py"), address,
             str(number), str(PROCESSES), str(CALLS)], stdout=subprocess.PIPE, text=True)
            for number in range(PROCESSES)]
        self.threads = [threading.Thread(target=self.follow, args=item) for item in enumerate(self.processes)]
        for thread in self.threads:
            thread.start()

    def follow(self, number, process):
        for line in process.stdout:
            if line == "done\n":
                self.done[number] += 1
            else:
                self.reports[number] = json.loads(line)

    def finished(self):
        return sum(self.done.values())

    def alive(self):
        return all(process.poll() in (None, 0) for process in self.processes)

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        for thread in self.threads:
            thread.join()
        for process in self.processes:
            process.stdout.close()


class RacingTest(rpc.TestCase):
    def restart(self):
        return self.start(data_dir=self.folder / "data", listen=f"unix:{self.folder}/s.sock")

    def test_each_call_is_applied_once_however_often_it_is_sent(self):
        server = self.restart()
        with rpc.Client(server.address) as client:
            client.query("CREATE TABLE applied(seq INTEGER PRIMARY KEY, call INTEGER, part INTEGER, token TEXT)")
            client.query("CREATE TABLE total(n INTEGER)")
            client.query("INSERT INTO total VALUES(0)")
        clients = Clients(server.address)
        self.addCleanup(clients.close)
        for kill in range(KILLS):
            wanted = CALLS * kill // KILLS + random.randrange(CALLS // KILLS)
            harness.wait_for(lambda: clients.finished() >= wanted or not clients.alive(), 120 * harness.PATIENCE,
                             f"{wanted} calls are answered")
            server.kill()
            server = self.restart()
        harness.wait_for(lambda: len(clients.reports) == PROCESSES or not clients.alive(), 120 * harness.PATIENCE,
                         "all calls are answered")
        clients.close()
        self.assertEqual(server.terminate(), 0)
        self.judge(clients.reports, server.database)

    def judge(self, reports, path):
        failures = collections.Counter()
        for report in reports.values():
            self.assertEqual(report["differences"], [])
            failures.update(report["failures"])
        self.assertEqual(sum(report["answers"] for report in reports.values()), CALLS * once_client.SENDINGS)
        print(f"{CALLS} calls, sent {once_client.SENDINGS} times each; {KILLS} kills; failures: {dict(failures)}")
        self.assertEqual(set(failures) - {"UNAVAILABLE", "CANCELLED"}, set())
        self.assertGreaterEqual(failures["UNAVAILABLE"], KILLS, "kills that no call noticed")
        with contextlib.closing(sqlite3.connect(path)) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            stored = collections.Counter(database.execute("SELECT call, part FROM applied").fetchall())
            batches = database.execute("SELECT n FROM total").fetchone()[0]
        wanted = [(call, part) for call in range(CALLS) for part in range(once_client.PARTS[once_client.kind_of(call)])]
        self.assertEqual({key: count for key, count in stored.items() if count != 1}, {}, "applied more than once")
        self.assertEqual(set(wanted) - set(stored), set(), "answered, and not applied")
        self.assertEqual(set(stored) - set(wanted), set(), "written by nobody")
        self.assertEqual(batches, sum(once_client.kind_of(call) == "batch" for call in range(CALLS)))


class ReuseTest(rpc.TestCase):
    """An id belongs to what was asked with it first."""

    def setUp(self):
        super().setUp()
        self.server = self.start(data_dir=self.folder / "data", listen=f"unix:{self.folder}/s.sock")
        self.rpc = self.client(self.server)
        self.rpc.query("CREATE TABLE t(a INTEGER)")
        self.id = once_client.request_id(0)

    def content(self):
        return [a for a, in self.rpc.rows("SELECT a FROM t ORDER BY a")]

    def batch(self, *values, **fields):
        sets = [query_pb2.ParameterSet(params=[rpc.to_value(value)]) for value in values]
        step = query_pb2.BatchStep(sql="INSERT INTO t VALUES(?1)", parameter_sets=sets)
        return self.rpc.queries.ExecuteBatch(query_pb2.ExecuteBatchRequest(
            connection_id="default", steps=[step], request_id=self.id, **fields), timeout=harness.CALL_SECONDS)

    def load(self, *chunks, **fields):
        messages = loads.messages("t", [[(value,) for value in values] for values in chunks], request_id=self.id,
                                  **fields)
        return self.rpc.queries.BulkInsert(iter(messages), timeout=harness.CALL_SECONDS)

    def insert(self, value, **fields):
        return self.rpc.query("INSERT INTO t VALUES(?1)", value, request_id=self.id, **fields)

    def assert_reused(self, call, *arguments, **options):
        before = self.content()
        failure = self.assert_fails(Code.INVALID_ARGUMENT, call, *arguments, reason="REQUEST_ID_REUSED", **options)
        self.assertIn(failure.executed, ("no", "rolled_back"))
        self.assertEqual(self.content(), before)

    def restart_after_kill(self):
        self.server.kill()
        self.server = self.start(data_dir=self.folder / "data", listen=self.server.address)
        self.rpc = self.client(self.server)

    def test_another_query_with_the_id_changes_nothing(self):
        self.insert(1)
        for _ in range(2):
            self.assert_reused(self.insert, 2)
            self.assert_reused(self.insert, 1, max_affected_rows=7)
            self.assert_reused(self.batch, 1)
            self.assert_reused(self.load, [1])
            self.assertEqual(self.insert(1, labels={"try": "2"}).rows_affected, 1)
            self.assertEqual(self.content(), [1])
            self.restart_after_kill()

    def test_another_batch_with_the_id_changes_nothing(self):
        first = self.batch(1, 2)
        for _ in range(2):
            self.assert_reused(self.batch, 1, 3)
            self.assert_reused(self.batch, 1, 2, 3)
            self.assert_reused(self.batch, 1, 2, mode=loads.CONTINUE)
            self.assert_reused(self.insert, 1)
            self.assertEqual(self.batch(1, 2).results, first.results)
            self.assertEqual(self.content(), [1, 2])
            self.restart_after_kill()

    def test_another_atomic_load_with_the_id_changes_nothing(self):
        self.load([1, 2], [3])
        for _ in range(2):
            self.assert_reused(self.load, [1, 2], [4])
            self.assert_reused(self.load, [1, 2])
            self.assert_reused(self.load, [1, 2], [3], [4])
            self.assert_reused(self.load, [1], [2, 3])
            self.assert_reused(self.insert, 1)
            again = self.load([1, 2], [3])
            self.assertEqual((again.rows_received, again.rows_affected), (3, 3))
            self.assertEqual(self.content(), [1, 2, 3])
            self.restart_after_kill()

    def test_another_chunk_with_the_id_changes_nothing(self):
        self.load([1, 2], [3], mode=loads.CONTINUE)
        again = self.load([1, 2], [4], [5], mode=loads.CONTINUE)
        self.assertEqual([(outcome.replayed, outcome.error.reason) for outcome in again.chunks],
                         [(True, ""), (False, "REQUEST_ID_REUSED"), (False, "")])
        self.assertEqual(self.content(), [1, 2, 3, 5])

    def test_what_failed_is_not_stored_and_may_be_repeated(self):
        self.rpc.query("CREATE UNIQUE INDEX i ON t(a)")
        self.rpc.query("INSERT INTO t VALUES(2)")
        for call in (lambda: self.insert(2), lambda: self.batch(1, 2), lambda: self.load([1], [2])):
            self.assert_fails(Code.ALREADY_EXISTS, call, executed="rolled_back")
            self.assertEqual(self.content(), [2])
        self.rpc.query("DELETE FROM t")
        self.load([1], [2])
        self.load([1], [2])
        self.assertEqual(self.content(), [1, 2])


if __name__ == "__main__":
    harness.main()
