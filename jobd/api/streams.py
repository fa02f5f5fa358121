"""Answers that stay open: what waits for each, and when it ends.

A stream with nothing to say costs no timer but that of its deadline: one timer serves the
keep-alives of all. A client that does not take what it is sent is cut off when too much
waits, and nobody else notices.

Not here: what is sent (hub.py, logs.py), its form (sse.py).
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import takewhile

from aiohttp import web

from jobd.api.auth import CALLER
from jobd.api.middleware import REQUEST_ID
from jobd.domain.errors import LimitReached
from jobd.store.tokens import Tokens

log = logging.getLogger(__name__)

MAX_WAITING = 256
"""Events that wait for one client; one that resumes by id misses none."""

_WRITE_BYTES = 64 * 1024
"""Of what waits so much is joined in one write."""

_SHORTEST_TICK_S = 1.0
"""Keep-alives that are due within it go out together."""


class Stream:
    """What waits for one client. Nothing here blocks but `next` and `room`."""

    __slots__ = (
        "_request",
        "_taken",
        "_waiting",
        "_wakened",
        "before_event",
        "ended",
        "keep_alive",
        "newest_id",
        "refused",
    )

    def __init__(self, request: web.Request, keep_alive: bytes) -> None:
        self.keep_alive = keep_alive
        self.ended = False
        """Whether nothing more is taken."""
        self.refused = False
        """Whether it has ended because the caller's token has."""
        self.newest_id = 0
        """The newest event that was taken; none is taken that is not newer."""
        self.before_event: Callable[[], None] | None = None
        """Says what must not come behind an event that is about to be taken."""
        self._request = request
        self._waiting = deque[tuple[int, bytes]]()
        self._wakened: asyncio.Future[None] | None = None
        self._taken: asyncio.Future[None] | None = None

    def offer(self, id_: int, frame: bytes) -> None:
        """Take an event that is newer than the last; the client is cut off if too many wait."""
        if id_ <= self.newest_id or self.ended:
            return
        if len(self._waiting) >= MAX_WAITING:
            self.cut("too many events wait for it")
            return
        if self.before_event is not None:
            self.before_event()
        self.newest_id = id_
        self._put(id_, frame)

    def take(self, chunk: bytes) -> None:
        """Take what is no event of one sequence; the client is cut off if too much waits."""
        if self.ended:
            return
        if len(self._waiting) >= MAX_WAITING:
            self.cut("too many messages wait for it")
            return
        self._put(self.newest_id, chunk)

    def say(self, chunk: bytes) -> None:
        """Take what is no event."""
        self._put(self.newest_id, chunk)

    def skip_to(self, id_: int) -> None:
        """Forget what waits of the events up to `id_`, and take none of them."""
        self.newest_id = max(self.newest_id, id_)
        self._waiting = deque(item for item in self._waiting if item[0] > id_)

    def end(self) -> None:
        """End the answer after what waits."""
        self.ended = True
        self._wake()

    def lost(self) -> None:
        """End it too: an event may be missing, and the client resumes."""
        self.end()

    def refuse(self) -> None:
        """End it at once: the caller's token opens nothing any more. What waits is not sent."""
        self.refused = True
        self._waiting.clear()
        transport = self._request.transport
        if transport is not None and transport.get_write_buffer_size():
            self.cut("its token has ended, and it does not take what was sent")
        else:
            self.end()

    def cut(self, reason: str) -> None:
        """Break the answer off: what waits is not sent."""
        log.info(
            "A client was cut off.",
            extra={"reason": reason, "request_id": self._request[REQUEST_ID]},
        )
        self._waiting.clear()
        self.end()
        transport = self._request.transport
        if transport is not None:
            transport.abort()

    @property
    def gone(self) -> bool:
        """Whether the client has closed the connection."""
        transport = self._request.transport
        return transport is None or transport.is_closing()

    def tick(self) -> None:
        """Show that the stream lives, or end it if its client does not."""
        if self.gone:
            self.end()
        elif self.keep_alive and not self._waiting:
            self.say(self.keep_alive)

    async def next(self) -> bytes | None:
        """Return some of what waits in one piece, waiting for it; None at the end."""
        chunks = await self.some()
        if not chunks:
            return None
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def some(self) -> list[bytes]:
        """Return some of what waits, waiting for it; nothing at the end."""
        while not self._waiting:
            if self.ended:
                return []
            self._wakened = asyncio.get_running_loop().create_future()
            await self._wakened
        chunks, size = list[bytes](), 0
        while self._waiting and size < _WRITE_BYTES:
            chunks.append(self._waiting.popleft()[1])
            size += len(chunks[-1])
        if self._taken is not None and not self._taken.done() and not self._waiting:
            self._taken.set_result(None)
        return chunks

    async def room(self) -> None:
        """Return when nothing waits; for one task only."""
        if self._waiting:
            self._taken = asyncio.get_running_loop().create_future()
            await self._taken

    def _put(self, id_: int, chunk: bytes) -> None:
        if self.refused:
            return
        self._waiting.append((id_, chunk))
        self._wake()

    def _wake(self) -> None:
        if self._wakened is not None and not self._wakened.done():
            self._wakened.set_result(None)


