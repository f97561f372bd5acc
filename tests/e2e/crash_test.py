"""The server is killed in the middle of everything, again and again, and nothing that it acknowledged is ever lost, and
nothing is ever there by half."""
import collections
import contextlib
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time

import harness
import rpc
from crash_client import WRONG, filler, is_wrong

ROUNDS = 1000 if harness.NIGHTLY else 200 if not harness.SANITIZED else 40
LATEST_KILL = 0.06 * harness.PATIENCE
CHECK_EVERY = 10  # rounds between two looks at the whole file
KILL_EARLY_EVERY = 5  # rounds between two servers that do not live to be ready


class Writers:
    """The process of crash_client.py."""

    def __init__(self, folder):
        self.notes = folder / "notes"
        self.process = subprocess.Popen([sys.executable, "-B", str(harness.FOLDER / "crash_client.py"),
                                         str(self.notes)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.read = 0

    def begin(self, number, address):
        self.process.stdin.write(f"{number} {address}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line == "begun\n", line

    def end(self):
        """How calls failed, once all of them have."""
        return json.loads(self.process.stdout.readline())

    def news(self):
        """What was put down since the last time."""
        with open(self.notes, encoding="utf-8") as notes:
            notes.seek(self.read)
            lines = notes.read().splitlines()
            self.read = notes.tell()
        return [line.split() for line in lines]

    def close(self):
        self.process.kill()
        self.process.communicate()


class Books:
    """What clients were told, and what is stored: every row is looked at once, in the order of its making."""

    def __init__(self, test):
        self.test = test
        self.units = {}  # what is stored: rows by unit
        self.loads = set()  # those that have stored a chunk
        self.last = 0    # the last row that was read
        self.told = collections.Counter()

    def compare(self, read, news):
        """`read`: the rows behind a number, as (seq, unit, n, size, filler)."""
        fresh = collections.defaultdict(list)
        sizes = {}
        for seq, unit, n, size, text in read(self.last):
            self.test.assertEqual(seq, self.last + 1, "a row went away")
            self.last = seq
            self.test.assertEqual(text, filler(unit, n))
            fresh[unit].append(n)
            sizes[unit] = size
        for unit, numbers in fresh.items():
            self.test.assertNotIn(unit, self.units, "written twice")
            self.test.assertEqual(numbers, [*range(sizes[unit])], f"{unit} is there by half, or twice")
            self.units[unit] = sizes[unit]
            self.loads.add(unit.partition("/")[0])
        for unit in fresh:
            self.assert_in_order(unit)
        for mark, unit, *size in news:
            if mark == "+":
                self.told[unit[0]] += 1
                self.test.assertEqual(self.units.get(unit), int(size[0]), f"{unit} was acknowledged, and is lost")
            else:
                self.told["refused"] += 1
                self.test.assertNotIn(unit, self.units, "refused, and there")
                self.test.assertNotIn(unit, self.loads, "refused, and there by part")

    def assert_in_order(self, unit):
        """A load that stops at its first failure leaves no gap."""
        load, slash, chunk = unit.partition("/")
        if not (slash and unit[0] == "s"):
            return
        self.test.assertFalse(is_wrong(load) and int(chunk) >= WRONG, f"{unit} follows the one that failed")
        for before in range(int(chunk)):
            self.test.assertIn(f"{load}/{before}", self.units, f"{unit} is there, and one before it is not")


class CrashTest(rpc.TestCase):
    def setUp(self):
        super().setUp()
        self.data_dir = self.folder / "data"
        self.socket = f"unix:{self.folder}/s.sock"

    def kill_early(self):
        """In the middle of its start, which is when it recovers what the last one left."""
        server = harness.Server(self.folder, data_dir=self.data_dir, listen=self.socket)
        time.sleep(random.uniform(0, LATEST_KILL / 3))  # any moment of it
        server.kill()

    def restart(self):
        return self.start(data_dir=self.data_dir, listen=self.socket)

    def test_Fault54_what_was_acknowledged_is_there_whole_after_each_kill_9(self):
        writers = Writers(self.folder)
        self.addCleanup(writers.close)
        books, failures = Books(self), collections.Counter()
        server = self.restart()
        with rpc.Client(server.address) as client:
            client.query("CREATE TABLE t(seq INTEGER PRIMARY KEY, unit TEXT NOT NULL, n INTEGER CHECK(n >= 0), "
                         "size INTEGER, filler TEXT)")
            client.query("CREATE INDEX by_unit ON t(unit, n)")
        for number in range(ROUNDS):
            writers.begin(number, server.address)
            time.sleep(random.uniform(0, LATEST_KILL))  # the kill may come at any moment
            server.kill()
            failures.update(writers.end())
            if number % CHECK_EVERY == 0:
                self.check_copy(server.database, books)
            if number % KILL_EARLY_EVERY == 0:
                self.kill_early()
            server = self.restart()
            with rpc.Client(server.address) as client:
                self.check(client, books, writers.news())
        self.assertEqual(server.terminate(), 0)
        self.check_file(server.database, books)
        acknowledged = sum(count for kind, count in books.told.items() if kind != "refused")
        print(f"\n{ROUNDS} kills; units acknowledged and others: {dict(books.told)}; stored without having been "
              f"acknowledged: {len(books.units) - acknowledged}; rows: {books.last}; failures: {dict(failures)}")
        self.assertEqual({failure.split()[0] for failure in failures}, {"UNAVAILABLE"})
        for kind in ("q", "r", "b", "a", "s", "c", "refused"):
            self.assertGreater(books.told[kind], ROUNDS / 4, f"{kind}: too few to prove anything")

    def check(self, client, books, news):
        def read(last):
            sql = "SELECT seq, unit, n, size, filler FROM t WHERE seq > ?1 ORDER BY seq"
            return client.stream_rows(sql, last)

        books.compare(read, news)
        self.assertEqual(client.rows("SELECT count(*), coalesce(max(seq), 0) FROM t"), [(books.last, books.last)])

    def check_copy(self, database, books):
        """What the kill left, recovered by SQLite itself; the server's own recovery must not find it done."""
        copy = self.folder / "copy.db"
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{database}{suffix}", f"{copy}{suffix}")
        with contextlib.closing(sqlite3.connect(copy)) as copied:
            self.assertEqual(copied.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            self.assertGreaterEqual(copied.execute("SELECT count(*) FROM t").fetchone()[0], books.last)
        for path in self.folder.glob("copy.db*"):
            path.unlink()

    def check_file(self, path, books):
        """Everything once more, on the stopped database."""
        self.assertFalse(harness.Path(f"{path}-wal").exists(), "an orderly end empties the journal")
        with contextlib.closing(sqlite3.connect(path)) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            again = Books(self)
            again.compare(lambda _: database.execute("SELECT seq, unit, n, size, filler FROM t ORDER BY seq"), [])
        self.assertEqual(again.units, books.units)


if __name__ == "__main__":
    harness.main()
