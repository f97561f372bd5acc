"""The cases of bench/run that move many rows out of PostgreSQL and into it. Each answers ratio name → (value, goal), or
the reason why there is none."""

import json
import re
import subprocess
import time
from pathlib import Path

from harness import ROWS, BenchError, Missing, pluck
from postgres import ITEM_COLUMNS, PEERS, database_of, require_python

ALL_SQL = "SELECT id, name, price, note FROM item"
BULK_ROWS = 10_000
REPEATS = 10  # of a statement in one run of psql, so that its start does not count


def peak_mib(server):
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text()).group(1)) / 1024


def timed_psql(database, statement, rows, *options):
    """Rows a second of a statement that moves so many, given to one psql again and again."""
    command = [database.program("psql"), "--no-psqlrc", "-v", "ON_ERROR_STOP=1", *options, *database.place()]
    begin = time.perf_counter()
    run = subprocess.run(command, input=(statement + "\n") * REPEATS, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         text=True, check=False)
    seconds = time.perf_counter() - begin
    if run.returncode:
        raise BenchError(f"psql: {run.stderr.strip()}")
    return {"rows_per_s": rows * REPEATS / seconds}


def stream_vs_psql(bench):
    """Rows through StreamQuery, one stream at a time, against psql's text and its COPY in the binary format."""
    database = database_of(bench)
    server = database.sluiced()
    load = {"lean": False, "concurrency": 1, "channels": 1, "chunk_bytes": 65536}
    results = bench.interleave({
        "sluiced": lambda: database.load(server, "stream", ALL_SQL, **load),
        "psql -At": lambda: timed_psql(database, ALL_SQL + ";", ROWS, "-At"),
        "COPY": lambda: timed_psql(database, f"COPY ({ALL_SQL}) TO STDOUT (FORMAT binary);", ROWS),
    })
    ours = bench.row("PostgreSQL, stream of 100,000 rows", "sluiced rows", pluck(results["sluiced"], "rows_per_s"),
                     "/s", 0)
    cpu = bench.row("", "sluiced CPU", pluck(results["sluiced"], "cpu_us_per_row"), "µs/row", 3)
    bench.row("", "sluiced's most memory", [peak_mib(server)], "MiB", 1)
    psql = bench.row("", "psql -At rows", pluck(results["psql -At"], "rows_per_s"), "/s", 0)
    copy = bench.row("", "psql COPY binary rows", pluck(results["COPY"], "rows_per_s"), "/s", 0)
    bench.stop(server)
    return {"pg_stream_vs_psql": (ours / psql, ">=1.0"),
            "pg_stream_vs_copy": (ours / copy, ">=0.6"),
            "pg_stream_cpu_us_per_row": (cpu, "<=0.4")}


def executemany(bench, database, table):
    command = ["/usr/bin/python3", "-B", str(PEERS / "asyncpg_bulk.py"), database.server.url("points"), table,
               str(BULK_ROWS), str(bench.seconds), str(bench.warm_up)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise BenchError(f"asyncpg: {run.stderr.strip()[-500:]}")
    return json.loads(run.stdout)


def asyncpg_missing():
    try:
        require_python("asyncpg", "uvloop")
    except Missing as error:
        return error
    return None


def bulk_vs_peers(bench):
    """10,000 rows a transaction into a table without an index, by BulkInsert, asyncpg's executemany, and psql's COPY of
    a binary file. The table is emptied before each measurement."""
    database = database_of(bench)
    server = database.sluiced()
    database.psql(f"CREATE TABLE entry({ITEM_COLUMNS})")
    file = bench.path / "rows.copy"
    with open(file, "wb") as out:
        rows = f"COPY (SELECT * FROM item WHERE id <= {BULK_ROWS}) TO STDOUT (FORMAT binary)"
        subprocess.run([database.program("psql"), "-c", rows, *database.place()], stdout=out, check=True)

    def fresh(measure):
        database.psql("TRUNCATE entry; CHECKPOINT")
        return measure()

    load = {"lean": False, "concurrency": 1, "channels": 1, "table": "entry", "sets": BULK_ROWS}
    measures = {
        "sluiced": lambda: database.load(server, "bulk", "", **load),
        "COPY": lambda: timed_psql(database, f"\\copy entry FROM '{file}' (FORMAT binary)", BULK_ROWS),
    }
    missing = asyncpg_missing()
    if not missing:
        measures["executemany"] = lambda: executemany(bench, database, "entry")
    results = bench.interleave({name: lambda each=each: fresh(each) for name, each in measures.items()})
    bench.stop(server)
    database.psql("DROP TABLE entry")

    speed = {}
    for name, runs in results.items():
        speed[name] = bench.row("" if speed else "PostgreSQL, 10,000 rows a transaction", f"{name} rows",
                                pluck(runs, "rows_per_s"), "/s", 0)
    bench.row("", "sluiced CPU", pluck(results["sluiced"], "cpu_us_per_row"), "µs/row", 2)
    backends = [run["backend_us_per_call"] / BULK_ROWS for run in results["sluiced"]]
    bench.row("", "sluiced: PostgreSQL's CPU", backends, "µs/row", 2)
    bench.row("", "sluiced p50", pluck(results["sluiced"], "p50_us"), "µs", 0)
    return {"pg_bulk_vs_asyncpg": missing or (speed["sluiced"] / speed["executemany"], ">=2"),
            "pg_bulk_vs_copy": (speed["sluiced"] / speed["COPY"], ">=0.4")}
