"""What becomes of writes, reads and copies when the disk is full, or fails."""
import contextlib
import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import threading

import harness
import rpc
from rpc import Code, connection_pb2

WRITERS = 6
INSERT = "INSERT INTO entry (id, body) VALUES (?, randomblob(?))"


class Writers:
    """Clients that insert rows with numbers of their own, and what each row's insert was told."""

    def __init__(self, test, server, body=20_000):
        self.test, self.server, self.body = test, server, body
        self.lock = threading.Lock()
        self.number = 0
        self.acknowledged, self.failed = set(), {}

    def insert(self, client):
        """Whether one row more was taken."""
        with self.lock:
            self.number += 1
            number = self.number
        try:
            client.query(INSERT, number, self.body)
        except rpc.grpc.RpcError as error:
            with self.lock:
                self.failed[number] = rpc.Failure(error)
            return False
        with self.lock:
            self.acknowledged.add(number)
        return True

    def run(self, enough):
        """Inserts at once from several clients, each until `enough`, given what it was told so far, says so."""
        most = 2000
        satisfied = []

        def write():
            told = []
            with rpc.Client(self.server.address) as client:
                while not enough(told) and len(told) < most:
                    told.append(self.insert(client))
            satisfied.append(len(told) < most)

        threads = [threading.Thread(target=write) for _ in range(WRITERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.test.assertEqual(satisfied, [True] * WRITERS, list(self.failed.values())[-3:])


def ids(client):
    return {number for number, in client.stream_rows("SELECT id FROM entry")}


def check_whole(test, path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        test.assertEqual(database.execute("PRAGMA integrity_check").fetchall(), [("ok",)])


class FullDiskTest(rpc.TestCase):
    def mount(self, size):
        """A disk of its own, in memory."""
        folder = self.folder / f"disk{size}"
        folder.mkdir()
        harness.need(os.geteuid() == 0 and shutil.which("mount"), "a small disk is mounted by root only", optional=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)],
                              capture_output=True, check=False)
        harness.need(done.returncode == 0, "this machine lets nobody mount a tmpfs", optional=True)
        self.addCleanup(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
        return folder

    def fill(self, writers):
        """Writes until each client was refused some times, for want of room and nothing else."""
        known = len(writers.failed)
        writers.run(lambda told: told.count(False) >= 3)
        self.assertGreaterEqual(len(writers.failed), known + 3 * WRITERS)
        for failure in writers.failed.values():
            self.assertEqual((failure.code, failure.reason), (Code.RESOURCE_EXHAUSTED, "DISK_FULL"), failure)
            self.assertIn(failure.executed, ("rolled_back", "no"), failure)

    def test_Fault56_a_full_disk_refuses_writes_and_loses_none(self):
        disk = self.mount("6m")
        ballast = [disk / "ballast1", disk / "ballast2"]
        for path in ballast:
            path.write_bytes(os.urandom(1_500_000))
        server = self.start(database=disk / "full.db")
        client = self.client(server)
        client.query("CREATE TABLE entry (id INTEGER PRIMARY KEY, body BLOB)")
        writers = Writers(self, server)
        self.fill(writers)
        self.assertGreater(len(writers.acknowledged), 10)
        self.assertEqual(ids(client), writers.acknowledged)
        self.assertEqual(client.rows("SELECT count(*), min(length(body)) FROM entry"),
                         [(len(writers.acknowledged), 20_000)])

        # Room again, and the same server writes again.
        ballast[0].unlink()
        self.assertTrue(writers.insert(client), writers.failed.get(writers.number))
        self.fill(writers)
        self.assertEqual(ids(client), writers.acknowledged)

        # Killed while it is full.
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        ballast[1].unlink()
        again = self.start(database=disk / "full.db", data_dir=server.data_dir)
        writers.server, client = again, self.client(again)
        self.assertEqual(ids(client), writers.acknowledged)
        self.assertTrue(writers.insert(client), writers.failed.get(writers.number))
        self.assertEqual(again.terminate(), 0)
        check_whole(self, disk / "full.db")

    def test_Fault56_a_copy_that_does_not_fit_is_refused_and_leaves_nothing(self):
        disk = self.mount("6m")
        ballast = disk / "ballast"
        ballast.write_bytes(os.urandom(4_000_000))
        server = self.start(database=self.folder / "large.db", data_dir=disk / "data")
        client = self.client(server)
        client.query("CREATE TABLE entry (id INTEGER PRIMARY KEY, body BLOB)")
        client.query(INSERT, 1, 3_000_000)
        backup = connection_pb2.BackupRequest(connection_id="default")
        for _ in range(3):
            self.assert_fails(Code.RESOURCE_EXHAUSTED, client.connections.Backup, backup,
                              timeout=harness.CALL_SECONDS, reason="DISK_FULL", executed="no")
        scratch = disk / "data/tmp"
        harness.wait_for(lambda: not list(scratch.iterdir()), 5, "what was copied is removed")
        ballast.unlink()
        pieces = list(client.connections.Backup(backup, timeout=harness.CALL_SECONDS))
        whole = b"".join(piece.data for piece in pieces)
        self.assertTrue(pieces[-1].last)
        self.assertEqual(len(whole), pieces[-1].total_bytes)
        self.assertEqual(hashlib.sha256(whole).digest(), pieces[-1].sha256)
        (self.folder / "copy.db").write_bytes(whole)
        check_whole(self, self.folder / "copy.db")


class FailingDiskTest(rpc.TestCase):
    # The thread that writes has every so many of its syncs fail, once it has begun.
    FAULTS = "inject=fdatasync:error=EIO:when=20+17"

    def test_Fault57_a_failed_sync_is_never_answered_with_ok(self):
        strace = shutil.which("strace")
        harness.need(strace, "apt-get install strace")
        traced = [strace, "-D", "-f", "-qq", "-o", str(self.folder / "strace"), "-e", "trace=fdatasync", "-e"]
        probe = subprocess.run([*traced, "trace=fdatasync", "true"], capture_output=True, check=False)
        harness.need(probe.returncode == 0, "this machine lets nobody trace a process", optional=True)
        # The leak check needs the tracing for itself.
        server = self.start(wrap=[*traced, self.FAULTS], environment={"ASAN_OPTIONS": "detect_leaks=0"})
        client = self.client(server)
        client.query("CREATE TABLE entry (id INTEGER PRIMARY KEY, body BLOB)")
        writers = Writers(self, server, body=200)
        writers.run(lambda told: told.count(False) >= 5 and told[-3:].count(True) == 3)
        self.assertIn("EIO", (self.folder / "strace").read_text())

        unknown, undone = set(), set()
        for number, failure in writers.failed.items():
            with self.subTest(failure=failure):
                if failure.code == Code.UNKNOWN:
                    self.assertEqual((failure.reason, failure.executed), ("COMMIT_OUTCOME_UNKNOWN", "unknown"))
                    unknown.add(number)
                else:
                    self.assertEqual((failure.code, failure.reason, failure.executed),
                                     (Code.DATA_LOSS, "DEVICE_FAULT", "rolled_back"))
                    undone.add(number)
        self.assertLessEqual(writers.acknowledged, ids(client))
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()

        again = self.start(data_dir=server.data_dir)
        client = self.client(again)
        found = ids(client)
        self.assertLessEqual(writers.acknowledged, found)
        self.assertFalse(undone & found, "what was said to be undone is there")
        self.assertLessEqual(found, writers.acknowledged | unknown)
        writers.server = again
        self.assertTrue(writers.insert(client))
        self.assertEqual(again.terminate(), 0)
        check_whole(self, again.database)


if __name__ == "__main__":
    harness.main()
