"""An attempt at a transfer between two accounts, in a transaction of a random shape, or in a batch that commits by
itself; and what its client was told of it.
"""
import random
import time
import uuid

from history_calls import CREDIT, DEBIT, ENTER, OF_NETWORKS, Failed, Meddler, tokens_of
from history_transactions import StreamTransaction, UnaryTransaction, message_of
from rpc import common_pb2, transaction_pb2

ACCOUNTS = 10
MOST = 50  # a transfer
MEDDLED = 0.25  # of the attempts
UNDONE = "/undone"  # behind the id of an attempt: a row that was rolled back to a savepoint

ACKNOWLEDGED, ROLLED_BACK, NEVER_SENT, UNKNOWN = "ACKNOWLEDGED", "ROLLED_BACK", "NEVER_SENT", "UNKNOWN"
COMMITTED = "COMMITTED"

# What a server may say; anything else is a fault. SQL_ERROR only of statements that are meant to fail.
EXPECTED = {"TRANSACTION_EXPIRED", "TRANSACTION_NOT_FOUND", "TRANSACTION_FINISHED", "TRANSACTION_FAILED",
            "CALL_CANCELLED", "DEADLINE_PASSED", "SERVER_DRAINING", "COMMIT_OUTCOME_UNKNOWN", "", *OF_NETWORKS,
            "SAVEPOINT_NOT_FOUND"}  # of a transaction that was lost with the session it was in
# Nothing can follow, and nothing is left.
GONE = {"TRANSACTION_EXPIRED", "TRANSACTION_NOT_FOUND"}


class Stopped(Exception):
    """The attempt went as far as it was meant to, which was not to its commit."""

    def __init__(self, told, why):
        super().__init__(why)
        self.told, self.why = told, why


