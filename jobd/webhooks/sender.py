"""One attempt: sign, POST, look at the status, read a little of the answer.

Nothing that a receiver does raises, stalls or bloats: every wait is bounded, a redirect is
not followed, compression is left packed, 4 KiB are read. The status decides; what comes
after it is decoration.

Not here: what an attempt means (domain/deliveries.py), which addresses it may dial
(egress.py), how names are looked up (names.py).
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Mapping

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver

from jobd import __version__
from jobd.domain.clock import Clock
from jobd.domain.deliveries import AttemptError, DeliveryAttempt, Target
from jobd.domain.signing import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from jobd.webhooks.egress import BlockedAddress, Policy, gate
from jobd.webhooks.names import Names

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0

BODY_TIMEOUT_S = 2.0
"""How long the answer's body is waited for once its status is there."""

ANSWER_BYTES = 4096
EXCERPT_BYTES = 1024
HEADER_CHARS = 200

NO_LIMIT = 0
"""Of connections: who waits in the connector is timed while it is not its turn."""

KEEP_ALIVE_S = 2.0
"""Shorter than servers keep an idle connection (5 s and more): a POST on one that the other
side is just closing would be a failed attempt."""

_KEPT_HEADERS = ("retry-after", "content-type")
_SUCCESS = range(200, 300)


class Post(msgspec.Struct, frozen=True):
    """What an attempt sends, and whereto."""

    target: Target
    message_id: str
    attempt: int
    body: bytes
    secrets: tuple[str, ...]
    traceparent: str | None = None


class Sender:
    """Makes attempts over connections that it keeps for a moment; `close` it."""

    def __init__(
        self,
        policy: Policy,
        clock: Clock,
        *,
        timeout_s: float,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self.timeout_s = timeout_s
        """How long an attempt may take."""
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        self._resolver = Names() if resolver is None else resolver
        self._sessions: dict[str | None, aiohttp.ClientSession] = {}

    async def send(self, post: Post) -> DeliveryAttempt:
        """Make one attempt at once; never raises.

        How many are made at a time is up to the caller. One that is cancelled leaves it
        unknown whether the receiver has the message.
        """
        started_at_ms = self._clock.wall_ms()
        begun_s = self._clock.monotonic_s()
        answer = await self._post(post, started_at_ms // 1000)
        return msgspec.structs.replace(
            answer,
            started_at_ms=started_at_ms,
            duration_ms=round((self._clock.monotonic_s() - begun_s) * 1000),
        )

    async def close(self) -> None:
        """Close the connections that are kept."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        await self._resolver.close()

    async def _post(self, post: Post, now_s: int) -> DeliveryAttempt:
        session = self._session(post.target.socket)
        try:
            async with session.post(
                post.target.url,
                data=post.body,
                headers=_headers(post, now_s),
                skip_auto_headers=("Accept-Encoding",),
                allow_redirects=False,
            ) as response:
                return await _answer(post.attempt, response)
        except (aiohttp.ClientError, OSError, BlockedAddress) as error:
            return _failed(post.attempt, _classify(error))
        except Exception:
            log.exception("A webhook failed in an unforeseen way; this is a bug.")
            return _failed(post.attempt, "protocol")

    def _session(self, unix_socket: str | None) -> aiohttp.ClientSession:
        """Return the session of a unix socket, or the one of all that is dialled by address."""
        if unix_socket not in self._sessions:
            self._sessions[unix_socket] = aiohttp.ClientSession(
                connector=self._connector(unix_socket),
                timeout=self._timeout,
                trust_env=False,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=ANSWER_BYTES,
                headers={"User-Agent": f"jobd/{__version__}"},
            )
        return self._sessions[unix_socket]

    def _connector(self, unix_socket: str | None) -> aiohttp.BaseConnector:
        if unix_socket is not None:
            return aiohttp.UnixConnector(
                unix_socket, keepalive_timeout=KEEP_ALIVE_S, limit=NO_LIMIT
            )
        return aiohttp.TCPConnector(
            socket_factory=gate(self._policy),
            happy_eyeballs_delay=None,  # a race would swallow what the gate raises
            resolver=self._resolver,
            use_dns_cache=False,
            keepalive_timeout=KEEP_ALIVE_S,
            limit=NO_LIMIT,
        )


def _headers(post: Post, now_s: int) -> dict[str, str]:
    headers = {
        "Content-Type": "application/json",
        ID_HEADER: post.message_id,
        TIMESTAMP_HEADER: str(now_s),
        SIGNATURE_HEADER: sign(post.secrets, post.message_id, now_s, post.body),
        "jobd-attempt": str(post.attempt),
    }
    if post.traceparent is not None:
        headers["traceparent"] = _child_of(post.traceparent)
    return headers


def _child_of(traceparent: str) -> str:
    """Return a new span in the same trace (W3C Trace Context)."""
    _, trace_id, _, flags = traceparent.split("-")[:4]
    return f"00-{trace_id}-{os.urandom(8).hex()}-{flags}"


async def _answer(attempt: int, response: aiohttp.ClientResponse) -> DeliveryAttempt:
    body = await _beginning(response)
    return DeliveryAttempt(
        attempt=attempt,
        started_at_ms=0,
        duration_ms=0,
        status_code=response.status,
        error=None if response.status in _SUCCESS else "http_status",
        response_excerpt=_excerpt(body, response.headers),
        response_headers={
            name: _printable(response.headers[name])[:HEADER_CHARS]
            for name in _KEPT_HEADERS
            if name in response.headers
        },
    )


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """Read what comes of the body within limits; give the connection up if that is not all."""
    body = b""
    with contextlib.suppress(aiohttp.ClientError, OSError):  # a TimeoutError is an OSError
        async with asyncio.timeout(BODY_TIMEOUT_S):
            while len(body) < ANSWER_BYTES:
                chunk = await response.content.read(ANSWER_BYTES - len(body))
                if not chunk:
                    return body
                body += chunk
    response.close()
    return body


def _excerpt(body: bytes, headers: Mapping[str, str]) -> str | None:
    """Return the beginning of an answer for a person to read; None if it is not text."""
    if not body or b"\0" in body or headers.get("Content-Encoding", "identity") != "identity":
        return None
    text = _printable(body[:EXCERPT_BYTES].decode("utf-8", "replace"))
    return text.encode()[:EXCERPT_BYTES].decode("utf-8", "ignore")


def _printable(text: str) -> str:
    """Return `text` with nothing in it that could steer a terminal or forge a log line."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )


def _failed(attempt: int, error: AttemptError) -> DeliveryAttempt:
    return DeliveryAttempt(attempt=attempt, started_at_ms=0, duration_ms=0, error=error)


def _classify(error: Exception) -> AttemptError:
    """Say in one word why there was no answer; the most special class comes first."""
    match error:
        case BlockedAddress():
            return "blocked_address"
        case TimeoutError():
            return "timeout"
        case aiohttp.ClientConnectorDNSError():
            return "dns"
        case aiohttp.ClientSSLError():
            return "tls"
        case aiohttp.ClientConnectorError():
            return "connect"
    return "protocol"
