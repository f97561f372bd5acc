"""A real server process, the real tool and real clients, for the tests of this folder. Standard library and Debian's
gRPC for Python.

The environment says what to test (CMakeLists.txt sets it): SLUICE_BIN, the folder with sluiced and sluice;
SLUICE_STUBS, a folder for generated code; SLUICE_SANITIZE, what the programs are instrumented with. SLUICE_REQUIRE=all
turns skips into failures. `--nightly` runs the long variants, and only where SLUICE_NIGHTLY=1.
"""
import contextlib
import fcntl
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
BIN = Path(os.environ.get("SLUICE_BIN", ROOT / "build/release/bin"))
STUBS = Path(os.environ.get("SLUICE_STUBS", BIN.parent / "tests/e2e/stubs"))
SUPPORT = ROOT / "tests/support"
SANITIZED = os.environ.get("SLUICE_SANITIZE", "")
NIGHTLY = "--nightly" in sys.argv
REQUIRE_ALL = os.environ.get("SLUICE_REQUIRE") == "all"

sys.path.append(str(SUPPORT))
import postgres  # pylint: disable=wrong-import-position

# Instrumented programs are some times slower; a bound on time says that nothing hangs, not how fast it is.
PATIENCE = 6 if SANITIZED else 1
START_SECONDS = 20 * PATIENCE
STOP_SECONDS = 30 * PATIENCE
CALL_SECONDS = 30 * PATIENCE

SKIPPED = 77
MOST_SAID = 20  # lines of a server's log beside a failure


def clean_environment(extra=None):
    """The environment without what would configure a server or the tool."""
    kept = {k: v for k, v in os.environ.items() if not re.match(r"SLUICE_|DATABASE_|DB_|ASYNC_|POSTGRES_|NO_COLOR", k)}
    return {**kept, **(extra or {})}


def need(condition, install, optional=False):
    """Skips the test, or fails it where everything is required; `install` is the line that helps."""
    if condition:
        return
    if REQUIRE_ALL and not optional:
        raise AssertionError(f"missing: {install}")
    raise unittest.SkipTest(install)


def load_stubs():
    """Generates the Python stubs where they are missing or old, and makes them importable. Without gRPC, no test of the
    file can run, and it ends here."""
    plugin = shutil.which("grpc_python_plugin")
    protoc = shutil.which("protoc")
    health = Path("/usr/share/grpc-proto")
    try:
        import grpc  # pylint: disable=import-outside-toplevel,unused-import
    except ImportError:
        grpc = None
    if not (grpc and plugin and protoc and health.is_dir()):
        print("SKIPPED: apt-get install python3-grpcio protobuf-compiler protobuf-compiler-grpc grpc-proto, and run it "
              "with /usr/bin/python3")
        sys.exit(1 if REQUIRE_ALL else SKIPPED)
    protos = [*sorted((ROOT / "proto").rglob("*.proto")), health / "grpc/health/v1/health.proto"]
    STUBS.mkdir(parents=True, exist_ok=True)
    stamp = STUBS / "stamp"
    with open(STUBS / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run beside each other
        newest = max(path.stat().st_mtime for path in protos)
        if not stamp.exists() or stamp.stat().st_mtime < newest:
            names = [str(path.relative_to(health if health in path.parents else ROOT / "proto")) for path in protos]
            subprocess.run([protoc, f"-I{ROOT / 'proto'}", f"-I{health}", f"--python_out={STUBS}",
                            f"--grpc_out={STUBS}", f"--plugin=protoc-gen-grpc={plugin}", *names], check=True)
            stamp.touch()
    # Debian's gRPC has a package named grpc, and so would grpc/health; google is a namespace package already.
    for package in ("google", "grpc"):
        module = __import__(package)
        module.__path__ = [*module.__path__, str(STUBS / package)]
    sys.path.insert(0, str(STUBS))


def wait_for(condition, seconds, what):
    """Polls until the condition holds and answers its value; fails at the deadline."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


class Process:
    """A started program whose output is kept in files; ended by its id."""

    def __init__(self, command, folder, name, environment=None, stdin=subprocess.DEVNULL, new_session=False):
        self.out_path, self.err_path = folder / f"{name}.out", folder / f"{name}.err"
        with open(self.out_path, "ab") as out, open(self.err_path, "ab") as err:
            self.process = subprocess.Popen(command, stdin=stdin, stdout=out, stderr=err, start_new_session=new_session,
                                            env=clean_environment(environment))
        self.pid = self.process.pid

    def output(self):
        return self.out_path.read_text(errors="replace")

    def errors(self):
        return self.err_path.read_text(errors="replace")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Server(Process):
    """sluiced on a free port of loopback, with a data folder of its own. `database` is a file, or a URL."""

    count = 0

    def __init__(self, folder, *flags, database=None, listen="127.0.0.1:0", data_dir=None, environment=None,
                 wrap=()):
        Server.count += 1
        self.folder = Path(folder)
        self.data_dir = Path(data_dir or self.folder / f"data{Server.count}")
        command = [*wrap, str(BIN / "sluiced"), "--listen", listen, "--data-dir", str(self.data_dir)]
        if database:
            command += ["--database", database if "://" in str(database) else f"sqlite:///{database}"]
        super().__init__([*command, *flags], self.folder, f"sluiced{Server.count}", environment)
        self.database = Path(database or self.data_dir / "sluice.db")
        self.address = None

    def await_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"sluiced ended with {self.process.returncode}: {self.errors()}")
            line, newline, _ = self.output().partition("\n")
            return newline and json.loads(line)

        line = wait_for(ready, START_SECONDS, "the server's ready line")
        assert line["event"] == "ready" and line["admin"] is None, line
        self.address = line["listen"]
        return self

    def terminate(self):
        """SIGTERM; answers the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.await_exit()

    def await_exit(self, seconds=STOP_SECONDS):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"sluiced did not end within {seconds} s; its threads:\n{self.threads()}\n"
                                 f"its log:\n{self.errors()[-3000:]}") from None

    def threads(self):
        """Each thread with the system call that it is in, and what it waits for there, as far as the system tells."""
        lines = []
        for task in sorted(Path(f"/proc/{self.pid}/task").iterdir()):
            parts = []
            for name in ("comm", "wchan", "syscall"):
                try:
                    parts.append((task / name).read_text().strip())
                except OSError:
                    parts.append("?")
            lines.append(f"{task.name} {' '.join(parts)}")
        return "\n".join(lines)

    def memory(self, field="VmHWM"):
        """MiB, from /proc."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+)", text)[1]) / 1024

    def log(self):
        """The log's lines as objects; every line must be JSON."""
        return [json.loads(line) for line in self.errors().splitlines()]


