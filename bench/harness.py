"""Processes, databases and statistics for bench/run. Standard library only."""

import json
import os
import platform
import re
import sqlite3
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROWS = 100_000
POINT_SQL = "SELECT id, name, price, note FROM item WHERE id = ?1"
ALL_SQL = "SELECT id, name, price, note FROM item"
INSERT_SQL = "INSERT INTO entry(n, note) VALUES (?1, 'a note of some length')"
START_SECONDS = 20


class BenchError(Exception):
    """A measurement that could not be made."""


class Missing(Exception):
    """A program that is not there; its cases are skipped."""


def pluck(results, key):
    return [result[key] for result in results]


class Server:
    """A server process that announced its address; ended by stop()."""

    def __init__(self, command, log, environment=None, cpus=None):
        env = {k: v for k, v in os.environ.items() if not re.match(r"SLUICE_|DATABASE_|DB_|ASYNC_", k)}
        env.update(environment or {})
        with open(log, "ab") as errors:
            begin = time.perf_counter()
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=env)
            if cpus:
                os.sched_setaffinity(self.process.pid, cpus)  # before it has threads to leave behind
            line = self.process.stdout.readline()
            self.start_ms = (time.perf_counter() - begin) * 1e3
        self.pid = self.process.pid
        try:
            self.address = json.loads(line)["listen"]
        except (ValueError, KeyError) as error:
            self.stop()
            tail = Path(log).read_text(errors="replace")[-500:]
            raise BenchError(f"{command[0]} did not start: {line!r} {tail}") from error

    def rss_mib(self):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def links_grpc_dynamically(self):
        return "libgrpc.so" in Path(f"/proc/{self.pid}/maps").read_text()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()


class Bench:
    """The programs under test, a folder for their data, and how long to measure."""

    def __init__(self, bin_dir, quick, wanted):
        self.bin = bin_dir
        self.quick = quick
        self.rounds = 2 if quick else 5
        self.warm_up = 0.2 if quick else 1
        self.seconds = 0.5 if quick else 3
        self.starts = 3 if quick else 11
        self.import_rows = 20_000 if quick else 1_000_000
        self.accounts = 100_000 if quick else 1_000_000
        self.folder = tempfile.TemporaryDirectory(prefix="sluice-bench-")
        self.path = Path(self.folder.name)
        self.database = self.path / "items.db"
        self.servers = []
        self.table = []
        self.wanted = wanted  # names of ratios
        self.closing = []
        make_database(self.database)

    def program(self, name):
        path = self.bin / name
        if not path.exists():
            raise Missing(f"{path} is not built")
        return str(path)

    def start(self, command, environment=None, cpus=None):
        log = self.path / (Path(command[0]).name + ".log")
        server = Server(command, log, environment, cpus)
        self.servers.append(server)
        return server

    def sluiced(self, environment=None, cpus=None):
        return self.start_sluiced(f"sqlite:///{self.database}", environment, cpus)

    def start_sluiced(self, url, environment=None, cpus=None):
        """A server with a data folder of its own; the URL may hold a password, so it comes by the environment."""
        self.data_dirs = getattr(self, "data_dirs", 0) + 1
        return self.start([self.program("sluiced"), "--listen", "127.0.0.1:0",
                           "--data-dir", str(self.path / f"data{self.data_dirs}")],
                          {"DATABASE_URL": url, **(environment or {})}, cpus)

    def empty_database(self, name):
        """A database with a table to insert into, of its own for each measurement."""
        self.databases = getattr(self, "databases", 0) + 1
        path = self.path / f"{name}{self.databases}.db"
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE entry(id INTEGER PRIMARY KEY, n INTEGER NOT NULL, note TEXT NOT NULL)")
        db.close()
        return path

    def sluiced_on(self, database):
        return self.start_sluiced(f"sqlite:///{database}")

    def echo(self, cpus=None):
        return self.start([self.program("sluice_echo"), "--rows", str(ROWS)], cpus=cpus)

    def stop(self, *servers):
        for server in servers:
            server.stop()
            self.servers.remove(server)

    def on_close(self, closing):
        """To be called when all servers have ended."""
        self.closing.append(closing)

    def close(self):
        self.stop(*list(self.servers))
        for closing in self.closing:
            closing()
        self.folder.cleanup()

    def load_command(self, server, sql, method, program="sluice_load", **options):
        command = [self.program(program), "--server", server.address, "--server-pid", str(server.pid),
                   "--method", method]
        if sql:
            command += ["--sql", sql]
        if method not in ("query", "stream", "bulk"):
            options.setdefault("keys", ROWS)
            command += ["--seed", str(time.time_ns())]
        options.setdefault("warmup", self.warm_up)
        options.setdefault("duration", self.seconds)
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        return command

    def load(self, server, sql=POINT_SQL, method="point", cpus=None, **options):
        command = self.load_command(server, sql, method, **options)
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            if cpus:
                os.sched_setaffinity(process.pid, cpus)
            return load_result(process.communicate()[0])

    def beside(self, server, sql, method, **options):
        """A second load that runs until end_beside()."""
        command = self.load_command(server, sql, method, **options)
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def interleave(self, contenders):
        """Runs name → function in turn, round after round; name → list of results."""
        results = {name: [] for name in contenders}
        for _ in range(self.rounds):
            for name, measure in contenders.items():
                results[name].append(measure())
        return results

    def row(self, case, what, values, unit, digits=1):
        values = list(values)
        middle = statistics.median(values)
        spread = f"{min(values):,.{digits}f} to {max(values):,.{digits}f}" if len(values) > 1 else ""
        self.table.append((case, what, f"{middle:,.{digits}f}", unit, spread))
        return middle


