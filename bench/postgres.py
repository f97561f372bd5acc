"""A PostgreSQL for bench/run, and the programs that it is measured with and against."""

import contextlib
import importlib.util
import json
import os
import pwd
import re
import shutil
import socket
import statistics
import subprocess
import time
import urllib.request
from pathlib import Path

from harness import ROWS, BenchError, Missing, load_result

ROOT = Path(__file__).resolve().parent.parent


def tests_support():
    """The tests' own module for a private server, which has the name of this one."""
    spec = importlib.util.spec_from_file_location("postgres_support", ROOT / "tests/support/postgres.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


support = tests_support()
PEERS = Path(__file__).resolve().parent / "peers"
ACCOUNTS_PER_BRANCH = 100_000
POINT_SQL = "SELECT aid, abalance FROM pgbench_accounts WHERE aid = $1"
# Nothing that a measurement could meet by chance: no checkpoint, and no vacuum but those that are asked for.
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "1h", "autovacuum": "off"}
ITEM_COLUMNS = "id integer NOT NULL, name text NOT NULL, price double precision NOT NULL, note text NOT NULL"
CPU_CLOCK = 2
PATIENCE_SECONDS = 10
PGBENCH_TELLS = (r"actually processed: (\d+)", r"latency average = ([\d.]+) ms", r"tps = ([\d.]+)")


def cpu_seconds(pid):
    """CPU time that a process has used, to the nanosecond; its id is in the clock's, as in clock_getcpuclockid()."""
    return time.clock_gettime((~pid << 3) | CPU_CLOCK)


@contextlib.contextmanager
def support_errors():
    try:
        yield
    except support.Error as error:
        raise BenchError(f"PostgreSQL: {error}") from error


def database_of(bench):
    """One server for all cases of a run, made when the first asks."""
    if not hasattr(bench, "postgres"):
        bench.postgres = Database(bench)
        bench.on_close(bench.postgres.close)
    return bench.postgres


def stat_of(pid):
    """The fields of /proc/PID/stat from the third."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


class Database:
    """The server, with a pgbench database `points` that nobody writes to, and a table `item` in it."""

    def __init__(self, bench):
        self.bench = bench
        if not support.binaries():
            raise Missing(f"PostgreSQL is not installed: {support.INSTALL}")
        with support_errors():
            self.server = support.Postgres(fsync=not bench.quick, settings=SETTINGS)
        self.create("points", bench.accounts // ACCOUNTS_PER_BRANCH)
        self.psql(f"CREATE TABLE item({ITEM_COLUMNS}); INSERT INTO item SELECT i, 'item ' || to_char(i, 'FM000000'),"
                  f" i * 1.25, 'a short note that belongs to item ' || to_char(i, 'FM000000')"
                  f" FROM generate_series(1, {ROWS}) i; VACUUM ANALYZE item; CHECKPOINT")

    def close(self):
        self.server.close()

    def program(self, name):
        return str(self.server.binaries / name)

    def psql(self, sql, database="points"):
        with support_errors():
            return self.server.psql(sql, database)

    def create(self, name, branches):
        """A database of pgbench's, made by the server, and so in its memory."""
        self.psql(f'CREATE DATABASE "{name}"', "postgres")
        self._run([self.program("pgbench"), "-i", "-q", "-I", "dtGvp", "-s", str(branches), *self.place(name)])
        self.psql("CHECKPOINT", name)

    def copy(self, name, original):
        self.psql(f'CREATE DATABASE "{name}" TEMPLATE "{original}" STRATEGY file_copy', "postgres")

    def drop(self, name):
        self.psql(f'DROP DATABASE "{name}" WITH (FORCE)', "postgres")

    def place(self, database="points", port=None):
        """What tells libpq's programs where the database is: over TCP, as for everybody else here."""
        return ["-h", "127.0.0.1", "-p", str(port or self.server.port), "-U", support.SUPERUSER, database]

    @staticmethod
    def _run(command, **options):
        done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
        if done.returncode:
            raise BenchError(f"{Path(command[0]).name}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def cpu(self):
        """Seconds of CPU time of the server's processes up to now, those that have ended included. One that is about to
        end is in neither, so there must be none."""
        used = sum(map(int, stat_of(self.server.pid)[13:15])) / os.sysconf("SC_CLK_TCK")
        for pid in [self.server.pid, *self.children()]:
            with contextlib.suppress(OSError):
                used += cpu_seconds(pid)
        return used

    def children(self):
        for name in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if int(stat_of(name)[1]) == self.server.pid:
                    yield int(name)

    def await_end_of_others(self, kept):
        """Until there are no backends but those."""
        end = time.monotonic() + PATIENCE_SECONDS
        while set(self.children()) - kept and time.monotonic() < end:
            time.sleep(0.01)

    def pgbench(self, *options, database="points", port=None, clients=32, mode="prepared"):
        """pgbench for about as long as other loads take. `calls` is all that it did, `calls_per_s` without the time to
        connect; `p50_us` is an average, for it tells no other."""
        seconds = max(2, round(self.bench.seconds))
        kept, before = set(self.children()), self.cpu()
        out = self._run([self.program("pgbench"), "-n", "-M", mode, "-c", str(clients), "-j", str(min(clients, 2)),
                         "-T", str(seconds), *options, *self.place(database, port)], cwd=self.bench.path)
        if not port:  # else the backends are the pooler's
            self.await_end_of_others(kept)
        cpu = self.cpu() - before
        told = [re.search(pattern, out) for pattern in PGBENCH_TELLS]
        if not all(told):
            raise BenchError(f"pgbench did nothing: {out}")
        calls, latency_ms, calls_per_s = (float(each.group(1)) for each in told)
        return {"calls": int(calls), "calls_per_s": calls_per_s, "p50_us": 1e3 * latency_ms, "postgres_cpu": cpu}

    def pgbench_p50_us(self):
        """The median latency of one client's point reads, from pgbench's log of each."""
        for old in self.bench.path.glob("lone.*"):
            old.unlink()
        self.pgbench("-S", "-l", "--log-prefix=lone", clients=1)
        log, = self.bench.path.glob("lone.*")
        return statistics.median(int(line.split()[2]) for line in log.read_text().splitlines())

    def sluiced(self, database="points"):
        return self.bench.start_sluiced(self.server.url(database))

    def load(self, server, method="point", sql=POINT_SQL, lean=True, **options):
        """Either load on a server of Query, and what PostgreSQL used for it: `backend_us_per_call`."""
        program = "sluice_h2load" if lean else "sluice_load"
        options.setdefault("keys", self.bench.accounts)
        command = self.bench.load_command(server, sql, method, program, **options)
        before = self.cpu()
        result = load_result(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout)
        result["backend_us_per_call"] = (self.cpu() - before) * 1e6 / result["acknowledged"]
        return result


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class PgBouncer:
    """Debian's PgBouncer in transaction mode, before the server; for one measurement."""

    def __init__(self, database):
        if not shutil.which("pgbouncer", path="/usr/sbin:/usr/bin"):
            raise Missing("PgBouncer is not installed: apt-get install pgbouncer")
        self.folder = Path(database.bench.path) / "pgbouncer"
        self.folder.mkdir()
        self.port = free_port()
        (self.folder / "users").write_text(f'"{support.SUPERUSER}" ""\n')
        config = self.folder / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={database.server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {self.folder}/users\n"
            "pool_mode = transaction\ndefault_pool_size = 20\nmax_client_conn = 200\nlog_connections = 0\n"
            "log_disconnections = 0\n")
        owner = {}
        if os.geteuid() == 0:  # it refuses to run as root
            user = pwd.getpwnam(support.SUPERUSER)
            owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            database.bench.path.chmod(0o711)
        with open(self.folder.parent / "pgbouncer.log", "ab") as log:
            self.process = subprocess.Popen(["/usr/sbin/pgbouncer", str(config)], stdout=log, stderr=log, **owner)
        self.pid = self.process.pid
        self._wait(database)

    def _wait(self, database):
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            done = subprocess.run([database.program("psql"), "-c", "SELECT 1", *database.place(port=self.port)],
                                  capture_output=True, check=False)
            if done.returncode == 0:
                return
            time.sleep(0.05)
        self.stop()
        raise BenchError("PgBouncer does not answer")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)


