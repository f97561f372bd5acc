"""The transactions of pgbench on PostgreSQL, through Sluice and by pgbench itself. Answers ratio name → (value, goal)."""

from harness import BenchError, pluck
from postgres import ACCOUNTS_PER_BRANCH, database_of
from transactions import BALANCES, CONCURRENCY


class PostgresLedger:
    """A contender's own database of pgbench's, with all transactions that it was told are on disk."""

    def __init__(self, database, name):
        self.database, self.name = database, name
        self.acknowledged = 0

    def ready(self):
        """As pgbench does it before a run: the small tables without their dead rows."""
        self.database.psql("VACUUM pgbench_branches; VACUUM pgbench_tellers", self.name)

    def take(self, acknowledged, unanswered):
        """Is each acknowledged transaction there as a whole, and none besides those without an answer?"""
        sums = ", ".join(f"({sql})" for sql in ("SELECT count(*) FROM pgbench_history", *BALANCES))
        found, *balances = map(int, self.database.psql(f"SELECT {sums}", self.name).split("|"))
        self.acknowledged += acknowledged
        if not 0 <= found - self.acknowledged <= unanswered:
            raise BenchError(f"{self.name}: {found:,} transactions, of {self.acknowledged:,} acknowledged and"
                             f" {unanswered} unanswered")
        if len(set(balances)) > 1:
            raise BenchError(f"{self.name}: half a transaction, the balances are {balances}")
        self.acknowledged = found


def branches_of(bench):
    """As many as there are clients: with fewer, pgbench's manual says, one measures how they wait for each other."""
    return CONCURRENCY if bench.accounts > ACCOUNTS_PER_BRANCH else 1


def make_ledgers(database, branches, names):
    """Equal databases."""
    database.create(names[0], branches)
    for name in names[1:]:
        database.copy(name, names[0])
    database.psql("CHECKPOINT")
    return {name: PostgresLedger(database, name) for name in names}


def by_pgbench(database, ledger):
    ledger.ready()
    result = database.pgbench(database=ledger.name, clients=CONCURRENCY)
    ledger.take(result["calls"], 0)
    return {**result, "backend_us_per_call": result["postgres_cpu"] * 1e6 / result["calls"]}


def through_sluice(bench, ledger, method):
    database = ledger.database
    ledger.ready()
    server = database.sluiced(ledger.name)
    branches = branches_of(bench)
    result = database.load(server, method, "", lean=False, concurrency=CONCURRENCY, channels=4, branches=branches,
                           accounts=branches * ACCOUNTS_PER_BRANCH)
    bench.stop(server)
    ledger.take(result["acknowledged"], result["unanswered"])
    return result


def transactions_vs_pgbench(bench):
    """pgbench's transaction of five statements, 32 at a time over 4 connections, against pgbench with 32."""
    database = database_of(bench)
    methods = {"a batch": "tpcb_batch", "five calls": "tpcb_calls"}
    ledgers = make_ledgers(database, branches_of(bench), ("pgbench", *methods.values()))
    contenders = {name: lambda method=method: through_sluice(bench, ledgers[method], method)
                  for name, method in methods.items()}
    results = bench.interleave({"pgbench": lambda: by_pgbench(database, ledgers["pgbench"]), **contenders})
    for name in ledgers:
        database.drop(name)

    case = f"PostgreSQL, transactions of pgbench, {CONCURRENCY} in flight"
    speed = {}
    for name, runs in results.items():
        ours = name != "pgbench"
        speed[name] = bench.row("" if ours else case, f"sluiced, {name}" if ours else "pgbench -M prepared",
                                pluck(runs, "calls_per_s"), "/s", 0)
        bench.row("", "PostgreSQL's CPU", pluck(runs, "backend_us_per_call"), "µs each", 1)
        if ours:
            bench.row("", "CPU", pluck(runs, "cpu_us_per_call"), "µs each", 1)
            bench.row("", "client CPU", pluck(runs, "client_cpu_us_per_call"), "µs each", 1)
            bench.row("", "p99", pluck(runs, "p99_us"), "µs", 0)
        bench.row("", "p50" if ours else "average", pluck(runs, "p50_us"), "µs", 0)
    return {"tx_five_calls_vs_pgbench": (speed["five calls"] / speed["pgbench"], ">=0.45"),
            "tx_batch_vs_pgbench": (speed["a batch"] / speed["pgbench"], ">=1.2")}
