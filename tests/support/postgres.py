"""A PostgreSQL server of a test's own, made from Debian's packages; nothing of it outlives the process that made it.

    with Postgres() as server:
        server.create_database("shop")
        server.psql("CREATE TABLE item (id int)", database="shop")

As a program:

    postgres.py run -- COMMAND…       runs a command that finds a server in SLUICE_TEST_POSTGRES, a libpq conninfo
    postgres.py serve                 a server until standard input ends; for other languages (see serve())
    postgres.py start STATE           one server for a run of ctest, until ctest ends; STATE is a folder
    postgres.py stop STATE            ends that server
"""
import argparse
import contextlib
import json
import os
import pwd
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from urllib.parse import quote

INSTALL = "apt-get install postgresql"
OLDEST = 15
START_SECONDS = STOP_SECONDS = 60  # a start takes a fraction of one
SKIPPED = 77
MEMORY = 2 << 30  # free bytes that make a file system in memory the better place
SUPERUSER = "postgres"
STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
INITDB = ("--username", SUPERUSER, "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync",
          "--no-instructions")
SETTINGS = {
    "listen_addresses": "127.0.0.1", "shared_buffers": "32MB", "wal_level": "replica", "timezone": "UTC",
    "max_prepared_transactions": 0,
    "dynamic_shared_memory_type": "mmap",  # files of the data folder, which go with it whatever ends the server
}
UNSAFE = {"fsync": "off", "full_page_writes": "off"}


class Error(Exception):
    """The server, or a statement, did not do what it was asked."""


def binaries():
    """The folder of the newest PostgreSQL's programs; None where none is installed that is new enough."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres") if path.parts[-3].isdigit()]
    newest = max(found, key=lambda path: int(path.parts[-2]), default=None)
    return newest if newest and int(newest.parts[-2]) >= OLDEST else None


class Postgres:
    """A server on a free port of 127.0.0.1 and on a socket, both without a password unless one is given, with its data
    in a folder of its own. It is started when it is made; close() ends it and removes the folder. Should this process
    be killed, a process that watches it does the same."""

    def __init__(self, max_connections=200, fsync=False, password=None, settings=None):
        """`fsync`: on a disk, and data survives a power cut, which is slower. `password`: the superuser's, asked for by
        scram-sha-256. `settings`: more of postgresql.conf."""
        self.binaries = binaries()
        if not self.binaries:
            raise Error(f"PostgreSQL is not installed: {INSTALL}")
        self.password = password
        self.settings = {**SETTINGS, **({} if fsync else UNSAFE), "max_connections": max_connections,
                         **(settings or {})}
        self._user = _server_user()
        self._process = None
        self.port = None
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-postgres-", dir=_place(on_disk=fsync)))
        self.data, self.log = self.folder / "data", self.folder / "log"
        self._watch = _start_watcher(self.folder)
        try:
            if self._user:
                os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
            self._make_data()
            self._start_on_free_port()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends the server at once and removes the folder."""
        _remove(self.folder)
        if self._process:
            self._process.wait()
        self._watch.close()

    @property
    def pid(self):
        """The postmaster's; None while the server is stopped."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self):
        """Starts the server after stop() or kill(), where it was before; it takes connections on return."""
        assert self.pid is None
        self._process = self._spawn("postgres", "-D", self.data, "-k", self.folder, "-p", self.port)
        end = time.monotonic() + START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None:
                raise Error(f"PostgreSQL does not start: {self.log_text()[-3000:]}")
            if time.monotonic() > end:
                raise Error(f"PostgreSQL is not ready after {START_SECONDS} s: {self.log_text()[-3000:]}")
            time.sleep(0.005)

    def stop(self, mode="fast"):
        """Ends the server as pg_ctl does: smart waits for its clients, fast does not, immediate leaves a recovery."""
        self._process.send_signal(STOP_SIGNALS[mode])
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Error(f"PostgreSQL does not stop within {STOP_SECONDS} s ({mode})") from None

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def kill(self):
        """Kills every process of the server, as a crash of its machine would."""
        _kill(self.data)
        self._process.wait()

    def conninfo(self, database="postgres", user=SUPERUSER, password=None):
        """For libpq, over TCP. `password`: the superuser's if not given."""
        password = password or (self.password if user == SUPERUSER else None)
        parts = {"host": "127.0.0.1", "port": self.port, "user": user, "dbname": database,
                 **({"password": password} if password else {})}
        return " ".join(f"{name}={_conninfo_value(value)}" for name, value in parts.items())

    def url(self, database="postgres", user=SUPERUSER, password=None):
        """As conninfo()."""
        password = password or (self.password if user == SUPERUSER else None)
        who = ":".join(quote(part, safe="") for part in (user, password) if part)
        return f"postgresql://{who}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def psql(self, sql, database="postgres", **who):
        """Runs SQL in psql; answers the rows as lines, with | between the values."""
        command = [self.binaries / "psql", "--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "-v",
                   "ON_ERROR_STOP=1", "--dbname", self.conninfo(database, **who), "--file", "-"]
        done = subprocess.run(command, input=sql, capture_output=True, text=True, env=_environment(), check=False)
        if done.returncode != 0:
            raise Error(done.stderr.strip())
        return done.stdout.strip("\n")

    def create_database(self, name):
        self.psql(f'CREATE DATABASE "{name}" TEMPLATE template0')

    def offer_tls(self, make_certificate):
        """From now on. `make_certificate` makes server.crt and server.key in a folder and answers their paths."""
        for path in make_certificate(self.data):
            if self._user:
                os.chown(path, self._user.pw_uid, self._user.pw_gid)
        self.psql("ALTER SYSTEM SET ssl = on")
        self.psql("SELECT pg_reload_conf()")
        end = time.monotonic() + START_SECONDS
        while self.psql("SHOW ssl") != "on":
            if time.monotonic() > end:
                raise Error(f"PostgreSQL offers no TLS: {self.log_text()[-3000:]}")
            time.sleep(0.01)

    def backend_pids(self):
        """The processes that serve clients."""
        return [int(pid) for pid in self.psql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' "
                                              "AND pid <> pg_backend_pid() ORDER BY pid").split()]

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _spawn(self, program, *arguments, stdin=subprocess.DEVNULL):
        """Starts a server program. Standing in the data folder marks it as this server's; so do its children."""
        owner = {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []} if self._user else {}
        with open(self.log, "ab") as log:
            return subprocess.Popen([str(self.binaries / program), *map(str, arguments)], cwd=self.data, stdin=stdin,
                                    stdout=log, stderr=log, env=_environment(), start_new_session=True, **owner)

    def _run(self, program, *arguments, stdin=""):
        process = self._spawn(program, *arguments, stdin=subprocess.PIPE)
        process.communicate(stdin.encode())
        if process.returncode != 0:
            raise Error(f"{program}: {self.log_text()}")

    def _make_data(self):
        template = _template(self.binaries, self._user)
        if template and template.is_dir():
            _copy(template, self.data)
        else:
            self.data.mkdir(0o700)
            if self._user:
                os.chown(self.data, self._user.pw_uid, self._user.pw_gid)
            self._run("initdb", *INITDB, "-D", self.data)
            if template:
                _keep_template(self.data, template)
        method = "trust"
        if self.password is not None:
            method = "scram-sha-256"
            self._run("postgres", "--single", "-D", self.data, "postgres",
                      stdin=f"ALTER ROLE {SUPERUSER} PASSWORD {_quote(self.password)}\n")
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.writelines(f"{name} = {_quote(value)}\n" for name, value in self.settings.items())
        (self.data / "pg_hba.conf").write_text(f"local all all {method}\nhost all all 127.0.0.1/32 {method}\n")

    def _start_on_free_port(self):
        for attempt in range(5):
            self.port = _free_port()
            try:
                return self.start()
            except Error as error:  # another may have been quicker to take the port
                if attempt == 4 or "Address already in use" not in str(error):
                    raise

    def _is_ready(self):
        with contextlib.suppress(OSError):
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            return len(lines) > 7 and lines[0] == str(self._process.pid) and lines[7].strip() == "ready"
        return False


