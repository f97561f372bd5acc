"""The cases of bench/run. Each answers ratio name → (value, goal)."""

import json
import shutil
import sqlite3
import statistics
import subprocess
import time

from harness import ALL_SQL, INSERT_SQL, POINT_SQL, BenchError, Missing, end_beside, pluck, scan_sql, split_cores
from postgres_cases import POSTGRES_CASES
from transactions import interact_vs_unary, transactions_vs_library


def check_same_linking(sluiced, echo):
    if sluiced.links_grpc_dynamically() != echo.links_grpc_dynamically():
        raise BenchError("sluiced and sluice_echo link gRPC in different ways")


def point_vs_echo(bench):
    """Point reads, 32 in flight over 4 connections: what the gateway costs beyond gRPC itself."""
    ours, theirs = split_cores()
    sluiced, echo = bench.sluiced(cpus=theirs), bench.echo(cpus=theirs)
    check_same_linking(sluiced, echo)
    load = {"concurrency": 32, "channels": 4, "cpus": ours}
    results = bench.interleave({
        "sluiced": lambda: bench.load(sluiced, **load),
        "echo": lambda: bench.load(echo, **load),
    })
    # What a call costs depends on how many come at once, and a server that is waited for gets fewer at once. So
    # beside the cost at full speed, which is the ratio, there is the cost at one and the same speed.
    pace = int(0.6 * min(statistics.median(pluck(runs, "calls_per_s")) for runs in results.values()))
    paced = bench.interleave({
        "sluiced": lambda: bench.load(sluiced, rate=pace, **load),
        "echo": lambda: bench.load(echo, rate=pace, **load),
    })
    speed, cpu = {}, {}
    for name, runs in results.items():
        speed[name] = bench.row("point, 32 in flight", f"{name} calls", pluck(runs, "calls_per_s"), "/s", 0)
        cpu[name] = bench.row("", f"{name} CPU", pluck(runs, "cpu_us_per_call"), "µs/call", 2)
        bench.row("", f"{name} p50", pluck(runs, "p50_us"), "µs", 0)
        bench.row("", f"{name} p99", pluck(runs, "p99_us"), "µs", 0)
        bench.row("", f"{name} p99.9", pluck(runs, "p999_us"), "µs", 0)
        bench.row("", f"{name} client CPU", pluck(runs, "client_cpu_us_per_call"), "µs/call", 2)
    for name, runs in paced.items():
        bench.row(f"point, at {pace:,} calls/s", f"{name} CPU", pluck(runs, "cpu_us_per_call"), "µs/call", 2)
    bench.stop(sluiced, echo)
    return {"sqlite_point_vs_echo": (speed["sluiced"] / speed["echo"], ">=0.85"),
            "sqlite_cpu_vs_echo": (cpu["sluiced"] / cpu["echo"], "<=1.25")}


def lone_p50_vs_echo(bench):
    """One call at a time: the latency that the gateway adds."""
    ours, theirs = split_cores()
    sluiced, echo = bench.sluiced(cpus=theirs), bench.echo(cpus=theirs)
    check_same_linking(sluiced, echo)
    load = {"concurrency": 1, "channels": 1, "cpus": ours}
    results = bench.interleave({
        "sluiced": lambda: bench.load(sluiced, **load),
        "echo": lambda: bench.load(echo, **load),
    })
    p50 = {name: bench.row("point, 1 in flight", f"{name} p50", pluck(runs, "p50_us"), "µs", 1)
           for name, runs in results.items()}
    for name, runs in results.items():
        bench.row("", f"{name} p99", pluck(runs, "p99_us"), "µs", 1)
    bench.stop(sluiced, echo)
    return {"sqlite_lone_p50_vs_echo": (p50["sluiced"] / p50["echo"], "<=1.25")}


def neighbour(bench):
    """Point reads beside a scan that is always in flight, against a server with one thread for both."""
    one_thread = {"SLUICE_SQLITE_LOOP_BUDGET": "0", "SLUICE_SQLITE_READERS": "1"}
    sql = scan_sql(bench.database, 10)

    def measure(environment):
        # One server at a time may open the database, so each round starts its own.
        server = bench.sluiced(environment)
        scans = bench.beside(server, sql, "query", concurrency=1, channels=1,
                             duration=bench.seconds + bench.warm_up, warmup=0.1)
        reads = bench.load(server, concurrency=16, channels=4)
        reads["scan_ms"] = end_beside(scans)["p50_us"] / 1e3
        bench.stop(server)
        return reads

    results = bench.interleave({"as shipped": lambda: measure({}),
                                "one reader": lambda: measure(one_thread)})
    speed = {}
    for name, runs in results.items():
        speed[name] = bench.row("point, 16 in flight, beside a scan", f"{name} calls",
                                pluck(runs, "calls_per_s"), "/s", 0)
        bench.row("", f"{name} p99", pluck(runs, "p99_us"), "µs", 0)
        bench.row("", f"{name} scan p50", pluck(runs, "scan_ms"), "ms", 1)
    return {"sqlite_neighbour": (speed["as shipped"] / speed["one reader"], ">=10")}


