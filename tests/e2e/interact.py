"""Conversations over an Interact stream, for tests."""
import queue

import harness
import rpc
import transactions
from rpc import query_pb2, transaction_pb2

SLACK = 1 * harness.PATIENCE
INSERT = "INSERT INTO t VALUES($1, $1)"


class Conversation:
    """A stream whose requests are sent one by one."""

    def __init__(self, client, timeout=harness.CALL_SECONDS):
        self.requests, self.sent = queue.SimpleQueue(), 0
        self.responses = client.transactions.Interact(iter(self.requests.get, None), timeout=timeout)

    def send(self, **action):
        """Answers the call_id."""
        self.sent += 1
        self.requests.put(transaction_pb2.InteractRequest(call_id=self.sent, **action))
        return self.sent

    def ask(self, **action):
        """Sends it, and answers its response."""
        call_id = self.send(**action)
        response = self.next()
        assert response.call_id == call_id, (response, call_id)
        return response

    def next(self):
        return next(self.responses)

    @staticmethod
    def query(sql, *values, selector=None, **fields):
        """The action."""
        message = rpc.request(query_pb2.QueryRequest, sql, values, {"connection_id": "", **fields})
        if selector is not None:
            message.transaction.CopyFrom(selector)
        return message

    def run(self, sql, *values, **fields):
        return self.ask(query=self.query(sql, *values, **fields))

    def begin(self, **options):
        request = transaction_pb2.BeginTransactionRequest(connection_id="default",
                                                          options=transactions.options(**options))
        return self.ask(begin=request)

    def commit(self, **fields):
        return self.ask(commit=transaction_pb2.InteractCommit(**fields))

    def rollback(self):
        return self.ask(rollback=transaction_pb2.InteractRollback())

    def cancel(self, call_id):
        self.send(cancel=transaction_pb2.InteractCancel(call_id=call_id))

    def half_close(self):
        self.requests.put(None)

    def drop(self):
        self.responses.cancel()
        self.half_close()


class TestCase(transactions.TestCase):
    def converse(self, **options):
        conversation = Conversation(self.rpc, **options)
        self.addCleanup(conversation.drop)
        return conversation

    def assert_state(self, response, state):
        status = response.transaction
        self.assertEqual((transactions.state_of(status), status.transaction_id), (state, ""), response)
        self.assertRegex(status.handle, "^tx_[0-9a-f]{12}$")
        self.assertEqual(status.HasField("expires_in"), state in ("ACTIVE", "FAILED"))

    def assert_error(self, response, reason, state=None, executed=None):
        self.assertEqual((response.WhichOneof("result"), response.error.reason), ("error", reason), response)
        self.assertIn(response.error.metadata["executed"], (executed,) if executed else ("no", "rolled_back"))
        if state:
            self.assert_state(response, state)
            self.assertEqual(response.error.metadata["transaction_state"], state)
            self.assertEqual(response.error.metadata["transaction"], response.transaction.handle)
        else:
            self.assertFalse(response.HasField("transaction"), response)

    def assert_ends(self, conversation, code=None, reason=""):
        """The stream ends without a further response."""
        if code is None:
            self.assertEqual(list(conversation.responses), [])
            return None
        return self.assert_fails(code, lambda: list(conversation.responses), reason=reason)

    def await_gone(self):
        harness.wait_for(lambda: not self.list().transactions, SLACK, "the transaction is gone")
        self.rpc.query("DELETE FROM t WHERE a < 0", timeout=SLACK)
        self.assert_nothing_open()
