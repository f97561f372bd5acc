"""A server that speaks enough of PostgreSQL's protocol to be believed, and then abuses the belief.

    with HostilePostgres(login=scram(iterations=2**31 - 1)) as server: …
    with HostilePostgres(answers={"wide": lambda session: session.send(huge_row())}) as server: …
"""
import base64
import contextlib
import re
import socket
import ssl
import struct
import threading

import postgres_wire
from postgres_wire import message, text

TEXT_OID = 25
SETTINGS = {"server_version": "15.8", "server_encoding": "UTF8", "client_encoding": "UTF8", "DateStyle": "ISO, MDY",
            "IntervalStyle": "postgres", "TimeZone": "UTC", "integer_datetimes": "on", "application_name": "",
            "standard_conforming_strings": "on", "is_superuser": "off", "session_authorization": "postgres"}
AUTHENTICATION = {"ok": 0, "cleartext": 3, "md5": 5, "sasl": 10, "sasl_continue": 11}
READY = message("Z", b"I")


def authentication(kind, data=b""):
    return message("R", struct.pack(">I", AUTHENTICATION[kind]) + data)


def column(name):
    return text(name) + struct.pack(">IHIhih", 0, 0, TEXT_OID, -1, -1, 0)


def columns(names):
    return message("T", struct.pack(">H", len(names)) + b"".join(column(name) for name in names))


def row(*values):
    values = [value if isinstance(value, bytes) else value.encode() for value in values]
    return message("D", struct.pack(">H", len(values)) + b"".join(struct.pack(">i", len(v)) + v for v in values))


def done(tag="SELECT 1"):
    return message("C", text(tag))


def trusting(session):
    session.send(authentication("ok"))


def asking(kind):
    """For a password, as `cleartext` or `md5`; what it gets is kept."""
    def login(session):
        session.send(authentication(kind, b"salt" if kind == "md5" else b""))
        got = session.receive()
        if got is not None:
            session.server.passwords.append(got[1][postgres_wire.HEADER:])
        session.send(message("E", postgres_wire.error("28P01", "no", "FATAL")))
        return False
    return login


def scram(iterations):
    """Asks for proof of the password that takes so many rounds."""
    def login(session):
        session.send(authentication("sasl", text("SCRAM-SHA-256") + b"\0"))
        kind, first = session.receive()
        assert kind == "p"
        nonce = re.search(rb"r=([^,\0]+)", first)[1]
        challenge = b"r=" + nonce + b"more,s=" + base64.b64encode(b"salt" * 4) + b",i=%d" % iterations
        session.send(authentication("sasl_continue", challenge))
        session.receive()
        return False
    return login


class Session:
    """One connection, on a thread of its own."""

    def __init__(self, server, connection):
        self.server, self.socket = server, connection
        self._splitter = postgres_wire.Splitter(from_client=True)
        self._messages = []
        self._statements, self._portals = {}, {}

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The next message as kind and bytes; None at the end."""
        while not self._messages:
            data = self.socket.recv(65_536)
            if not data:
                return None
            self._messages = self._splitter.feed(data)
        return self._messages.pop(0)

    def run(self):
        while (got := self.receive()) is not None:
            kind, data = got
            if kind == "tls" and self.server.tls:
                self.send(b"S")
                self.socket = self.server.tls.wrap_socket(self.socket, server_side=True)
            elif kind in ("tls", "gss"):
                self.send(b"N")
            elif kind == "cancel":
                return
            elif kind == "startup":
                if self.server.login(self) is False:
                    return
                self._begin()
            elif kind == "X":
                return
            else:
                self._answer(kind, data[postgres_wire.HEADER:])

    def _begin(self):
        self.send(b"".join(message("S", text(name) + text(value)) for name, value in SETTINGS.items()) +
                  message("K", struct.pack(">II", 1, 1)) + READY)

    def _answer(self, kind, body):
        if kind == "P":
            name, sql = body.split(b"\0", 2)[:2]
            self._statements[name] = sql.decode()
            self.send(message("1"))
        elif kind == "B":
            portal, statement = body.split(b"\0", 2)[:2]
            self._portals[portal] = self._statements.get(statement, "")
            self.send(message("2"))
        elif kind == "D":
            self._describe(body)
        elif kind == "E":
            self._execute(self._portals.get(body.split(b"\0", 1)[0], ""))
        elif kind == "C":
            self.send(message("3"))
        elif kind == "S":
            self.send(READY)

    def _describe(self, body):
        name = body[1:].split(b"\0", 1)[0]
        of_statement = body[:1] == b"S"
        sql = (self._statements if of_statement else self._portals).get(name, "")
        told = self.server.headers.get(self._key(sql)) or (columns(["a"]) if self._reads(sql) else message("n"))
        if of_statement:
            self.send(message("t", struct.pack(">H", 0)))
        if callable(told):
            told(self)
        else:
            self.send(told)

    def _execute(self, sql):
        key = self._key(sql)
        if key in self.server.answers:
            self.server.answers[key](self)
        elif self._reads(sql):
            self.send(row("fine") + done())
        else:
            self.send(done(sql.split(" ", 1)[0].upper()))

    def _key(self, sql):
        names = {*self.server.answers, *self.server.headers}
        return next((name for name in names if name in sql), None)

    @staticmethod
    def _reads(sql):
        return sql.lstrip().upper().startswith(("SELECT", "FETCH"))


class HostilePostgres:
    """Listens on a free port of 127.0.0.1. `login` is called with each session that starts and answers False where it
    ends there. `answers`: what is done when a statement with the key in it is executed, and `headers`, what is sent
    when one is described; others get a row that says `fine`. A session left to itself ends when its client does."""

    def __init__(self, login=trusting, answers=None, headers=None, tls=None):
        """`tls`: the paths of a certificate and of its key, where it is offered."""
        self.login, self.answers, self.headers = login, answers or {}, headers or {}
        self.tls = None
        if tls:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*tls)
        self.passwords = []  # that were sent
        self.connections = 0
        self._sockets = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.end_sessions()

    def end_sessions(self):
        for each in list(self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def url(self, user="postgres", password="", options=""):
        who = f"{user}:{password}" if password else user
        return f"postgresql://{who}@127.0.0.1:{self.port}/postgres{options}"

    def _listen(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.add(connection)
            threading.Thread(target=self._serve, args=(connection, ), daemon=True).start()

    def _serve(self, connection):
        session = Session(self, connection)
        with connection, contextlib.closing(session), contextlib.suppress(OSError):
            session.run()
        self._sockets.discard(connection)