class TestCase(unittest.TestCase):
    """A folder for each test; servers that it started end with it, and must end well."""

    longMessage = True
    _result = None
    _failed_before = 0

    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="sluice-e2e-")))

    def run(self, result=None):
        self._result = self.defaultTestResult() if result is None else result
        self._failed_before = self._failed()
        return super().run(self._result)

    def _failed(self):
        return 0 if self._result is None else len(self._result.failures) + len(self._result.errors)

    def start(self, *flags, stop_well=True, **options):
        """A server that must exit with 0 on SIGTERM, unless the test ended it or expects otherwise."""
        server = Server(self.folder, *flags, **options)
        self.addCleanup(self._stop, server, stop_well)
        return server.await_ready()

    def _stop(self, server, stop_well):
        try:
            if server.process.poll() is None:
                code = server.terminate()
                if stop_well:
                    self.assertEqual(code, 0, f"exit code on SIGTERM; log:\n{server.errors()[-3000:]}")
        finally:
            server.kill()
            if self._failed() > self._failed_before:  # what the server itself had to say
                said = [line for line in server.errors().splitlines() if '"level":"info"' not in line]
                print("its server said:", *said[-MOST_SAID:], sep="\n", file=sys.stderr)
            report = re.search(r"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:).*", server.errors())
            if report:
                self.fail(f"{report[0]}\n{server.errors()[-6000:]}")

    def run_tool(self, server, *arguments, stdin=None, environment=None, timeout=CALL_SECONDS, check=None):
        """sluice; answers the finished process with bytes. `check`: the exit code that is expected."""
        address = server if isinstance(server, str) else server.address
        command = [str(BIN / "sluice"), "--server", address, *map(str, arguments)]
        options = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        done = subprocess.run(command, capture_output=True, timeout=timeout, env=clean_environment(environment),
                              check=False, **options)
        if check is not None:
            self.assertEqual(done.returncode, check, f"{arguments}: {done.stderr.decode(errors='replace')}")
        return done


def make_database(path, *statements):
    """A database file made with Python's own SQLite."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()
    return path


def start_postgres(**options):
    """A PostgreSQL server of the test's own, for `with` (tests/support/postgres.py); skips where none is installed."""
    need(postgres.binaries(), postgres.INSTALL)
    return postgres.Postgres(**options)


def node_client(name):
    """The command for a client of clients/; skips without Node or its modules."""
    node = shutil.which("node")
    need(node and (FOLDER / "node_modules/@grpc/grpc-js").is_dir(),
         "apt-get install nodejs npm && (cd tests/e2e && npm ci)")
    return [node, str(FOLDER / "clients" / name), str(ROOT / "proto")]


def buf():
    path = FOLDER / "node_modules/.bin/buf"
    need(path.exists() and shutil.which("node"), "apt-get install nodejs npm && (cd tests/e2e && npm ci)")
    return str(path)


def main():
    """Runs the tests of the calling file. Exit code 77: all of them were skipped, and a line says why."""
    if NIGHTLY:
        sys.argv.remove("--nightly")
        if os.environ.get("SLUICE_NIGHTLY") != "1":
            print("SKIPPED: a long test: tests/run --nightly")
            sys.exit(SKIPPED)
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    reasons = {reason for _, reason in program.result.skipped}
    for reason in sorted(reasons):
        print(f"SKIPPED: {reason}", flush=True)
    if not program.result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if len(program.result.skipped) == program.result.testsRun and reasons else 0)
