"""Deletes what has been kept long enough, from a timer that sleeps till something expires.

Jobs go when their time is over, and before it, the first to expire first, while there are
more than may be kept or the state folder holds more than it may. A job whose callbacks are
not all told stays until they are. Between two looks nothing runs; a job that ends may
expire before the next one, so its event brings it forward.

One slice of work holds the writer for a few milliseconds, and others are served in between.
Nothing is deleted by a wall clock that has jumped (`Clock.trusted_ms`).

Not here: files that no row names (sweep.py), free pages (store/space.py).
"""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence

from jobd.bus import Bus
from jobd.config import Retention as Limits
from jobd.domain.clock import Clock
from jobd.domain.errors import JobdError
from jobd.domain.events import Event
from jobd.engine.uploads import Uploads
from jobd.files.layout import Layout
from jobd.files.remove import job_bytes, remove_jobs, used_bytes
from jobd.store.database import Database
from jobd.store.outbox import DEAD_KEPT_MS
from jobd.store.retention import FIRST, Expiries, Expiring
from jobd.store.space import give_back, live_bytes
from jobd.store.writer import Writer

log = logging.getLogger(__name__)

FIRST_LOOK_S = 60.0
PAUSE_S = 10.0
"""Between two looks: what expires meanwhile goes together."""

LOOK_AGAIN_S = 300.0
"""For jobs that were spared, for what was refused, and at how full the state folder is."""

UPLOADS_AT_ONCE = 200

_HOUR_MS = 3600 * 1000


class Pace:
    """How much to do at once, so that the writer is not held for long."""

    TARGET_S = 0.008
    """For the statements alone: the commit behind them takes about as long again."""
    LEAST, MOST = 20, 1000

    def __init__(self) -> None:
        self.size = 100

    def took(self, count: int, held_s: float) -> None:
        """Note how long so many took; what follows is half as much at least, at most twice."""
        if count < self.size and held_s < self.TARGET_S:
            return  # there were no more to do: says nothing of how many would fit
        fitting = count * self.TARGET_S / max(held_s, 1e-6)
        size = min(max(fitting, self.size / 2), self.size * 2)
        self.size = round(min(max(size, self.LEAST), self.MOST))


