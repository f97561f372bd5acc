"""The cases of bench/run that are about single statements on PostgreSQL. Each answers ratio name → (value, goal), or the
reason why there is none."""

import random

from harness import Missing, pluck
from postgres import FastApi, PgBouncer, cpu_seconds, database_of, grpcjs
from postgres_bulk import bulk_vs_peers, stream_vs_psql
from postgres_transactions import transactions_vs_pgbench

IN_FLIGHT = {"concurrency": 128, "channels": 4}
READS = 50  # in a batch


class Contenders:
    """Name → what measures it once. A peer that is not there leaves its reason instead."""

    def __init__(self):
        self.measures, self.missing, self.endings = {}, {}, []

    def add(self, name, make):
        """`make` starts what is needed, and answers what measures and what ends it."""
        try:
            self.measures[name], ending = make()
            self.endings.append(ending)
        except Missing as error:
            self.missing[name] = error

    def stop(self):
        for ending in self.endings:
            ending()

    def ratio(self, name, value, goal):
        """The value as a function of nothing, for it cannot be computed where the peer is missing."""
        return self.missing[name] if name in self.missing else (value(), goal)


def on_query(bench, start, lean=True, **load):
    """A contender that serves Sluice's Query, which any of the loads can drive."""
    def make():
        server = start()
        return (lambda: bench.postgres.load(server, lean=lean, **load)), (lambda: bench.stop(server))
    return make


def through_pgbouncer(bench):
    """PgBouncer 1.18 knows no prepared statements in transaction mode, so pgbench parses each query there."""
    bouncer = PgBouncer(bench.postgres)

    def measure():
        before = cpu_seconds(bouncer.pid)
        result = bench.postgres.pgbench("-S", port=bouncer.port, mode="simple")
        result["pgbouncer_cpu"] = cpu_seconds(bouncer.pid) - before
        return result
    return measure, bouncer.stop


def on_fastapi(bench):
    peer = FastApi(bench, bench.postgres)
    keys = random.Random(1)

    def measure():
        return peer.load([keys.randint(1, bench.accounts) for _ in range(20_000)], IN_FLIGHT["concurrency"])
    return measure, lambda: bench.stop(peer.server)


def add_point_contenders(bench, contenders):
    """Those whom a ratio that was asked for needs; sluiced always."""
    database = database_of(bench)
    contenders.add("sluiced", on_query(bench, database.sluiced, **IN_FLIGHT))
    contenders.add("sluiced, gRPC's client", on_query(bench, database.sluiced, lean=False, **IN_FLIGHT))
    peers = {"pgbench": ({"pg_point_vs_pgbench"}, lambda: ((lambda: database.pgbench("-S")), lambda: None)),
             "pgbouncer": ({"pg_point_vs_pgbouncer", "pg_cpu_vs_pgbouncer"}, lambda: through_pgbouncer(bench)),
             "echo": ({"pg_cpu_vs_echo"}, on_query(bench, bench.echo, **IN_FLIGHT)),
             "grpc-js": ({"pg_point_vs_grpcjs"}, on_query(bench, lambda: grpcjs(bench, database), **IN_FLIGHT)),
             "fastapi": ({"pg_point_vs_fastapi"}, lambda: on_fastapi(bench))}
    for name, (ratios, make) in peers.items():
        if ratios & bench.wanted:
            contenders.add(name, make)


def postgres_us(result):
    return result.get("backend_us_per_call") or result["postgres_cpu"] * 1e6 / result["calls"]


def all_cpu_us(result):
    """Of whatever is between the client and PostgreSQL, and of PostgreSQL."""
    between = result.get("cpu_us_per_call") or result.get("pgbouncer_cpu", 0) * 1e6 / result["calls"]
    return between + postgres_us(result)


