"""A streaming standby of a Postgres, as a server of its own that can be promoted."""
import os
import signal

import postgres

REPLICATION = "host replication all 127.0.0.1/32 trust\n"


class Standby(postgres.Postgres):
    """Made by pg_basebackup from a primary that runs; follows it once it is started, and takes reads."""

    def __init__(self, primary, **options):
        with open(primary.data / "pg_hba.conf", "a", encoding="utf-8") as rules:
            rules.write(REPLICATION)
        primary.psql("SELECT pg_reload_conf()")
        self._primary = primary
        super().__init__(**options)

    def promote(self):
        """Makes it a primary of its own; it takes writes on return."""
        if self.psql("SELECT pg_promote(true, 30)") != "t":
            raise postgres.Error(f"the standby is not promoted: {self.log_text()[-3000:]}")

    def _make_data(self):
        self.data.mkdir(0o700)
        if self._user:
            os.chown(self.data, self._user.pw_uid, self._user.pw_gid)
        self._run("pg_basebackup", "--pgdata", self.data, "--dbname", self._primary.conninfo(), "--write-recovery-conf",
                  "--wal-method", "stream", "--checkpoint", "fast")


def walsenders(primary):
    """The processes that send to standbys."""
    return [int(pid) for pid in primary.psql("SELECT pid FROM pg_stat_replication").split()]


def pause(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
