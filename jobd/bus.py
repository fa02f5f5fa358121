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


def any_event(_event: Event) -> bool:
    """Want every event."""
    return True


class Watch:
    """The wanted events of one job from now on; a context manager, as it must be closed."""

    def __init__(self, bus: "Bus", seq: int, wanted: Callable[[Event], bool]) -> None:
        self._bus = bus
        self._seq = seq
        self._wanted = wanted
        self._events: asyncio.Queue[Event] = asyncio.Queue()

    def __enter__(self) -> Self:
        """Begin: an event published after this is not missed."""
        self._bus.add(self._seq, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bus.remove(self._seq, self._receive)

    def _receive(self, event: Event) -> None:
        if self._wanted(event):
            self._events.put_nowait(event)

    async def next(self) -> Event:
        """Return the next wanted event, waiting for it; others do not even wake the waiter."""
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

    def watch(self, seq: int, wanted: Callable[[Event], bool] = any_event) -> Watch:
        """Return a context manager that sees the job's wanted events while it is open."""
        return Watch(self, seq, wanted)

    def add(self, seq: int, receive: _Receive) -> None:
        """Call `receive` with each event of one job."""
        self._by_seq[seq].append(receive)

    def remove(self, seq: int, receive: _Receive) -> None:
        """Stop calling `receive`."""
        receivers = self._by_seq[seq]
        receivers.remove(receive)
        if not receivers:
            del self._by_seq[seq]
