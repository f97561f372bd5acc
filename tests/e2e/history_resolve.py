"""Finds out what became of an attempt whose answer was lost: asks for the outcome of its request id, sends its commit
again, looks into the ledger. Each answer is put down; history_check.py says whether they agree.
"""
import random
import time

import once_client
from history_attempt import COMMITTED, ROLLED_BACK
from history_calls import Failed, Meddler, tokens_of

SEEN = "SELECT token FROM ledger WHERE id = $1"
MEDDLED = 0.1  # of the repeats


class Resolution:
    """The answers, in their order: `how` they came (ask, repeat, seen), `outcome`, `tokens`, `replayed`, `why`."""

    def __init__(self, client, attempt):
        self.client, self.attempt = client, attempt
        self.answers = []

    def resolve(self):
        """In any order; the second of the two does not always come."""
        ways = [self.ask, self.repeat] if self.attempt.again else [self.ask]
        random.shuffle(ways)
        ways[0]()
        if random.random() < 0.5:
            self.see()
        if random.random() < 0.6:
            ways[-1]()
            self.ask_by_transaction()
        self.see()
        return self.answers

    def look_again(self):
        """Without doing anything."""
        self.ask()
        self.see()
        return self.answers

    def ask(self):
        end = time.monotonic() + once_client.GIVE_UP
        outcome = "PENDING"
        while outcome == "PENDING" and time.monotonic() < end:
            outcome = self.client.outcome(request_id=self.attempt.request_id)
        self._put("ask", outcome)

    def ask_by_transaction(self):
        """The server forgets ids when it ends, and knows nothing of a commit that is not over yet."""
        id = getattr(self.attempt.transaction, "id", "")
        if not id:
            return
        try:
            outcome = self.client.outcome(transaction_id=id)
        except Failed as failure:
            if failure.reason != "TRANSACTION_NOT_FOUND":
                raise
        else:
            if outcome != "PENDING":
                self._put("ask by transaction", outcome)

    def see(self):
        rows = self.client.rows(SEEN, self.attempt.id)
        self._put("seen", COMMITTED if rows else ROLLED_BACK, tokens=[token for token, in rows])

    def repeat(self):
        """The same request, until it is answered for good."""
        method, message = self.attempt.again
        end = time.monotonic() + once_client.GIVE_UP
        while True:
            try:
                response = self.client.call(method, message, Meddler(MEDDLED).next(True), patient=True)
            except Failed as failure:
                if time.monotonic() > end:
                    raise
                if not self._is_final(failure):
                    continue
                self._put("repeat", ROLLED_BACK, why=str(failure))
                return
            tokens, _ = tokens_of(response)
            self._put("repeat", COMMITTED, tokens=tokens, replayed=self._replayed(response))
            return

    def _is_final(self, failure):
        """Whether it says that the request was not applied and cannot be any more. Of one that begins a transaction, an
        end of the new one says nothing about the first."""
        if failure.executed in ("", "unknown") or failure.passes or failure.code == "CANCELLED":
            return False
        return not (self.attempt.begins() and failure.code == "ABORTED")

    @staticmethod
    def _replayed(response):
        """True, False, or None where the answer does not tell."""
        if hasattr(response, "chunks"):
            return all(chunk.replayed for chunk in response.chunks)
        return getattr(response, "replayed", None)

    def _put(self, how, outcome, **facts):
        self.answers.append({"how": how, "outcome": outcome, **facts})
