"""Loads whose client dies, gives up or goes away in the middle: an atomic one leaves no row, ever, also if all of its
rows had come; and one that was ended by its client is always whole."""
import collections
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import harness
import http2
import load_client
import loads
import rpc
from rpc import Code

ROUNDS = 1000 if harness.NIGHTLY else 200 if not harness.SANITIZED else 60
METHOD = "/sluice.v1.QueryService/BulkInsert"
NOTHING, WHOLE, EITHER = "nothing", "whole", "either"


class Clients:
    """The process of load_client.py, and what those that it forks say."""

    def __init__(self):
        self.process = subprocess.Popen([sys.executable, "-B", str(harness.FOLDER / "load_client.py")],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def begin(self, order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def word(self):
        pid, word = self.process.stdout.readline().split()
        return int(pid), word

    def close(self):
        self.process.kill()
        self.process.communicate()


class Neighbour:
    """Writes single rows all the while."""

    def __init__(self, address):
        self.address, self.written, self.failures = address, 0, []
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        with rpc.Client(self.address) as client:
            while not self.stop.wait(0.001):
                try:
                    client.query("INSERT INTO other VALUES(?1)", self.written)
                    self.written += 1
                except rpc.grpc.RpcError as error:
                    self.failures.append(repr(rpc.Failure(error)))

    def end(self):
        self.stop.set()
        self.thread.join()


class BrokenTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        self.server = self.start("--shutdown-grace", "300ms")
        self.rpc = self.client(self.server)
        self.rpc.query("CREATE TABLE t(load INTEGER, n INTEGER, filler TEXT)")
        self.rpc.query("CREATE INDEX by_load ON t(load)")
        self.rpc.query("CREATE TABLE other(n INTEGER)")
        self.expected, self.sizes = {}, {}

    def tearDown(self):
        """All loads once more, when no call is left that could still do something."""
        self.assertEqual(self.server.terminate(), 0, self.server.errors()[-3000:])
        self.assertEqual([line for line in self.server.log()
                          if line["level"] == "error" and line.get("reason") != "REQUEST_UNPARSABLE"], [])
        with contextlib.closing(sqlite3.connect(self.server.database)) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            stored = dict(database.execute("SELECT load, count(*) FROM t GROUP BY load").fetchall())
        for load, expected in self.expected.items():
            self.judge(load, expected, stored.pop(load, 0))
        self.assertEqual(stored, {}, "rows of no load")
        super().tearDown()

    def new_order(self, load, hang="random"):
        order = {"address": self.server.address, "load": load, "chunks": random.choice((1, 2, 3, 8)),
                 "rows": random.choice((1, 7, 200)), "hang": None}
        if hang == "random":  # as often as not, everything has come but the end
            order["hang"] = random.choice((order["chunks"], random.randrange(order["chunks"] + 1)))
        self.sizes[load] = order["chunks"] * order["rows"]
        return order

    def check(self, load, expected):
        """The writer takes a write behind the load only when that has come to its end."""
        self.expected[load] = expected
        self.rpc.query("INSERT INTO other VALUES(-1)")
        self.judge(load, expected, self.rpc.rows("SELECT count(*) FROM t WHERE load = ?1", load)[0][0])

    def judge(self, load, expected, count):
        size = self.sizes[load]
        allowed = {NOTHING: (0,), WHOLE: (size,), EITHER: (0, size)}[expected]
        self.assertIn(count, allowed, f"load {load} of {size} rows: {expected}")

    def test_a_client_that_is_killed_leaves_nothing_of_its_load(self):
        clients, neighbour = Clients(), Neighbour(self.server.address)
        self.addCleanup(clients.close)
        self.addCleanup(neighbour.end)
        seen = collections.Counter()
        for load in range(ROUNDS):
            expected = self.kill_one(clients, load)
            self.check(load, expected)
            seen[expected] += 1
        neighbour.end()
        self.assertEqual(neighbour.failures, [])
        self.assertEqual(self.rpc.rows("SELECT count(*) FROM other WHERE n >= 0"), [(neighbour.written,)])
        self.assertGreater(min(seen[NOTHING], seen[WHOLE], seen[EITHER]), ROUNDS / 20, seen)

    def kill_one(self, clients, load):
        ends_well = load % 4 == 0
        clients.begin(self.new_order(load, hang=None if ends_well else "random"))
        pid, word = clients.word()
        if not ends_well:
            self.assertEqual(word, "hangs")
            time.sleep(random.uniform(0, 0.003))  # the kill may meet any moment of the load
            os.kill(pid, signal.SIGKILL)
            return NOTHING
        self.assertEqual(word, "closes")
        if load % 8 == 0:  # any moment: it may be too late to say that it was all
            time.sleep(random.uniform(0, 0.003))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            clients.begin(self.new_order(-1 - load, hang=None))
            self.assertEqual(self.words_of_another(clients, pid), ["closes", "OK"])
            self.expected[-1 - load] = WHOLE
            return EITHER
        self.assertEqual(clients.word(), (pid, "OK"))
        return WHOLE

    @staticmethod
    def words_of_another(clients, dead):
        words = []
        while words[-1:] != ["OK"]:
            pid, word = clients.word()
            if pid != dead:
                words.append(word)
        return words

    def assert_broken_off(self, break_off, code):
        """Loads of this process, each on a channel of its own, that `break_off(client, call)` ends."""
        neighbour = Neighbour(self.server.address)
        self.addCleanup(neighbour.end)
        for load in range(ROUNDS):
            order, hangs, released = self.new_order(load), threading.Event(), threading.Event()
            with rpc.Client(self.server.address) as client:
                call = client.queries.BulkInsert.future(self.until(order, hangs, released), timeout=30)
                try:
                    self.assertTrue(hangs.wait(10))
                    time.sleep(random.uniform(0, 0.002))  # the end may meet any moment of the load
                    break_off(client, call)
                    self.assertEqual(call.code(), code)
                finally:
                    released.set()
            self.check(load, NOTHING)
        neighbour.end()
        self.assertEqual(neighbour.failures, [])

    @staticmethod
    def until(order, hangs, released):
        for number in range(order["chunks"] + 1):
            if number == order["hang"]:
                hangs.set()
                released.wait()
            if number in (order["hang"], order["chunks"]):
                return
            rows = load_client.chunk_rows(order["load"], number, order["rows"])
            yield loads.chunk(rows) if number else loads.header("t", rows)

    def test_a_call_that_is_cancelled_leaves_nothing_of_its_load(self):
        self.assert_broken_off(lambda _, call: call.cancel(), Code.CANCELLED)

    def test_a_channel_that_is_closed_leaves_nothing_of_its_load(self):
        self.assert_broken_off(lambda client, _: client.channel.close(), Code.CANCELLED)

    def test_a_deadline_that_passes_leaves_nothing_of_its_load(self):
        for load in range(ROUNDS // 4):
            order, released = self.new_order(load), threading.Event()
            with rpc.Client(self.server.address) as client:
                call = client.queries.BulkInsert.future(self.until(order, threading.Event(), released),
                                                        timeout=random.uniform(0.005, 0.03))
                try:
                    self.assertEqual(call.code(), Code.DEADLINE_EXCEEDED)
                finally:
                    released.set()
            self.check(load, NOTHING)

    def test_a_call_that_is_cancelled_at_any_moment_is_whole_or_not_there(self):
        outcomes, latest = collections.Counter(), 0.006
        for load in range(ROUNDS):
            order = self.new_order(load, hang=None)
            call = self.rpc.queries.BulkInsert.future(self.until(order, None, None), timeout=30)
            time.sleep(random.uniform(0, latest))  # spreads the cancel over the life of the call
            call.cancel()
            answered = not call.cancelled() and call.code() == Code.OK
            outcomes[answered] += 1
            latest *= 0.9 if answered else 1.1  # about the time that a load takes here
            self.check(load, WHOLE if answered else EITHER)
        self.assertEqual(set(outcomes), {True, False}, "cancelled too early or too late to prove anything")

    def test_loads_that_wait_for_each_other_and_are_cancelled_are_whole_or_not_there(self):
        """Most of them are cancelled while another has the writer."""
        seen, lock = collections.Counter(), threading.Lock()

        def work(numbers):
            with rpc.Client(self.server.address) as client:
                for load in numbers:
                    expected = self.try_to_cancel(client, load)
                    with lock:
                        self.expected[load] = expected
                        seen[expected] += 1

        threads = [threading.Thread(target=work, args=(range(first, ROUNDS, 8),)) for first in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(sum(seen.values()), ROUNDS)
        self.assertGreater(min(seen[NOTHING], seen[WHOLE], seen[EITHER]), 0, seen)

    def try_to_cancel(self, client, load):
        hangs, released = threading.Event(), threading.Event()
        ends_well = load % 3 == 0
        order = self.new_order(load, hang=None if ends_well else "random")
        call = client.queries.BulkInsert.future(self.until(order, hangs, released), timeout=60)
        if ends_well and load % 2:
            call.result()
            return WHOLE
        time.sleep(random.uniform(0, 0.02))  # the cancel may find it waiting, running or done
        call.cancel()
        released.set()
        if not ends_well:
            return NOTHING
        return EITHER if call.cancelled() else WHOLE

    def begin_hanging(self, load, mode):
        """A load that has sent everything but its end."""
        self.sizes[load] = 2
        released = threading.Event()
        self.addCleanup(released.set)

        def messages():
            yield loads.header("t", [(load, 0, ""), (load, 1, "")], mode=mode)
            released.wait()

        return self.rpc.queries.BulkInsert.future(messages(), timeout=30)

    def test_a_drain_leaves_nothing_of_a_load_that_was_not_ended(self):
        call = self.begin_hanging(1, loads.ATOMIC)
        harness.wait_for(lambda: self.rpc.load().active, 10, "the load has the writer")
        self.expected[1] = NOTHING
        self.assertEqual(self.server.terminate(), 0)
        failure = rpc.Failure(call.exception())
        self.assertEqual((failure.code, failure.reason, failure.executed),
                         (Code.ABORTED, "SERVER_DRAINING", "rolled_back"), failure)

    def test_a_drain_does_not_deny_the_chunks_that_are_there(self):
        call = self.begin_hanging(1, loads.CONTINUE)
        harness.wait_for(lambda: self.rpc.rows("SELECT count(*) FROM t") == [(2,)], 10, "the chunk is there")
        self.expected[1] = WHOLE
        self.assertEqual(self.server.terminate(), 0)
        self.assertEqual(rpc.Failure(call.exception()).executed, "unknown", rpc.Failure(call.exception()))

    def test_a_stream_that_is_reset_leaves_nothing_of_its_load(self):
        # 0 is NO_ERROR, with which a stream that is reset looks least like a fault.
        for load, code in enumerate([0, 1, 2, 5, 7, 8, 11] * 5):
            with self.raw(load) as call:
                call.reset(code)
                self.check(load, NOTHING)

    def test_a_connection_that_ends_leaves_nothing_of_its_load(self):
        for load in range(0, 40, 4):
            with self.raw(load) as call:
                call.half_close_connection()
                self.check(load, NOTHING)
            with self.raw(load + 1) as call:
                call.go_away()
                call.half_close_connection()
                self.check(load + 1, NOTHING)
            with self.raw(load + 2) as call:
                call.abort_connection()
            self.check(load + 2, NOTHING)
            with self.raw(load + 3) as call:  # within a message
                call.send(b"\0\0\0\x10\0" + b"x" * 100)
            self.check(load + 3, NOTHING)

    def test_a_message_that_is_refused_leaves_nothing_of_its_load(self):
        for load, body in enumerate((b"\xff\xff\xff", b"\x0a\x05abc")):
            with self.raw(load) as call:
                call.send(http2.message(body), end=True)
                self.assertEqual(call.status(10), Code.INTERNAL.value[0])
            self.check(load, NOTHING)
        large = loads.chunk([(2, 1, "x" * (17 << 20))])
        for load in (2, 3):
            self.sizes[load] = 3
            parts = [loads.header("t", [(load, n, "") for n in range(2)]), large]
            parts += [loads.chunk([(load, 3, "")])] if load == 3 else []
            self.assert_fails(Code.RESOURCE_EXHAUSTED, self.rpc.queries.BulkInsert, iter(parts), timeout=30)
            self.check(load, NOTHING)

    def test_a_stream_that_ends_is_whole(self):
        for load in range(20):
            with self.raw(load) as call:
                call.send(b"", end=True)
                self.assertEqual(call.status(10), 0)
            self.check(load, WHOLE)

    def raw(self, load):
        """A call that has sent rows, and not its end."""
        self.sizes[load] = 6
        call = http2.Call(self.server.address, METHOD)
        call.send(http2.message(loads.header("t", [(load, n, "") for n in range(4)]).SerializeToString()))
        call.send(http2.message(loads.chunk([(load, n, "") for n in (4, 5)]).SerializeToString()))
        return call


if __name__ == "__main__":
    harness.main()