def _place(on_disk):
    """Where servers have their folders: the path of a socket has to fit into 107 bytes, and whom the server runs as has
    to get there. In memory a server starts several times faster."""
    memory = "/dev/shm"
    with contextlib.suppress(OSError):
        state = os.statvfs(memory)
        if not on_disk and os.access(memory, os.W_OK) and state.f_bavail * state.f_frsize >= MEMORY:
            return memory
    return "/tmp"


def _server_user():
    """PostgreSQL does not run as root: whom it runs as then. None: as the caller."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise Error("run as root, PostgreSQL needs a user named postgres or nobody")


def _environment():
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _quote(value):
    """A literal of SQL, and of postgresql.conf as long as it has no backslash."""
    return "'" + str(value).replace("'", "''") + "'"


def _conninfo_value(value):
    text = re.sub(r"(['\\\\])", r"\\\1", str(value))
    return text if re.fullmatch(r"[\w.-]+", text) else f"'{text}'"


def _free_port():
    """A port below those that outgoing connections are given: a stopped server's port stays its own, and nobody who
    tries it again connects to himself."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.randrange(max(1024, lowest // 2), max(lowest, 2048))
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def _template(programs, user):
    """Where the build folder keeps a fresh data folder, to be copied instead of made anew; None without one."""
    root = Path(__file__).resolve().parents[2]
    build = Path(os.environ.get("SLUICE_BIN", root / "build/release/bin")).parent
    if not os.access(build, os.W_OK):
        return None
    options = zlib.crc32(" ".join(INITDB).encode())
    return build / "postgres-template" / f"{programs.parts[-2]}-{user.pw_uid if user else os.geteuid()}-{options:08x}"


def _keep_template(data, template):
    template.parent.mkdir(exist_ok=True)
    copy = Path(tempfile.mkdtemp(prefix="making-", dir=template.parent))
    _copy(data, copy / "data")
    with contextlib.suppress(OSError):  # another was quicker
        (copy / "data").rename(template)
    shutil.rmtree(copy)


def _copy(source, target):
    subprocess.run(["cp", "-a", "--reflink=auto", source, target], check=True)


