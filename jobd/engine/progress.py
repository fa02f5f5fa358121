"""Progress of running attempts on its way to the store: the newest only, twice a second.

A handler may report as often as it likes; a job costs the writer at most one row per
INTERVAL_S. The first report is written at once. Not here: throttling of the frames
themselves (sdk/context.py).
"""

import asyncio
import logging

from jobd.domain.errors import LeaseLost, OutcomeUnknown, StorageFull, Unavailable
from jobd.domain.jobs import Claim, Progress, Update
from jobd.store.writer import Writer

log = logging.getLogger(__name__)

INTERVAL_S = 0.5


class ProgressReports:
    """Coalesces the reports of each attempt."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._newest: dict[str, Update] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._writes: set[asyncio.Task[None]] = set()

    def report(self, claim: Claim, progress: Progress) -> None:
        """Store `progress` now, or when the interval since the last one is over."""
        self._newest[claim.token] = Update(claim.seq, claim.token, progress)
        if claim.token not in self._timers:
            self._write(claim.token)

    def forget(self, token: str) -> None:
        """Drop what is not written yet: the attempt has ended."""
        self._newest.pop(token, None)
        timer = self._timers.pop(token, None)
        if timer is not None:
            timer.cancel()

    def _write(self, token: str) -> None:
        update = self._newest.pop(token, None)
        if update is None:
            self._timers.pop(token, None)
            return
        loop = asyncio.get_running_loop()
        self._timers[token] = loop.call_later(INTERVAL_S, self._write, token)
        task = loop.create_task(self._store(update))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _store(self, update: Update) -> None:
        try:
            await self._writer.progress(update)
        except LeaseLost:
            self.forget(update.token)
        except (StorageFull, Unavailable, OutcomeUnknown) as error:
            # nobody waits for it, and the next report says all of it again
            log.info("Progress was not stored.", extra={"seq": update.seq, "code": error.code})
