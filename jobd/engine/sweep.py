"""Removes files that nobody will ever ask for: what a crash left between a commit and an unlink.

The disk is looked at first and the rows are asked afterwards, so that what came in between
is not taken for nobody's (store/named.py). All in parts, on threads, at leisure.

Not here: what is looked at (files/sweep.py), files of jobs that expire (retention.py).
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from pathlib import Path

from jobd.domain.clock import Clock
from jobd.engine.uploads import Uploads
from jobd.files.layout import Layout
from jobd.files.remove import remove_below, remove_job
from jobd.files.sweep import Old, part
from jobd.store.named import Named

log = logging.getLogger(__name__)

AGE_MS = 3600 * 1000
"""What was changed since may still get its row."""

FIRST_S = 600.0
EVERY_S = 6 * 3600.0


class Sweep:
    """The loop behind files that no row names."""

    def __init__(self, named: Named, uploads: Uploads, layout: Layout, clock: Clock) -> None:
        self._named = named
        self._uploads = uploads
        self._layout = layout
        self._clock = clock

    async def run(self) -> None:
        """Sweep a while after the start and then every few hours; ends by cancellation."""
        await self._pass(FIRST_S)
        while True:
            try:
                await self.once()
            except OSError as error:
                log.warning("A sweep broke off.", extra={"reason": str(error)})
            await self._pass(EVERY_S)

    async def once(self) -> None:
        """Remove what is nobody's; what cannot be removed is logged, or raises OSError."""
        old = Old(self._layout, self._clock.trusted_ms() - AGE_MS)
        await self._sweep_jobs(old)
        async for tokens in _parts(old.scratch()):
            nobodys = set(tokens) - await self._named.leases()
            await self._remove(self._layout.scratch, ((token,) for token in nobodys))
        async for file_ids in _parts(old.uploads()):
            for file_id in set(file_ids) - await self._named.uploads(file_ids):
                await self._uploads.sweep(file_id, self._named)
        async for names in _parts(old.incoming()):
            await self._remove(self._layout.incoming, ((name,) for name in names))

    async def _sweep_jobs(self, old: Old) -> None:
        async for job_ids in _parts(old.jobs()):
            known = await self._named.jobs(job_ids)
            for job_id in set(job_ids) - known:
                await asyncio.to_thread(remove_job, self._layout, job_id)
            await self._sweep_attempts(old, known)

    async def _sweep_attempts(self, old: Old, job_ids: Collection[str]) -> None:
        found = await asyncio.to_thread(_attempts, old, job_ids)
        if found:
            nobodys = found - await self._named.attempts({job_id for job_id, _ in found})
            await self._remove(self._layout.artifacts, nobodys)

    async def _remove(self, root: Path, paths: Iterable[tuple[str, ...]]) -> None:
        for path in paths:
            await asyncio.to_thread(remove_below, root, *path)

    async def _pass(self, seconds: float) -> None:
        until_s = self._clock.monotonic_s() + seconds
        while (left_s := until_s - self._clock.monotonic_s()) > 0:
            await self._clock.wait_until(self._clock.wall_ms() + math.ceil(left_s * 1000))


def _attempts(old: Old, job_ids: Collection[str]) -> set[tuple[str, str]]:
    return {(job_id, token) for job_id in job_ids for token in old.attempts(job_id)}


async def _parts(names: Iterator[str]) -> AsyncIterator[list[str]]:
    while found := await asyncio.to_thread(part, names):
        yield found
