"""Calls that end early: cancelled while they wait, cancelled while they run, their client killed or asleep."""
import contextlib
import hashlib
import os
import sqlite3
import subprocess
import threading
import time

import harness
import rpc
from rpc import Code, monitoring_pb2, query_pb2

ENDLESS = "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s) SELECT {} FROM s"
SOON = 1 * harness.PATIENCE
MEMORY_MIB = 200
VALUE_BYTES = 64 << 20


class CancelTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        self.server = self.start()
        self.rpc = self.client(self.server)
        self.rpc.query("CREATE TABLE t(a)")
        self.rpc.query("CREATE TABLE u(a)")

    def begin(self, sql):
        return self.rpc.queries.Query.future(query_pb2.QueryRequest(connection_id="default", sql=sql),
                                             timeout=harness.CALL_SECONDS)

    def await_load(self, **fields):
        harness.wait_for(lambda: all(getattr(self.rpc.load(), key) >= value for key, value in fields.items()), 10,
                         f"statements: {fields}")

    def test_Fault31_a_call_that_is_cancelled_in_the_queue_never_runs(self):
        self.rpc.query("INSERT INTO u VALUES(1)")
        holder = self.begin("INSERT INTO t " + ENDLESS.format("n"))  # has the only writer
        self.await_load(active=1)
        waiting = [self.begin(f"INSERT INTO u VALUES({n})") for n in range(10, 20)]
        self.await_load(active=1, queued=len(waiting))
        for call in waiting[:-1]:
            self.assertTrue(call.cancel())
        harness.wait_for(lambda: self.rpc.load().queued == 1, SOON, "the cancelled calls have left the queue")
        self.assertTrue(holder.cancel())
        self.assertEqual(waiting[-1].result().rows_affected, 1)
        self.assertEqual(self.rpc.rows("SELECT a FROM u ORDER BY a"), [(1,), (19,)])
        self.assertEqual(self.rpc.rows("SELECT count(*) FROM t"), [(0,)])

    def test_Fault31_a_deadline_that_passes_in_the_queue_means_that_it_never_ran(self):
        holder = self.begin("INSERT INTO t " + ENDLESS.format("n"))
        self.await_load(active=1)
        self.assert_fails(Code.DEADLINE_EXCEEDED, self.rpc.query, "INSERT INTO u VALUES(1)", timeout=0.2)
        self.assertTrue(holder.cancel())
        self.rpc.query("INSERT INTO t VALUES(1)")  # its turn comes after that of all others
        self.assertEqual(self.rpc.rows("SELECT count(*) FROM u"), [(0,)])

    def test_Fault32_a_running_call_that_is_cancelled_ends_within_a_second(self):
        for sql in (ENDLESS.format("count(*)"), "INSERT INTO t " + ENDLESS.format("n"),
                    "SELECT count(*) FROM (" + ENDLESS.format("n") + " ORDER BY n)"):
            with self.subTest(sql=sql):
                call = self.begin(sql)
                self.await_load(active=1)
                self.assertTrue(call.cancel())
                self.await_idle(self.rpc, SOON)
                self.assertEqual(call.code(), Code.CANCELLED)
                self.assertEqual(self.rpc.rows("SELECT 7"), [(7,)])
                self.rpc.query("INSERT INTO u VALUES(1)")
        self.assertEqual(self.rpc.rows("SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)"), [(0, 3)])

    def test_Fault32_cancelling_one_call_leaves_its_neighbours_alone(self):
        stop, wrong = threading.Event(), []

        def neighbour(number):
            i = 0
            while not stop.is_set():
                i += 1
                if self.rpc.rows("SELECT ?1 || ?2", f"{number}-", i) != [(f"{number}-{i}",)]:
                    wrong.append((number, i))

        threads = [threading.Thread(target=neighbour, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(1000 if harness.NIGHTLY else 20):
                call = self.begin(ENDLESS.format("count(*)"))
                time.sleep(0.01)  # anywhere between its arrival and its running
                call.cancel()
            self.await_idle_calls()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(wrong, [])

    def await_idle_calls(self):
        harness.wait_for(lambda: self.rpc.load().active <= 1, SOON, "only the neighbours run")

    def test_Fault36_killing_the_client_frees_what_it_held_within_a_second(self):
        for arguments in (("--stream", ENDLESS.format("n")),     # rows flow
                          ("--stream", ENDLESS.format("count(*)")),  # none comes
                          (ENDLESS.format("count(*)"),)):
            with self.subTest(arguments=arguments):
                tool = subprocess.Popen([str(harness.BIN / "sluice"), "--server", self.server.address, "query",
                                         *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env=harness.clean_environment())
                try:
                    harness.wait_for(lambda: self.in_flight() == 2, 10, "the client's call runs")
                    self.await_load(active=1)
                finally:
                    tool.kill()
                    tool.wait()
                harness.wait_for(lambda: self.in_flight() == 1 and self.rpc.load().active == 0, SOON,
                                 "nothing of the killed client's is left")
        self.assertEqual(self.rpc.load().queued, 0)

    def in_flight(self):
        return self.rpc.monitoring.GetServerInfo(monitoring_pb2.GetServerInfoRequest(), timeout=5).calls_in_flight


class MemoryTest(rpc.TestCase):
    def assert_small(self, server):
        if not harness.SANITIZED:
            self.assertLess(server.memory("VmHWM"), MEMORY_MIB)

    def test_a_value_of_64_mib_streams_in_bounded_memory(self):
        path = self.folder / "large.db"
        blob = os.urandom(1 << 20) * (VALUE_BYTES >> 20)
        text = "é😀" * (VALUE_BYTES // 6)
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.execute("CREATE TABLE large(id INTEGER PRIMARY KEY, value)")
            database.executemany("INSERT INTO large(value) VALUES(?)", [(blob,), (text,)])
            database.commit()
        server = self.start(database=path)
        client = self.client(server)
        for row, want in ((1, blob), (2, text.encode())):
            digest, size = hashlib.sha256(), 0
            for message in client.stream("SELECT 'before', value, 'behind' FROM large WHERE id = ?1", row):
                digest.update(message.part.data)
                size += len(message.part.data)
                self.assertLess(message.ByteSize(), 1 << 20)
            self.assertEqual((size, digest.digest()), (len(want), hashlib.sha256(want).digest()))
        self.assertEqual(client.stream_rows("SELECT 'before', value, 'behind' FROM large WHERE id = 2"),
                         [("before", text, "behind")])
        self.assert_small(server)

    def test_ten_million_rows_stream_in_bounded_memory(self):
        rows = 10_000_000 if harness.NIGHTLY or not harness.SANITIZED else 1_000_000
        server = self.start()
        sql = f"WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {rows}) SELECT n FROM s"
        tool = subprocess.Popen([str(harness.BIN / "sluice"), "--server", server.address, "query", "--stream", "-o", "csv",
                                 sql], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=harness.clean_environment())
        with tool:
            self.assertEqual(tool.stdout.readline(), b"n\n")
            count = total = 0
            for line in tool.stdout:
                count += 1
                total += int(line)
        self.assertEqual((tool.returncode, count, total), (0, rows, rows * (rows + 1) // 2))
        self.assert_small(server)

    def test_a_slow_reader_holds_memory_down_while_others_are_served(self):
        server = self.start()
        slow, other = self.client(server), self.client(server)
        other.query("SELECT 1")
        before = server.memory("VmRSS")
        stream = slow.stream(ENDLESS.format("n, hex(zeroblob(1000))"))
        for _ in range(3):
            next(stream)
        for n in range(200):
            self.assertEqual(other.rows("SELECT ?1", n), [(n,)])
        if not harness.SANITIZED:
            self.assertLess(server.memory("VmHWM") - before, 32, "what waits for the slow reader")
        next(stream)
        stream.cancel()
        self.await_idle(other, SOON)

    def test_Fault37_a_stalled_reader_is_ended_and_the_journal_can_be_emptied(self):
        server = self.start("--limits-stream-stall", "1s")
        stalled, client = self.client(server), self.client(server)
        client.query("CREATE TABLE t(a)")
        client.query("INSERT INTO t " + ENDLESS.format("hex(zeroblob(500))") + " LIMIT 20000")
        stream = stalled.stream("SELECT a FROM t")
        next(stream)
        wal = harness.Path(f"{server.database}-wal")
        ended = time.monotonic() + 1 + 4 * harness.PATIENCE
        harness.wait_for(lambda: "STREAM_STALLED" in server.errors(), ended - time.monotonic(), "the stream is ended")

        def emptied():
            # With no reader's snapshot in its way, a commit past the automatic checkpoint starts the journal over.
            client.query("UPDATE t SET a = a || 'x' WHERE rowid % 10 = 0")
            with contextlib.closing(sqlite3.connect(f"file:{server.database}?mode=ro", uri=True)) as database:
                return database.execute("SELECT count(*) FROM t").fetchone() == (20000,) and wal.stat().st_size

        sizes = [emptied() for _ in range(8)]
        self.assertEqual(sizes[-1], sizes[-2], f"the journal grows for ever: {sizes}")
        failure = self.failure(lambda: list(stream))
        # Details would have to queue behind what the client does not take: the message has to say it.
        self.assertEqual(failure.code, Code.CANCELLED, failure)
        self.assertIn("STREAM_STALLED", failure.message)
        self.assertEqual(server.terminate(), 0)
        self.assertFalse(wal.exists() and wal.stat().st_size, "the journal is emptied at the end")


if __name__ == "__main__":
    harness.main()
