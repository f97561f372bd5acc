"""A client of exactly_once_test.py, a process of its own: makes each of its calls three times at about the same time,
over three channels, each until it is answered, and compares the answers.

    once_client.py ADDRESS FIRST STEP END

Its calls are FIRST, FIRST + STEP, … below END. Prints a line `done` per call, then a line of JSON: what differed, how
calls failed, how many answers came.
"""
import collections
import json
import queue
import random
import sys
import threading
import time
import uuid

import harness
import loads
import rpc
from rpc import Code, query_pb2

SENDINGS = 3
THREADS = 4
GIVE_UP = 60 * harness.PATIENCE
CANCELLED_SOON = 0.03  # of the sendings
# A channel looks for a server that went away again at once.
OPTIONS = [*rpc.OPTIONS, ("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 100)]
NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")
INSERT = "INSERT INTO applied(call, part, token) VALUES(?1, ?2, hex(randomblob(8)))"
KINDS = ("query", "batch", "load", "chunks")
PARTS = {"query": 1, "batch": 2, "load": 3, "chunks": 3}


def kind_of(call):
    return KINDS[call % 10 if call % 10 < 4 else 0 if call % 10 < 8 else 1]


def request_id(call):
    return str(uuid.uuid5(NAMESPACE, str(call)))


def message_of(call):
    """The request; of a load, the list of its messages."""
    kind = kind_of(call)
    identity = {"request_id": request_id(call)}
    if kind == "query":
        return rpc.request(query_pb2.QueryRequest, f"{INSERT} RETURNING seq, token", (call, 0), identity)
    if kind == "batch":
        sets = [query_pb2.ParameterSet(params=[rpc.to_value(call), rpc.to_value(part)]) for part in (0, 1)]
        steps = [query_pb2.BatchStep(sql=f"{INSERT} RETURNING seq, token", parameter_sets=sets),
                 query_pb2.BatchStep(sql="UPDATE total SET n = n + 1 RETURNING n")]
        return query_pb2.ExecuteBatchRequest(connection_id="default", steps=steps, **identity)
    mode = loads.ATOMIC if kind == "load" else loads.CONTINUE
    chunks = [[(call, 0), (call, 1)], [(call, 2)]]
    return loads.messages("applied", chunks, columns=["call", "part"], mode=mode, **identity)


def method_of(queries, kind):
    return {"query": queries.Query, "batch": queries.ExecuteBatch}.get(kind, queries.BulkInsert)


def comparable(response):
    """Without its time; and whether a chunk was there already is the one thing that repeats tell apart."""
    response.ClearField("elapsed")
    for outcome in getattr(response, "chunks", ()):
        outcome.replayed = False
    return response.SerializeToString(deterministic=True)


class Sender:
    def __init__(self, address, calls):
        self.channels = [rpc.grpc.insecure_channel(address, OPTIONS) for _ in range(SENDINGS)]
        self.stubs = [rpc.query_pb2_grpc.QueryServiceStub(channel) for channel in self.channels]
        self.calls = queue.SimpleQueue()
        for call in calls:
            self.calls.put(call)
        self.lock = threading.Lock()
        self.failures, self.differences, self.answers = collections.Counter(), [], 0

    def run(self):
        threads = [threading.Thread(target=self.work) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(json.dumps({"failures": self.failures, "differences": self.differences, "answers": self.answers}))

    def work(self):
        while True:
            try:
                call = self.calls.get_nowait()
            except queue.Empty:
                return
            answers = self.answers_to(call)
            with self.lock:
                self.answers += len(answers)
                if len(set(answers)) != 1:
                    self.differences.append(f"{call}: {answers}"[:2000])
                print("done", flush=True)

    def answers_to(self, call):
        """One of each sending; those that fail are sent again."""
        kind, message = kind_of(call), message_of(call)
        end, answers, waiting = time.monotonic() + GIVE_UP, [], [*range(SENDINGS)]
        while waiting and time.monotonic() < end:
            random.shuffle(waiting)
            running = [(sending, self.send(sending, kind, message)) for sending in waiting]
            waiting = []
            for sending, future in running:
                try:
                    answers.append(comparable(future.result()))
                except rpc.grpc.FutureCancelledError:
                    self.note(Code.CANCELLED.name)
                    waiting.append(sending)
                except rpc.grpc.RpcError as error:
                    failure = rpc.Failure(error)
                    self.note(failure.code.name if failure.code == Code.UNAVAILABLE else repr(failure))
                    waiting.append(sending)
        return answers if not waiting else [*answers, b"gave up"]

    def send(self, sending, kind, message):
        request = iter(message) if isinstance(message, list) else message
        future = method_of(self.stubs[sending], kind).future(request, timeout=GIVE_UP, wait_for_ready=True)
        if random.random() < CANCELLED_SOON:
            time.sleep(random.uniform(0, 0.003))  # the cancel may meet any moment of the call
            future.cancel()
        return future

    def note(self, failure):
        with self.lock:
            self.failures[failure] += 1


def main():
    address, *numbers = sys.argv[1:]
    Sender(address, range(*[int(numbers[i]) for i in (0, 2, 1)])).run()


if __name__ == "__main__":
    main()
