"""The connections of a listener: how many there may be, and who makes room for whom.

At the limit room is made by a connection that waits for its own client: idle the longest,
else one whose client has long not taken its answer, else the one whose body comes slowest.
When all are busy, whoever has the most of them makes room for one of somebody else's, with
what has been under way the longest; else the new one is told so, and when to come back.

Not here: what one request may cost (the handlers), the sockets themselves (server.py).
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, NamedTuple, cast

from aiohttp import web

from jobd.api.auth import CALLER
from jobd.api.middleware import SERVER
from jobd.api.peers import uid_of

_LEAVING = 64
"""So many that were refused are waited for, to have read why; the others see a reset."""
_LEAVE_S = 1.0
_NOT_AT_ALL = (0, 0.0)
_take_in = web.RequestHandler.data_received


class Patience(NamedTuple):
    """How long clients may take, in seconds, and how slow they may be."""

    header_s: float = 10.0
    """For the header of a request, and until there is one. Then the connection is closed."""
    stuck_s: float = 10.0
    """To take some of an answer; one that takes longer may have to make room."""
    slow_s: float = 1.0
    """With a slow body or a long wait, until it may have to make room."""
    slow_bytes_per_s: float = 4096.0
    """A body that comes slower is slow."""


USUAL = Patience()


class Crowd:
    """The connections of one listener, at most `limit`; `refusal` makes the answer to one more."""

    def __init__(
        self,
        limit: int,
        refusal: Callable[[], bytes],
        patience: Patience,
        proxy_uids: Collection[int] = (),
    ) -> None:
        """Take the connections of proxies for those of whoever they ask for."""
        self.refusal = refusal
        self.patience = patience
        self.proxy_uids = proxy_uids
        self.leaving = 0
        self._limit = limit
        self._open: set[Connection] = set()

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._open)

    def enter(self, connection: "Connection") -> bool:
        """Take a connection in, for the price of another one if need be; False if there is none."""
        if len(self._open) >= self._limit and not self._make_room(connection):
            return False
        self._open.add(connection)
        return True

    def leave(self, connection: "Connection") -> None:
        """Forget a connection, whether it is known or not."""
        self._open.discard(connection)

    def _make_room(self, newcomer: "Connection") -> bool:
        found, last = _NOT_AT_ALL, None
        for one in self._open:
            needlessness = one.needlessness
            if needlessness > found:
                found, last = needlessness, one
        last = last or self._one_of_the_most(newcomer.holder)
        if last is None:
            return False
        self._open.discard(last)
        last.cut_off()
        return True

    def _one_of_the_most(self, newcomer: str | None) -> "Connection | None":
        """Return what has long been under way of who has the most, if the newcomer has fewer.

        Of a newcomer who is not known yet: if one has more than half of all.
        """
        holders = {one: one.holder for one in self._open}
        counted = Counter(holder for holder in holders.values() if holder is not None)
        ((greedy, most),) = counted.most_common(1) or [("", 0)]
        allowed = self._limit // 2 if newcomer is None else counted[newcomer] + 1
        if most <= allowed:
            return None
        long = [one for one in self._open if one.age_s >= self.patience.slow_s]
        return max(
            (one for one in long if holders[one] == greedy),
            key=lambda one: one.age_s,
            default=None,
        )


class Connection(web.RequestHandler):
    """aiohttp's side of a connection, counted, and with a time limit for each header."""

    __slots__ = (
        "_began_s",
        "_crowd",
        "_farewell",
        "_in_header",
        "_received",
        "_stuck_since_s",
        "_uid",
        "_wire",
    )

    def __init__(self, manager: web.Server, crowd: Crowd, **options: Any) -> None:
        super().__init__(manager, keepalive_timeout=crowd.patience.header_s, **options)
        self._crowd = crowd
        self._in_header = False
        self._began_s = 0.0
        self._received = 0
        self._stuck_since_s: float | None = None
        self._farewell: asyncio.TimerHandle | None = None
        self._uid: int | None = None
        """Whose the other end of a unix socket is, once somebody has asked."""
        self._wire: asyncio.Transport
        """As `transport`, which aiohttp forgets before all that was written is sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or refuse."""
        self._wire = cast("asyncio.Transport", transport)
        if self._crowd.enter(self):
            self._began_s = self._loop.time()
            super().connection_made(transport)
        else:
            self._turn_away()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room."""
        self._crowd.leave(self)
        if self._farewell is not None:
            self._farewell.cancel()
            self._farewell = None
            self._crowd.leaving -= 1
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in; with the first ones of a header its time begins."""
        waiter = self._waiter
        if waiter is None or waiter.done():
            self._received += len(data)
            _take_in(self, data)
            return
        if self._in_header:
            self._received += len(data)
        else:
            self._began_s = self._loop.time()
            self._received = len(data)
        _take_in(self, data)
        in_header = not waiter.done()
        if in_header and not self._in_header:
            # the timer of the idle connection looks at this when it goes off
            self._next_keepalive_close_time = self._began_s + self._crowd.patience.header_s
        self._in_header = in_header

    def resume_reading(self, resume_parser: bool = True) -> None:  # noqa: FBT001, FBT002
        """Go on reading, if it was stopped: aiohttp asks for it behind every body."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, or what failed outside of the middleware; tells no version."""
        if isinstance(exc, ConnectionError):  # it left before it could be told to go on
            self.cut_off()
            return web.Response()
        response = super().handle_error(request, status, exc, message)
        response.headers["Server"] = SERVER
        return response

    def pause_writing(self) -> None:
        """Note since when the client does not read."""
        self._stuck_since_s = self._loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that it reads."""
        self._stuck_since_s = None
        super().resume_writing()

    @property
    def age_s(self) -> float:
        """How long ago the header of its request began."""
        return self._loop.time() - self._began_s

    @property
    def holder(self) -> str | None:
        """Whose it is: on a unix socket its user's, else his who asks; None: not known.

        All who have the token of some job count as one: such tokens cost little.
        """
        uid = self._peer_uid()
        if uid is not None and uid not in self._crowd.proxy_uids:
            return f"uid:{uid}"
        request = self._current_request
        caller = None if request is None else request.get(CALLER)
        if caller is None:
            return None
        return caller.principal if caller.job_id is None else "job"

    @property
    def needlessness(self) -> tuple[int, float]:
        """How well it can be done without, by comparison; _NOT_AT_ALL if it must stay."""
        now_s, patience = self._loop.time(), self._crowd.patience
        if self._waiter is not None and not self._waiter.done():
            return 3, now_s - (self._next_keepalive_close_time - patience.header_s)
        age_s = self.age_s
        stuck_since_s = self._began_s if self._wire.is_closing() else self._stuck_since_s
        if stuck_since_s is not None and now_s - stuck_since_s >= patience.stuck_s:
            return 2, now_s - stuck_since_s
        request = self._current_request
        if age_s < patience.slow_s:
            return _NOT_AT_ALL
        if request is None or CALLER not in request:
            return 3, age_s  # it has been answered, or is still to say who it is
        if request.content.is_eof():
            return _NOT_AT_ALL
        speed = self._received / max(age_s, 0.001)
        return (1, -speed) if speed < patience.slow_bytes_per_s else _NOT_AT_ALL

    def cut_off(self) -> None:
        """Close it, without waiting for a client to take what it has not taken."""
        self._wire.abort()
        self.force_close()

    def _peer_uid(self) -> int | None:
        if self._uid is None:
            peer = self._wire.get_extra_info("socket")
            self._uid = uid_of(peer) if peer.family == socket.AF_UNIX else None
        return self._uid

    def _turn_away(self) -> None:
        """Answer without having read, and wait a moment: what is unread would reset the answer."""
        self._force_close = True  # what arrives is not looked at
        if self._crowd.leaving >= _LEAVING:
            self._wire.abort()
            return
        self._crowd.leaving += 1
        self._farewell = self._loop.call_later(_LEAVE_S, self._wire.abort)
        self._wire.write(self._crowd.refusal())
        self._wire.write_eof()