def stream_vs_step(bench):
    """Rows through StreamQuery, with point reads beside it, against a bare sqlite3_step loop."""
    server = bench.sluiced()
    step = bench.program("sluice_step")
    load = {"concurrency": 1, "channels": 1, "chunk_bytes": 65536}

    def stream_alone():
        return bench.load(server, ALL_SQL, "stream", **load)

    def stream(reads):
        points = bench.beside(server, POINT_SQL, "point", warmup=bench.warm_up, **reads)
        result = bench.load(server, ALL_SQL, "stream", **load)
        beside = end_beside(points)
        result["beside_p99_ms"] = beside["p99_us"] / 1e3
        result["beside_per_s"] = beside["calls_per_s"]
        return result

    def bare():
        run = subprocess.run([step, str(bench.database), ALL_SQL, str(bench.seconds)],
                             capture_output=True, text=True, check=True)
        return json.loads(run.stdout)

    case = "stream, 100,000 rows of 4 columns"
    results = bench.interleave({
        "bare": bare,
        "paced": lambda: stream({"concurrency": 16, "channels": 1, "rate": 500}),
        "alone": stream_alone,
        "pressed": lambda: stream({"concurrency": 16, "channels": 4}),
    })
    bare_rows = bench.row(case, "bare step rows", pluck(results["bare"], "rows_per_s"), "/s", 0)
    rows = bench.row("", "sluiced rows, beside 500 point reads/s", pluck(results["paced"], "rows_per_s"), "/s", 0)
    bench.row("", "sluiced CPU", pluck(results["paced"], "cpu_us_per_row"), "µs/row", 3)
    bench.row("", "p99 of those point reads (goal: at most 5)", pluck(results["paced"], "beside_p99_ms"), "ms", 2)
    bench.row("", "sluiced rows, nothing beside", pluck(results["alone"], "rows_per_s"), "/s", 0)
    bench.row("", "sluiced rows, beside 16 readers at full speed", pluck(results["pressed"], "rows_per_s"), "/s", 0)
    bench.row("", "calls of those readers", pluck(results["pressed"], "beside_per_s"), "/s", 0)
    bench.row("", "p99 of those readers", pluck(results["pressed"], "beside_p99_ms"), "ms", 2)
    bench.stop(server)
    return {"sqlite_stream_vs_step": (rows / bare_rows, ">=0.5")}