def _processes(folder):
    """Those whose working folder this is."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if Path(os.readlink(f"/proc/{name}/cwd")) == folder:
                yield int(name)


def _signal(folder, *signals):
    """Sends the signals to every process of a data folder; whether there was one."""
    found = list(_processes(folder))
    for pid in found:
        for each in signals:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, each)
    return bool(found)


def _kill(data):
    while _signal(data, signal.SIGKILL):
        time.sleep(0.005)


def _remove(folder):
    """Ends all that runs in the folder, and removes it. Killed servers leave a segment of shared memory: it goes, too."""
    data = folder / "data"
    end = time.monotonic() + 5
    # Asked to quit, the postmaster tidies up; it and its children may have been stopped by a test.
    running = _signal(data, signal.SIGQUIT, signal.SIGCONT)
    while running and time.monotonic() < end:
        time.sleep(0.005)
        running = any(_processes(data))
    _kill(data)
    with contextlib.suppress(OSError, IndexError):
        segment = (data / "postmaster.pid").read_text().splitlines()[6].split()[1]
        subprocess.run(["ipcrm", "-m", segment], stderr=subprocess.DEVNULL, check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _start_watcher(folder):
    """Starts a process that removes the folder when what this answers is closed, also by the end of this process. It is
    no child of ours: those who kill a test kill its children too."""
    command = [sys.executable, "-S", "-B", __file__, "watch", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                          start_new_session=True) as starter:
        pipe = os.fdopen(os.dup(starter.stdin.fileno()), "wb")
    return pipe


def watch(folder):
    if os.fork() == 0:
        sys.stdin.buffer.read()
        _remove(folder)


def run(command, **options):
    with Postgres(**options) as server:
        environment = {**os.environ, "SLUICE_TEST_POSTGRES": server.conninfo()}
        return subprocess.run(command, env=environment, check=False).returncode


def serve(**options):
    """A server for a process in another language. Takes lines `start`, `stop MODE`, `kill`; answers each, and its own
    start, with a line of JSON: what there is now, or `error`. Ends with standard input."""
    def say(**more):
        state = {"port": server.port, "pid": server.pid, "folder": str(server.folder), "conninfo": server.conninfo()}
        print(json.dumps({**state, **more}), flush=True)

    with Postgres(**options) as server:
        say()
        for line in sys.stdin:
            verb, *arguments = line.split()
            try:
                {"start": server.start, "stop": server.stop, "kill": server.kill}[verb](*arguments)
                say()
            except Error as error:
                say(error=str(error))


def share(state, owner):
    """A server until the owner, a process, ends. Says in the file `state` how to reach it, and this process's id."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    alive = os.pidfd_open(owner)
    try:
        with Postgres() as server:
            new = state.with_suffix(".new")
            new.write_text(f"{server.conninfo()}\n{os.getpid()}\n")
            new.rename(state)
            print("ready", flush=True)
            select.select([alive], [], [])
    finally:
        state.unlink(missing_ok=True)


def start(folder):
    """Starts a server for the caller's parent, ctest, and for what else it runs. Every run of ctest has one of its own,
    whose file in the folder is named by the id of that ctest."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.iterdir():  # of runs that were killed
        if not Path("/proc", left.stem).exists():
            left.unlink(missing_ok=True)
    stop(folder)  # ctest may have been asked to repeat
    owner = str(os.getppid())
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen([sys.executable, "-B", __file__, "share", str(folder / owner), owner],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                                   start_new_session=True)
        if process.stdout.readline() != b"ready\n":
            process.wait()
            errors.seek(0)
            sys.exit(errors.read())


def stop(folder):
    """Ends the server that start() made for the same parent, if it did."""
    try:
        server = os.pidfd_open(int((folder / str(os.getppid())).read_text().splitlines()[1]))
        signal.pidfd_send_signal(server, signal.SIGTERM)
    except (FileNotFoundError, ProcessLookupError):
        return
    if not select.select([server], [], [], STOP_SECONDS)[0]:
        sys.exit(f"the server does not end within {STOP_SECONDS} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["run", "serve", "start", "stop", "share", "watch"])
    parser.add_argument("--max-connections", type=int, default=200)
    parser.add_argument("--fsync", action="store_true")
    parser.add_argument("--password")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[])
    parser.add_argument("rest", nargs="*")
    asked = parser.parse_args()
    settings = dict(each.split("=", 1) for each in asked.set)
    options = {"max_connections": asked.max_connections, "fsync": asked.fsync, "password": asked.password,
               "settings": settings}
    if asked.verb == "watch":
        return watch(Path(asked.rest[0]))
    if not binaries():
        print(f"SKIPPED: {INSTALL}")
        return 1 if os.environ.get("SLUICE_REQUIRE") == "all" else SKIPPED
    if asked.verb == "run":
        return run(asked.rest, **options)
    if asked.verb == "serve":
        return serve(**options)
    if asked.verb == "share":
        return share(Path(asked.rest[0]), int(asked.rest[1]))
    return {"start": start, "stop": stop}[asked.verb](Path(asked.rest[0]))


if __name__ == "__main__":
    sys.exit(main())
