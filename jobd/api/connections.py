"""The connections of a listener: how many there may be, and who makes room for whom.

Nobody is counted out who lets the daemon work. At the limit room is made by a connection
that waits for its own client: idle the longest, else one whose client has long not taken
its answer, else the one whose body comes slowest. When all are busy the new one is told
so, and when to come back.

Not here: what one request may cost (the handlers), the sockets themselves (server.py).
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from aiohttp import web

from jobd.api.middleware import SERVER

_LEAVING = 64
"""So many that were refused are waited for, to have read why; the others see a reset."""
_LEAVE_S = 1.0
_NOT_AT_ALL = (0, 0.0)


class Patience(NamedTuple):
    """How long clients may take, in seconds, and how slow they may be."""

    header_s: float = 10.0
    """For the header of a request, and until there is one. Then the connection is closed."""
    stuck_s: float = 10.0
    """To take some of an answer; one that takes longer may have to make room."""
    slow_s: float = 2.0
    """With a slow body, until it may have to make room."""
    slow_bytes_per_s: float = 4096.0
    """A body that comes slower is slow."""


USUAL = Patience()


class Crowd:
    """The connections of one listener, at most `limit`; `refusal` makes the answer to one more."""

    def __init__(self, limit: int, refusal: Callable[[], bytes], patience: Patience) -> None:
        self.refusal = refusal
        self.patience = patience
        self.leaving = 0
        self._limit = limit
        self._open: set[Connection] = set()

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._open)

    def enter(self, connection: "Connection") -> bool:
        """Take a connection in, for the price of another one if need be; False if there is none."""
        if len(self._open) >= self._limit and not self._make_room():
            return False
        self._open.add(connection)
        return True

    def leave(self, connection: "Connection") -> None:
        """Forget a connection, whether it is known or not."""
        self._open.discard(connection)

    def _make_room(self) -> bool:
        found, last = _NOT_AT_ALL, None
        for one in self._open:
            needlessness = one.needlessness
            if needlessness > found:
                found, last = needlessness, one
        if last is None:
            return False
        self._open.discard(last)
        last.cut_off()
        return True


class Connection(web.RequestHandler):
    """aiohttp's side of a connection, counted, and with a time limit for each header."""

    __slots__ = (
        "_began_s",
        "_crowd",
        "_farewell",
        "_in_header",
        "_received",
        "_stuck_since_s",
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
        idle = waiter is not None and not waiter.done()
        if idle and not self._in_header:
            self._began_s = self._loop.time()
            self._received = 0
        self._received += len(data)
        super().data_received(data)
        if waiter is not None and idle:
            in_header = not waiter.done()
            if in_header and not self._in_header:
                # the timer of the idle connection looks at this when it goes off
                self._next_keepalive_close_time = self._began_s + self._crowd.patience.header_s
            self._in_header = in_header

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
    def needlessness(self) -> tuple[int, float]:
        """How well it can be done without, by comparison; _NOT_AT_ALL if it must stay."""
        now_s, patience = self._loop.time(), self._crowd.patience
        if self._waiter is not None and not self._waiter.done():
            return 3, now_s - (self._next_keepalive_close_time - patience.header_s)
        age_s = now_s - self._began_s
        stuck_since_s = self._began_s if self._wire.is_closing() else self._stuck_since_s
        if stuck_since_s is not None and now_s - stuck_since_s >= patience.stuck_s:
            return 2, now_s - stuck_since_s
        request = self._current_request
        if request is None or request.content.is_eof() or age_s < patience.slow_s:
            return _NOT_AT_ALL
        speed = self._received / max(age_s, 0.001)
        return (1, -speed) if speed < patience.slow_bytes_per_s else _NOT_AT_ALL

    def cut_off(self) -> None:
        """Close it, without waiting for a client to take what it has not taken."""
        self._wire.abort()
        self.force_close()

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
