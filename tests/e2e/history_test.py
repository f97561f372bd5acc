"""Transfers between accounts, in transactions of every shape and with everything that can befall them, through kills of
the server: what a client was told of a transfer is what the ledger says, then and for ever, and nobody ever sees the
accounts disagree.
"""
import collections
import contextlib
import copy
import json
import random
import select
import sqlite3
import subprocess
import sys
import time
import unittest

import harness
import history_check
import history_reader
import once_client
import rpc
from history_attempt import ACCOUNTS, ACKNOWLEDGED, COMMITTED, NEVER_SENT, ROLLED_BACK, UNKNOWN
from history_check import History

SECONDS = 600 if harness.NIGHTLY else 60 if not harness.SANITIZED else 20
PROCESSES, THREADS = 2, 3  # that make transfers
READS = 3  # threads of the process that reads, and one of them ends transactions
LEASE = 0.2 * harness.PATIENCE  # of a transaction that has the writer; of others, twice that
FLAGS = ("--sqlite-writer-idle", f"{LEASE * 1000:.0f}ms", "--sqlite-writer-limit", f"{LEASE * 15:.0f}s",
         "--transactions-idle-timeout", f"{LEASE * 2000:.0f}ms", "--shutdown-grace", "300ms")
LIVES = 2, 5  # seconds between two kills
MOST_SHOWN = 50  # complaints
KILLED_EARLY, STOPPED_WELL = 0.2, 0.2  # of the ends


