"""Who may call over TCP from a browser: the Host, the Origin, and what CORS says of it.

A web page can have a name of its own point at this machine, and a browser then calls for
it: so a request must name a host that is meant, and come from a page of that host or of one
in `allow_origins`. On the unix socket there is no browser, and none of it is looked at.

Not here: who the caller is (auth.py).
"""

from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from aiohttp import web

from jobd.config import Server
from jobd.domain.errors import JobdError

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_PORTS = {"http": ":80", "https": ":443"}

_SENT = (
    "Accept, Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, If-Range, "
    "Last-Event-ID, Prefer, Range, Repr-Digest, traceparent, X-Request-Id"
)
_SHOWN = (
    "Content-Disposition, Content-Range, ETag, Idempotent-Replayed, Location, "
    "Preference-Applied, Repr-Digest, Retry-After, WWW-Authenticate, X-Request-Id"
)
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": _SENT,
    "Access-Control-Max-Age": "600",
}

Admit = Callable[[web.Request], web.Response | None]
"""What looks at a request before anything else does, as `Origins.admit` does."""


def origins_of(server: Server) -> "Origins | None":
    """Return what the settings allow, None without a TCP listener."""
    return Origins(server) if server.listen else None


class Origins:
    """What the settings allow."""

    def __init__(self, server: Server) -> None:
        self._hosts = _LOOPBACK | {host.lower() for host in server.allow_hosts}
        self._hosts |= _meant(server)
        self._origins = frozenset(origin.lower() for origin in server.allow_origins)

    def admit(self, request: web.Request) -> web.Response | None:
        """Return the answer to a preflight, None for what may go on. Raises JobdError: 421, 403."""
        if isinstance(request.protocol.sockname, str):
            return None  # the path of a unix socket
        host = request.headers.get("Host", "").lower()
        if _without_port(host) not in self._hosts:
            detail = "The Host of the request is none that this daemon goes by: see allow_hosts."
            raise JobdError("host_not_allowed", detail)
        self._check_origin(request, host)
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return self._preflight(request)
        return None

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let pages of an allowed origin see the answer; called for each before it is sent."""
        if isinstance(request.protocol.sockname, str):
            return
        vary = response.headers.get("Vary")
        response.headers["Vary"] = f"{vary}, Origin" if vary else "Origin"
        origin = request.headers.get("Origin", "")
        if origin.lower() in self._origins:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = _SHOWN

    def _check_origin(self, request: web.Request, host: str) -> None:
        origin = request.headers.get("Origin")
        if origin is None:
            allowed = request.headers.get("Sec-Fetch-Site") != "cross-site"
        else:
            allowed = origin.lower() in self._origins or _is_same(origin.lower(), host)
        if not allowed:
            detail = "The page that asks is of another site: see allow_origins."
            raise JobdError("origin_not_allowed", detail)

    def _preflight(self, request: web.Request) -> web.Response:
        allowed = request.headers.get("Origin", "").lower() in self._origins
        return web.Response(status=204, headers=_PREFLIGHT if allowed else {})


def split_listen(listen: str) -> tuple[str, int]:
    """Return host and port of `HOST:PORT`, an IPv6 address without its brackets."""
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def _meant(server: Server) -> set[str]:
    """Return the hosts that other settings name, as a Host header has them."""
    hosts = {urlsplit(server.public_url).netloc.rpartition("@")[2]}
    if not _is_wildcard(split_listen(server.listen)[0]):
        hosts.add(server.listen)
    return {_without_port(host.lower()) for host in hosts if host}


def _is_wildcard(host: str) -> bool:
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _is_same(origin: str, host: str) -> bool:
    """Return whether pages of `origin` came from `host`; which of TLS and none is not known."""
    scheme, _, authority = origin.partition("://")
    port = _PORTS.get(scheme)
    return port is not None and authority.removesuffix(port) == host.removesuffix(port)
