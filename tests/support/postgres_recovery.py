"""A Postgres whose recovery takes as long as a test wants: it says to whoever connects that it is starting up."""
import time

import postgres

STARTING = ("starting up", "not yet accepting connections", "not accepting connections")


class RecoveringPostgres(postgres.Postgres):
    """It recovers as a standby does that lets nobody in."""

    def __init__(self, **options):
        super().__init__(**{**options, "settings": {"hot_standby": "off", **options.get("settings", {})}})

    def begin_recovery(self):
        """Starts the server after stop() or kill(); on return it says that it is starting up."""
        (self.data / "standby.signal").touch()
        self._process = self._spawn("postgres", "-D", self.data, "-k", self.folder, "-p", self.port)
        end = time.monotonic() + postgres.START_SECONDS
        while not any(words in self._refusal() for words in STARTING):
            if time.monotonic() > end:
                raise postgres.Error(f"PostgreSQL does not recover: {self.log_text()[-3000:]}")
            time.sleep(0.01)

    def end_recovery(self):
        """It takes connections on return."""
        self._run("pg_ctl", "promote", "-D", self.data, "-t", postgres.START_SECONDS)

    def _refusal(self):
        try:
            self.psql("SELECT")
        except postgres.Error as error:
            return str(error)
        raise postgres.Error("PostgreSQL takes connections while it recovers")
