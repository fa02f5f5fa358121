"""The scheduler over a real store: it moves what is due or overdue, and else does nothing."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from jobd.bus import Bus
from jobd.config import Config
from jobd.domain.ids import IdSource
from jobd.domain.jobs import Claim, NewJob, Settlement
from jobd.domain.statuses import Status
from jobd.engine.scheduler import Scheduler
from jobd.store.database import Database
from jobd.store.group_commit import Around, GroupCommit
from jobd.store.rules import rules_of
from jobd.store.writer import Writer
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from jobd.domain.catalog import Lane
    from jobd.domain.events import Event

DAY_S = 86_400


class House:
    """A store, a bus and a scheduler that runs, at a time that is the test's."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = FakeClock()
        self.bus = Bus()
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.bus.subscribe(self.events.put_nowait)
        self.claims: asyncio.Queue[Claim] = asyncio.Queue()
        self.free: dict[Lane, int] = {"cpu": 0}
        self.deaths: list[BaseException] = []
        self.writer = Writer(
            GroupCommit(
                database,
                self.clock,
                rules_of(Config()),
                Around(
                    publish=self.bus.publish,
                    free_slots=lambda: self.free,
                    claimed=self._claimed,
                    died=self.deaths.append,
                    messages=lambda _: None,
                    runnable=lambda: None,
                ),
            )
        )
        self.scheduler = Scheduler(self.writer, self.bus, self.clock)
        self._ids = IdSource()

    def _claimed(self, claims: list[Claim]) -> None:
        for claim in claims:
            self.free[claim.lane] -= 1
            self.claims.put_nowait(claim)

    async def submit(self, **fields: Any) -> str:
        plain: dict[str, Any] = {
            "job_id": self._ids.next("job_", self.clock.ms),
            "principal": "uid:1000",
            "kind": "test.any",
            "queue": "default",
            "lane": "cpu",
            "priority": 5,
            "created_at_ms": self.clock.ms,
            "run_at_ms": None,
            "timeout_ms": 60_000,
            "max_attempts": 3,
            "retention_ms": 3_600_000,
            "args": b"{}",
        }
        return (await self.writer.submit(NewJob(**plain | fields))).job_id

    async def running(self, **fields: Any) -> Claim:
        self.free["cpu"] = 1
        await self.submit(**fields)
        return await self.claims.get()

    async def settle(self, claim: Claim, status: Status, **fields: Any) -> None:
        await self.writer.settle(Settlement(claim.seq, claim.token, status, **fields))

    async def happens(self, type_: str) -> str:
        """Return the id of the next job to which this happens."""
        while (event := await self.events.get()).type != f"job.{type_}":
            pass
        return event.job_id

    async def asleep(self, until_ms: int) -> None:
        """Return when the scheduler sleeps until then."""
        while await self.clock.waits.get() != until_ms:
            pass

    @contextlib.asynccontextmanager
    async def counted(self) -> AsyncIterator[list[str]]:
        """Collect the statements that run meanwhile."""
        statements: list[str] = []
        await self.database.run(lambda c: c.set_trace_callback(statements.append))
        statements.clear()
        yield statements
        seen = list(statements)
        await self.database.run(lambda c: c.set_trace_callback(None))
        statements[:] = seen


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """A house whose scheduler has looked once and sleeps."""
    database = await Database.open(tmp_path / "jobd.db")
    house = House(database)
    await house.writer.start()
    running = asyncio.create_task(house.scheduler.run())
    await house.clock.waits.get()
    yield house
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    await house.writer.close()
    await database.close()
    assert house.deaths == []


async def test_a_job_is_queued_when_it_is_due(house: House) -> None:
    due_ms = house.clock.ms + 5000
    job_id = await house.submit(run_at_ms=due_ms)
    await house.asleep(due_ms)

    house.clock.advance(5)

    assert await house.happens("queued") == job_id


async def test_a_sooner_one_wakes_it(house: House) -> None:
    start_ms = house.clock.ms
    later = await house.submit(run_at_ms=start_ms + 5000)
    await house.asleep(start_ms + 5000)
    sooner = await house.submit(run_at_ms=start_ms + 1000)
    await house.asleep(start_ms + 1000)

    house.clock.advance(1)
    await house.asleep(start_ms + 5000)
    house.clock.advance(4)

    assert [await house.happens("queued") for _ in range(2)] == [sooner, later]


