"""Jobs as they stood right after each event: as they were read then, live, and from the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jobd.api.following import Following, history_of
from jobd.domain.history import CANCEL_REQUESTED, PROGRESS
from jobd.domain.jobs import JobError, Progress, Result, Summary, Update
from jobd.domain.statuses import Status
from jobd.wire.times import from_ms

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from jobd.domain.events import Event
    from jobd.domain.jobs import Job
    from tests.api.conftest import Api

BROKEN = JobError("broken", "It broke.", retryable=True, details={"a": [1]})


class Life:
    """One job that is moved step by step; each step makes one event."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.events: list[Event] = []
        self.rows: list[Job] = []
        """As they were read after each event."""
        api.bus.subscribe(self.events.append)

    async def step(self, move: Awaitable[Any]) -> None:
        await move
        self.rows.append(await self.row())
        assert len(self.rows) == len(self.events)
        self.api.clock.ms += 1000

    async def row(self) -> Job:
        seq = self.events[0].seq
        return (await self.api.readers.get_many([seq]))[seq]

    async def submit(self, in_ms: int) -> None:
        document: dict[str, Any] = {"kind": "test.any", "priority": 1, "metadata": {"a": "b"}}
        if in_ms:
            document["run_at"] = from_ms(self.api.clock.ms + in_ms).isoformat()
        await self.step(self.api.submit(document, Prefer="respond-async"))

    async def claim(self) -> None:
        await self.step(self._take())

    async def _take(self) -> None:
        self.lease = await self.api.claim()

    async def report(self, pct: float) -> None:
        progress = Progress(pct=pct, done=1, total=9, step="s", step_index=1, step_count=2)
        await self.step(self.api.writer.progress(Update(1, self.lease.token, progress)))

    async def end(self, status: Status, **fields: Any) -> None:
        await self.step(self.api.end(self.lease, status, **fields))

    async def cancel(self) -> None:
        await self.step(self.api.writer.cancel(self.events[0].job_id))


async def completed_late(life: Life) -> None:
    await life.submit(in_ms=500)
    await life.step(life.api.writer.promote())
    await life.claim()
    await life.report(10.0)
    await life.end(Status.RETRYING, delay_ms=100, error=BROKEN, failures_delta=1)
    await life.step(life.api.writer.promote())
    await life.claim()
    await life.end(Status.QUEUED, released_delta=1)
    await life.claim()
    await life.end(Status.QUEUED, attempt_delta=-1)
    await life.claim()
    await life.end(Status.RETRYING, delay_ms=100, snoozes_delta=1)
    await life.step(life.api.writer.promote())
    await life.claim()
    await life.report(20.0)
    await life.report(30.0)
    result = Result("application/json", 2, "0" * 64, body=b"42")
    summary = Summary(total=3, succeeded=2, failed=1)
    await life.end(Status.COMPLETED, result=result, partial=True, summary=summary)


async def cancelled_while_it_ran(life: Life) -> None:
    await life.submit(in_ms=0)
    await life.claim()
    await life.report(10.0)
    await life.cancel()
    await life.report(11.0)
    await life.end(Status.RETRYING, delay_ms=1, error=BROKEN, crashes_delta=1)  # the cancel wins


async def cancelled_while_it_waited(life: Life) -> None:
    await life.submit(in_ms=500)
    await life.cancel()


async def failed_at_once(life: Life) -> None:
    await life.submit(in_ms=0)
    await life.claim()
    await life.end(Status.FAILED, attempt_delta=-1, error=BROKEN)


LIVES = [completed_late, cancelled_while_it_ran, cancelled_while_it_waited, failed_at_once]


def as_shown(job: Job) -> Job:
    """Without what streams do not show: the sides of a job that only its detail has."""
    return msgspec.structs.replace(job, inputs=None, result=None)


@pytest.mark.parametrize("lived", LIVES)
async def test_live_each_event_has_the_job_as_it_was_read_then(api: Api, lived: Any) -> None:
    life = Life(api)
    await lived(life)
    following = Following(api.readers)

    moments = [moment for event in life.events for moment in await following.moments([event])]

    assert [event for event, _ in moments] == life.events
    assert [as_shown(job) for _, job in moments] == [as_shown(row) for row in life.rows]


@pytest.mark.parametrize("lived", LIVES)
async def test_the_history_says_the_same_but_for_progress(api: Api, lived: Any) -> None:
    life = Life(api)
    await lived(life)

    moments = await history_of(api.readers, await life.row())

    kept = [n for n, event in enumerate(life.events) if event.type != PROGRESS]
    assert [event for event, _ in moments] == [life.events[n] for n in kept]
    rows = [as_shown(life.rows[n]) for n in kept]
    forgotten = [
        msgspec.structs.replace(row, progress=None) if event.type == CANCEL_REQUESTED else row
        for (event, _), row in zip(moments, rows, strict=True)
    ]
    assert [as_shown(job) for _, job in moments] == forgotten


async def test_whichever_event_is_the_first_to_be_seen(api: Api) -> None:
    """Nothing is known of the job but its row, which is ahead of all but the last event."""
    life = Life(api)
    await completed_late(life)

    for event, row in zip(life.events, life.rows, strict=True):
        ((_, job),) = await Following(api.readers).moments([event])
        assert as_shown(job) == as_shown(row)


async def test_the_last_report_of_a_running_attempt_is_in_the_history(api: Api) -> None:
    life = Life(api)
    await life.submit(in_ms=0)
    await life.claim()
    await life.report(1.0)
    await life.report(2.0)

    moments = await history_of(api.readers, await life.row())

    assert [event for event, _ in moments] == [life.events[0], life.events[1], life.events[3]]
    assert moments[-1][1] == life.rows[-1]


async def test_a_deleted_job_has_no_moments(api: Api) -> None:
    life = Life(api)
    await failed_at_once(life)
    await api.writer.delete(life.events[0].job_id)

    assert await Following(api.readers).moments(life.events) == []


async def test_a_forgotten_job_is_read_again(api: Api) -> None:
    life = Life(api)
    following = Following(api.readers)
    await life.submit(in_ms=0)
    await following.moments(life.events)
    await life.claim()
    following.keep_only(())
    await life.report(5.0)

    ((_, job),) = await following.moments(life.events[-1:])

    assert job == life.rows[-1]
