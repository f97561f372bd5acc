"""What becomes of writes and reads when a disk of PostgreSQL's is full."""
import random
import threading

import harness
import postgres_case
import postgres_disk
import rpc
import transactions
from postgres_case import Load
from rpc import Code

INSERT = "INSERT INTO t VALUES($1, $2)"
BODY = random.Random(24).randbytes(15_000).hex()  # does not get smaller by much when it is compressed
WRITERS = 6
# What a caller may be told when the server restarts, and what became of the call then.
HONEST = {(Code.UNAVAILABLE, "no"), (Code.UNKNOWN, "unknown"), (Code.ABORTED, "rolled_back"),
          (Code.RESOURCE_EXHAUSTED, "no"), (Code.RESOURCE_EXHAUSTED, "rolled_back")}
ONCE = rpc.common_pb2.RetryOptions(max_attempts=1)  # so that every refusal is seen
FULL = (Code.RESOURCE_EXHAUSTED, "DISK_FULL", "rolled_back")


def told(failure):
    return failure.code, failure.reason, failure.executed


class Writers:
    """Clients that insert rows of keys of their own, and what became of each row's insert."""

    def __init__(self, address):
        self.address, self.acknowledged, self.failed = address, set(), {}
        self._lock, self._number = threading.Lock(), 0

    def insert(self, client):
        """Raises what it was told."""
        self._insert(lambda *write: client.query(*write, retry=ONCE))

    def insert_in_transaction(self, client):
        self._insert(lambda *write: transactions.begin_with(client, *write).commit())

    def _insert(self, how):
        with self._lock:
            self._number += 1
            number = self._number
        try:
            how(INSERT, number, BODY)
        except rpc.grpc.RpcError as error:
            with self._lock:
                self.failed[number] = rpc.Failure(error)
            raise
        with self._lock:
            self.acknowledged.add(number)

    @property
    def uncertain(self):
        return {number for number, failure in self.failed.items() if failure.executed == "unknown"}


class PostgresDiskTest(postgres_case.TestCase):
    # Only callers write to the small disk.
    postgres_options = {"settings": {"autovacuum": "off"}}
    schema = "SELECT"

    def setUp(self):
        super().setUp()
        try:
            self.disk = self.enterContext(postgres_disk.add_tablespace(self.postgres, "small", 8))
        except postgres_disk.NoDisk as error:
            harness.need(False, str(error), optional=True)
        self.psql("CREATE TABLE t(a bigint PRIMARY KEY, b text) TABLESPACE small")
        self.writers = Writers(self.server.address)

    def refusals(self):
        """How often the server said that it has no room."""
        return self.postgres.log_text().count("No space left on device")

    def fill(self):
        """Writes until each client was refused some times, for want of room and nothing else."""
        def write(client, number, count):
            for_itself = number % 2 and count % 2
            (self.writers.insert_in_transaction if for_itself else self.writers.insert)(client)

        known = len(self.writers.failed)
        with Load(self.server.address, write, count=WRITERS) as load:
            harness.wait_for(lambda: len(self.writers.failed) >= known + 5 * WRITERS or load.faults,
                             60 * harness.PATIENCE, "it is full")
        self.assertEqual(load.faults, [])
        for failure in self.writers.failed.values():
            self.assertEqual(told(failure), FULL, failure)
            self.assertEqual(failure.sql.sqlstate, "53100", failure)

    def assert_content(self):
        self.assertEqual(self.content(), self.writers.acknowledged)
        self.assertEqual({key for key, in self.rpc.stream_rows("SELECT a FROM t")}, self.writers.acknowledged)

    def test_Fault24_a_full_disk_refuses_writes_and_loses_none(self):
        self.disk.occupy(3)
        self.fill()
        self.assertGreater(len(self.writers.acknowledged), 20)
        self.assert_content()
        self.assertEqual(self.refusals(), len(self.writers.failed), "each was sent once")
        there = self.postgres.backend_pids()
        self.fill()
        self.assertEqual(set(there) - set(self.postgres.backend_pids()), set(), "connections were dropped")

        # Room again, and the same server writes again.
        self.disk.vacate()
        self.writers.insert(self.rpc)
        self.writers.insert_in_transaction(self.rpc)
        self.fill()
        self.assert_content()

    def test_Fault24_readers_and_other_writers_do_not_notice(self):
        self.psql("CREATE TABLE other(a bigint)")
        self.writers.insert(self.rpc)

        def go_on(client, _, count):
            client.query("INSERT INTO other VALUES($1)", count)
            if client.rows("SELECT length(b) FROM t WHERE a = 1") != [(len(BODY), )]:
                raise AssertionError("another row")
        with Load(self.server.address, go_on, count=2) as others:
            self.fill()
            goal = others.calls + 100
            harness.wait_for(lambda: others.calls > goal or others.faults, 20 * harness.PATIENCE,
                             "they go on while it is full")
        self.assertEqual((others.failures, others.faults), ([], []))

    def test_Fault24_a_transaction_that_finds_no_room_is_undone_whole(self):
        begun = transactions.begin_with(self.rpc, INSERT, -1, "small")
        self.fill()
        failure = self.failure(lambda: [begun.query(INSERT, -n, BODY) for n in range(2, 100)])
        self.assertEqual(told(failure), FULL, failure)
        self.assertIn(self.failure(begun.commit).code, (Code.ABORTED, Code.FAILED_PRECONDITION))
        failure = self.failure(transactions.batch, self.rpc, [(INSERT, -n, BODY) for n in range(100, 400)])
        self.assertEqual(told(failure), FULL, failure)
        rows = [(-n, BODY) for n in range(400, 700)]
        failure = self.failure(transactions.load, self.rpc, "t", rows[:100], rows[100:])
        self.assertEqual(told(failure), FULL, failure)
        self.assert_content()

    def test_Fault24_a_read_that_finds_no_room_to_sort_in_says_so(self):
        self.psql("ALTER DATABASE shop SET temp_tablespaces = 'small'")
        self.psql("ALTER DATABASE shop SET work_mem = '64kB'")
        client = self.client(self.start(database=self.postgres.url("shop")))
        sql = "SELECT n, repeat(md5(n::text), 10) AS b FROM generate_series(1, 200000) AS n ORDER BY b"
        for ask in (client.query, client.stream):
            for mark in ("", " /* advisory */"):
                failure = self.failure(ask, sql + mark)
                self.assertEqual(told(failure), FULL, failure)
        self.assertEqual(client.rows("SELECT 1"), [(1, )])
        few = sql.replace("200000", "2000")
        self.assertEqual(len(client.stream_rows(few)), 2000, "what it took is given back")


