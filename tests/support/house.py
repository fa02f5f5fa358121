"""A store, its files and a bus as the daemon joins them, with a clock of the test's.

For what runs on its own: retention, sweep. There are no workers; a job's attempt leaves
what the test says.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

from jobd.bus import Bus
from jobd.config import Config
from jobd.config import Retention as Limits
from jobd.domain.ids import IdSource
from jobd.domain.jobs import Artifact, Claim, NewJob, Result, Settlement, Upload
from jobd.domain.statuses import Status
from jobd.engine.retention import Retention
from jobd.engine.sweep import Sweep
from jobd.engine.uploads import Uploads
from jobd.files.layout import Layout
from jobd.files.uploads import Received, receive
from jobd.store.database import Database
from jobd.store.group_commit import Around, GroupCommit
from jobd.store.named import Named
from jobd.store.rules import rules_of
from jobd.store.writer import Writer
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ME = "uid:1000"
HOUR_MS = 3_600_000


class WatchedClock(FakeClock):
    """A clock that says when somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = asyncio.Event()

    async def wait_until(self, wall_ms: int) -> None:
        self.asleep.set()
        await super().wait_until(wall_ms)


class House:
    """Store, files and bus of one daemon, without workers."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.layout = Layout(folder)
        self.layout.make()
        self.database = database
        self.clock = WatchedClock()
        self.bus = Bus()
        self.finished: int | None = None
        self._new_id = IdSource().next
        self._slots = 0
        self._claimed = asyncio.Queue[Claim]()
        self.writer = Writer(
            GroupCommit(
                database,
                self.clock,
                rules_of(Config()),
                Around(
                    publish=self.bus.publish,
                    free_slots=lambda: {"cpu": self._slots},
                    claimed=self._take,
                    died=lambda _: None,
                    messages=lambda _: None,
                    runnable=lambda: None,
                ),
            )
        )
        self.uploads = Uploads(self.writer, self.layout, self.clock)

    def retention(self, **limits: int) -> Retention:
        return Retention(
            Limits(**limits),
            self.clock,
            writer=self.writer,
            database=self.database,
            uploads=self.uploads,
            layout=self.layout,
            bus=self.bus,
            finished=lambda: self.finished,
        )

    def sweep(self) -> Sweep:
        return Sweep(Named(self.database), self.uploads, self.layout, self.clock)

    def _take(self, claims: list[Claim]) -> None:
        self._slots -= len(claims)
        for claim in claims:
            self._claimed.put_nowait(claim)

    async def running(self, **fields: Any) -> Claim:
        """Return the claim of a new job."""
        plain: dict[str, Any] = {
            "job_id": self._new_id("job_", self.clock.ms),
            "principal": ME,
            "kind": "test.any",
            "queue": "default",
            "lane": "cpu",
            "priority": 5,
            "created_at_ms": self.clock.ms,
            "run_at_ms": None,
            "timeout_ms": 60_000,
            "max_attempts": 3,
            "retention_ms": HOUR_MS,
            "args": b"{}",
        }
        await self.writer.submit(NewJob(**plain | fields))
        self._slots += 1
        self.writer.wake()
        return await self._claimed.get()

    async def over(self, size_bytes: int = 10, **fields: Any) -> Claim:
        """Run a new job to its end, with an artifact and a log."""
        claim = await self.running(**fields)
        path = f"{claim.job_id}/{claim.token}/out"
        for file in (self.layout.artifacts / path, self.layout.logs / claim.job_id / "1.ndjson"):
            file.parent.mkdir(parents=True)
            file.write_bytes(b"x" * size_bytes)
        artifact = Artifact("out", path, "text/plain", size_bytes, "ab" * 32, 1)
        await self.writer.settle(
            Settlement(claim.seq, claim.token, Status.COMPLETED, artifacts=(artifact,))
        )
        return claim

    async def over_with_file(self) -> Claim:
        """Run a new job to its end, with a result that is a file."""
        claim = await self.running()
        path = f"{claim.job_id}/{claim.token}/result"
        file = self.layout.artifacts / path
        file.parent.mkdir(parents=True)
        file.write_bytes(b"{}")
        result = Result("application/json", 2, "ab" * 32, path=path)
        await self.writer.settle(
            Settlement(claim.seq, claim.token, Status.COMPLETED, result=result)
        )
        return claim

    async def receive(self, content: bytes) -> Received:
        async def arriving() -> AsyncIterator[bytes]:
            yield content

        return await receive(arriving(), self.layout, limit_bytes=1000)

    async def upload(self, content: bytes = b"abc") -> Upload:
        return await self.uploads.add(ME, await self.receive(content))

    async def told(self) -> None:
        """Have all callbacks delivered."""
        ended = "UPDATE deliveries SET status = 'succeeded', next_attempt_at = NULL"
        await self.database.run(lambda c: c.execute(ended))

    async def jobs(self) -> list[int]:
        rows = await self.query("SELECT seq FROM jobs ORDER BY seq")
        return [seq for (seq,) in rows]

    async def query(self, sql: str) -> list[tuple[Any, ...]]:
        return await self.database.read(lambda c: [tuple(row) for row in c.execute(sql)])

    def folders(self) -> set[str]:
        """Jobs that have something on disk."""
        return {
            p.name for root in (self.layout.artifacts, self.layout.logs) for p in root.iterdir()
        }

    @contextlib.asynccontextmanager
    async def going(self, loop: Retention | Sweep) -> AsyncIterator[None]:
        """Have the loop run; it sleeps when the block begins."""
        task = asyncio.create_task(loop.run())
        await self.clock.asleep.wait()
        yield
        assert not task.done()
        task.cancel()
        await asyncio.wait([task])

    async def passing(self, seconds: float) -> None:
        """Let time pass till the loop has work to do, and wait until it sleeps again."""
        self.clock.asleep.clear()
        self.clock.advance(seconds)
        await self.clock.asleep.wait()

    async def traced(self) -> list[str]:
        """Return a list that gets every statement from now on."""
        ran: list[str] = []
        await self.database.run(lambda c: c.set_trace_callback(ran.append))
        readers = [self.database.read(lambda c: c.set_trace_callback(ran.append)) for _ in "12"]
        await asyncio.gather(*readers)
        ran.clear()
        return ran

    def grow_old(self, by_s: float = 7200) -> None:
        """Have all files look as if nobody had touched them for so long, by the clock."""
        at_s = self.clock.ms / 1000 - by_s
        for root, folders, files, at in os.fwalk(self.layout.database.parent):
            for name in [*folders, *files]:
                if not (name.startswith("jobd.db") and root == str(self.layout.database.parent)):
                    os.utime(name, (at_s, at_s), dir_fd=at, follow_symlinks=False)


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[House]:
    """Open a house in the folder, and close it."""
    database = await Database.open(folder / "jobd.db")
    house = House(folder, database)
    await house.writer.start()
    yield house
    await house.writer.close()
    await database.close()