def grpcjs(bench, database):
    """The service in Node; a Server."""
    node = shutil.which("node")
    if not node or not (PEERS / "node_modules/pg").is_dir():
        raise Missing("the peer in Node is not installed: npm ci in bench/peers")
    settings = {"host": "127.0.0.1", "port": database.server.port, "user": support.SUPERUSER, "database": "points"}
    return bench.start([node, str(PEERS / "grpcjs.mjs"), str(ROOT / "proto"), json.dumps(settings)])


class FastApi:
    """The service in Python, and a load on it by Debian's h2load over HTTP/1.1."""

    def __init__(self, bench, database):
        self.h2load = shutil.which("h2load")
        if not self.h2load:
            raise Missing("h2load is not installed: apt-get install nghttp2-client")
        require_python("fastapi", "uvicorn", "asyncpg", "uvloop", "httptools")
        self.bench = bench
        self.server = bench.start(["/usr/bin/python3", "-B", str(PEERS / "fastapi_point.py"),
                                   database.server.url("points"), POINT_SQL])
        self.uris = bench.path / "uris"
        with urllib.request.urlopen(f"http://{self.server.address}/row/7", timeout=PATIENCE_SECONDS) as answer:
            if json.load(answer)["aid"] != 7:
                raise BenchError("FastAPI answers another row")

    def load(self, keys, concurrency):
        """Calls a second over as many connections; `keys` in their order."""
        base = f"http://{self.server.address}/row/"
        self.uris.write_text("".join(f"{base}{key}\n" for key in keys))
        run = subprocess.run([self.h2load, "--h1", "-c", str(concurrency), "-m", "1", "-i", str(self.uris),
                              "-D", f"{self.bench.seconds * 1000:.0f}ms",
                              "--warm-up-time", f"{self.bench.warm_up * 1000:.0f}ms"],
                             capture_output=True, text=True, check=False)
        good = re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", run.stdout)
        if run.returncode or not good:
            raise BenchError(f"h2load: {run.stdout[-500:]} {run.stderr[-500:]}")
        return {"calls_per_s": int(good.group(1)) / self.bench.seconds}


def require_python(*modules):
    """Debian's Python, which has Debian's packages."""
    probe = subprocess.run(["/usr/bin/python3", "-c", "import " + ", ".join(modules)], capture_output=True, text=True,
                           check=False)
    if probe.returncode:
        raise Missing(f"{probe.stderr.strip().splitlines()[-1]}: see bench/README.md")
