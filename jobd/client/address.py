"""Where a daemon is, how a connection to it is made, and which token goes over it.

Not here: what travels over the connection (link.py).
"""

import http.client
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import Self
from urllib.parse import SplitResult, urlsplit

Dial = Callable[[float], http.client.HTTPConnection]
"""Makes a connection, not yet opened, whose answers may take so many seconds."""

_CONNECT_S = 10.0


class Address:
    """One daemon: `shown` names it to people, `prefix` stands before the path of each call.

    The token is only sent to where the address says: a redirect is not followed.
    """

    def __init__(
        self, shown: str, dial: Dial, *, prefix: str = "", token: str | None = None
    ) -> None:
        self.shown = shown
        self.dial = dial
        self.prefix = prefix
        self.headers: Mapping[str, str] = {}
        if token is not None:
            if not token.isascii() or not token.isprintable() or not token or " " in token:
                raise ValueError("the token has characters that no token has")
            self.headers = {"Authorization": f"Bearer {token}"}

    @classmethod
    def of_socket(cls, path: str, token: str | None = None, dial: Dial | None = None) -> Self:
        """Return that of the daemon behind a unix socket. ValueError for a bad token."""
        return cls(path, dial or partial(_UnixConnection, path), token=token)

    @classmethod
    def of_url(cls, url: str, token: str | None = None, dial: Dial | None = None) -> Self:
        """Return that of `http(s)://HOST[:PORT][/PREFIX]`. ValueError for anything else."""
        parts = _parts(url)
        return cls(
            url, dial or partial(_dial_tcp, parts), prefix=parts.path.rstrip("/"), token=token
        )

    @classmethod
    def of_environment(cls, environ: Mapping[str, str], *, dial: Dial | None = None) -> Self:
        """Return the one that $JOBD_URL or $JOBD_SOCKET means, with $JOBD_TOKEN; else the usual.

        ValueError when they cannot be used.
        """
        token = environ.get("JOBD_TOKEN") or None
        if url := environ.get("JOBD_URL"):
            return cls.of_url(url, token, dial)
        from jobd.config import client_socket  # noqa: PLC0415 - not for those who name it

        return cls.of_socket(client_socket(environ), token, dial)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP/1.1 over the socket at a path."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _TcpConnection(http.client.HTTPConnection):
    """HTTP/1.1 over TCP, where a host that does not answer is given up sooner than an answer."""

    def connect(self) -> None:
        _connect(self, super().connect)


class _TlsConnection(http.client.HTTPSConnection):
    """The same over TLS; whom the system trusts is who it is checked with."""

    def connect(self) -> None:
        _connect(self, super().connect)


def _connect(connection: http.client.HTTPConnection, connect: Callable[[], None]) -> None:
    timeout_s = connection.timeout
    connection.timeout = min(timeout_s, _CONNECT_S) if timeout_s is not None else _CONNECT_S
    try:
        connect()
    finally:
        connection.timeout = timeout_s
    connection.sock.settimeout(timeout_s)


def _dial_tcp(parts: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return _TlsConnection(host, parts.port, timeout=timeout_s)
    return _TcpConnection(host, parts.port, timeout=timeout_s)


def _parts(url: str) -> SplitResult:
    """Return the parts of the URL of a daemon. ValueError when it is none."""
    parts = urlsplit(url)
    what = None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        what = "is not http://HOST or https://HOST"
    elif "@" in parts.netloc:
        what = "has a name or a password in it: a token goes into JOBD_TOKEN"
    elif parts.query or parts.fragment or "?" in url or "#" in url:
        what = "has more than a path behind the host"
    elif not url.isascii() or not url.isprintable() or " " in url:
        what = "has characters that no URL has"
    if what is not None:
        raise ValueError(f"the URL of the daemon {what}")
    _ = parts.port  # ValueError when it is no number
    return parts
