"""The client of crash_test.py, a process of its own: writes as fast as it can until the server is gone, and puts down
what it was told before it counts as told.

    crash_client.py NOTES

A line `ROUND ADDRESS` on standard input begins a round; it ends when every writer has lost the server, with a line of
JSON: how calls failed. A line of NOTES is `+ UNIT SIZE` (acknowledged) or `- UNIT` (refused: nothing of it is there). A
unit is what must be there as a whole or not at all: a statement, a batch, an atomic load, a chunk of another load.
"""
import collections
import json
import os
import sys
import threading
import zlib

import loads
import rpc
from rpc import query_pb2

INSERT = "INSERT INTO t(unit, n, size, filler) VALUES(?1, ?2, ?3, ?4)"
COLUMNS = ["unit", "n", "size", "filler"]
CHUNKS = 4
WRONG = 2  # the chunk that fails, in the loads that have one


def is_wrong(unit):
    """Whether a row of the batch or the load breaks a constraint: of every fourth, more or less."""
    return unit[0] not in "qr" and zlib.crc32(unit.encode()) % 4 == 0


def filler(unit, n):
    """From a few bytes to a few hundred, and its own proof of being whole."""
    mark = f"{unit}#{n} "
    return mark * (1 + zlib.crc32(mark.encode()) % 50)


def rows(unit, size, wrong=False):
    """With `wrong`, the last one breaks the table's CHECK."""
    numbers = [*range(size - 1), -1] if wrong else range(size)
    return [(unit, n, size, filler(unit, n)) for n in numbers]


class Round:
    """Writers on the server of one round, until it is gone."""

    def __init__(self, number, address, notes):
        self.number, self.notes = number, notes
        self.clients = [rpc.Client(address), rpc.Client(address)]
        self.failures = collections.Counter()
        self.lock = threading.Lock()
        work = [("q", self.query, 0), ("r", self.query, 1), ("b", self.batch, 0), ("a", self.atomic_load, 0),
                ("s", self.stopping_load, 1), ("c", self.continuing_load, 0)]
        self.threads = [threading.Thread(target=self.write, args=(kind, call, self.clients[client].queries))
                        for kind, call, client in work]

    def run(self):
        for thread in self.threads:
            thread.start()
        print("begun", flush=True)
        for thread in self.threads:
            thread.join()
        for client in self.clients:
            client.channel.close()
        print(json.dumps(self.failures), flush=True)

    def note(self, mark, unit, *facts):
        os.write(self.notes, (" ".join([mark, unit, *map(str, facts)]) + "\n").encode())

    def write(self, kind, call, queries):
        for n in range(1_000_000):
            unit = f"{kind}{self.number}.{n}"
            wrong = is_wrong(unit)
            try:
                call(queries, unit, wrong)
                continue
            except rpc.grpc.RpcError as error:
                failure = rpc.Failure(error)
            if failure.executed in ("no", "rolled_back"):
                self.note("-", unit)
            if wrong and failure.code == rpc.Code.INVALID_ARGUMENT:
                continue
            with self.lock:
                self.failures[f"{failure.code.name} {failure.executed}".strip()] += 1
            return

    def query(self, queries, unit, _):
        (row,) = rows(unit, 1)
        queries.Query(rpc.request(query_pb2.QueryRequest, INSERT, row, {}), timeout=30)
        self.note("+", unit, 1)

    def batch(self, queries, unit, wrong):
        first, *others = rows(unit, 5, wrong)
        sets = [query_pb2.ParameterSet(params=map(rpc.to_value, row)) for row in others]
        steps = [query_pb2.BatchStep(sql=INSERT, params=map(rpc.to_value, first)),
                 query_pb2.BatchStep(sql=INSERT, parameter_sets=sets)]
        queries.ExecuteBatch(query_pb2.ExecuteBatchRequest(connection_id="default", steps=steps), timeout=30)
        self.note("+", unit, 5)

    def atomic_load(self, queries, unit, wrong):
        all_rows = rows(unit, 12, wrong)
        chunks = [all_rows[start:start + 4] for start in range(0, 12, 4)]
        queries.BulkInsert(iter(loads.messages("t", chunks, columns=COLUMNS)), timeout=30)
        self.note("+", unit, 12)

    def stopping_load(self, queries, unit, wrong):
        self.chunked_load(queries, unit, wrong, loads.STOP_ON_ERROR)

    def continuing_load(self, queries, unit, wrong):
        self.chunked_load(queries, unit, wrong, loads.CONTINUE)

    def chunked_load(self, queries, unit, wrong, mode):
        """A chunk that stands behind the one that fails is no less an own unit."""
        chunks = [rows(f"{unit}/{number}", 4, wrong and number == WRONG) for number in range(CHUNKS)]
        response = queries.BulkInsert(iter(loads.messages("t", chunks, columns=COLUMNS, mode=mode)), timeout=30)
        for outcome in response.chunks:
            if outcome.HasField("error"):
                self.note("-", f"{unit}/{outcome.chunk}")
            else:
                self.note("+", f"{unit}/{outcome.chunk}", 4)


def main():
    notes = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for line in sys.stdin:
        number, address = line.split()
        Round(number, address, notes).run()


if __name__ == "__main__":
    main()
