"""A client of history_test.py, a process of its own.

    history_client.py ADDRESS NOTES NAME ROLE THREADS LEASE

ROLE `transfers`: attempts at transfers, until a line comes on standard input; those left open are resolved, and
`stopped` is printed. After another line it asks once more for what had been left open, and for some of the others.
ROLE `reads`: readers, and an operator who ends transactions, until a line comes. NOTES get a line of JSON for each
thing that happened, before the next is done. The last line that is printed is JSON: how often what was done.
"""
import collections
import json
import os
import random
import sys
import threading
import time
import traceback
import types

import history_calls
from history_attempt import ACCOUNTS, UNKNOWN, Attempt
from history_calls import Failed
from history_reader import PAUSE, Reader
from history_resolve import Resolution
from rpc import transaction_pb2

RESOLVED_LATER = 0.3  # of those that are left open: perhaps after a restart
LATEST = 8  # seconds
LOOKED_AT = 0.05  # of those that are not left open: whether they are there
ASKED_AGAIN = 1000  # of each kind, in the end


class Notes:
    def __init__(self, path):
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def put(self, **note):
        os.write(self.file, (json.dumps(note) + "\n").encode())


class Crew:
    """Threads that do something until they are told to stop; what goes wrong in one is put down."""

    def __init__(self, notes, count, work):
        self.notes, self.work = notes, work
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(number,)) for number in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self, number):
        try:
            self.work(number, self.stop)
        except Exception:  # pylint: disable=broad-except
            self.notes.put(wrong=f"a client failed: {traceback.format_exc()}")

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


class Transfers:
    def __init__(self, address, notes, name, lease):
        self.address, self.notes, self.name, self.lease = address, notes, name, lease
        self.open, self.others = [], []  # attempts to ask for once more

    def work(self, number, stop):
        client = history_calls.Client(self.address)
        later = []  # attempts, with the time to resolve them
        count = 0
        while not stop.is_set():
            count += 1
            self._attempt(client, f"{self.name}.{number}.{count}", later)
            while later and later[0][0] < time.monotonic():
                self._resolve(client, later.pop(0)[1])
        for _, attempt in later:
            self._resolve(client, attempt)

    def _attempt(self, client, id, later):
        attempt = Attempt(client, id, self.lease)
        attempt.run()
        self.notes.put(**attempt.record())
        for fault in attempt.faults:
            self.notes.put(wrong=f"{id}: {fault}\n  {attempt.record()}")
        known = types.SimpleNamespace(id=attempt.id, request_id=attempt.request_id)
        if attempt.told == UNKNOWN:
            self.open.append(known)
            if random.random() < RESOLVED_LATER:
                later.append((time.monotonic() + random.uniform(0, LATEST), attempt))
                later.sort(key=lambda entry: entry[0])
            else:
                self._resolve(client, attempt)
        elif attempt.sent:
            self.others.append(known)
        if attempt.told != UNKNOWN and random.random() < LOOKED_AT:
            look = Resolution(client, attempt)
            look.see()
            self.notes.put(id=id, answers=look.answers)
        if attempt.why.startswith("UNAVAILABLE"):
            time.sleep(0.05)

    def _resolve(self, client, attempt):
        self.notes.put(id=attempt.id, answers=Resolution(client, attempt).resolve())

    def ask_again(self, _number, _stop):
        client = history_calls.Client(self.address)
        for attempts in (self.open, self.others):
            for attempt in random.sample(attempts, min(ASKED_AGAIN, len(attempts))):
                self.notes.put(id=attempt.id, answers=Resolution(client, attempt).look_again())


class Reads:
    def __init__(self, address, notes):
        self.address, self.notes = address, notes
        self.done = collections.Counter()
        self.lock = threading.Lock()

    def work(self, number, stop):
        if number == 0:
            self._operate(stop)
            return
        reader = Reader(self.address, ACCOUNTS)
        while not stop.is_set():
            for wrong in reader.look():
                self.notes.put(wrong=wrong)
            time.sleep(random.uniform(0, PAUSE))
        with self.lock:
            self.done.update(reader.looks)

    def _operate(self, stop):
        client = history_calls.Client(self.address)
        while not stop.is_set():
            time.sleep(random.uniform(0, 0.3))
            try:
                listed = client.call(client.transactions.ListTransactions,
                                     transaction_pb2.ListTransactionsRequest()).transactions
                for transaction in random.sample(listed, min(1, len(listed))):
                    client.call(client.transactions.EndTransaction,
                                transaction_pb2.EndTransactionRequest(handle=transaction.handle))
                    self.notes.put(ended=transaction.handle, label=transaction.label)
                    self.done["ended by the operator"] += 1
            except Failed as failure:
                if not (failure.passes or failure.reason in ("TRANSACTION_NOT_FOUND", "TRANSACTION_FINISHED")):
                    self.notes.put(wrong=f"the operator: {failure}")


def main():
    address, path, name, role, threads, lease = sys.argv[1:]
    notes = Notes(path)
    if role == "transfers":
        transfers = Transfers(address, notes, name, float(lease))
        crew = Crew(notes, int(threads), transfers.work)
        sys.stdin.readline()
        crew.end()
        print("stopped", flush=True)
        sys.stdin.readline()
        Crew(notes, 1, transfers.ask_again).end()
        print(json.dumps({}))
    else:
        reads = Reads(address, notes)
        crew = Crew(notes, int(threads), reads.work)
        sys.stdin.readline()
        crew.end()
        print(json.dumps(reads.done))


if __name__ == "__main__":
    main()