def point_vs_peers(bench):
    """Point reads by random primary keys, 128 in flight; 32 connections of pgbench, which has one each in flight."""
    contenders = Contenders()
    try:
        add_point_contenders(bench, contenders)
        results = bench.interleave(contenders.measures)
    finally:
        contenders.stop()
    speed, cpu, gateway = {}, {}, {}
    for name, runs in results.items():
        speed[name] = bench.row("" if speed else "PostgreSQL, point reads", f"{name} calls", pluck(runs, "calls_per_s"),
                                "/s", 0)
        if "cpu_us_per_call" in runs[0]:
            gateway[name] = bench.row("", f"{name} CPU", pluck(runs, "cpu_us_per_call"), "µs/call", 2)
            bench.row("", f"{name} p50", pluck(runs, "p50_us"), "µs", 0)
            bench.row("", f"{name} p99", pluck(runs, "p99_us"), "µs", 0)
            bench.row("", f"{name} client CPU", pluck(runs, "client_cpu_us_per_call"), "µs/call", 2)
        if name not in ("echo", "fastapi"):
            bench.row("", f"{name}: PostgreSQL's CPU", map(postgres_us, runs), "µs/call", 2)
            cpu[name] = bench.row("", f"{name} and PostgreSQL", map(all_cpu_us, runs), "µs/call", 2)
    ours = speed["sluiced"]
    known = {
        "pg_point_vs_pgbench": ("pgbench", lambda: ours / speed["pgbench"], ">=1.0"),
        "pg_point_vs_pgbouncer": ("pgbouncer", lambda: ours / speed["pgbouncer"], ">=2"),
        "pg_point_vs_fastapi": ("fastapi", lambda: ours / speed["fastapi"], ">=6"),
        "pg_point_vs_grpcjs": ("grpc-js", lambda: ours / speed["grpc-js"], ">=6"),
        "pg_cpu_vs_echo": ("echo", lambda: gateway["sluiced"] / gateway["echo"], "<=2.0"),
        "pg_cpu_vs_pgbouncer": ("pgbouncer", lambda: cpu["sluiced"] / cpu["pgbouncer"], "<=0.6"),
    }
    return {name: contenders.ratio(*rest) for name, rest in known.items() if name in bench.wanted}


def lone_p50_vs_sum(bench):
    """One call at a time, against what gRPC and PostgreSQL cost at least: the echo's latency and pgbench's own."""
    database = database_of(bench)
    sluiced, echo = database.sluiced(), bench.echo()
    lone = {"concurrency": 1, "channels": 1}
    results = bench.interleave({
        "sluiced": lambda: database.load(sluiced, **lone),
        "echo": lambda: database.load(echo, **lone),
        "pgbench": lambda: {"p50_us": database.pgbench_p50_us()},
        "sluiced, gRPC's client": lambda: database.load(sluiced, lean=False, **lone),
    })
    p50 = {name: bench.row("PostgreSQL, 1 in flight" if name == "sluiced" else "", f"{name} p50",
                           pluck(runs, "p50_us"), "µs", 1)
           for name, runs in results.items()}
    bench.stop(sluiced, echo)
    return {"pg_lone_p50_vs_sum": (p50["sluiced"] / (p50["echo"] + p50["pgbench"]), "<=1.3")}


def batch_vs_pgbench(bench):
    """Fifty point reads in one ExecuteBatch, eight in flight, against pgbench's single ones."""
    database = database_of(bench)
    server = database.sluiced()
    results = bench.interleave({
        "sluiced": lambda: database.load(server, "point_batch", sets=READS, concurrency=8, channels=4),
        "pgbench": lambda: database.pgbench("-S"),
    })
    ours = bench.row(f"PostgreSQL, batches of {READS} reads", "sluiced reads", pluck(results["sluiced"], "rows_per_s"),
                     "/s", 0)
    bench.row("", "sluiced CPU", pluck(results["sluiced"], "cpu_us_per_row"), "µs/read", 2)
    bench.row("", "PostgreSQL's CPU", (postgres_us(run) / READS for run in results["sluiced"]), "µs/read", 2)
    bench.row("", "p50", pluck(results["sluiced"], "p50_us"), "µs", 0)
    theirs = bench.row("", "pgbench reads", pluck(results["pgbench"], "calls_per_s"), "/s", 0)
    bench.stop(server)
    return {"pg_batch_vs_pgbench": (ours / theirs, ">=3")}


POSTGRES_CASES = (
    (("pg_point_vs_pgbench", "pg_point_vs_pgbouncer", "pg_point_vs_fastapi", "pg_point_vs_grpcjs", "pg_cpu_vs_echo",
      "pg_cpu_vs_pgbouncer"), point_vs_peers),
    (("pg_lone_p50_vs_sum",), lone_p50_vs_sum),
    (("pg_batch_vs_pgbench",), batch_vs_pgbench),
    (("pg_stream_vs_psql", "pg_stream_vs_copy", "pg_stream_cpu_us_per_row"), stream_vs_psql),
    (("pg_bulk_vs_asyncpg", "pg_bulk_vs_copy"), bulk_vs_peers),
    (("tx_five_calls_vs_pgbench", "tx_batch_vs_pgbench"), transactions_vs_pgbench),
)
