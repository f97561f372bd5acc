"""The PostgreSQL servers that tests start: what they are asked for they do, and nothing of them stays."""
import json
import signal
import subprocess
import sys
from pathlib import Path

import harness
import postgres
from harness import start_postgres, wait_for

PROGRAM = [sys.executable, "-B", str(harness.SUPPORT / "postgres.py")]
OWNER = """
import json, os, signal, sys
sys.path.append(sys.argv[1])
import postgres

class Killed(postgres.Postgres):
    def _is_ready(self):
        if sys.argv[2] == "ready" and not super()._is_ready():
            return False
        print(json.dumps({"folder": str(self.folder), "pid": self.pid}), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

Killed()
"""


def is_gone(folder, *pids):
    return not Path(folder).exists() and not any(_runs(pid) for pid in pids)


def _runs(pid):
    """A zombie does not: who adopted it may take his time."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class PostgresServerTest(harness.TestCase):
    def setUp(self):
        super().setUp()
        harness.need(postgres.binaries(), postgres.INSTALL)

    def test_servers_stand_beside_each_other_and_leave_nothing(self):
        with start_postgres() as one, start_postgres(max_connections=7) as other:
            one.create_database("shop")
            one.psql("CREATE TABLE item AS SELECT 1 AS id, 'pen' AS name", database="shop")
            self.assertEqual(one.psql("SELECT * FROM item", database="shop"), "1|pen")
            self.assertEqual(other.psql("SHOW max_connections"), "7")
            self.assertEqual(other.backend_pids(), [])
            with self.assertRaisesRegex(postgres.Error, "does not exist"):
                other.psql("SELECT 1", database="shop")
            self.assertNotEqual(one.port, other.port)
        for server in one, other:
            self.assertTrue(is_gone(server.folder))
            self.assertIsNone(server.pid)

    def test_a_password_is_asked_for(self):
        with start_postgres(password="it's @ secret") as server:
            self.assertEqual(server.psql("SELECT 1"), "1")
            psql = [server.binaries / "psql", "-XAtc", "SELECT 2", server.url()]
            self.assertEqual(subprocess.run(psql, capture_output=True, text=True, check=True).stdout, "2\n")
            with self.assertRaisesRegex(postgres.Error, "authentication failed"):
                server.psql("SELECT 1", password="another")

    def test_a_server_comes_back_where_it_was_with_what_it_had(self):
        with start_postgres(settings={"work_mem": "5MB"}) as server:
            server.psql("CREATE TABLE t AS SELECT 1 AS n")
            before = server.conninfo()
            for end in (server.stop, lambda: server.stop("immediate"), server.kill):
                end()
                self.assertIsNone(server.pid)
                server.start()
                self.assertEqual(server.conninfo(), before)
                self.assertEqual(server.psql("SELECT n FROM t; SHOW work_mem"), "1\n5MB")

    def test_a_server_goes_when_its_owner_is_killed(self):
        for moment in "starting", "ready":
            command = [sys.executable, "-B", "-c", OWNER, str(harness.SUPPORT), moment]
            owner = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(owner.returncode, -signal.SIGKILL, owner.stderr)
            server = json.loads(owner.stdout)
            wait_for(lambda: is_gone(server["folder"], server["pid"]), 20, f"the end of {server}")

    def test_a_server_that_tests_share_goes_with_the_run_that_it_was_started_for(self):
        state = self.folder / "postgres"
        # As ctest does, the shell runs start and stop as its children.
        shell = subprocess.Popen(["bash", "-s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
        self.addCleanup(shell.stdout.close)
        self.addCleanup(shell.wait)
        self.addCleanup(shell.kill)
        program = " ".join(f"'{word}'" for word in PROGRAM)

        def do(verb):
            shell.stdin.write(f"{program} {verb} '{state}' </dev/null; echo $?\n")
            self.assertEqual(shell.stdout.readline(), "0\n")

        def started():
            conninfo, pid = (state / str(shell.pid)).read_text().splitlines()
            psql = [postgres.binaries() / "psql", "-XAtc", "SHOW data_directory", conninfo]
            data = subprocess.run(psql, capture_output=True, text=True, check=True).stdout.strip()
            return Path(data).parent, int(pid)

        do("start")
        folder, pid = started()
        do("stop")
        self.assertTrue(is_gone(folder, pid))
        self.assertEqual(list(state.iterdir()), [])

        do("start")
        folder, pid = started()
        shell.kill()
        shell.stdin.close()
        wait_for(lambda: is_gone(folder, pid) and not list(state.iterdir()), 20, "the end of the server")


if __name__ == "__main__":
    harness.main()
