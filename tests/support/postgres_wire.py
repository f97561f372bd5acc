"""Messages of PostgreSQL's protocol 3.0, for what stands between a client and a server, or in a server's place."""
import struct

PROTOCOL, CANCEL, TLS, GSS = 196_608, 80_877_102, 80_877_103, 80_877_104
# Of messages without a type, which a client begins with.
STARTUPS = {PROTOCOL: "startup", CANCEL: "cancel", TLS: "tls", GSS: "gss"}
HEADER = 5


def message(kind, body=b""):
    return kind.encode() + struct.pack(">I", len(body) + 4) + body


def text(value):
    return value.encode() + b"\0"


def error(sqlstate, words, severity="ERROR"):
    """An ErrorResponse's body; None leaves the SQLSTATE out."""
    words = words if isinstance(words, bytes) else words.encode()
    severity = severity.encode()
    code = b"" if sqlstate is None else b"C" + text(sqlstate)
    return b"S" + severity + b"\0V" + severity + b"\0" + code + b"M" + words + b"\0\0"


class Splitter:
    """Cuts the bytes of one direction into whole messages: pairs of a kind and all of its bytes. The kind is the type's
    letter, one of STARTUPS, or `answer` for the byte that answers a question about TLS."""

    def __init__(self, from_client):
        self.starting = from_client
        self.answers = 0  # such bytes that are to come
        self._rest = bytearray()
        self._size = 0  # of the next message, once that is known

    def feed(self, data):
        self._rest += data
        out = []
        while len(self._rest) >= max(self._size, 1) and (one := self._next()):
            del self._rest[:len(one[1])]
            self._size = 0
            out.append(one)
        return out

    def _next(self):
        rest = self._rest
        if self.answers:
            self.answers -= 1
            return "answer", bytes(rest[:1])
        start = 0 if self.starting else 1
        if len(rest) < start + 8 - 4 * start:
            return None
        self._size = start + struct.unpack_from(">I", rest, start)[0]
        if len(rest) < self._size:
            return None
        whole = bytes(rest[:self._size])
        if not self.starting:
            return chr(whole[0]), whole
        kind = STARTUPS[struct.unpack_from(">I", whole, 4)[0]]
        self.starting = kind != "startup"
        return kind, whole