class Attempt:
    """`lease`: seconds after which a transaction that does nothing is rolled back."""

    def __init__(self, client, id, lease):
        self.client, self.id, self.lease = client, id, lease
        self.request_id = str(uuid.uuid4())
        self.src, self.dst = random.sample(range(ACCOUNTS), 2)
        self.amount = random.randint(1, MOST)
        self.meddler = Meddler(MEDDLED)
        self.shape, self.tokens, self.faults = [], [], []
        self.transaction = None
        self.sent = False  # the commit
        self.told, self.why, self.expired = None, "", False
        self.again = None  # the method and the message of the commit, where it can be repeated
        self.alone = random.random() < 0.1  # that commits by itself

    def record(self):
        """As history_check.py reads it."""
        return {"id": self.id, "told": self.told, "why": self.why, "shape": self.shape, "sent": self.sent,
                "request_id": self.request_id, "entry": [self.src, self.dst, self.amount], "tokens": self.tokens,
                "handle": self.transaction.handle if self.transaction else "", "expired": self.expired,
                "fresh": self.is_fresh()}

    def is_fresh(self):
        """Whether all of it is one request: a repeat of what was not applied is one more try."""
        return self.alone or "whole" in self.shape

    def begins(self):
        """Whether the commit rides in a request that is a transaction of its own, and so is its repeat."""
        return self.alone or {"inline", "whole"} <= {*self.shape}

    def run(self):
        try:
            self._run()
            self.told = ACKNOWLEDGED
        except Stopped as stopped:
            self.told, self.why = stopped.told, stopped.why
        except Failed as failure:
            self._judge(failure)
        finally:
            if self.transaction:
                self.transaction.close()

    def _run(self):
        if self.alone:
            self._commit_by_itself()
            return
        options = common_pb2.TransactionOptions(label=self.id, isolation=common_pb2.ISOLATION_LEVEL_SERIALIZABLE)
        kind = random.choices([UnaryTransaction, StreamTransaction], [3, 1])[0]
        self.transaction = kind(self.client, self.meddler, options)
        self.shape.append(kind.over)
        if kind is StreamTransaction and random.random() < 0.2:
            self._run_ahead()
        else:
            self._run_in_turn()

    # What a transfer consists of.

    def _steps(self):
        steps = [(DEBIT, (self.amount, self.src)), (CREDIT, (self.amount, self.dst)), self._entry(self.id)]
        random.shuffle(steps)
        return steps

    def _entry(self, id, amount=None):
        return ENTER, (id, self.src, self.dst, self.amount if amount is None else amount)

    def _groups(self):
        """The steps by the call that they ride in."""
        steps, groups = self._steps(), []
        while steps:
            size = random.choice([1, 1, 2, 3])
            groups.append(steps[:size])
            steps = steps[size:]
        return groups

    # The ways.

    def _commit_by_itself(self):
        self.shape.append("alone")
        message = message_of("batch", self._steps(), None, self.request_id)
        self.again = self.client.queries.ExecuteBatch, message
        self.sent = True
        response = self.client.call(*self.again, self.meddler.next(True), random.random() < 0.5)
        self._keep(tokens_of(response)[0])

    def _run_ahead(self):
        """Everything is sent before anything is answered."""
        self.shape += ["ahead", "commit"]
        stream, actions = self.transaction, [{"begin": self.transaction.begin_request()}]
        actions += [stream.action("batch" if len(group) > 1 else "query", group) for group in self._groups()]
        actions.append({"commit": transaction_pb2.InteractCommit(request_id=self.request_id)})
        self.sent = True
        for action in actions:
            stream.send(**action)
        fate = self.meddler.next(True)
        if fate:
            time.sleep(fate[1])
            stream.responses.cancel()
        failures = []
        for number, action in enumerate(actions, 1):
            try:
                response = stream.receive(number)
                for how in action.keys() & {"query", "batch"}:
                    self._keep(tokens_of(getattr(response, how))[0])
            except Failed as failure:
                failures.append(failure)
                if not failure.open:
                    break
        if failures:
            raise failures[-1]

    def _run_in_turn(self):
        end = random.choices(["commit", "rollback", "abandon", "dawdle", "break"], [100, 8, 1, 1, 2])[0]
        groups = self._groups()
        inline, rides = random.random() < 0.5, end in ("commit", "dawdle") and random.random() < 0.5
        self.shape += [*["inline"] * inline, *["rides"] * rides, *["whole"] * (rides and len(groups) == 1)]
        detour, guarded = random.randrange(12), random.random() < 0.3
        if not inline:
            self.transaction.begin()
        for number, group in enumerate(groups):
            begin, last = inline and number == 0, number == len(groups) - 1
            if number == detour and not begin:
                self._go_astray()
            if last and end == "dawdle" and not begin:
                self._dawdle()
            if last and rides:
                self._commit_with(group, begin)
            elif guarded and not begin:
                self._do_guarded(group)
            else:
                self._keep(self._do(group, begin))
        if end == "dawdle" and not rides:
            self._dawdle()
        if not rides:
            {"rollback": self._roll_back, "abandon": self._abandon, "break": self._break}.get(end, self._commit)()

    def _do(self, group, begin=False, request_id=""):
        enters = len(group) == 1 and group[0][0] == ENTER
        how = "batch" if len(group) > 1 else random.choice(self.transaction.ways(enters))
        self.shape.append(how)
        return self.transaction.do(how, group, begin, request_id)

    def _commit_with(self, group, begin):
        self.sent = True
        try:
            self._keep(self._do(group, begin, self.request_id))
        finally:
            self.again = self.transaction.again

    def _commit(self):
        self.shape.append("commit")
        self.sent = True
        try:
            self.transaction.commit(self.request_id)
        finally:
            self.again = self.transaction.again

    def _do_guarded(self, group):
        """What fails is undone and done again."""
        self.transaction.savepoint("guard")
        try:
            self._keep(self._do(group))
        except Failed as failure:
            if failure.code not in ("CANCELLED", "DEADLINE_EXCEEDED"):
                raise
            self.shape.append("again")
            self.transaction.rollback_to("guard")
            self._keep(self._do(group))

    def _go_astray(self):
        """Does what must not be, and undoes it."""
        self.shape.append("savepoint")
        self.transaction.savepoint("detour")
        if random.random() < 0.5:
            self._do([(CREDIT, (self.amount, self.src)), self._entry(self.id + UNDONE)])
            if random.random() < 0.5:
                self.transaction.savepoint("detour")  # hides the other one
                self._do([(DEBIT, (self.amount, self.dst))])
                self.transaction.rollback_to("detour")
                self.transaction.release("detour")
        else:
            self._fail()
        self.transaction.rollback_to("detour")
        if random.random() < 0.5:
            self.transaction.release("detour")

    def _fail(self):
        """A statement that breaks a constraint."""
        try:
            self._do([self._entry(self.id + UNDONE, -self.amount)])
        except Failed as failure:
            if failure.reason != "SQL_ERROR":
                raise
            # EXPIRED: its session was lost right then. ROLLED_BACK: an operator ended it.
            if failure.executed != "rolled_back" or failure.state not in ("FAILED", "EXPIRED", "ROLLED_BACK"):
                self.faults.append(f"a broken constraint: {failure}")
        else:
            self.faults.append("a statement that breaks a constraint went well")

    def _dawdle(self):
        self.shape.append("dawdle")
        for _ in range(random.choice([1, 1, 3])):
            time.sleep(self.lease * random.uniform(0.3, 1.3))
            if random.random() < 0.5:
                self.transaction.keep_alive()

    def _roll_back(self):
        self.shape.append("rollback")
        if self.transaction.over == "conversation" and random.random() < 0.5:
            self.transaction.half_close()
            raise Stopped(ROLLED_BACK, "half-closed")
        raise Stopped(ROLLED_BACK, self.transaction.rollback())

    def _break(self):
        """Nothing but a rollback is possible after this; a commit is tried."""
        self.shape.append("broken")
        self._fail()
        self._commit()

    def _abandon(self):
        self.shape.append("abandoned")
        if self.transaction.over == "calls" and random.random() < 0.7:
            time.sleep(1.5 * self.lease)
            if random.random() < 0.5:
                self._commit()
                self.faults.append("was committed after its lease had ended")
                return
            state = self.transaction.rollback()
            self.expired = state == "EXPIRED"
            raise Stopped(ROLLED_BACK, state)
        raise Stopped(NEVER_SENT, "abandoned")

    def _keep(self, tokens):
        self.tokens += tokens

    # What it was told.

    def _judge(self, failure):
        self.why = str(failure)
        self.expired = failure.reason == "TRANSACTION_EXPIRED" and "operator" not in failure.message
        if failure.reason not in EXPECTED or failure.code == "INTERNAL":
            self.faults.append(f"an answer that nobody expects: {failure}")
        if failure.reason and not failure.executed:
            self.faults.append(f"does not say what became of it: {failure}")
        if self.sent and failure.executed in ("", "unknown"):
            self.told = UNKNOWN
            return
        refused = self.sent or failure.reason in GONE or failure.state in ("ROLLED_BACK", "EXPIRED")
        self.told = ROLLED_BACK if refused else NEVER_SENT
        if self.transaction and self.transaction.begun and failure.state != "ROLLED_BACK" and random.random() < 0.85:
            self._tidy_up()

    def _tidy_up(self):
        """Others need not wait for the lease."""
        if self.transaction.over == "conversation":
            return  # whose end will do
        try:
            self.transaction.meddler = Meddler(0)
            state = self.transaction.rollback()
            self.told, self.why = ROLLED_BACK, f"{self.why}; then rolled back: {state}"
        except Failed as failure:
            self.why += f"; then not rolled back: {failure}"
            if failure.reason == "TRANSACTION_FINISHED":
                self.faults.append(f"was never committed, and is not rolled back: {failure}")
