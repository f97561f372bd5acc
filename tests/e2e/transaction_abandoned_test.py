"""Ten thousand transactions that nobody ends: handles that are forgotten, streams that are dropped or fall silent.
Their leases end, and nothing of them is left in the server."""
import collections
import os
import threading

import harness
import rpc
import transactions
from rpc import Code, query_pb2, transaction_pb2
from transactions import begin, begin_with, inline

TRANSACTIONS = 10_000 if not harness.SANITIZED else 1000
STREAMS = 300 if not harness.SANITIZED else 40
WRITERS = 100 if not harness.SANITIZED else 20
CLIENTS = 6
LEASE, WRITER_LEASE = 0.2, 0.03
SNAPSHOTS = 64  # that may be open at once; the server keeps their connections
MEMORY_MIB = 24


class AbandonedTest(transactions.TestCase):
    flags = ("--transactions-per-connection", "1000000", "--transactions-per-caller", "1000000",
             "--transactions-idle-timeout", f"{LEASE * 1000:.0f}ms")

    def setUp(self):
        super().setUp()
        self.told = collections.Counter()
        self.lock = threading.Lock()

    def note(self, what):
        with self.lock:
            self.told[what] += 1

    def at_once(self, work, count):
        """Calls work(client, number) for each number, from several clients with a channel each."""
        numbers = iter(range(count))

        def run():
            with rpc.Client(self.server.address) as client:
                while True:
                    with self.lock:
                        number = next(numbers, None)
                    if number is None:
                        return
                    work(client, number)

        threads = [threading.Thread(target=run) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def abandon(self, client, number):
        """Half of them with a statement: most of these read, a few write."""
        if number % 2 == 0:
            begin(client, label=f"forgotten {number}")
            return self.note("begun")
        if number // 2 < WRITERS:
            begin_with(client, "INSERT INTO t VALUES($1, 0)", number, idle_timeout=WRITER_LEASE)
            return self.note("written")
        while True:
            try:
                begin_with(client, "SELECT count(*) FROM t", read_only=True, idle_timeout=LEASE / 2)
                return self.note("read")
            except rpc.grpc.RpcError as error:  # the server has so many snapshots and no more
                failure = rpc.Failure(error)
                assert (failure.code, failure.reason) == (Code.RESOURCE_EXHAUSTED, "POOL_EXHAUSTED"), failure
            threading.Event().wait(0.02)

    def converse(self, client, number):
        """A stream that begins a transaction; every other one is dropped, and the rest falls silent."""
        silent = threading.Event()

        def requests():
            sql = "INSERT INTO t VALUES(0, 0)" if number % 10 == 0 else "SELECT 1"
            selector = inline(read_only=number % 10 != 0, idle_timeout=WRITER_LEASE)
            query = query_pb2.QueryRequest(connection_id="default", sql=sql, transaction=selector)
            while not begun.is_set():
                yield transaction_pb2.InteractRequest(call_id=number, query=query)
                answered.acquire()
            silent.wait()

        begun, answered = threading.Event(), threading.Semaphore(0)
        call = client.transactions.Interact(requests(), timeout=harness.CALL_SECONDS)
        while not begun.is_set():  # the server has so many snapshots and no more
            if next(call).error.reason != "POOL_EXHAUSTED":
                begun.set()
            answered.release()
        if number % 2 == 0:
            call.cancel()
            self.note("dropped")
        else:
            failure = self.failure(lambda: list(call))
            self.note(f"silent, {failure.code.name} {failure.reason}")
        silent.set()

    def resources(self):
        return len(os.listdir(f"/proc/{self.server.pid}/fd")), self.server.memory("VmRSS")

    def round(self, count, streams):
        self.at_once(self.abandon, count)
        self.at_once(self.converse, streams)
        harness.wait_for(lambda: not self.list().transactions, 10 * harness.PATIENCE, "every lease ends")

    def test_Fault40_of_ten_thousand_nothing_is_left(self):
        self.round(TRANSACTIONS // 10, STREAMS // 4)
        files, memory = self.resources()
        self.told.clear()
        before = self.counts()
        self.round(TRANSACTIONS, STREAMS)
        self.assertEqual(dict(self.told), {
            "begun": TRANSACTIONS // 2, "written": WRITERS, "read": TRANSACTIONS // 2 - WRITERS,
            "dropped": STREAMS // 2, "silent, ABORTED TRANSACTION_EXPIRED": STREAMS // 2})

        self.rpc.query("INSERT INTO t VALUES(1000001, 1)", timeout=1 * harness.PATIENCE)
        self.assertEqual(self.content(), [(1000001, 1)])
        self.assert_nothing_open()
        after = self.counts()
        begun = after.begun - before.begun  # and those whose snapshot was one too many for the file, which came again
        self.assertGreaterEqual(begun, TRANSACTIONS + STREAMS)
        ended = after.expired + after.rolled_back - before.expired - before.rolled_back
        self.assertEqual(ended, begun)
        self.assertEqual((after.committed, after.ended, after.unknown), (0, 0, 0))
        load = self.rpc.load()
        self.assertEqual((load.active, load.queued), (0, 0))
        harness.wait_for(lambda: self.resources()[0] < files + SNAPSHOTS * 2, 10,
                         f"little more than {files} files are open")
        if not harness.SANITIZED:
            grown = self.resources()[1] - memory
            print(f"{TRANSACTIONS} handles and {STREAMS} streams: memory grew by {grown:.1f} MiB")
            self.assertLess(grown, MEMORY_MIB)


if __name__ == "__main__":
    harness.main()
