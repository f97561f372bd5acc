"""Frames of HTTP/2 by hand, to say what no gRPC client says."""
import re
import socket
import struct

DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS = 1, 4
LARGEST_FRAME = 16_384


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header that no table has, without Huffman's code."""
    name, value = name.encode(), value.encode()
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def message(body):
    """With gRPC's prefix."""
    return b"\0" + struct.pack(">I", len(body)) + body


class Call:
    """One call on a connection of its own."""

    def __init__(self, address, method):
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)))
        headers = {":method": "POST", ":scheme": "http", ":path": method, ":authority": "localhost",
                   "te": "trailers", "content-type": "application/grpc"}
        block = b"".join(literal(*header) for header in headers.items())
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0) +
                            frame(HEADERS, END_HEADERS, 1, block))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data, end=False):
        for start in range(0, len(data), LARGEST_FRAME):
            self.socket.sendall(frame(DATA, 0, 1, data[start:start + LARGEST_FRAME]))
        if end:
            self.socket.sendall(frame(DATA, END_STREAM, 1))

    def reset(self, code):
        self.socket.sendall(frame(RST_STREAM, 0, 1, struct.pack(">I", code)))

    def go_away(self):
        self.socket.sendall(frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0)))

    def half_close_connection(self):
        self.socket.shutdown(socket.SHUT_WR)

    def abort_connection(self):
        """TCP's RST, as of a machine that went down and came back."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def status(self, seconds):
        """The status that the server sent; None if the connection ended without."""
        self.socket.settimeout(seconds)
        got = b""
        while True:
            found = re.search(rb"grpc-status.(\d+)", got, re.S)
            if found:
                return int(found[1])
            more = self.socket.recv(65_536)
            if not more:
                return None
            got += more
