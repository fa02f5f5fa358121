"""Cancel, promote, recover: moves that no attempt makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobd.domain.errors import NotFound
from jobd.domain.jobs import Cancelled, Checkpoint, Progress, Recovered, Update
from jobd.domain.outcomes import MAX_INTERRUPTED
from jobd.domain.statuses import TERMINAL, Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.conftest import OpenStore, Store
    from tests.support.clock import FakeClock


async def in_status(store: Store, status: Status) -> str:
    """Return the id of a new job that waits in `status`."""
    if status is Status.SCHEDULED:
        return (await store.submit(run_at_ms=store.clock.ms + 1000)).job_id
    if status is Status.QUEUED:
        return (await store.submit()).job_id
    return (await store.settled(status, delay_ms=1000)).job_id


@pytest.mark.parametrize("status", [Status.SCHEDULED, Status.QUEUED, Status.RETRYING])
async def test_a_job_that_waits_is_cancelled_at_once(store: Store, status: Status) -> None:
    job_id = await in_status(store, status)

    answer = await store.writer.cancel(job_id)

    job = await store.job(job_id)
    assert answer == Cancelled(job_id, job.seq, Status.CANCELLED)
    assert (job.status, job.cancel_requested) == (Status.CANCELLED, True)
    assert job.expires_at_ms == store.clock.ms + job.retention_ms
    assert job.error is not None
    assert (job.error.code, job.error.attempt) == ("cancelled", job.attempt or None)
    assert store.seen.types(job.seq)[-1] == "cancelled"


async def test_a_cancelled_job_leaves_nothing_to_resume(store: Store) -> None:
    claim = await store.running()
    await store.writer.checkpoint(Checkpoint(claim.seq, claim.token, b"x"))
    await store.settle(claim, Status.RETRYING, delay_ms=1000)

    await store.writer.cancel(claim.job_id)

    assert await store.query("SELECT * FROM checkpoints") == []


async def test_a_running_job_is_marked_once_and_its_lease_is_told(store: Store) -> None:
    claim = await store.running()

    first = await store.writer.cancel(claim.job_id)
    again = await store.writer.cancel(claim.job_id)

    assert first == Cancelled(claim.job_id, claim.seq, Status.PROCESSING, token=claim.token)
    assert again == first
    assert store.seen.types(claim.seq) == ["queued", "processing", "cancel_requested"]


@pytest.mark.parametrize("status", sorted(TERMINAL))
async def test_a_job_that_is_done_stays_as_it_is(store: Store, status: Status) -> None:
    claim = await store.settled(status)
    before = await store.job(claim.job_id)

    answer = await store.writer.cancel(claim.job_id)

    assert answer == Cancelled(claim.job_id, claim.seq, status, already_done=True)
    assert await store.job(claim.job_id) == before


async def test_several_cancels_in_one_batch_are_each_answered(store: Store) -> None:
    queued = await store.submit()

    first, second, unknown = await store.together(
        store.writer.cancel(queued.job_id),
        store.writer.cancel(queued.job_id),
        store.writer.cancel("job_none"),
    )

    assert first == second == Cancelled(queued.job_id, queued.seq, Status.CANCELLED)
    assert isinstance(unknown, NotFound)
    assert unknown.code == "job_not_found"
    assert store.seen.types(queued.seq) == ["queued", "cancelled"]


async def test_a_cancelled_job_is_never_claimed(store: Store) -> None:
    cancelled = await store.submit()
    await store.writer.cancel(cancelled.job_id)
    other = await store.submit()

    (claim,) = await store.claim()

    assert claim.seq == other.seq


async def test_due_jobs_are_queued_and_the_next_due_time_is_told(
    store: Store, clock: FakeClock
) -> None:
    start = clock.ms
    early = await store.submit(run_at_ms=start + 1000)
    late = await store.submit(run_at_ms=start + 4000, queue="other")

    before = await store.writer.promote()
    clock.advance(1)
    after = await store.writer.promote()
    clock.advance(60)
    at_the_end = await store.writer.promote()

    assert (before.due_ms, after.due_ms, at_the_end.due_ms) == (start + 1000, start + 4000, None)
    assert store.seen.types(early.seq) == store.seen.types(late.seq) == ["scheduled", "queued"]
    assert len(await store.claim(2)) == 2


async def test_many_due_jobs_are_queued_in_slices(store: Store, clock: FakeClock) -> None:
    jobs = [store.new_job(run_at_ms=clock.ms + 1 + n) for n in range(700)]
    await store.together(*map(store.writer.submit, jobs))
    clock.advance(60)

    first = await store.writer.promote()
    half = await store.readers.counts()
    second = await store.writer.promote()

    assert first.due_ms is not None
    assert first.due_ms <= clock.ms
    assert second.due_ms is None
    assert (half[Status.QUEUED], half[Status.SCHEDULED]) == (500, 200)


async def test_a_start_queues_what_an_older_one_was_running(
    path: Path, open_store: OpenStore
) -> None:
    async with open_store(path) as store:
        claim = await store.running()
        await store.writer.progress(Update(claim.seq, claim.token, Progress(pct=50.0)))
        await store.writer.checkpoint(Checkpoint(claim.seq, claim.token, b"here"))

    async with open_store(path) as store:
        recovered = await store.writer.recover()
        job = await store.job(claim.job_id)
        (again,) = await store.claim()

    assert recovered == Recovered(requeued=1, cancelled=0, failed=0)
    assert (job.status, job.attempt, job.interrupted) == (Status.QUEUED, 1, 1)
    assert (job.progress, job.failures, job.crashes) == (None, 0, 0)
    assert (again.attempt, again.interrupted, again.checkpoint) == (2, 1, b"here")
    assert store.seen.types(claim.seq)[-2:] == ["queued", "processing"]


async def test_a_start_cancels_what_was_to_be_cancelled(path: Path, open_store: OpenStore) -> None:
    async with open_store(path) as store:
        claim = await store.running()
        await store.writer.cancel(claim.job_id)

    async with open_store(path) as store:
        recovered = await store.writer.recover()
        job = await store.job(claim.job_id)

    assert recovered == Recovered(requeued=0, cancelled=1, failed=0)
    assert job.error is not None
    assert (job.status, job.error.code) == (Status.CANCELLED, "cancelled")


async def test_a_job_interrupted_too_often_fails(path: Path, open_store: OpenStore) -> None:
    async with open_store(path) as store:
        claim = await store.settled(Status.QUEUED, interrupted_delta=MAX_INTERRUPTED)
        await store.claim()

    async with open_store(path) as store:
        recovered = await store.writer.recover()
        job = await store.job(claim.job_id)

    assert recovered == Recovered(requeued=0, cancelled=0, failed=1)
    assert job.error is not None
    assert (job.status, job.error.code) == (Status.FAILED, "interrupted_too_often")
    assert (job.interrupted, job.done) == (MAX_INTERRUPTED + 1, True)


async def test_recovery_leaves_this_starts_own_leases_alone(store: Store) -> None:
    claim = await store.running()

    assert await store.writer.recover() == Recovered(requeued=0, cancelled=0, failed=0)

    await store.settle(claim, Status.COMPLETED)


async def test_many_orphans_in_every_state_are_recovered_at_once(
    path: Path, open_store: OpenStore
) -> None:
    async with open_store(path) as store:
        for _ in range(20):
            await store.submit()
        claims = await store.claim(20)
        await store.together(*(store.writer.cancel(c.job_id) for c in claims[:5]))

    async with open_store(path) as store:
        recovered = await store.writer.recover()
        again = await store.writer.recover()

    assert recovered == Recovered(requeued=15, cancelled=5, failed=0)
    assert again == Recovered(requeued=0, cancelled=0, failed=0)
