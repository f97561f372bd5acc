"""Transactions as the clients of history_test.py hold them: by unary calls, or by an Interact stream; whoever uses them
need not know.
"""
import queue
import random
import time

import harness
import loads
import rpc
from history_calls import STATES, Failed, tokens_of
from rpc import common_pb2, query_pb2, transaction_pb2

COLUMNS = ["id", "src", "dst", "amount"]


def message_of(how, steps, transaction, request_id):
    """One request for some steps: (sql, params) each. `how`: query, stream, batch, load (of an ENTER)."""
    common = {"connection_id": "default", "transaction": transaction, "request_id": request_id}
    if how == "load":
        return loads.messages("ledger", [[params for _, params in steps]], columns=COLUMNS, **common)
    if how == "batch":
        batch = [query_pb2.BatchStep(sql=sql, params=map(rpc.to_value, params)) for sql, params in steps]
        return query_pb2.ExecuteBatchRequest(steps=batch, **common)
    (sql, params), = steps
    return rpc.request(query_pb2.StreamQueryRequest if how == "stream" else query_pb2.QueryRequest, sql, params, common)


def method_of(queries, how):
    return {"query": queries.Query, "stream": queries.StreamQuery, "batch": queries.ExecuteBatch,
            "load": queries.BulkInsert}[how]


class UnaryTransaction:
    """One that is named in each call. `options`: how it is begun."""

    over = "calls"

    def __init__(self, client, meddler, options):
        self.client, self.meddler, self.options = client, meddler, options
        self.id = self.handle = ""
        self.again = None  # what to send, and to what method, to repeat the commit
        self.patient = random.random() < 0.5

    @property
    def begun(self):
        return bool(self.id)

    @staticmethod
    def ways(enters):
        """How steps may be sent; `enters`: they are one ENTER."""
        return ["query", "stream", "batch", *["load"] * enters]

    def begin(self):
        request = transaction_pb2.BeginTransactionRequest(connection_id="default", options=self.options)
        self._learn(self._call("BeginTransaction", request).transaction)

    def do(self, how, steps, begin=False, request_id=""):
        """`request_id`: of a commit that rides in it. Answers what ENTER returned, of as many as there were."""
        key = {"begin": self.options} if begin else {"transaction_id": self.id}
        selector = common_pb2.TransactionSelector(commit=bool(request_id), **key)
        message = message_of(how, steps, selector, request_id)
        method = method_of(self.client.queries, how)
        if request_id:
            self.again = (method, message)
        tokens, status = tokens_of(self.client.call(method, message, self.meddler.next(bool(request_id)), self.patient))
        self._learn(status)
        return tokens

    def commit(self, request_id):
        request = transaction_pb2.CommitTransactionRequest(transaction_id=self.id, connection_id="default",
                                                           request_id=request_id)
        self.again = (self.client.transactions.CommitTransaction, request)
        self._call("CommitTransaction", request, commits=True)

    def rollback(self):
        """Answers the state that the server tells."""
        request = transaction_pb2.RollbackTransactionRequest(transaction_id=self.id)
        return STATES[self._call("RollbackTransaction", request).transaction.state]

    def savepoint(self, name):
        self._call("Savepoint", transaction_pb2.SavepointRequest(transaction_id=self.id, name=name))

    def rollback_to(self, name):
        self._call("RollbackToSavepoint",
                   transaction_pb2.RollbackToSavepointRequest(transaction_id=self.id, name=name))

    def release(self, name):
        self._call("ReleaseSavepoint", transaction_pb2.ReleaseSavepointRequest(transaction_id=self.id, name=name))

    def keep_alive(self):
        self._call("KeepAlive", transaction_pb2.KeepAliveRequest(transaction_id=self.id))

    def close(self):
        pass

    def _call(self, name, request, commits=False):
        fate = self.meddler.next(commits)
        return self.client.call(getattr(self.client.transactions, name), request, fate, self.patient)

    def _learn(self, status):
        self.id = status.transaction_id or self.id
        self.handle = status.handle or self.handle


class StreamTransaction:
    """One that lives in an Interact stream."""

    over = "conversation"

    def __init__(self, client, meddler, options):
        self.meddler, self.options = meddler, options
        self.requests, self.number = queue.SimpleQueue(), 0
        self.handle, self.begun, self.again = "", False, None
        self.responses = client.transactions.Interact(
            iter(self.requests.get, None), wait_for_ready=random.random() < 0.5,
            timeout=random.uniform(0.001, 0.05) if random.random() < 0.03 else harness.CALL_SECONDS)

    @staticmethod
    def ways(_):
        return ["query", "batch"]

    def begin(self):
        self._call(begin=self.begin_request())
        self.begun = True

    def do(self, how, steps, begin=False, request_id=""):
        response = self._call(bool(request_id), **self.action(how, steps, begin, request_id))
        self.begun = True
        return tokens_of(getattr(response, how))[0]

    def commit(self, request_id):
        self._call(True, commit=transaction_pb2.InteractCommit(request_id=request_id))

    def rollback(self):
        return STATES[self._call(rollback=transaction_pb2.InteractRollback()).transaction.state]

    def savepoint(self, name):
        self._call(savepoint=transaction_pb2.InteractSavepoint(name=name))

    def rollback_to(self, name):
        self._call(rollback_to_savepoint=transaction_pb2.InteractSavepoint(name=name))

    def release(self, name):
        self._call(release_savepoint=transaction_pb2.InteractSavepoint(name=name))

    def keep_alive(self):
        self._call(keep_alive=transaction_pb2.InteractKeepAlive())

    def close(self):
        self.requests.put(None)
        self.responses.cancel()

    def half_close(self):
        """What is open is rolled back; OK promises it."""
        self.requests.put(None)
        try:
            for response in self.responses:
                raise AssertionError(f"a response to nothing: {response}")
        except rpc.grpc.RpcError as error:
            raise Failed.of_call(error) from None

    def begin_request(self):
        return transaction_pb2.BeginTransactionRequest(connection_id="default", options=self.options)

    def action(self, how, steps, begin=False, request_id=""):
        key = {"begin": self.options} if begin else {}
        selector = common_pb2.TransactionSelector(commit=bool(request_id), **key)
        return {how: message_of(how, steps, selector, request_id)}

    def send(self, **action):
        self.number += 1
        self.requests.put(transaction_pb2.InteractRequest(call_id=self.number, **action))

    def receive(self, number):
        """The response to a request."""
        try:
            response = next(self.responses)
        except StopIteration:
            raise Failed("OK", message="the stream ended without an answer") from None
        except rpc.grpc.RpcError as error:
            raise Failed.of_call(error) from None
        assert response.call_id == number, f"{response} answers {number}"
        self.handle = response.transaction.handle or self.handle
        if response.HasField("error"):
            raise Failed.of_step(response.error)
        return response

    def _call(self, commits=False, **action):
        self.send(**action)
        how, seconds = self.meddler.next(commits) or ("", 0)
        number = self.number
        if how:
            time.sleep(seconds)  # the cancel may meet any moment of the request
        if how == "cancel":
            self.requests.put(transaction_pb2.InteractRequest(
                cancel=transaction_pb2.InteractCancel(call_id=number)))
        elif how == "deadline":
            self.responses.cancel()
        return self.receive(number)
