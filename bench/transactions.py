"""The cases of bench/run that are about transactions. Each answers ratio name → (value, goal)."""

import json
import os
import shutil
import sqlite3
import subprocess
import time

from harness import BenchError, pluck, split_cores

CONCURRENCY = 32
BRANCHES = 10
BALANCES = ("SELECT sum(abalance) FROM pgbench_accounts", "SELECT sum(tbalance) FROM pgbench_tellers",
            "SELECT sum(bbalance) FROM pgbench_branches", "SELECT coalesce(sum(delta), 0) FROM pgbench_history")


class Ledger:
    """A contender's own database of pgbench's, with all transactions that it was told are on disk."""

    def __init__(self, path):
        self.path = path
        self.acknowledged = 0

    def take(self, acknowledged, unanswered):
        """Is each acknowledged transaction in the file as a whole, and none besides those without an answer?"""
        db = sqlite3.connect(self.path)
        found = db.execute("SELECT count(*) FROM pgbench_history").fetchone()[0]
        balances = [db.execute(sql).fetchone()[0] for sql in BALANCES]
        db.close()
        self.acknowledged += acknowledged
        if not 0 <= found - self.acknowledged <= unanswered:
            raise BenchError(f"{self.path.name}: {found:,} transactions, of {self.acknowledged:,} acknowledged and"
                             f" {unanswered} unanswered")
        if len(set(balances)) > 1:
            raise BenchError(f"{self.path.name}: half a transaction, the balances are {balances}")
        self.acknowledged = found


def make_ledgers(bench, names):
    """Equal databases, written back to the disk before anything is measured."""
    ledgers = {name: Ledger(bench.path / f"tpcb_{name}.db") for name in names}
    first, *others = ledgers.values()
    subprocess.run([bench.program("sluice_tpcb"), str(first.path), "--create", "--branches", str(BRANCHES),
                    "--accounts", str(bench.accounts)], check=True)
    for other in others:
        shutil.copyfile(first.path, other.path)
    for ledger in ledgers.values():
        with open(ledger.path, "rb") as file:
            os.fsync(file.fileno())
    return ledgers


def through_library(bench, ledger):
    command = [bench.program("sluice_tpcb"), str(ledger.path), "--branches", str(BRANCHES),
               "--accounts", str(bench.accounts), "--threads", str(CONCURRENCY), "--seed", str(time.time_ns()),
               "--warmup", str(bench.warm_up), "--duration", str(bench.seconds)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise BenchError(f"sluice_tpcb: {run.stderr.strip()}")
    result = json.loads(run.stdout)
    ledger.take(result["transactions"], 0)
    return result


def through_sluice(bench, ledger, method):
    server = bench.sluiced_on(ledger.path)
    result = bench.load(server, "", method, concurrency=CONCURRENCY, channels=4, branches=BRANCHES,
                        accounts=bench.accounts)
    bench.stop(server)
    ledger.take(result["acknowledged"], result["unanswered"])
    return result


def transactions_vs_library(bench):
    """pgbench's transaction of five statements, 32 at a time, against 32 threads with the library alone."""
    methods = {"a batch": "tpcb_batch", "five calls": "tpcb_calls", "a stream": "interact"}
    ledgers = make_ledgers(bench, ["library", *methods.values()])
    contenders = {name: lambda method=method: through_sluice(bench, ledgers[method], method)
                  for name, method in methods.items()}
    results = bench.interleave({"library": lambda: through_library(bench, ledgers["library"]), **contenders})
    for ledger in ledgers.values():
        ledger.path.unlink()

    case = f"transactions of pgbench, {CONCURRENCY} in flight"
    speed = {}
    for name, runs in results.items():
        ours = name != "library"
        speed[name] = bench.row("" if ours else case, f"sluiced, {name}" if ours else "library, a thread each",
                                pluck(runs, "calls_per_s" if ours else "transactions_per_s"), "/s", 0)
        bench.row("", "CPU", pluck(runs, "cpu_us_per_call" if ours else "cpu_us_per_transaction"), "µs each", 1)
        if ours:
            bench.row("", "client CPU", pluck(runs, "client_cpu_us_per_call"), "µs each", 1)
        bench.row("", "p50", pluck(runs, "p50_us"), "µs", 0)
        bench.row("", "p99", pluck(runs, "p99_us"), "µs", 0)
        bench.row("", "longest", pluck(runs, "max_us"), "µs", 0)
    return {"sqlite_tx_five_calls_vs_library": (speed["five calls"] / speed["library"], ">=0.3"),
            "sqlite_tx_batch_vs_library": (speed["a batch"] / speed["library"], ">=2")}


def interact_vs_unary(bench):
    """One point read at a time in a read-only transaction: over a stream, and by calls with the transaction's id."""
    ours, theirs = split_cores()
    server = bench.sluiced(cpus=theirs)
    load = {"concurrency": 1, "channels": 1, "cpus": ours}
    results = bench.interleave({
        "calls": lambda: bench.load(server, method="transaction_point", **load),
        "a stream": lambda: bench.load(server, method="interact_point", **load),
        "no transaction": lambda: bench.load(server, **load),
    })
    p50 = {}
    for name, runs in results.items():
        p50[name] = bench.row("" if p50 else "point in a transaction, 1 in flight", f"{name}, p50",
                              pluck(runs, "p50_us"), "µs", 1)
        bench.row("", "p99", pluck(runs, "p99_us"), "µs", 1)
        bench.row("", "CPU", pluck(runs, "cpu_us_per_call"), "µs each", 1)
    bench.stop(server)
    return {"sqlite_interact_vs_unary_p50": (p50["a stream"] / p50["calls"], "<=1")}