class Retention:
    """The loop behind everything that is kept for a time only."""

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        *,
        writer: Writer,
        database: Database,
        uploads: Uploads,
        layout: Layout,
        bus: Bus,
        finished: Callable[[], int | None],
    ) -> None:
        """Hold `finished`, how many jobs are over, against the limit; None: not counted yet."""
        self._limits = limits
        self._clock = clock
        self._writer = writer
        self._database = database
        self._expiries = Expiries(database)
        self._uploads = uploads
        self._layout = layout
        self._finished = finished
        self._changed = asyncio.Event()
        self._due_ms = 0.0
        """When to look, by trusted time."""
        self._not_before_s = clock.monotonic_s() + FIRST_LOOK_S
        self._jobs_pace, self._keys_pace = Pace(), Pace()
        self._measured_s = -math.inf
        self._overrun_bytes = 0
        bus.subscribe(self._notice)

    def _notice(self, event: Event) -> None:
        expires_at_ms = event.data.get("expires_at_ms")
        if expires_at_ms is None:
            return
        self._look_by(expires_at_ms)
        if self._excess() > 0:
            self._look_by(0)
        if self._limits.max_bytes:
            self._look_in(LOOK_AGAIN_S)

    def _look_by(self, at_ms: float) -> None:
        if at_ms < self._due_ms:
            self._due_ms = at_ms
            self._changed.set()

    def _look_in(self, seconds: float) -> None:
        self._look_by(self._clock.trusted_ms() + seconds * 1000)

    async def run(self) -> None:
        """Look whenever something expires, for ever; ends by cancellation."""
        while True:
            await self._wait()
            self._due_ms = math.inf
            try:
                await self.look()
            except (JobdError, OSError) as error:
                log.warning("What has expired was not deleted.", extra={"reason": str(error)})
                self._look_in(LOOK_AGAIN_S)
            self._not_before_s = self._clock.monotonic_s() + PAUSE_S

    async def look(self) -> None:
        """Delete what has expired, and what there is too much of.

        Raises JobdError when it cannot be written, and OSError; what was deleted by then
        stays so.
        """
        await self._measure()
        await self._retire_jobs()
        await self._retire_keys()
        await self._retire_uploads()
        await give_back(self._database)
        self._look_in(DEAD_KEPT_MS / 1000)  # messages about no job end without an event
        next_ms = await self._expiries.next_ms()
        if next_ms is not None:
            self._look_by(next_ms)

    async def _wait(self) -> None:
        """Return when it is time to look; after a jump of the wall clock it reckons anew."""
        while (left_ms := self._left_ms()) > 0:
            self._changed.clear()
            await self._sleep(min(left_ms, _HOUR_MS))

    def _left_ms(self) -> float:
        rest_s = self._not_before_s - self._clock.monotonic_s()
        return max(self._due_ms - self._clock.trusted_ms(), rest_s * 1000)

    async def _sleep(self, ms: float) -> None:
        """Return after so long, or when it is to look earlier than it was."""
        at_ms = self._clock.wall_ms() + math.ceil(ms)
        ends = [
            asyncio.ensure_future(self._clock.wait_until(at_ms)),
            asyncio.ensure_future(self._changed.wait()),
        ]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)

    async def _measure(self) -> None:
        """Find out by how much the state folder holds more than it may."""
        self._overrun_bytes = 0
        now_s = self._clock.monotonic_s()
        if not self._limits.max_bytes or now_s < self._measured_s + LOOK_AGAIN_S:
            return
        self._measured_s = now_s
        database = self._layout.database
        files = await asyncio.to_thread(
            used_bytes,
            database.parent.resolve(),
            without=frozenset(f"{database.name}{end}" for end in ("", "-wal", "-shm")),
        )
        used = files + await live_bytes(self._database)
        self._overrun_bytes = used - self._limits.max_bytes

    def _excess(self) -> int:
        finished = self._finished()
        return 0 if finished is None else finished - self._limits.max_jobs

    async def _retire_jobs(self) -> None:
        now_ms = self._clock.trusted_ms()
        place, spared = FIRST, False
        while page := await self._expiries.jobs(place, self._jobs_pace.size):
            due = self._due(page, now_ms, await self._for_room(page))
            going = [one.seq for one in due if not one.unsettled]
            spared = spared or len(going) < len(due)
            if going:
                await self._retire(going)
            if len(due) < len(page):
                self._look_by(page[len(due)].expires_at_ms)
                break
            place = page[-1].place
        if spared:
            self._look_in(LOOK_AGAIN_S)
        if self._overrun_bytes > 0:
            about = {"too_many_bytes": self._overrun_bytes}
            log.warning("The state folder holds more than retention.max_bytes.", extra=about)

    def _due(self, page: Sequence[Expiring], now_ms: int, for_room: int) -> Sequence[Expiring]:
        """Return those at the head of the page whose time has come, or that are too many."""
        excess = self._excess()
        for index, one in enumerate(page):
            if one.expires_at_ms > now_ms and excess <= 0 and index >= for_room:
                return page[:index]
            excess -= not one.unsettled
        return page

    async def _for_room(self, page: Sequence[Expiring]) -> int:
        """Return how many at the head of the page make room enough, going by their files."""
        if self._overrun_bytes <= 0:
            return 0
        return await asyncio.to_thread(_making_room, page, self._overrun_bytes, self._layout)

    async def _retire(self, seqs: Sequence[int]) -> None:
        overrun = self._overrun_bytes > 0
        before = await live_bytes(self._database) if overrun else 0
        retired = await self._writer.retire_jobs(seqs)
        self._jobs_pace.took(len(seqs), retired.held_s)
        freed = await asyncio.to_thread(remove_jobs, self._layout, retired.job_ids)
        if overrun:
            self._overrun_bytes -= freed + before - await live_bytes(self._database)

    async def _retire_keys(self) -> None:
        pace = self._keys_pace
        more = True
        while more:
            looked = await self._writer.retire_keys(pace.size)
            more = looked.keys >= pace.size
            pace.took(looked.keys, looked.held_s)

    async def _retire_uploads(self) -> None:
        owned = await self._expiries.uploads(self._clock.trusted_ms(), UPLOADS_AT_ONCE)
        await asyncio.gather(*(self._uploads.retire(*one) for one in owned))


def _making_room(page: Sequence[Expiring], wanted_bytes: int, layout: Layout) -> int:
    for index, one in enumerate(page):
        if wanted_bytes <= 0:
            return index
        if not one.unsettled:
            wanted_bytes -= job_bytes(layout, one.job_id)
    return len(page)
