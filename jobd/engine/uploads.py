"""Uploads as commands: a stored claim never names a file that is not there.

Adding puts the file in place and then stores the claim; removing takes the claim away and
then unlinks, also when nobody asked for it (retention.py, sweep.py). For one content these
take turns: otherwise a file could be unlinked after another principal's upload of it was
put in its place. What was begun goes on to its end when the caller is cancelled.

Not here: receiving a file (files/uploads.py), who claims one (store/uploads.py).
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from jobd.domain.clock import Clock
from jobd.domain.jobs import Upload
from jobd.files import uploads
from jobd.files.layout import Layout
from jobd.files.uploads import Received
from jobd.store.named import Named
from jobd.store.uploads import KEPT_MS, Owned
from jobd.store.writer import Writer

T = TypeVar("T")


class Uploads:
    """Adds and removes uploads."""

    def __init__(self, writer: Writer, layout: Layout, clock: Clock) -> None:
        self._writer = writer
        self._layout = layout
        self._clock = clock
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def add(self, principal: str, received: Received) -> Upload:
        """Make a received file an upload of the principal; return it as it is stored.

        Raises StorageFull, Unavailable or OutcomeUnknown; the received file is gone then.
        """
        return await self._in_turn(received.file_id, self._add(principal, received))

    async def remove(self, file_id: str, principal: str) -> None:
        """Take the principal's claim away, and the file with the last one.

        Raises NotFound, or Conflict (`upload_in_use`, by a job that is not done).
        """
        await self._in_turn(file_id, self._remove(file_id, principal))

    async def retire(self, file_id: str, principal: str) -> None:
        """Take an expired claim away, and the file with the last one; keep what a job names."""
        await self._in_turn(file_id, self._retire(Owned(file_id, principal)))

    async def sweep(self, file_id: str, named: Named) -> None:
        """Unlink the file unless somebody claims it."""
        await self._in_turn(file_id, self._sweep(file_id, named))

    async def _add(self, principal: str, received: Received) -> Upload:
        try:
            await asyncio.to_thread(uploads.place, received, self._layout)
        except BaseException:
            await asyncio.to_thread(uploads.discard, received)
            raise
        now_ms = self._clock.wall_ms()
        return await self._writer.add_upload(
            Upload(
                file_id=received.file_id,
                principal=principal,
                size_bytes=received.size_bytes,
                sha256=received.sha256,
                created_at_ms=now_ms,
                expires_at_ms=now_ms + KEPT_MS,
            )
        )

    async def _remove(self, file_id: str, principal: str) -> None:
        if await self._writer.remove_upload(file_id, principal):
            await asyncio.to_thread(uploads.remove, self._layout, file_id)

    async def _retire(self, upload: Owned) -> None:
        if await self._writer.retire_upload(upload):
            await asyncio.to_thread(uploads.remove, self._layout, upload.file_id)

    async def _sweep(self, file_id: str, named: Named) -> None:
        if not await named.uploads([file_id]):
            await asyncio.to_thread(uploads.remove, self._layout, file_id)

    async def _in_turn(self, file_id: str, work: Coroutine[Any, Any, T]) -> T:
        turn = self._turns.setdefault(file_id, asyncio.Lock())

        async def alone() -> T:
            async with turn:
                return await work

        task = asyncio.create_task(alone(), name=f"upload {file_id}")
        self._tasks.add(task)
        task.add_done_callback(self._over)
        return await asyncio.shield(task)

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may have been cancelled, and nobody else looks
