"""Looks at the accounts and the ledger while transfers are made: at every moment the balances agree with each other and
with the ledger, in every kind of read, and what was once seen stays."""
import random

import harness
import rpc
from history_calls import CREDIT, DEBIT, ENTER, Client, Failed
from rpc import common_pb2, query_pb2, transaction_pb2

BALANCE = 1000  # of each account at first
PAUSE = 0.02 * harness.PATIENCE  # the longest between two looks
MADE = [  # but for the token, which is each engine's own business
    "CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL)",
    "CREATE TABLE ledger(id TEXT NOT NULL, src INTEGER NOT NULL, dst INTEGER NOT NULL, "
    "amount INTEGER NOT NULL CHECK(amount > 0), token TEXT NOT NULL DEFAULT {token})",
    "CREATE INDEX by_id ON ledger(id)",
    "CREATE INDEX by_src ON ledger(src, amount)",
    "CREATE INDEX by_dst ON ledger(dst, amount)",
]
TOKENS = {"sqlite": "(hex(randomblob(8)))", "postgres": "gen_random_uuid()::text"}

SUM = "SELECT sum(balance), count(*) FROM accounts"
ENTRIES = "SELECT count(*) FROM ledger"
WRONG = ("SELECT id, balance FROM accounts a WHERE balance <> $1 "
         "+ (SELECT coalesce(sum(amount), 0) FROM ledger WHERE dst = a.id) "
         "- (SELECT coalesce(sum(amount), 0) FROM ledger WHERE src = a.id)")


def make_tables(client, accounts, engine="sqlite"):
    for statement in MADE:
        client.query(statement.format(token=TOKENS[engine]))
    for account in range(accounts):
        client.query("INSERT INTO accounts VALUES($1, $2)", account, BALANCE)


class Reader:
    """Each look answers what is wrong. One that an end of its transaction or of the server cut short is no look."""

    def __init__(self, address, accounts):
        self.client, self.accounts = Client(address), accounts
        self.looks = {"statement": 0, "snapshot": 0, "writer": 0}
        self.entries = 0  # the most that were seen
        self.wrong = []

    def look(self, kind=None):
        kind = kind or random.choices([*self.looks], [6, 3, 1])[0]
        self.wrong = []
        try:
            {"statement": self._by_statements, "snapshot": self._in_snapshot, "writer": self._as_writer}[kind]()
            self.looks[kind] += 1
        except Failed as failure:
            if not (failure.passes or failure.reason in ("TRANSACTION_EXPIRED", "TRANSACTION_NOT_FOUND",
                                                         "SNAPSHOT_TOO_OLD")):
                self.wrong.append(f"a read: {failure}")
        return [f"{kind}: {wrong}" for wrong in self.wrong]

    def _by_statements(self):
        self._check(lambda sql, *params: self._rows(None, sql, *params), random.choice([[SUM], [WRONG], [ENTRIES]]))

    def _in_snapshot(self):
        """Nothing changes in it, whatever others do."""
        run, end = self._begin(read_only=True)
        first = self._check(run, [SUM, ENTRIES, WRONG])
        second = self._check(run, [ENTRIES, WRONG, SUM])
        if first != second:
            self.wrong.append(f"a snapshot changed: {first}, then {second}")
        end()

    def _as_writer(self):
        """Sees what it did itself, and nobody else ever does."""
        run, end = self._begin(read_only=False)
        first = self._check(run, [SUM, WRONG, ENTRIES])
        run(CREDIT, 7, 0)
        found = run(SUM)[0][0] - self.accounts * BALANCE
        if found != 7:
            self.wrong.append(f"does not see its own write: the sum is off by {found}")
        run(ENTER, "reader", 1, 0, 7)
        run(DEBIT, 7, 1)
        self._check(run, [SUM, WRONG])
        entries = run(ENTRIES)
        if entries != [(first[ENTRIES][0][0] + 1,)]:
            self.wrong.append(f"does not see its own row: {first[ENTRIES]} rows, then {entries}")
        end()

    def _check(self, run, statements):
        found = {SUM: None, ENTRIES: None, WRONG: None}
        for sql in statements:
            rows = found[sql] = run(sql, BALANCE) if sql == WRONG else run(sql)
            if sql == SUM and rows != [(self.accounts * BALANCE, self.accounts)]:
                self.wrong.append(f"sum and number of accounts: {rows}")
            if sql == WRONG and rows:
                self.wrong.append(f"accounts that do not agree with the ledger: {rows}")
            if sql == ENTRIES and rows[0][0] < self.entries:
                self.wrong.append(f"{self.entries} rows of the ledger were seen, and now {rows[0][0]}")
            if sql == ENTRIES:
                self.entries = rows[0][0]
        return found

    def _begin(self, read_only):
        """A function that runs a statement in a new transaction, and one that ends it without a trace."""
        transactions = self.client.transactions
        options = common_pb2.TransactionOptions(read_only=read_only, label="reader",
                                                isolation=common_pb2.ISOLATION_LEVEL_SERIALIZABLE)
        begun = self.client.call(transactions.BeginTransaction, transaction_pb2.BeginTransactionRequest(
            connection_id="default", options=options))
        id = begun.transaction.transaction_id
        selector = common_pb2.TransactionSelector(transaction_id=id)

        def end():
            self.client.call(transactions.RollbackTransaction,
                             transaction_pb2.RollbackTransactionRequest(transaction_id=id))

        return lambda sql, *params: self._rows(selector, sql, *params), end

    def _rows(self, selector, sql, *params):
        request = rpc.request(query_pb2.QueryRequest, sql, params, {"transaction": selector})
        return rpc.rows_of(self.client.call(self.client.queries.Query, request))
