"""What transactions may see of each other: each anomaly is provoked at each level, and happens where the engine lets it
through and nowhere else. Another engine is a subclass with another `engine`."""
import concurrent.futures
import random
import threading

import harness
import rpc
import transactions
from rpc import Code
from transactions import DIRTY_READ, LEVELS, LOST_UPDATE, OTHER_READ, PHANTOM, WRITE_SKEW, begin, inline

READ = "SELECT b FROM t WHERE a = 1"
WRITE = "UPDATE t SET b = $1 WHERE a = 1"
COUNT = "SELECT count(*) FROM t WHERE b >= 100"
SUM = "SELECT CAST(sum(b) AS INTEGER) FROM t"


class Player:
    """A transaction and the thread that takes its steps, one after another. A step that waits for another player holds
    up only its own player."""

    def __init__(self, test, **options):
        self.transaction = begin(test.client(test.server), **options)
        self.thread = test.enterContext(concurrent.futures.ThreadPoolExecutor(max_workers=1))
        self.steps = []

    def do(self, step):
        """Begins it, and comes back once it is done or waits for another player."""
        done = self.thread.submit(step)
        self.steps.append(done)
        harness.wait_for(lambda: done.done() or self.waits(), harness.CALL_SECONDS, "a step is taken, or waits")
        return done

    def waits(self):
        return self.transaction.shown().HasField("waits_for")

    def value(self, sql, *values):
        return self.do(lambda: self.transaction.rows(sql, *values)[0][0])

    def run(self, sql, *values):
        return self.do(lambda: self.transaction.query(sql, *values))

    def commit(self):
        return self.do(self.transaction.commit)

    def rollback(self):
        return self.do(self.transaction.rollback)

    def committed(self):
        """Whether everything went well to the end; a conflict that the database told of is no fault."""
        for step in self.steps:
            try:
                step.result(harness.CALL_SECONDS)
            except rpc.grpc.RpcError as error:
                reason = rpc.Failure(error).reason
                assert reason in ("SERIALIZATION_FAILURE", "TRANSACTION_FAILED", "TRANSACTION_FINISHED"), reason
                return False
        return True


class IsolationTest(transactions.TestCase):
    def setUp(self):
        super().setUp()
        self.rpc.query("INSERT INTO t VALUES(1, 100), (2, 100)")

    def reset(self):
        self.rpc.query("DELETE FROM t")
        self.rpc.query("INSERT INTO t VALUES(1, 100), (2, 100)")

    def assert_let_through(self, anomaly, provoke, modes=(False, True)):
        """The scenario shows the anomaly where the engine's table has it, and nowhere else, from transactions of both
        modes: read-write and read-only."""
        for level in LEVELS:
            for read_only in modes:
                with self.subTest(anomaly=anomaly, level=level, read_only=read_only):
                    self.reset()
                    happened = provoke(isolation=level, read_only=read_only)
                    self.assertEqual(happened, anomaly in self.engine.anomalies[level])
        self.assert_nothing_open()

    def test_dirty_read(self):
        def provoke(**options):
            writer, reader = Player(self), Player(self, **options)
            writer.run(WRITE, 0)
            seen = reader.value(READ)
            writer.rollback()
            reader.commit()
            self.assertTrue(writer.committed() and reader.committed())
            return seen.result() == 0

        self.assert_let_through(DIRTY_READ, provoke)

    def read_twice(self, sql, change, *values, **options):
        """Whether a change that is committed meanwhile shows."""
        reader, writer = Player(self, **options), Player(self)
        first = reader.value(sql)
        writer.run(change, *values)
        writer.commit()
        second = reader.value(sql)
        reader.commit()
        self.assertTrue(reader.committed() and writer.committed())
        return first.result() != second.result()

    def test_non_repeatable_read(self):
        self.assert_let_through(OTHER_READ, lambda **options: self.read_twice(READ, WRITE, 0, **options))

    def test_phantom(self):
        for change in ("INSERT INTO t VALUES(3, 100)", "DELETE FROM t WHERE a = 2"):
            self.assert_let_through(PHANTOM, lambda change=change, **options: self.read_twice(COUNT, change, **options))

    def test_write_skew(self):
        """Each of two takes from its own account what both accounts together may bear once."""
        def provoke(**options):
            players = [Player(self, **options) for _ in range(2)]
            sums = [player.value(SUM) for player in players]
            for number, player in enumerate(players):
                player.do(lambda player=player, total=sums[number], account=number + 1: total.result() >= 150 and
                          player.transaction.query("UPDATE t SET b = b - 150 WHERE a = $1", account))
                player.commit()
            for player in players:
                player.committed()
            return self.rpc.rows(SUM)[0][0] < 0

        self.assert_let_through(WRITE_SKEW, provoke, modes=(False,))

    def test_lost_update(self):
        """Each of two adds 10 to what it has read."""
        def provoke(**options):
            players = [Player(self, **options) for _ in range(2)]
            values = [player.value(READ) for player in players]
            for player, value in zip(players, values):
                player.do(lambda player=player, value=value: player.transaction.query(WRITE, value.result() + 10))
                player.commit()
            committed = sum(player.committed() for player in players)
            self.assertGreaterEqual(committed, 1)
            return self.rpc.rows(READ) != [(100 + 10 * committed,)]

        self.assert_let_through(LOST_UPDATE, provoke, modes=(False,))

    def test_an_answer_says_which_isolation_is_in_force(self):
        for level, wanted in self.engine.in_force.items():
            for read_only in (False, True):
                with self.subTest(level=level, read_only=read_only):
                    transaction = begin(self.rpc, isolation=level, read_only=read_only, deferrable=read_only)
                    self.assertEqual(transaction.shown().isolation, wanted)
                    self.assertEqual(transaction.query("SELECT 1").transaction.isolation, wanted)
                    self.assertEqual(transaction.commit().isolation, wanted)
                    whole = self.rpc.query("SELECT 1", transaction=inline(True, isolation=level, read_only=read_only))
                    self.assertEqual(whole.transaction.isolation, wanted)

    def test_nothing_is_taken_before_the_first_statement(self):
        reader, writer = begin(self.rpc, read_only=True, isolation=transactions.REPEATABLE_READ), begin(self.rpc)
        self.rpc.query(WRITE, 1, timeout=5)
        self.assertEqual(reader.rows(READ), [(1,)])
        self.rpc.query(WRITE, 2, timeout=5)
        self.assertEqual((reader.rows(READ), writer.rows(READ)), ([(1,)], [(2,)]))
        reader.commit()
        writer.commit()

    def test_a_snapshot_neither_blocks_nor_waits(self):
        writer, reader = begin(self.rpc), begin(self.rpc, read_only=True, isolation=transactions.SERIALIZABLE)
        writer.query(WRITE, 1)
        self.assertEqual(reader.rows(READ, timeout=5), [(100,)])
        self.assert_status(writer.commit(timeout=5), "COMMITTED", writer.handle)
        self.rpc.query(WRITE, 2, timeout=5)
        self.assertEqual(reader.rows(READ), [(100,)])
        self.assert_status(reader.commit(), "COMMITTED", reader.handle)


