"""Calls as the clients of history_test.py make them: cancelled, or out of time, where a Meddler says so; and what one
that failed says.
"""
import random
import time

import harness
import once_client
import rpc
from rpc import common_pb2, query_pb2, query_pb2_grpc, transaction_pb2, transaction_pb2_grpc

DEBIT = "UPDATE accounts SET balance = balance - $1 WHERE id = $2"
CREDIT = "UPDATE accounts SET balance = balance + $1 WHERE id = $2"
ENTER = "INSERT INTO ledger(id, src, dst, amount) VALUES($1, $2, $3, $4) RETURNING token"

CODES = {number: code.name for code in rpc.Code for number in code.value[:1]}
STATES = {number: name.removeprefix("TRANSACTION_STATE_")
          for name, number in common_pb2.TransactionState.items()}
# What a database behind a network may say at any time, which has nothing to do with what was asked for; and one that
# lets transactions run beside each other.
OF_NETWORKS = {"BACKEND_LOST", "BACKEND_STARTING", "BACKEND_UNREACHABLE", "COMMIT_OUTCOME_UNKNOWN",
               "SERIALIZATION_FAILURE", "DEADLOCK"}
OUTCOMES = {number: name.removeprefix("TRANSACTION_OUTCOME_")
            for name, number in transaction_pb2.TransactionOutcome.items()}


class Failed(Exception):
    """How a call failed. Without `executed` nobody but the client itself said so, and anything may be true."""

    def __init__(self, code, reason="", executed="", state="", message=""):
        super().__init__(code)
        self.code, self.reason, self.executed, self.state, self.message = code, reason, executed, state, message

    @classmethod
    def of_call(cls, error):
        failure = rpc.Failure(error)
        state = failure.info.metadata.get("transaction_state", "") if failure.info else ""
        return cls(failure.code.name, failure.reason, failure.executed, state, failure.message)

    @classmethod
    def of_step(cls, error):
        """An `error` in a stream that goes on."""
        metadata = error.metadata
        return cls(CODES[error.code], error.reason, metadata.get("executed", ""),
                   metadata.get("transaction_state", ""), error.message)

    @property
    def passes(self):
        """Whether it has nothing to do with what was asked for: the server went away, or was slow, or others were there."""
        return (not self.reason or self.reason == "SERVER_DRAINING" or self.reason in OF_NETWORKS
                or self.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"))

    @property
    def open(self):
        """Whether the server said that the transaction may be gone on with, or at least rolled back."""
        return self.state in ("ACTIVE", "FAILED")

    def __str__(self):
        return " ".join(filter(None, [self.code, self.reason, self.executed, self.state, self.message[:120]]))


class Client:
    """A connection of its own to the server, that comes back soon after the server does."""

    def __init__(self, address):
        self.channel = rpc.grpc.insecure_channel(address, once_client.OPTIONS)
        self.queries = query_pb2_grpc.QueryServiceStub(self.channel)
        self.transactions = transaction_pb2_grpc.TransactionServiceStub(self.channel)

    def call(self, method, request, fate=None, patient=False):
        """The response, or of a stream the list of its messages. `fate`: what Meddler.next said. `patient`: waits for
        a server that is away."""
        how, seconds = fate or ("", 0)
        timeout = seconds if how == "deadline" else harness.CALL_SECONDS
        content = iter(request) if isinstance(request, list) else request
        try:
            if isinstance(request, query_pb2.StreamQueryRequest):
                messages = method(content, timeout=timeout, wait_for_ready=patient)
                self._cancel(messages, how, seconds)
                return list(messages)
            future = method.future(content, timeout=timeout, wait_for_ready=patient)
            if how == "twice" and content is request:
                return self._either(future, method.future(request, timeout=timeout, wait_for_ready=patient))
            self._cancel(future, how, seconds)
            return future.result()
        except rpc.grpc.FutureCancelledError:
            raise Failed("CANCELLED", message="by this client") from None
        except rpc.grpc.RpcError as error:
            raise Failed.of_call(error) from None

    @staticmethod
    def _either(*futures):
        """Of the same request, sent twice at once: if it was done, nobody may be told that it never will be."""
        done, failures = [], []
        for future in futures:
            try:
                done.append(future.result())
            except rpc.grpc.RpcError as error:
                failures.append(Failed.of_call(error))
        if not done:
            raise min(failures, key=lambda failure: failure.executed not in ("", "unknown"))
        told = [tokens_of(response)[0] for response in done]
        denied = [failure for failure in failures if failure.executed and failure.code in
                  ("NOT_FOUND", "FAILED_PRECONDITION", "INVALID_ARGUMENT")]
        if denied or told[0] != told[-1]:
            raise Failed("CONTRADICTION", "CONTRADICTION", "unknown", "", f"{told}; {', '.join(map(str, denied))}")
        return done[0]

    @staticmethod
    def _cancel(call, how, seconds):
        if how == "cancel":
            time.sleep(seconds)  # the cancel may meet any moment of the call
            call.cancel()

    def rows(self, sql, *params, **fields):
        """Of a statement that reads, whatever it takes to get an answer."""
        request = rpc.request(query_pb2.QueryRequest, sql, params, fields)
        return rpc.rows_of(self.until_answered(self.queries.Query, request))

    def until_answered(self, method, request):
        """For what may be repeated freely."""
        end = time.monotonic() + once_client.GIVE_UP
        while True:
            try:
                return self.call(method, request, patient=True)
            except Failed as failure:
                if time.monotonic() > end or not failure.passes:
                    raise
            time.sleep(0.01)

    def outcome(self, **key):
        request = transaction_pb2.GetTransactionOutcomeRequest(connection_id="default", **key)
        return OUTCOMES[self.until_answered(self.transactions.GetTransactionOutcome, request).outcome]


class Meddler:
    """Ends one call of an attempt, at any moment of it: by a cancel, or by a short deadline. A commit may also be sent
    twice at once."""

    def __init__(self, chance):
        self.at = random.choice([*["commit"] * 4, *range(6)]) if random.random() < chance else None
        self.count = 0

    def next(self, commits=False):
        """What becomes of the next call: nothing, or how it is meddled with and after how many seconds."""
        number, self.count = self.count, self.count + 1
        if self.at not in ("commit" if commits else None, number) or self.at is None:
            return None
        self.at = None
        return random.choice(["cancel", "deadline", *["twice"] * commits]), 10 ** random.uniform(-4, -2)


def tokens_of(response):
    """What ENTER returned, if it was among the steps; the server's status of the transaction."""
    last = response[-1] if isinstance(response, list) else response
    if isinstance(response, list):
        results = response
    else:
        results = getattr(response, "results", [response] if hasattr(response, "rows") else [])
    rows = [row for result in results for row in rpc.rows_of(result)]
    return [token for token, in rows], last.transaction
