"""A server whose default connection leads through a proxy that breaks on command to a PostgreSQL of the test's own."""
import threading
import time

import harness
import rpc
from fault_proxy import FaultProxy
from rpc import Code

LOST = (Code.UNKNOWN, "BACKEND_LOST", "unknown")
# What turned out to be slow runs in a transaction of its own.
UNDONE = (Code.ABORTED, "BACKEND_LOST", "rolled_back")


def seconds_since(begin):
    return time.monotonic() - begin


class TestCase(rpc.TestCase):
    postgres_options = {}
    flags = ()
    options = ""  # of the URL
    schema = "CREATE TABLE t(a bigint PRIMARY KEY, b text)"

    def setUp(self):
        super().setUp()
        self.postgres = self.enterContext(harness.start_postgres(**self.postgres_options))
        self.postgres.create_database("shop")
        self.proxy = self.enterContext(FaultProxy(self.postgres.port))
        self.psql(self.schema)
        self.server = self.start(*self.flags, database=self.proxy.url("shop", options=self.options))
        self.rpc = self.client(self.server)

    def psql(self, sql):
        return self.postgres.psql(sql, database="shop")

    def content(self):
        """The keys in the table, as the database itself has them."""
        return {int(line) for line in self.psql("SELECT a FROM t ORDER BY a").split()}

    def begin_call(self, sql, *params, timeout=30, **fields):
        """A query whose answer is not waited for."""
        message = rpc.request(rpc.query_pb2.QueryRequest, sql, params, fields)
        return self.rpc.queries.Query.future(message, timeout=timeout)

    def sleeping(self, alone=False):
        """The ids of the backends that are in pg_sleep, whatever the text of the statement is to them; `alone`: for
        longer than shared connections allow."""
        age = "AND now() - query_start > '0.5 s'" if alone else ""
        return [int(pid) for pid in self.psql(
            f"SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' {age}").split()]

    def await_sleeping(self, alone=False):
        return harness.wait_for(lambda: self.sleeping(alone), 10 * harness.PATIENCE, "a statement sleeps")

    def assert_told(self, told, call, *arguments, **options):
        """The code, the reason and what became of it: a tuple, or a list of those that are right."""
        failure = self.failure(call, *arguments, **options)
        right = told if isinstance(told, list) else [told]
        self.assertIn((failure.code, failure.reason, failure.executed), right, failure)
        return failure

    def assert_answers(self, count=30):
        """Everybody gets his own."""
        for n in range(count):
            self.assertEqual(self.rpc.rows("SELECT $1::bigint", n), [(n, )])

    def await_answers(self, seconds=20):
        """It recovers by itself."""
        def answers():
            try:
                return self.rpc.rows("SELECT 1", timeout=5) == [(1, )]
            except rpc.grpc.RpcError:
                return False
        harness.wait_for(answers, seconds * harness.PATIENCE, "it answers again")


class Load:
    """Threads that call until they are told to stop."""

    def __init__(self, address, body, count=8):
        """`body` is called with a client, the number of its thread and that of its call."""
        self._address, self._body, self._stop = address, body, threading.Event()
        self.failures, self.slowest, self.calls, self.faults = [], 0, 0, []
        self._threads = [threading.Thread(target=self._run, args=(n, )) for n in range(count)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, number):
        with rpc.Client(self._address) as client:
            count = 0
            while not self._stop.is_set():
                count += 1
                begin = time.monotonic()
                try:
                    self._body(client, number, count)
                except rpc.grpc.RpcError as error:
                    self.failures.append(rpc.Failure(error))
                    time.sleep(0.01)
                except Exception as error:  # pylint: disable=broad-except
                    self.faults.append(repr(error))
                    return
                self.calls += 1
                self.slowest = max(self.slowest, seconds_since(begin))
