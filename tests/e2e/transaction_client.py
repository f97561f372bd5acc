"""A client of the tests of transactions, a process of its own that is killed while it holds the database's writer.

    transaction_client.py ADDRESS call|stream

Inserts a row in a transaction, of its own or of an Interact stream, prints its id (or handle) and waits to be killed.
"""
import sys
import threading

import rpc
import transactions
from rpc import query_pb2, transaction_pb2

INSERT = "INSERT INTO t VALUES(1, 1)"


def requests():
    query = query_pb2.QueryRequest(connection_id="default", sql=INSERT, transaction=transactions.inline(label="killed"))
    yield transaction_pb2.InteractRequest(query=query)
    threading.Event().wait()


def main():
    address, kind = sys.argv[1:]
    client = rpc.Client(address)
    if kind == "call":
        print(transactions.begin_with(client, INSERT, label="killed").id, flush=True)
    else:
        responses = client.transactions.Interact(requests())
        print(next(responses).transaction.handle, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