class PostgresWalTest(rpc.TestCase):
    """The log of all changes fills its disk: the server panics, and what it does next is its own affair."""

    def setUp(self):
        super().setUp()
        settings = {"max_wal_size": "32MB", "min_wal_size": "32MB", "checkpoint_timeout": "1h", "autovacuum": "off"}
        try:
            harness.need(harness.postgres.binaries(), harness.postgres.INSTALL)
            self.postgres = self.enterContext(postgres_disk.WalOnDisk(88, 50, settings=settings))
        except postgres_disk.NoDisk as error:
            harness.need(False, str(error), optional=True)
        self.postgres.psql("CREATE TABLE t(a bigint PRIMARY KEY, b text)")
        self.server = self.start(database=self.postgres.url())
        self.rpc = self.client(self.server)
        self.writers = Writers(self.server.address)

    def write(self, client, number, _):
        (self.writers.insert_in_transaction if number % 2 else self.writers.insert)(client)

    def panicked(self):
        return "PANIC:" in self.postgres.log_text()

    def content(self):
        return {int(key) for key in self.postgres.psql("SELECT a FROM t").split()}

    def answers(self):
        try:
            return self.rpc.rows("SELECT 1", timeout=5) == [(1, )]
        except rpc.grpc.RpcError:
            return False

    def make_room(self):
        """As an operator does: a server that gave up is started again."""
        self.postgres.disk.vacate()

        def runs():
            if self.postgres.pid is None:
                self.postgres.start()
            return self.answers()
        harness.wait_for(runs, 30 * harness.PATIENCE, "it answers again")

    def test_Fault24_a_full_log_loses_nothing_that_was_acknowledged(self):
        mine = transactions.begin_with(self.rpc, INSERT, -1, "mine")
        with Load(self.server.address, self.write, count=WRITERS) as load:
            harness.wait_for(self.panicked, 60 * harness.PATIENCE, "the log is full")
            harness.wait_for(lambda: len(load.failures) > 50, 30 * harness.PATIENCE, "writes are refused")
            before = len(self.writers.acknowledged)
            self.make_room()
            harness.wait_for(lambda: len(self.writers.acknowledged) > before + 50 or load.faults, 60 * harness.PATIENCE,
                             "writes go on by themselves")
        self.assertEqual(load.faults, [])
        self.assertGreater(before, 100, "nothing was written before")
        for failure in load.failures:
            self.assertIn((failure.code, failure.executed), HONEST, failure)
            if failure.code == Code.UNAVAILABLE:
                self.assertIsNotNone(failure.retry, failure)
        failure = self.failure(mine.query, INSERT, -2, "mine")
        self.assertEqual((failure.code, failure.executed), (Code.ABORTED, "rolled_back"), failure)
        there = self.content()
        self.assertEqual(self.writers.acknowledged - there, set(), "acknowledged, and not there")
        self.assertEqual(there - self.writers.acknowledged - self.writers.uncertain, set(),
                         "there, though it was called undone")

    def test_Fault24_while_the_log_is_full_nobody_storms_the_server(self):
        with Load(self.server.address, lambda client, n, i: self.writers.insert(client), count=WRITERS) as load:
            harness.wait_for(self.panicked, 60 * harness.PATIENCE, "the log is full")
            harness.wait_for(lambda: len(load.failures) > 500, 30 * harness.PATIENCE, "they try again and again")
        asked = self.rpc.monitoring.GetPoolStats(rpc.monitoring_pb2.GetPoolStatsRequest(connection_id="default"))
        self.assertLess(asked.connections[0].pool.connects_failed, 60, "a storm of connections")
        told_of = [line for line in self.server.log() if line["logger"] == "postgres"]
        self.assertLess(len(told_of), 20, "the log is not flooded")
        self.make_room()
        self.writers.insert(self.rpc)
        self.assertEqual(self.writers.acknowledged - self.content(), set(), "acknowledged, and not there")


if __name__ == "__main__":
    harness.main()