def single_inserts(bench):
    """One transaction per row, through the library alone."""
    run = subprocess.run([bench.program("sluice_insert"), str(bench.empty_database("single")), INSERT_SQL,
                          str(bench.seconds)], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def writes(bench, method, **load):
    """Durable writes on a database of their own."""
    database = bench.empty_database(method)
    server = bench.sluiced_on(database)
    result = bench.load(server, INSERT_SQL, method, **load)
    bench.stop(server)
    for path in database.parent.glob(database.name + "*"):
        path.unlink()
    return result


def insert_vs_single(bench):
    """Durable inserts of one row a call, committed together, against one transaction each through the library."""
    results = bench.interleave({
        "single": lambda: single_inserts(bench),
        "64": lambda: writes(bench, "insert", concurrency=64, channels=4),
        "256": lambda: writes(bench, "insert", concurrency=256, channels=4),
    })
    single = bench.row("durable inserts", "library, a transaction each", pluck(results["single"], "rows_per_s"), "/s", 0)
    bench.row("", "library p50", pluck(results["single"], "p50_us"), "µs", 0)
    speed, tail = {}, {}
    for name in ("64", "256"):
        runs = results[name]
        speed[name] = bench.row(f"{name} in flight", "sluiced calls", pluck(runs, "calls_per_s"), "/s", 0)
        bench.row("", "sluiced CPU", pluck(runs, "cpu_us_per_call"), "µs/call", 2)
        middle = bench.row("", "p50", pluck(runs, "p50_us"), "µs", 0)
        tail[name] = bench.row("", "p99", pluck(runs, "p99_us"), "µs", 0) / middle
        bench.row("", "p99.9", pluck(runs, "p999_us"), "µs", 0)
        bench.row("", "longest", pluck(runs, "max_us"), "µs", 0)
    return {"sqlite_insert_vs_single": (speed["64"] / single, ">=4.5"),
            "sqlite_insert_256_vs_single": (speed["256"] / single, ">=5.5"),
            "sqlite_insert_p99_vs_p50": (tail["64"], "<=3")}


def batch_vs_single(bench):
    """Batches of 100 rows against the same rows, a transaction each, through the library."""
    results = bench.interleave({
        "single": lambda: single_inserts(bench),
        "1": lambda: writes(bench, "batch", sets=100, concurrency=1, channels=1),
        "4": lambda: writes(bench, "batch", sets=100, concurrency=4, channels=4),
    })
    single = bench.row("batches of 100", "library, a transaction each", pluck(results["single"], "rows_per_s"), "/s", 0)
    speed = {}
    for name in ("1", "4"):
        speed[name] = bench.row(f"{name} in flight", "sluiced rows", pluck(results[name], "rows_per_s"), "/s", 0)
        bench.row("", "sluiced CPU", pluck(results[name], "cpu_us_per_row"), "µs/row", 2)
        bench.row("", "p50", pluck(results[name], "p50_us"), "µs", 0)
        bench.row("", "p99", pluck(results[name], "p99_us"), "µs", 0)
    return {"sqlite_batch_vs_single": (speed["1"] / single, ">=20"),
            "sqlite_batch_4_vs_single": (speed["4"] / single, ">=40")}


def bulk_vs_import(bench):
    """A file of rows through `sluice import`, against the sqlite3 shell's .import of the same file."""
    shell = shutil.which("sqlite3")
    if not shell:
        raise Missing("sqlite3 is not installed")
    count = bench.import_rows
    table = "CREATE TABLE entry(id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL NOT NULL, note TEXT NOT NULL)"
    file = bench.path / "rows.csv"
    with open(file, "w", encoding="ascii") as out:
        out.write("id,name,price,note\n")
        out.writelines(f"{i},item {i:07d},{i * 1.25},a short note that belongs to item {i:07d}\n"
                       for i in range(1, count + 1))

    def fresh():
        database = bench.empty_database("bulk")
        with sqlite3.connect(database) as db:
            db.execute("DROP TABLE entry")
            db.execute(table)
        db.close()
        return database

    def counted(database, seconds):
        db = sqlite3.connect(database)
        found = db.execute("SELECT count(*) FROM entry").fetchone()[0]
        db.close()
        database.unlink()
        if found != count:
            raise BenchError(f"{found} rows were imported, of {count}")
        return {"rows_per_s": count / seconds}

    def through_shell():
        database = fresh()
        begin = time.perf_counter()
        subprocess.run([shell, str(database), f".import --csv --skip 1 {file} entry"], check=True)
        return counted(database, time.perf_counter() - begin)

    def through_sluice():
        database = fresh()
        server = bench.sluiced_on(database)
        begin = time.perf_counter()
        subprocess.run([bench.program("sluice"), "--server", server.address, "import", str(file), "--table", "entry"],
                       check=True, capture_output=True)
        seconds = time.perf_counter() - begin
        bench.stop(server)
        return counted(database, seconds)

    results = bench.interleave({"shell": through_shell, "sluice": through_sluice})
    case = f"import of {count:,} rows"
    theirs = bench.row(case, "sqlite3 .import", pluck(results["shell"], "rows_per_s"), "rows/s", 0)
    ours = bench.row("", "sluice import", pluck(results["sluice"], "rows_per_s"), "rows/s", 0)
    return {"sqlite_bulk_vs_import": (ours / theirs, ">=0.7")}


def start_ms(bench):
    """From exec to the line that says the server is ready."""
    times = {"sluiced": [], "echo": []}
    for _ in range(bench.starts):
        for name, start in (("sluiced", bench.sluiced), ("echo", bench.echo)):
            server = start()
            times[name].append(server.start_ms)
            bench.stop(server)
    value = bench.row("start", "sluiced", times["sluiced"], "ms", 1)
    bench.row("", "echo", times["echo"], "ms", 1)
    return {"start_ms": (value, "<=40")}


def idle_rss_mib(bench):
    """Resident memory after one call and a second of rest."""
    memory = {}
    for name, start in (("sluiced", bench.sluiced), ("echo", bench.echo)):
        server = start()
        bench.load(server, calls=1, concurrency=1, channels=1)
        time.sleep(1)
        memory[name] = bench.row("" if memory else "idle", f"{name} resident", [server.rss_mib()], "MiB", 1)
        bench.stop(server)
    return {"idle_rss_mib": (memory["sluiced"], "<=22")}


# Ratio names → the case that makes them.
CASES = (
    (("sqlite_point_vs_echo", "sqlite_cpu_vs_echo"), point_vs_echo),
    (("sqlite_lone_p50_vs_echo",), lone_p50_vs_echo),
    (("sqlite_neighbour",), neighbour),
    (("sqlite_stream_vs_step",), stream_vs_step),
    (("sqlite_insert_vs_single", "sqlite_insert_256_vs_single", "sqlite_insert_p99_vs_p50"), insert_vs_single),
    (("sqlite_batch_vs_single", "sqlite_batch_4_vs_single"), batch_vs_single),
    (("sqlite_bulk_vs_import",), bulk_vs_import),
    (("sqlite_tx_five_calls_vs_library", "sqlite_tx_batch_vs_library"), transactions_vs_library),
    (("sqlite_interact_vs_unary_p50",), interact_vs_unary),
    (("start_ms",), start_ms),
    (("idle_rss_mib",), idle_rss_mib),
    *POSTGRES_CASES,
)
