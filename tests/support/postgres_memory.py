"""A Postgres whose processes may only have so much memory each."""
import subprocess

import postgres


class LimitedPostgres(postgres.Postgres):
    """Of addresses, shared memory and programs among them: a new backend has some 120 MiB."""

    def __init__(self, mebibytes, **options):
        self._kibibytes = mebibytes * 1024
        super().__init__(**options)

    def _spawn(self, program, *arguments, stdin=subprocess.DEVNULL):
        if program != "postgres":
            return super()._spawn(program, *arguments, stdin=stdin)
        command = 'ulimit -v "$0" && exec "$@"'
        return super()._spawn("/bin/sh", "-c", command, self._kibibytes, self.binaries / program, *arguments,
                              stdin=stdin)
