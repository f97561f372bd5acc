"""A PgBouncer of a test's own, in transaction mode, before a PostgreSQL of tests/support/postgres.py."""
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAM = "/usr/sbin/pgbouncer"
INSTALL = "apt-get install pgbouncer"
START_SECONDS = 20


def is_installed():
    return os.path.exists(PROGRAM)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PgBouncer:
    """For `with`. `sessions`: how many of the server's it shares out, a transaction each."""

    def __init__(self, postgres, sessions=2):
        self.postgres = postgres
        self.folder = Path(tempfile.mkdtemp(prefix="sluice-pgbouncer-"))
        self.folder.chmod(0o755)
        self.port = _free_port()
        (self.folder / "users").write_text('"postgres" ""\n')
        self.config = self.folder / "pgbouncer.ini"
        self.config.write_text(
            f"[databases]\n* = host=127.0.0.1 port={postgres.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {self.port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {self.folder}/users\n"
            f"pool_mode = transaction\ndefault_pool_size = {sessions}\nmax_client_conn = 200\n")
        user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None  # it refuses to run as root
        owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        self.log = self.folder / "log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([PROGRAM, str(self.config)], stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, **owner)
        self._await()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        shutil.rmtree(self.folder)

    def _await(self):
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise RuntimeError(f"PgBouncer does not start: {self.log.read_text()[-2000:]}")

    def url(self, database, options=""):
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}?pooler=on{options}"
