"""Jobs through the whole engine, with real workers: to their end, over a crash, by a cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.domain.jobs import Progress
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from jobd.domain.events import Event
    from tests.engine.conftest import Live


def types(events: list[Event]) -> list[str]:
    return [event.type.removeprefix("job.") for event in events]


async def test_a_job_runs_to_its_result(live: Live) -> None:
    job, events = await live.run("test.echo", "job.completed", args={"n": 1})

    assert (job.status, job.attempt) == (Status.COMPLETED, 1)
    assert job.result is not None
    assert job.result.body == b'{"n":1}'
    assert types(events) == ["queued", "processing", "completed"]
    assert await live.engine.readers.events(job.seq) == events


async def test_a_job_that_kills_its_worker_tries_again_and_blocks_nobody(live: Live) -> None:
    job, events = await live.run("test.kill", "job.retrying")
    other, _ = await live.run("test.echo", "job.completed")

    assert (job.status, job.crashes, job.failures) == (Status.RETRYING, 1, 0)
    assert job.error is not None
    assert job.error.code == "worker_crashed"
    assert types(events) == ["queued", "processing", "retrying"]
    assert other.status is Status.COMPLETED


async def test_a_running_job_is_cancelled(live: Live) -> None:
    for kind in ("test.honour", "test.asleep"):
        job, seen = await live.run(kind, "job.progress")

        with live.engine.bus.watch(job.seq) as watch:
            asked, _ = await live.engine.commands.cancel(job.job_id)
            await live.next(watch, seen, "job.cancelled")

        assert asked.cancel_requested
        assert (await live.engine.job(job.job_id)).status is Status.CANCELLED
        assert types(seen)[-2:] == ["cancel_requested", "cancelled"]


async def test_progress_is_seen_while_a_job_runs(live: Live) -> None:
    job, events = await live.run("test.honour", "job.progress")

    assert job.progress == Progress(message="running")
    assert events[-1].data == {"message": "running"}
    await live.engine.commands.cancel(job.job_id)


async def test_a_drain_gives_running_jobs_back(live: Live) -> None:
    job, _ = await live.run("test.asleep", "job.progress")

    live.engine.dispatcher.pause()
    await live.supervisor.drain(0)
    await live.engine.dispatcher.settled()

    again = await live.engine.job(job.job_id)
    assert (again.status, again.interrupted) == (Status.QUEUED, 1)


async def test_a_checkpoint_is_kept_for_the_next_attempt(live: Live) -> None:
    job, _ = await live.run("test.checkpoint", "job.completed")

    assert job.status is Status.COMPLETED
    assert await live.engine.query("SELECT count(*) FROM checkpoints") == [(0,)]
