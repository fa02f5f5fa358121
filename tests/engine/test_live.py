"""Jobs through the whole engine, with real workers: to their end, over a crash, by a cancel."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from jobd.domain.jobs import Progress
from jobd.domain.queues import QueueChange
from jobd.domain.statuses import Status
from jobd.pool import line
from jobd.pool.paces import SAMPLES

if TYPE_CHECKING:
    import pytest

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


async def at_hand(live: Live, count: int) -> list[str]:
    """Have the cpu worker stop, and hand it jobs that it could begin at once."""
    await live.run("test.echo", "job.completed")
    worker = next(one for one in live.supervisor.workers() if one.jobs_done)
    for _ in range(SAMPLES):
        live.supervisor._paces.ran("test.echo", 0.0)  # noqa: SLF001 - whatever this machine does
    halt(worker.pid)
    jobs = [await live.engine.submit("test.echo") for _ in range(count)]
    with live.engine.bus.watch(jobs[-1].seq) as watch:
        seen = await live.engine.readers.events(jobs[-1].seq)
        await live.next(watch, seen, "job.processing")
    assert len(live.supervisor.workers()[0].tokens) == count
    return [job.job_id for job in jobs]


def halt(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)


def go_on(live: Live) -> None:
    for worker in live.supervisor.workers():
        os.kill(worker.pid, signal.SIGCONT)


async def test_what_is_at_hand_when_its_queue_is_paused_has_not_started(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "OVERRUN_S", 60.0)
    job_ids = await at_hand(live, 10)

    await live.engine.commands.queues.change(QueueChange("default", paused=True))
    go_on(live)
    await live.engine.dispatcher.settled()
    paused = [await live.engine.job(job_id) for job_id in job_ids]
    await live.engine.commands.queues.change(QueueChange("default", paused=False))
    with live.engine.bus.watch(paused[-1].seq) as watch:
        await live.next(watch, [], "job.completed")
    await live.engine.dispatcher.settled()
    ended = [await live.engine.job(job_id) for job_id in job_ids]

    assert {(job.status, job.attempt) for job in paused} == {(Status.QUEUED, 0)}
    assert {(job.status, job.attempt) for job in ended} == {(Status.COMPLETED, 1)}


async def test_what_is_at_hand_is_cancelled_without_a_run(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "OVERRUN_S", 60.0)
    job_ids = await at_hand(live, 3)

    cancelled, running = await live.engine.commands.cancel(job_ids[1])
    go_on(live)
    await live.engine.dispatcher.settled()

    assert (cancelled.status, running) == (Status.CANCELLED, False)
    ended = [await live.engine.job(job_id) for job_id in job_ids]
    assert [job.status for job in ended] == [Status.COMPLETED, Status.CANCELLED, Status.COMPLETED]
    assert {event.type for event in await live.engine.readers.events(ended[1].seq)} == {
        "job.queued",
        "job.processing",
        "job.cancel_requested",
        "job.cancelled",
    }