class Streams:
    """All open streams, at most `limit` of one principal."""

    def __init__(
        self, draining: asyncio.Event, tokens: Tokens, *, limit: int, keep_alive_s: float
    ) -> None:
        self._draining = draining
        self._tokens = tokens
        self._limit = limit
        self._keep_alive_s = keep_alive_s
        self._tick_s = min(_SHORTEST_TICK_S, keep_alive_s / 2)
        self._counted: defaultdict[str, set[Stream]] = defaultdict(set)
        self._silent_since: dict[Stream, float] = {}
        """In this order: the longest silent first."""
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def open(
        self, request: web.Request, *, keep_alive: bytes = b"", timeout_s: float | None = None
    ) -> Iterator[Stream]:
        """Count a stream of the caller's while the block runs.

        It ends when its time is over, and at once while jobd drains, or when the caller's
        token ends. Raises LimitReached.
        """
        caller = request[CALLER]
        principal = caller.principal
        self._make_room(principal)
        stream = Stream(request, keep_alive)
        self._counted[principal].add(stream)
        loop = asyncio.get_running_loop()
        self._silent_since[stream] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._keep_alive_s, self._tick)
        deadline = None if timeout_s is None else loop.call_later(timeout_s, stream.end)
        if self._draining.is_set():
            stream.end()
        token_id, watched = caller.token_id, self._tokens.watched
        try:
            with nullcontext() if token_id is None else watched(token_id, stream.refuse):
                yield stream
        finally:
            if deadline is not None:
                deadline.cancel()
            del self._silent_since[stream]
            self._uncount(principal, stream)

    def _make_room(self, principal: str) -> None:
        """Refuse one more than the limit; aiohttp does not tell when a client goes, so look."""
        if len(self._counted.get(principal, ())) < self._limit:
            return
        for stream in [stream for stream in self._counted[principal] if stream.gone]:
            stream.end()
            self._uncount(principal, stream)
        if len(self._counted.get(principal, ())) >= self._limit:
            detail = f"{self._limit} streams are open; a principal may have no more."
            raise LimitReached("too_many_streams", detail, retryable=True)

    def _uncount(self, principal: str, stream: Stream) -> None:
        counted = self._counted[principal]
        counted.discard(stream)
        if not counted:
            del self._counted[principal]

    async def send(self, stream: Stream, response: web.StreamResponse) -> None:
        """Send what comes until the stream ends."""
        loop = asyncio.get_running_loop()
        while (chunk := await stream.next()) is not None:
            await response.write(chunk)
            del self._silent_since[stream]
            self._silent_since[stream] = loop.time()

    def _tick(self) -> None:
        """Serve the streams that were silent long enough; then sleep to the next such one."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        due_s = now_s - self._keep_alive_s + self._tick_s / 2
        due = list(takewhile(lambda item: item[1] <= due_s, self._silent_since.items()))
        for stream, _ in due:
            stream.tick()
            del self._silent_since[stream]
            self._silent_since[stream] = now_s
        self._timer = None
        if self._silent_since:
            longest_s = next(iter(self._silent_since.values()))
            at_s = max(longest_s + self._keep_alive_s, now_s + self._tick_s)
            self._timer = loop.call_at(at_s, self._tick)

    async def end_when_draining(self) -> None:
        """Wait for the drain, then end every stream."""
        await self._draining.wait()
        for stream in self._silent_since:
            stream.end()