def split_cores():
    """One core for the load, the others for the server. Left alone, the scheduler moves a server with one busy thread
    to and from the core of its client, and what is measured is where it happened to be."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, set(cores[1:])) if len(cores) > 1 else (None, None)


def load_result(text):
    try:
        result = json.loads(text)
    except ValueError as error:
        raise BenchError(f"sluice_load said {text!r}") from error
    if result["errors"] or not result["calls"]:
        raise BenchError(f"{result['errors']} failed calls: {result['first_error']}")
    return result


def end_beside(process):
    return load_result(process.communicate(timeout=60)[0])


def make_database(path):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE item(id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL NOT NULL,"
                   " note TEXT NOT NULL)")
        db.executemany("INSERT INTO item VALUES (?, ?, ?, ?)",
                       ((i, f"item {i:06d}", i * 1.25, f"a short note that belongs to item {i:06d}")
                        for i in range(1, ROWS + 1)))
    db.close()


def scan_sql(path, milliseconds):
    """A statement that scans for about so long when nothing else runs."""
    sql = "SELECT count(*) FROM item WHERE id <= {} AND note LIKE '%belongs to nothing%'"
    db = sqlite3.connect(path)
    times = []
    for _ in range(7):
        begin = time.thread_time()
        db.execute(sql.format(ROWS)).fetchone()
        times.append((time.thread_time() - begin) * 1e3)
    db.close()
    return sql.format(min(ROWS, int(ROWS * milliseconds / statistics.median(times))))


def fsync_micros(folder, times=100):
    """What it costs to make one more 4 KiB page of a file durable: the floor of a commit."""
    costs = []
    with open(Path(folder) / "fsync", "wb", buffering=0) as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            begin = time.perf_counter()
            os.fdatasync(file.fileno())
            costs.append((time.perf_counter() - begin) * 1e6)
    return statistics.median(costs)


def machine():
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    system = re.search(r'PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text())
    load = os.getloadavg()[0]
    return (f"{cpu.group(1) if cpu else platform.machine()}, {os.cpu_count()} cores, "
            f"Linux {platform.release()}, {system.group(1) if system else '?'}, load average {load:.2f}")
