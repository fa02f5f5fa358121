"""Queues as commands: what they are and hold, pause, resume, limits, jobs whose plugin is back.

A change is in force from the transaction that stores it; what was claimed before and is not
begun is then taken back, so that after the answer to a pause nothing more starts, and after
that to a limit nothing above it.

Not here: HTTP (api/queues.py), what a claim makes of a limit (store/claims.py).
"""

from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from jobd.domain.queues import Queue, QueueChange
from jobd.engine.written import reading_back
from jobd.store import parking
from jobd.store.readers import Readers
from jobd.store.writer import Writer


class Running(Protocol):
    """The claims under way, as far as a pause needs to know them (the dispatcher)."""

    def paused(self, queue: str) -> None:
        """Give back what is claimed of the queue and has no worker yet."""


class Queues:
    """The queues there are."""

    def __init__(
        self,
        writer: Writer,
        readers: Readers,
        running: Running,
        *,
        limits: Mapping[str, int],
        defaults: Callable[[], Collection[str]],
    ) -> None:
        """Use `limits` for queues whose limit nobody has set; `defaults` are those of handlers."""
        self._writer = writer
        self._readers = readers
        self._running = running
        self._limits = limits
        self._defaults = defaults

    async def all(self) -> list[Queue]:
        """Return every queue that is known by name, in the settings, by a handler or a job."""
        named = {*self._limits, *self._defaults()}
        return await self._readers.queues(self._limits, named=named, in_use=True)

    async def change(self, change: QueueChange) -> Queue:
        """Change a queue, known or not, for good, and return it as it is then.

        After a pause nothing of it starts, after a new limit nothing above it; what runs goes
        on. Raises StorageFull,
        Unavailable or OutcomeUnknown.
        """
        await self._writer.set_queue(change)
        if change.paused or isinstance(change.concurrency, int):
            self._running.paused(change.name)
        with reading_back():
            (queue,) = await self._readers.queues(self._limits, named={change.name})
        return queue


async def unpark(writer: Writer) -> None:
    """Queue again what waits for kinds that can run now: call when the catalogue changed."""
    place: parking.Place | None = parking.START
    while place is not None:
        place = await writer.unpark(place)