class TransferTest(transactions.TestCase):
    """Clients move money at random, and others look on: no sum is ever wrong, and no transfer is lost."""

    ACCOUNTS, CLIENTS, TRANSFERS, MONEY = 10, 4, 60 if not harness.SANITIZED else 15, 1000

    def setUp(self):
        super().setUp()
        transactions.batch(self.rpc, [("INSERT INTO t VALUES($1, $2)", account, self.MONEY)
                                      for account in range(1, self.ACCOUNTS + 1)])
        self.stop, self.wrong, self.looks = threading.Event(), [], 0

    def transfer(self, client, source, target, amount):
        """Computed by the client from what it read; answers whether it was committed."""
        try:
            looked = client.query("SELECT b FROM t WHERE a = $1 OR a = $2 ORDER BY a = $2", source, target,
                                  transaction=inline(isolation=transactions.SERIALIZABLE))
            (has,), (gets,) = rpc.rows_of(looked)
            transaction = transactions.Transaction(client, looked.transaction)
            if has < amount:
                transaction.rollback()
                return False
            transaction.query("UPDATE t SET b = $2 WHERE a = $1", source, has - amount)
            transaction.query("UPDATE t SET b = $2 WHERE a = $1", target, gets + amount, commit=True)
            return True
        except rpc.grpc.RpcError as error:
            failure = rpc.Failure(error)
            assert failure.code == Code.ABORTED, failure
            return False

    def move(self, seed, moved):
        chance = random.Random(seed)
        with rpc.Client(self.server.address) as client:
            for _ in range(self.TRANSFERS):
                source, target = chance.sample(range(1, self.ACCOUNTS + 1), 2)
                amount = chance.randrange(1, 200)
                if self.transfer(client, source, target, amount):
                    moved.append((source, target, amount))

    def look(self):
        with rpc.Client(self.server.address) as client:
            while not self.stop.is_set():
                transaction = begin(client, read_only=True, isolation=transactions.REPEATABLE_READ)
                seen = [transaction.rows("SELECT a, b FROM t ORDER BY a") for _ in range(2)]
                transaction.commit()
                if seen[0] != seen[1] or sum(b for _, b in seen[0]) != self.MONEY * self.ACCOUNTS:
                    self.wrong.append(seen)
                self.looks += 1

    def test_no_sum_is_wrong_and_no_transfer_is_lost(self):
        moved = []
        movers = [threading.Thread(target=self.move, args=(seed, moved)) for seed in range(self.CLIENTS)]
        watcher = threading.Thread(target=self.look)
        for thread in (watcher, *movers):
            thread.start()
        for thread in movers:
            thread.join()
        self.stop.set()
        watcher.join()
        wanted = {account: self.MONEY for account in range(1, self.ACCOUNTS + 1)}
        for source, target, amount in moved:
            wanted[source] -= amount
            wanted[target] += amount
        self.assertEqual(dict(self.content()), wanted)
        self.assertEqual(self.wrong, [])
        self.assertGreater(self.looks, 0)
        self.assertGreater(len(moved), self.CLIENTS * self.TRANSFERS // 2)
        self.assert_nothing_open()


if __name__ == "__main__":
    harness.main()
