"""Compares what clients were told with what is stored. Every complaint says of which attempt, what was told, and what
was found.
"""
import collections
import json

from history_attempt import ACKNOWLEDGED, COMMITTED, NEVER_SENT, ROLLED_BACK, UNDONE, UNKNOWN

TOLD = {ACKNOWLEDGED: COMMITTED, ROLLED_BACK: ROLLED_BACK, NEVER_SENT: ROLLED_BACK, UNKNOWN: None}


class History:
    """What clients put down: `attempts` by id, each with its `answers`; handles of the transactions that an operator
    `ended`; what clients themselves found wrong."""

    def __init__(self):
        self.attempts, self.ended, self.wrong = {}, {}, []

    @classmethod
    def read(cls, paths):
        history = cls()
        for path in paths:
            with open(path, encoding="utf-8") as notes:
                for line in notes:
                    history.add(json.loads(line))
        return history

    def add(self, note):
        if "wrong" in note:
            self.wrong.append(note["wrong"])
        elif "ended" in note:
            self.ended[note["ended"]] = note["label"]
        elif "told" in note:
            self.attempts[note["id"]] = {**note, "answers": []}
        else:
            self.attempts[note["id"]]["answers"] += note["answers"]

    def resolved(self):
        """How many of those that were left open turned out which way."""
        return collections.Counter(outcome_of(attempt) for attempt in self.attempts.values()
                                   if attempt["told"] == UNKNOWN)


def outcome_of(attempt):
    """What its client must take for true in the end; None: it cannot know."""
    outcome = TOLD[attempt["told"]]
    for answer in attempt["answers"]:
        if outcome is None or _is_made_anew(attempt, outcome, answer):
            outcome = answer["outcome"]
    return outcome


def _is_made_anew(attempt, outcome, answer):
    """A repeat of what was rolled back, that is a whole transaction, is one more try. So is one of a commit that never
    came to a transaction which is still open, unless it says that it was done before."""
    anew = attempt["fresh"] or attempt["told"] == UNKNOWN and not answer.get("replayed")
    return anew and outcome == ROLLED_BACK and answer["how"] == "repeat" and answer["outcome"] == COMMITTED


def judge(history, ledger, balances, balance):
    """`ledger`: rows (id, src, dst, amount, token); `balances` by account, each `balance`
    at first. Answers the complaints."""
    rows = collections.defaultdict(list)
    sums = collections.Counter({account: balance for account in balances})
    for id, src, dst, amount, token in ledger:
        rows[id].append(([src, dst, amount], token))
        sums[src] -= amount
        sums[dst] += amount
    complaints = [f"seen by a client: {wrong}" for wrong in history.wrong]
    if sum(balances.values()) != balance * len(balances):
        complaints.append(f"the sum of the balances: {sum(balances.values())}, not {balance * len(balances)}")
    complaints += [f"account {account}: {found}, and {sums[account]} by the ledger"
                   for account, found in balances.items() if found != sums[account]]
    for id in rows.keys() - history.attempts.keys():
        what = "was rolled back to a savepoint" if id.endswith(UNDONE) else "was written by nobody"
        complaints.append(f"{id}: {what}, and is in the ledger: {rows[id]}")
    for attempt in history.attempts.values():
        there = rows[attempt["id"]]
        wrong = [*_stored(attempt, there), *_answers(attempt), *_ended(attempt, history.ended, there)]
        if wrong:
            complaints.append(f"{attempt['id']}: {'; '.join(wrong)}\n  {evidence(attempt, there)}")
    return complaints


def evidence(attempt, rows):
    answers = "".join(f"\n    answered: {answer}" for answer in attempt["answers"])
    facts = {key: value for key, value in attempt.items() if key != "answers"}
    return f"{facts}{answers}\n    in the ledger: {rows}"


def _stored(attempt, rows):
    """Whether what is there is what its client was told."""
    outcome = outcome_of(attempt)
    if outcome is None:
        yield "was left open, and was not resolved"
        return
    if len(rows) != (outcome == COMMITTED):
        yield f"is {outcome} by all that its client knows, and is in the ledger {len(rows)} times"
    for entry, token in rows:
        if entry != attempt["entry"]:
            yield f"is in the ledger as {entry}"
        told = {*attempt["tokens"], *(token for answer in attempt["answers"] for token in answer.get("tokens", []))}
        if told - {token}:
            yield f"was answered with {told - {token}}, and {token} is in the ledger"


def _answers(attempt):
    """Whether all answers about it say the same."""
    outcome, source = TOLD[attempt["told"]], f"the call itself ({attempt['told']})"
    for answer in attempt["answers"]:
        if outcome is None:
            pass
        elif _is_made_anew(attempt, outcome, answer):
            if answer["replayed"]:
                yield "was replayed, and had been rolled back before"
        elif answer["outcome"] != outcome:
            yield f"is {outcome} by {source}, and {answer['outcome']} by {answer['how']}"
        elif answer["how"] == "repeat" and outcome == COMMITTED and answer["replayed"] is False:
            yield f"was COMMITTED by {source} before, and the repeat says that it did it"
        if outcome is None or answer["how"] == "repeat":
            outcome, source = answer["outcome"], answer["how"]


def _ended(attempt, ended, rows):
    """An operator who ends a transaction is told that only when nothing of it will remain."""
    if attempt["handle"] in ended and rows:
        yield "was ended by an operator, and is there"
