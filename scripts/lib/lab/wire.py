"""A small PostgreSQL client that speaks the protocol itself.

It knows just enough to log in without a password, run simple queries and leave
at any byte. See protocol-message-formats.html.
"""

from __future__ import annotations

import socket
import ssl
import struct
import time


class ServerError(Exception):
    """An ErrorResponse: `sqlstate`, `severity` and the message."""

    def __init__(self, fields: dict):
        self.sqlstate = fields.get("C", "?????")
        self.severity = fields.get("V") or fields.get("S", "")
        self.message = fields.get("M", "")
        super().__init__(f"{self.severity} {self.sqlstate}: {self.message}")


class ConnectionLost(Exception):
    """The connection ended without an ErrorResponse that would say why."""


def frame(tag: bytes, body: bytes = b"") -> bytes:
    return tag + struct.pack("!I", len(body) + 4) + body


def query_frame(sql: str) -> bytes:
    return frame(b"Q", sql.encode() + b"\0")


def startup_frame(user: str, database: str, application_name: str = "") -> bytes:
    params = {"user": user, "database": database}
    if application_name:
        params["application_name"] = application_name
    body = struct.pack("!I", 196608)
    for key, value in params.items():
        body += key.encode() + b"\0" + value.encode() + b"\0"
    body += b"\0"
    return struct.pack("!I", len(body) + 4) + body


def extended_frames(sql: str) -> bytes:
    """Parse, Bind, Execute and Sync of an unnamed statement without parameters."""
    return (frame(b"P", b"\0" + sql.encode() + b"\0" + b"\0\0")
            + frame(b"B", b"\0\0" + b"\0\0" + b"\0\0" + b"\0\0")
            + frame(b"E", b"\0" + struct.pack("!I", 0))
            + frame(b"S"))


def error_fields(body: bytes) -> dict:
    fields = {}
    for part in body.split(b"\0"):
        if part:
            fields[chr(part[0])] = part[1:].decode(errors="replace")
    return fields


def data_row(body: bytes) -> list:
    (count,) = struct.unpack_from("!H", body)
    at, row = 2, []
    for _ in range(count):
        (size,) = struct.unpack_from("!i", body, at)
        at += 4
        if size < 0:
            row.append(None)
        else:
            row.append(body[at:at + size].decode(errors="replace"))
            at += size
    return row


class Client:
    """One blocking connection. Every wait is bounded by `timeout` seconds."""

    def __init__(self, port: int, user: str, database: str, host: str = "127.0.0.1",
                 timeout: float = 30.0, application_name: str = "", tls: bool = False):
        """`tls`: encrypted, whoever the other side is."""
        self.buffer = b""
        self.notices: list = []
        try:
            self.sock = socket.create_connection((host, port), timeout=timeout)
        except OSError as cause:
            raise ConnectionLost(f"connect: {cause}") from cause
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:
                self.encrypt(host)
            self.send(startup_frame(user, database, application_name))
            self.read_to_ready()
        except BaseException:
            self.sock.close()
            raise

    def encrypt(self, host: str) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            self.sock.sendall(struct.pack("!II", 8, 80877103))
            if self.sock.recv(1) != b"S":
                raise ConnectionLost("the other side has no TLS")
            self.sock = context.wrap_socket(self.sock, server_hostname=host)
        except OSError as cause:
            raise ConnectionLost(f"TLS: {cause}") from cause

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError as cause:
            self.last_words(cause)

    def last_words(self, cause: OSError) -> None:
        """The peer has closed; what it said before that may still be readable."""
        try:
            self.read_to_ready()
        except ConnectionLost:
            raise ConnectionLost(str(cause)) from cause
        raise ConnectionLost(str(cause)) from cause

    def read_frame(self) -> tuple:
        while True:
            if len(self.buffer) >= 5:
                (size,) = struct.unpack_from("!I", self.buffer, 1)
                if len(self.buffer) > size:
                    tag, body = self.buffer[:1], self.buffer[5:size + 1]
                    self.buffer = self.buffer[size + 1:]
                    return tag, body
            try:
                more = self.sock.recv(65536)
            except OSError as cause:
                raise ConnectionLost(str(cause)) from cause
            if not more:
                raise ConnectionLost("closed by the peer")
            self.buffer += more

    def read_to_ready(self) -> list:
        """Rows up to ReadyForQuery; raises the first ErrorResponse met.

        After a FATAL one nothing else comes, so it is raised at once.
        """
        rows, error = [], None
        while True:
            try:
                tag, body = self.read_frame()
            except ConnectionLost:
                if error:
                    raise error
                raise
            if tag == b"D":
                rows.append(data_row(body))
            elif tag == b"E":
                error = error or ServerError(error_fields(body))
                if error.severity in ("FATAL", "PANIC"):
                    raise error
            elif tag == b"R" and body[:4] != b"\0\0\0\0":
                raise ConnectionLost("a password is asked for: this client has none")
            elif tag == b"Z":
                if error:
                    raise error
                return rows

    def query(self, sql: str) -> list:
        self.send(query_frame(sql))
        return self.read_to_ready()

    def extended(self, sql: str) -> list:
        self.send(extended_frames(sql))
        return self.read_to_ready()

    def value(self, sql: str) -> str:
        return self.query(sql)[0][0]

    def close(self) -> None:
        """Terminate, as a client that leaves politely."""
        try:
            self.sock.sendall(frame(b"X"))
        except OSError:
            pass
        self.sock.close()

    def drop(self, reset: bool = False) -> None:
        """Leaves without a word: with FIN, or with RST."""
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def wait_until_listening(port: int, seconds: float, alive=lambda: True) -> None:
    """Returns when somebody accepts a connection; raises the last failure after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError as cause:
            if time.monotonic() > end or not alive():
                raise ConnectionLost(f"connect: {cause}") from cause
            time.sleep(0.05)


def wait_until_served(port: int, user: str, database: str, seconds: float, alive=lambda: True) -> None:
    """Returns when a query succeeds; raises the last failure after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        try:
            client = Client(port, user, database, timeout=max(0.5, end - time.monotonic()))
            client.query("select 1")
            client.close()
            return
        except (ServerError, ConnectionLost):
            if time.monotonic() > end or not alive():
                raise
            time.sleep(0.05)