class Process:
    """One of history_client.py."""

    def __init__(self, folder, address, name, role, threads):
        self.notes = folder / f"{name}.notes"
        self.process = subprocess.Popen(
            [sys.executable, "-B", str(harness.FOLDER / "history_client.py"), address, str(self.notes), name, role,
             str(threads), str(LEASE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def hear(self):
        """Its next line, once it has done what it was told."""
        ready, _, _ = select.select([self.process.stdout], [], [], 2 * once_client.GIVE_UP)
        assert ready, "a client hangs"
        return self.process.stdout.readline().strip()

    def close(self):
        self.process.kill()
        self.process.communicate()


class HistoryTest(rpc.TestCase):
    engine = "sqlite"
    flags = FLAGS
    few_writers = 5  # that read

    def setUp(self):
        super().setUp()
        self.place = {"data_dir": self.folder / "data", "listen": f"unix:{self.folder}/s.sock"}
        self.ends = collections.Counter()

    def restart(self):
        return self.start(*self.flags, **self.place)

    def test_what_clients_were_told_agrees_with_the_ledger(self):
        server = self.restart()
        with rpc.Client(server.address) as client:
            history_reader.make_tables(client, ACCOUNTS, self.engine)
        movers = [self.process(server, f"p{number}", "transfers", THREADS) for number in range(PROCESSES)]
        reads = self.process(server, "reads", "reads", READS)
        server = self.live_through_ends(server, [*movers, reads])
        for process in movers:
            process.tell()
        for process in movers:
            self.assertEqual(process.hear(), "stopped")
        server = self.end(server, kill=True)
        for process in (*movers, reads):
            process.tell()
        for process in movers:
            process.hear()
        looks = json.loads(reads.hear())
        self.assertEqual(server.terminate(), 0)
        history = History.read([process.notes for process in (*movers, reads)])
        stored = self.stored(server.database)
        complaints = history_check.judge(history, *stored)
        self.report(history, looks, complaints)
        self.assertEqual(len(complaints), 0, "\n".join(complaints[:MOST_SHOWN]))
        self.assertTrue(stored[0], "no transfer was made")
        if not harness.SANITIZED:  # in a short run little need happen
            self.assert_says_something(history, looks)
            assert_finds_what_is_false(self, history, *stored)

    def process(self, server, *arguments):
        process = Process(self.folder, server.address, *arguments)
        self.addCleanup(process.close)
        return process

    def live_through_ends(self, server, processes):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(min(random.uniform(*LIVES), max(end - time.monotonic(), 0)))  # any moment of its life
            self.assertEqual([process.process.poll() for process in processes], [None] * len(processes))
            self.assertIsNone(server.process.poll(), server.errors()[-3000:])
            server = self.end(server, kill=random.random() > STOPPED_WELL)
        return server

    def end(self, server, kill):
        """Of the server; answers the next one."""
        if kill:
            server.kill()
        else:
            self.assertEqual(server.terminate(), 0, server.errors()[-3000:])
        self.ends["kill" if kill else "SIGTERM"] += 1
        if random.random() < KILLED_EARLY:
            early = harness.Server(self.folder, *self.flags, **self.place)
            time.sleep(random.uniform(0, 0.03) * harness.PATIENCE)  # any moment of its start
            early.kill()
            self.ends["early kill"] += 1
        return self.restart()

    def stored(self, path):
        """What the engine itself finds in the stopped database: ledger, balances, and what those were at first."""
        with contextlib.closing(sqlite3.connect(path)) as database:
            self.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])
            ledger = database.execute("SELECT id, src, dst, amount, token FROM ledger").fetchall()
            balances = dict(database.execute("SELECT id, balance FROM accounts"))
        self.assertEqual(len(balances), ACCOUNTS)
        return ledger, balances, history_reader.BALANCE

    def report(self, history, looks, complaints):
        told = collections.Counter(attempt["told"] for attempt in history.attempts.values())
        answers = collections.Counter(f"{answer['how']} {answer['outcome']}" for attempt in history.attempts.values()
                                      for answer in attempt["answers"])
        expired = sum(attempt["expired"] for attempt in history.attempts.values())
        shapes = collections.defaultdict(collections.Counter)
        for attempt in history.attempts.values():
            for trait in {*attempt["shape"]}:
                shapes[trait][attempt["told"]] += 1
        print(f"\n{SECONDS} s: {len(history.attempts)} attempts; acknowledged {told[ACKNOWLEDGED]}, rolled back "
              f"{told[ROLLED_BACK]}, commit never sent {told[NEVER_SENT]}, unknown {told[UNKNOWN]}, resolved to "
              f"{dict(history.resolved())}; ends of the server: {dict(self.ends)}; leases that ended: {expired}; "
              f"{dict(looks)}; false answers: {len(complaints)}\nanswers: {dict(answers)}")
        for trait, counts in sorted(shapes.items()):
            print(f"  {trait}: {dict(counts)}")

    def assert_says_something(self, history, looks):
        """A history in which little happened proves little."""
        told = collections.Counter(attempt["told"] for attempt in history.attempts.values())
        few = 20
        for kind in (ACKNOWLEDGED, ROLLED_BACK, NEVER_SENT, UNKNOWN):
            self.assertGreater(told[kind], few, kind)
        for outcome in (COMMITTED, ROLLED_BACK):
            self.assertGreater(history.resolved()[outcome], few / 4, f"resolved to {outcome}")
        for kind in ("statement", "snapshot", "ended by the operator"):
            self.assertGreater(looks[kind], few / 4, kind)
        self.assertGreater(looks["writer"], self.few_writers)
        shapes = {trait for attempt in history.attempts.values() if attempt["told"] == ACKNOWLEDGED
                  for trait in attempt["shape"]}
        self.assertGreaterEqual(shapes, {"calls", "conversation", "alone", "ahead", "inline", "rides", "commit",
                                         "savepoint", "query", "stream", "batch", "load"})
        self.assertGreater(sum(attempt["expired"] for attempt in history.attempts.values()), 0, "leases that ended")


def falsified(history, ledger):
    """Histories and ledgers that are each false in one way, and the attempt that is wronged."""
    def pick(told, outcome, *, sent=True):
        wanted = (attempt for attempt in history.attempts.values() if attempt["told"] == told and
                  attempt["sent"] == sent and history_check.outcome_of(attempt) == outcome)
        return next(wanted)

    def with_attempt(attempt, **facts):
        changed = copy.copy(history)
        changed.attempts = {**history.attempts, attempt["id"]: {**attempt, **facts}}
        return changed

    def rows(attempt):
        return [(attempt["id"], *attempt["entry"], "token")]

    def without(attempt):
        return [row for row in ledger if row[0] != attempt["id"]]

    done, undone = pick(ACKNOWLEDGED, COMMITTED), pick(ROLLED_BACK, ROLLED_BACK)
    unsent = pick(NEVER_SENT, ROLLED_BACK, sent=False)
    was, was_not = pick(UNKNOWN, COMMITTED), pick(UNKNOWN, ROLLED_BACK)
    stored = [row for row in ledger if row[0] == done["id"]]
    said_no = {"how": "ask", "outcome": ROLLED_BACK}
    said_yes = {"how": "ask", "outcome": COMMITTED}
    yield "acknowledged, and lost", done, history, without(done)
    yield "acknowledged, and there twice", done, history, ledger + stored
    yield "told that it was rolled back, and there", undone, history, ledger + rows(undone)
    yield "never committed, and there", unsent, history, ledger + rows(unsent)
    yield "resolved to COMMITTED, and not there", was, history, without(was)
    yield "resolved to ROLLED_BACK, and there later", was_not, history, ledger + rows(was_not)
    yield "not resolved", was, with_attempt(was, answers=[]), ledger
    yield "told the contrary later", done, with_attempt(done, answers=[*done["answers"], said_no]), ledger
    yield "told both", was_not, with_attempt(was_not, answers=[*was_not["answers"], said_yes]), ledger
    yield "acknowledged, but denied", done, with_attempt(done, told=ROLLED_BACK), ledger
    yield "denied, but acknowledged", undone, with_attempt(undone, told=ACKNOWLEDGED), ledger
    yield "another answer", done, with_attempt(done, tokens=["another"]), ledger
    yield "another amount", done, with_attempt(done, entry=[done["entry"][0], done["entry"][1], 51]), ledger
    ended = with_attempt(done, handle="tx_ended")
    ended.ended = {"tx_ended": ""}
    yield "ended by an operator, and there", done, ended, ledger


def assert_finds_what_is_false(test, history, ledger, balances, balance):
    """The checker complains of each lie, and of none but that; and of what is nobody's in particular."""
    for lie, attempt, told, stored in falsified(history, ledger):
        complaints = [complaint for complaint in history_check.judge(told, stored, balances, balance)
                      if not complaint.startswith("account ")]
        test.assertTrue(complaints, lie)
        for complaint in complaints:
            test.assertTrue(complaint.startswith(f"{attempt['id']}: "), f"{lie}: {complaint}")
    moved = {**balances, 0: balances[0] + 1, 1: balances[1] - 1}
    test.assertEqual(len(history_check.judge(history, ledger, moved, balance)), 2, "money that moved by itself")
    grown = {**balances, 0: balances[0] + 1}
    test.assertEqual(len(history_check.judge(history, ledger, grown, balance)), 2, "money from nowhere")
    for id in ("p0.0.0", f"p0.0.1{history_check.UNDONE}"):
        complaints = history_check.judge(history, [*ledger, (id, 0, 1, 5, "t")], balances, balance)
        test.assertTrue(any(complaint.startswith(f"{id}: ") for complaint in complaints), complaints)


class SelfCheckTest(unittest.TestCase):
    """The checks can fail."""

    def test_a_lie_in_a_small_history_is_found(self):
        history, ledger = History(), []
        balances = dict.fromkeys(range(ACCOUNTS), history_reader.BALANCE)
        for number, (told, sent, answer) in enumerate([
                (ACKNOWLEDGED, True, COMMITTED), (ROLLED_BACK, True, ROLLED_BACK), (NEVER_SENT, False, ROLLED_BACK),
                (UNKNOWN, True, COMMITTED), (UNKNOWN, True, ROLLED_BACK)]):
            id = f"p0.0.{number + 1}"
            there = answer == COMMITTED
            history.add({"id": id, "told": told, "sent": sent, "entry": [0, 1, 5], "tokens": ["t"] * there,
                         "handle": f"tx_{number}", "fresh": False})
            history.add({"id": id, "answers": [{"how": "seen", "outcome": answer, "tokens": ["t"] * there}]})
            ledger += [(id, 0, 1, 5, "t")] * there
            balances[0] -= 5 * there
            balances[1] += 5 * there
        stored = ledger, balances, history_reader.BALANCE
        self.assertEqual(history_check.judge(history, *stored), [])
        assert_finds_what_is_false(self, history, *stored)


class ReaderTest(rpc.TestCase):
    def test_a_reader_sees_money_that_is_missing_and_rows_that_went_away(self):
        server = self.start()
        client = self.client(server)
        history_reader.make_tables(client, ACCOUNTS)
        client.query("INSERT INTO ledger(id, src, dst, amount) VALUES('a', 1, 1, 1), ('b', 1, 1, 1), ('c', 1, 1, 1)")
        reader = history_reader.Reader(server.address, ACCOUNTS)
        for kind in reader.looks:
            self.assertEqual(reader.look(kind), [])
        client.query("UPDATE accounts SET balance = balance + 1 WHERE id = 0")
        for kind in reader.looks:
            self.assertTrue(any(reader.look(kind) for _ in range(100)), kind)  # a statement looks at one thing
        client.query("UPDATE accounts SET balance = balance - 1 WHERE id = 0")
        for kind in reader.looks:
            self.assertEqual(reader.look(kind), [])
            client.query("DELETE FROM ledger WHERE rowid = (SELECT max(rowid) FROM ledger)")
            self.assertTrue(any(reader.look(kind) for _ in range(100)), kind)


if __name__ == "__main__":
    harness.main()
