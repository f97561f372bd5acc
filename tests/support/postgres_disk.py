"""Small disks in memory, and a Postgres that keeps a part of its data on one."""
import contextlib
import os
import shutil
import subprocess

import postgres

MIB = 1 << 20


class NoDisk(Exception):
    """This machine does not let us mount one; why."""


class Disk:
    """A disk of its own, until close()."""

    def __init__(self, folder, mebibytes, user=None):
        """`user`: whom it belongs to, as pwd has it."""
        self.folder = folder
        if os.geteuid() != 0 or not shutil.which("mount"):
            raise NoDisk("a small disk is mounted by root only")
        folder.mkdir(exist_ok=True)
        owner = f",uid={user.pw_uid},gid={user.pw_gid}" if user else ""
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0700{owner}", "tmpfs", folder],
                              capture_output=True, check=False)
        if done.returncode != 0:
            raise NoDisk("this machine lets nobody mount a tmpfs")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Whoever still uses it may go on."""
        subprocess.run(["umount", "--lazy", self.folder], check=True)

    def occupy(self, mebibytes):
        """Takes so much of the room until vacate()."""
        self._ballast.write_bytes(os.urandom(mebibytes * MIB))

    def vacate(self):
        self._ballast.unlink()

    @property
    def _ballast(self):
        return self.folder / "ballast"


def add_tablespace(server, name, mebibytes):
    """Gives a server that runs a tablespace on a disk; answers the disk, which is closed before the server is."""
    disk = Disk(server.folder / name, mebibytes, server._user)  # pylint: disable=protected-access
    server.psql(f"CREATE TABLESPACE {name} LOCATION '{disk.folder}'")
    return disk


class WalOnDisk(postgres.Postgres):
    """A server whose write-ahead log is on a disk of so many mebibytes, of which some are occupied."""

    def __init__(self, mebibytes, occupied, **options):
        self._sizes, self._disks = (mebibytes, occupied), contextlib.ExitStack()
        super().__init__(**options)

    def close(self):
        self._disks.close()
        super().close()

    def _make_data(self):
        super()._make_data()
        mebibytes, occupied = self._sizes
        self.disk = self._disks.enter_context(Disk(self.folder / "wal", mebibytes, self._user))
        subprocess.run(["cp", "-a", f"{self.data}/pg_wal/.", self.disk.folder], check=True)
        shutil.rmtree(self.data / "pg_wal")
        (self.data / "pg_wal").symlink_to(self.disk.folder)
        self.disk.occupy(occupied)
