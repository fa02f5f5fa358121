"""A client that is none: bytes down a connection, and what comes back by the rules of HTTP."""

import re
import socket
import threading
from collections.abc import Iterable

PATIENCE_S = 20.0

Address = str | tuple[str, int]

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


def dial(address: Address) -> socket.socket:
    """Connect to a path, or to a host and port; nothing of it waits for ever."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    connection = socket.socket(family)
    connection.settimeout(PATIENCE_S)
    connection.connect(address)
    return connection


def exchange(
    address: Address, pieces: Iterable[bytes], *, leave: bool, after_s: float = 0
) -> bytes:
    """Send the pieces and return all that comes back up to the end of the connection.

    With `leave` the connection is closed for writing behind them, or when nothing has come
    back for so long. TimeoutError: it hangs.
    """
    with dial(address) as connection:
        at_once = leave and not after_s
        sender = threading.Thread(target=_send, args=(connection, pieces, at_once))
        sender.start()
        try:
            return (_read(connection, after_s) if leave and after_s else b"") + _read(connection)
        finally:
            # who does not read any more is not written to for ever
            _shut(connection, socket.SHUT_RDWR)
            sender.join()


def _send(connection: socket.socket, pieces: Iterable[bytes], leave: bool) -> None:
    try:
        for piece in pieces:
            connection.sendall(piece)
    except OSError:
        return  # it was closed meanwhile
    if leave:
        _shut(connection, socket.SHUT_WR)


def _shut(connection: socket.socket, how: int) -> None:
    try:
        connection.shutdown(how)
    except OSError:
        return  # it is gone


def _read(connection: socket.socket, leave_after_s: float = 0) -> bytes:
    """Read to the end, or until it is time to leave."""
    parts = []
    connection.settimeout(leave_after_s or PATIENCE_S)
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionError:
        pass  # reset: what was sent to it was not read
    except TimeoutError:
        if not leave_after_s:
            raise
        connection.settimeout(PATIENCE_S)
        _shut(connection, socket.SHUT_WR)
    return b"".join(parts)


def statuses(data: bytes) -> list[int]:
    """Return the statuses of the answers in `data`, but those below 200; ValueError for others."""
    found, rest = [], data
    while rest:
        match = _STATUS.match(rest)
        head, end, rest = rest.partition(b"\r\n\r\n")
        if match is None or not end:
            raise ValueError(f"no answer: {head[:100]!r}")
        if int(match[1]) < 200:
            continue
        found.append(int(match[1]))
        length = _LENGTH.search(head + b"\r\n")
        rest = rest[int(length[1]) :] if length else b""
    return found