async def test_a_retry_is_queued_when_it_is_due(house: House) -> None:
    claim = await house.running()
    await house.settle(claim, Status.RETRYING, delay_ms=3000)
    await house.happens("retrying")
    await house.asleep(house.clock.ms + 3000)

    house.clock.advance(3)

    assert await house.happens("queued") == claim.job_id


async def test_a_job_is_failed_when_it_should_have_begun(house: House) -> None:
    job_id = await house.submit(start_before_ms=house.clock.ms + 2000)
    await house.asleep(house.clock.ms + 2000)

    house.clock.advance(2)

    assert await house.happens("failed") == job_id


async def test_a_job_that_came_due_is_failed_when_it_should_have_begun(house: House) -> None:
    start_ms = house.clock.ms
    job_id = await house.submit(run_at_ms=start_ms + 1000, start_before_ms=start_ms + 3000)
    await house.asleep(start_ms + 1000)
    house.clock.advance(1)
    await house.asleep(start_ms + 3000)

    house.clock.advance(2)

    assert await house.happens("failed") == job_id


async def test_a_job_that_came_back_is_failed_when_it_is_too_old(house: House) -> None:
    """It was not queued at the last look, and nothing that was is as old."""
    claim = await house.running()
    house.clock.advance(20 * DAY_S)
    await house.settle(claim, Status.QUEUED, released_delta=1, evidence={"outcome": "bystander"})
    end_ms = house.clock.ms + 10 * DAY_S * 1000
    while house.clock.ms < end_ms:
        next_ms = await house.clock.waits.get()
        assert next_ms <= end_ms
        house.clock.advance(max(0, (next_ms - house.clock.ms) / 1000))

    assert await house.happens("failed") == claim.job_id


async def test_a_clock_that_is_set_forward_is_followed(house: House) -> None:
    due_ms = house.clock.ms + 3_600_000
    job_id = await house.submit(run_at_ms=due_ms)
    await house.asleep(due_ms)

    house.clock.jump(7200)

    assert await house.happens("queued") == job_id


async def test_a_clock_that_is_set_back_makes_it_look_again(house: House) -> None:
    due_ms = house.clock.ms + 5000
    await house.submit(run_at_ms=due_ms)
    await house.asleep(due_ms)

    house.clock.jump(-3600)

    await house.asleep(due_ms)
    assert house.events.qsize() == 1


async def test_a_backlog_that_is_due_is_queued_to_the_end(house: House) -> None:
    due_ms = house.clock.ms + 1000
    jobs = {await house.submit(run_at_ms=due_ms + n % 7) for n in range(20)}
    await house.asleep(due_ms)

    house.clock.advance(3600)

    assert {await house.happens("queued") for _ in jobs} == jobs


async def test_jobs_for_later_cost_it_no_statement(house: House) -> None:
    due_ms = house.clock.ms + 3_600_000
    await house.submit(run_at_ms=due_ms)
    await house.asleep(due_ms)

    async with house.counted() as statements:
        for n in range(20):
            await house.submit(run_at_ms=due_ms + n)

    assert [sql for sql in statements if "run_at <=" in sql or "min(" in sql] == []
    assert house.clock.waits.empty()


async def test_an_idle_hour_costs_no_statement(house: House) -> None:
    due_ms = house.clock.ms + 7_200_000
    await house.submit(run_at_ms=due_ms)
    await house.asleep(due_ms)

    async with house.counted() as statements:
        house.clock.advance(3600)
        for _ in range(5):
            await house.database.run(lambda _: None)

    assert [sql for sql in statements if sql not in {"BEGIN IMMEDIATE", "COMMIT"}] == []
    assert house.clock.waits.empty()


async def test_it_ends_with_the_writer(house: House) -> None:
    writer = house.writer
    scheduler = Scheduler(writer, Bus(), house.clock)
    await writer.close()

    await scheduler.run()
