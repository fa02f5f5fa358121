"""Committed events, passed on to whoever waits for them in this process.

`publish` is called after COMMIT, in id order, on the event loop, and never blocks: the
only way sideways through jobd. Not here: history (store/readers.py); a waiter reads the
past there.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from jobd.domain.events import Event

_Receive = Callable[[Event], None]


class Watch:
    """The events of one job from now on; a context manager, as it must be closed."""

    def __init__(self, bus: "Bus", seq: int) -> None:
        self._bus = bus
        self._seq = seq
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def __enter__(self) -> Self:
        """Begin: an event published after this is not missed."""
        self._bus.add(self._seq, self._events.put_nowait)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bus.remove(self._seq, self._events.put_nowait)

    async def next(self) -> Event:
        """Return the next event, waiting for it."""
        return await self._events.get()


class Bus:
    """Hands each event to the watchers of its job and to those who want all."""

    def __init__(self) -> None:
        self._by_seq: defaultdict[int, list[_Receive]] = defaultdict(list)
        self._all: list[_Receive] = []

    def publish(self, events: Sequence[Event]) -> None:
        """Pass `events` on; they are committed and in id order."""
        for event in events:
            for receive in self._all:
                receive(event)
            for receive in self._by_seq.get(event.seq, ()):
                receive(event)

    def subscribe(self, receive: _Receive) -> None:
        """Call `receive` with every event from now on; it must not block."""
        self._all.append(receive)

    def unsubscribe(self, receive: _Receive) -> None:
        """Stop calling `receive` with every event."""
        self._all.remove(receive)

    def watch(self, seq: int) -> Watch:
        """Return a context manager that sees the job's events while it is open."""
        return Watch(self, seq)

    def add(self, seq: int, receive: _Receive) -> None:
        """Call `receive` with each event of one job."""
        self._by_seq[seq].append(receive)

    def remove(self, seq: int, receive: _Receive) -> None:
        """Stop calling `receive`."""
        receivers = self._by_seq[seq]
        receivers.remove(receive)
        if not receivers:
            del self._by_seq[seq]
