"""Clients of bulk_broken_test.py that may be killed: a process that never calls forks one for each line of JSON on
standard input, {"address", "load", "chunks", "rows", "hang"}. It sends an atomic load, and stops for good before chunk
`hang` (`hang` = `chunks`: before the end of the stream); without it, it ends the stream as it should. What it does it
says as `PID WORD`: `hangs`, `closes`, then how the call ended."""
import json
import os
import signal
import sys
import threading

import loads
import rpc


def chunk_rows(load, chunk, rows):
    return [(load, chunk * rows + n, "x" * (n * 31 % 900)) for n in range(rows)]


def messages(order, say):
    for number in range(order["chunks"] + 1):
        if number == order["hang"]:
            # It is asked for the next only when the one before was sent.
            say("hangs")
            threading.Event().wait()
        if number == order["chunks"]:
            break
        rows = chunk_rows(order["load"], number, order["rows"])
        yield loads.chunk(rows) if number else loads.header("t", rows)
    say("closes")


def say(word):
    os.write(1, f"{os.getpid()} {word}\n".encode())


def call(order):
    with rpc.Client(order["address"]) as client:
        try:
            client.queries.BulkInsert(messages(order, say), timeout=60)
            say("OK")
        except rpc.grpc.RpcError as error:
            say(error.code().name)


def main():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        if os.fork() == 0:
            call(json.loads(line))
            os._exit(0)


if __name__ == "__main__":
    main()
