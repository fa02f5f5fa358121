"""Deadlines: a job that waits too long is failed, whatever it waits for, and charges nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jobd.domain.errors import LeaseLost
from jobd.domain.jobs import Cancelled, Checkpoint
from jobd.domain.statuses import Status
from jobd.store.deadlines import DOUBTED_MS, EXPIRED_AT_ONCE, SHORTEST_LOOK_MS
from tests.store.conftest import RULES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.conftest import OpenStore, Seen, Store
    from tests.support.clock import FakeClock

MAX_AGE_S = RULES.max_age_ms / 1000
MISSING_S = RULES.handler_missing_ms / 1000


async def parked(store: Store, seen: Seen) -> str:
    """Return the id of a new job that is parked."""
    seen.kinds, seen.free["cpu"] = {}, 1
    submitted = await store.submit()
    assert await store.query("SELECT count(*) FROM jobs WHERE parked_at IS NOT NULL") == [(1,)]
    return submitted.job_id


async def failures(store: Store) -> int:
    ((count,),) = await store.query("SELECT count(*) FROM jobs WHERE status = 'failed'")
    return int(count)


async def failed_as(store: Store, job_id: str) -> str | None:
    """Return the code of a job's error, after checking what every failed job must show."""
    job = await store.job(job_id)
    if job.status is not Status.FAILED:
        return None
    assert job.error is not None
    assert (job.error.retryable, job.error.attempt) == (True, job.attempt or None)
    assert (job.failures, job.crashes, job.interrupted) == (0, 0, 0)
    assert job.finished_at_ms == job.updated_at_ms
    assert job.expires_at_ms == job.updated_at_ms + job.retention_ms
    (last,) = [event for event in store.seen.events if event.seq == job.seq and event.terminal]
    assert (last.type, last.id, last.attempt) == ("job.failed", job.event_id, job.attempt)
    assert last.data == {
        "expires_at_ms": job.expires_at_ms,
        "error": msgspec.to_builtins(job.error),
    }
    return job.error.code


async def test_a_queued_job_that_is_too_old_is_failed(store: Store, clock: FakeClock) -> None:
    old = await store.submit(callback_url="https://a.b/c", callback_events=("job.failed",))
    clock.advance(1)
    young = await store.submit()
    clock.advance(MAX_AGE_S - 1)

    again_ms = await store.writer.expire()

    assert again_ms == clock.ms
    assert await failed_as(store, old.job_id) == "expired"
    assert await failed_as(store, young.job_id) is None
    assert await store.query("SELECT type FROM messages") == [("job.failed",)]
    assert await store.writer.expire() == clock.ms + 1000


async def test_a_job_that_was_not_started_in_time_is_failed(store: Store, clock: FakeClock) -> None:
    late = await store.submit(start_before_ms=clock.ms + 5000)
    later = await store.submit(start_before_ms=clock.ms + 7000)

    first_ms = await store.writer.expire()
    clock.advance(5)
    await store.writer.expire()

    assert first_ms == clock.ms
    assert await failed_as(store, late.job_id) == "start_deadline"
    assert await failed_as(store, later.job_id) is None
    assert await store.writer.expire() == clock.ms + 2000


async def test_a_job_that_has_begun_has_met_its_start(store: Store, clock: FakeClock) -> None:
    claim = await store.running(start_before_ms=clock.ms + 5000)
    await store.settle(claim, Status.QUEUED, interrupted_delta=1)
    clock.advance(60)

    again_ms = await store.writer.expire()

    assert (await store.job(claim.job_id)).status is Status.QUEUED
    assert again_ms > clock.ms
    assert len(await store.claim()) == 1


async def test_a_claim_that_was_called_back_has_not_begun(store: Store, clock: FakeClock) -> None:
    claim = await store.running(start_before_ms=clock.ms + 5000)
    await store.settle(claim, Status.QUEUED, attempt_delta=-1, evidence={"outcome": "not_started"})
    clock.advance(5)

    await store.writer.expire()

    assert await failed_as(store, claim.job_id) == "start_deadline"


async def test_a_job_whose_plugin_stays_away_is_failed(
    store: Store, seen: Seen, clock: FakeClock
) -> None:
    job_id = await parked(store, seen)
    first_ms = await store.writer.expire()
    clock.advance(MISSING_S)

    await store.writer.expire()

    assert first_ms == clock.ms
    assert await failed_as(store, job_id) == "handler_missing"
    error = (await store.job(job_id)).error
    assert error is not None
    assert "test.any" in error.message


async def test_a_parked_job_grows_old_too(
    path: Path, open_store: OpenStore, seen: Seen, clock: FakeClock
) -> None:
    rules = msgspec.structs.replace(RULES, handler_missing_ms=10 * RULES.max_age_ms)
    async with open_store(path, rules=rules) as store:
        job_id = await parked(store, seen)
        first_ms = await store.writer.expire()
        clock.advance(MAX_AGE_S)

        await store.writer.expire()

        assert first_ms == clock.ms
        assert await failed_as(store, job_id) == "expired"


async def test_what_is_due_too_late_is_failed_in_its_place(store: Store, clock: FakeClock) -> None:
    in_time = await store.submit(run_at_ms=clock.ms + 1000, start_before_ms=clock.ms + 9000)
    late = await store.submit(run_at_ms=clock.ms + 1000, start_before_ms=clock.ms + 2000)
    clock.advance(2)

    promoted = await store.writer.promote()

    assert await failed_as(store, late.job_id) == "start_deadline"
    assert store.seen.types(late.seq) == ["scheduled", "failed"]
    assert (await store.job(in_time.job_id)).status is Status.QUEUED
    assert (promoted.due_ms, promoted.deadline_ms) == (None, clock.ms + 7000)


async def test_an_attempt_is_due_no_later_than_the_end_of_the_jobs_age(
    store: Store, clock: FakeClock
) -> None:
    end_ms = clock.ms + RULES.max_age_ms
    claim = await store.running()
    await store.writer.checkpoint(Checkpoint(claim.seq, claim.token, b"x"))
    clock.advance(60)
    await store.settle(claim, Status.RETRYING, delay_ms=RULES.max_age_ms, snoozes_delta=1)
    due_ms = (await store.job(claim.job_id)).run_at_ms
    clock.advance((end_ms - clock.ms) / 1000)

    await store.writer.promote()

    assert due_ms == end_ms
    assert await failed_as(store, claim.job_id) == "expired"
    assert store.seen.types(claim.seq)[-2:] == ["retrying", "failed"]
    assert await store.query("SELECT * FROM checkpoints") == []


async def test_an_attempt_that_outlives_the_jobs_age_is_the_last(
    store: Store, clock: FakeClock
) -> None:
    claim = await store.running()
    clock.advance(MAX_AGE_S + 60)
    await store.settle(claim, Status.RETRYING, delay_ms=1000)

    await store.writer.promote()

    assert (await store.job(claim.job_id)).run_at_ms == clock.ms
    assert await failed_as(store, claim.job_id) == "expired"


async def test_running_and_finished_jobs_have_no_deadline(store: Store, clock: FakeClock) -> None:
    over = await store.settled(Status.COMPLETED)
    claim = await store.running(start_before_ms=clock.ms + 1000)
    clock.advance(2 * MAX_AGE_S)

    await store.writer.expire()

    assert (await store.job(over.job_id)).status is Status.COMPLETED
    await store.settle(claim, Status.COMPLETED)


async def test_a_clock_that_is_set_forward_fails_nothing_by_age(
    store: Store, seen: Seen, clock: FakeClock
) -> None:
    job_id = await parked(store, seen)
    queued = await store.submit()
    clock.trusted = clock.ms
    clock.jump(2 * MAX_AGE_S)

    again_ms = await store.writer.expire()

    assert again_ms == clock.ms + DOUBTED_MS
    assert await failed_as(store, job_id) is None
    assert await failed_as(store, queued.job_id) is None
    clock.trusted = None
    await store.writer.expire()
    assert await failed_as(store, queued.job_id) == "expired"


async def test_a_clock_that_is_set_back_queues_nothing_twice(
    store: Store, clock: FakeClock
) -> None:
    submitted = await store.submit(run_at_ms=clock.ms + 1000)
    clock.advance(1)
    await store.writer.promote()
    clock.jump(-3600)

    promoted = await store.writer.promote()
    clock.advance(7200)
    await store.writer.promote()

    assert promoted.due_ms is None
    assert store.seen.types(submitted.seq) == ["scheduled", "queued"]


async def test_every_lane_queue_and_priority_is_looked_at(store: Store, clock: FakeClock) -> None:
    places: list[dict[str, Any]] = [
        {"lane": lane, "queue": queue, "priority": priority}
        for lane in ("cpu", "io")
        for queue in ("a", "b", "default")
        for priority in (0, 5, 9)
    ]
    await store.together(*(store.writer.submit(store.new_job(**place)) for place in places))
    clock.advance(MAX_AGE_S)

    await store.writer.expire()

    assert await failures(store) == len(places)


async def test_a_backlog_is_not_walked(store: Store) -> None:
    """SQLite's `>` on the head of an index walked over all that was equal to it."""
    await store.together(*(store.writer.submit(store.new_job()) for _ in range(500)))
    steps: list[None] = []

    await store.database.run(lambda c: c.set_progress_handler(lambda: steps.append(None), 10))
    await store.writer.expire()
    await store.database.run(lambda c: c.set_progress_handler(None, 10))

    assert len(steps) < 100


async def test_what_waits_behind_a_clock_that_was_wrong_is_not_forgotten(
    store: Store, clock: FakeClock
) -> None:
    await store.submit(created_at_ms=clock.ms + 5000)
    old = await store.submit()
    clock.advance(MAX_AGE_S + 5)

    await store.writer.expire()

    assert await failed_as(store, old.job_id) == "expired"


async def test_many_are_failed_in_slices(store: Store, clock: FakeClock) -> None:
    count = EXPIRED_AT_ONCE + 100
    await store.together(*(store.writer.submit(store.new_job()) for _ in range(count)))
    await store.submit(start_before_ms=clock.ms + 1)
    clock.advance(MAX_AGE_S)

    await store.writer.expire()
    half = await failures(store)
    await store.writer.expire()

    assert (half, await failures(store)) == (EXPIRED_AT_ONCE, count + 1)
    assert await store.writer.expire() > clock.ms


@pytest.mark.parametrize(
    ("missing_ms", "look_ms"),
    [(7_200_000, 7_200_000), (0, SHORTEST_LOOK_MS), (2 * RULES.max_age_ms, RULES.max_age_ms)],
    ids=["as long as a job may be parked", "but not all the time", "or may be old"],
)
async def test_with_nothing_queued_the_next_look_is_far_away(
    path: Path, open_store: OpenStore, clock: FakeClock, missing_ms: int, look_ms: int
) -> None:
    rules = msgspec.structs.replace(RULES, handler_missing_ms=missing_ms)
    async with open_store(path, rules=rules) as store:
        await store.submit(run_at_ms=clock.ms + 1)

        assert await store.writer.expire() == clock.ms + look_ms


async def test_of_a_cancel_and_a_deadline_the_first_wins(store: Store, clock: FakeClock) -> None:
    submitted = await store.submit(start_before_ms=clock.ms + 1)
    clock.advance(1)

    cancelled, _ = await store.together(
        store.writer.cancel(submitted.job_id), store.writer.expire()
    )

    assert cancelled == Cancelled(submitted.job_id, submitted.seq, Status.CANCELLED)
    assert store.seen.types(submitted.seq) == ["queued", "cancelled"]


async def test_a_late_worker_cannot_end_a_job_that_was_failed(
    store: Store, clock: FakeClock
) -> None:
    claim = await store.running()
    await store.settle(claim, Status.QUEUED, released_delta=1)
    clock.advance(MAX_AGE_S)
    await store.writer.expire()

    with pytest.raises(LeaseLost):
        await store.settle(claim, Status.COMPLETED)

    assert await failed_as(store, claim.job_id) == "expired"


async def test_the_tally_follows(store: Store, clock: FakeClock) -> None:
    await store.submit(run_at_ms=clock.ms + 1, start_before_ms=clock.ms + 2)
    await store.submit(run_at_ms=clock.ms + 1)
    await store.submit(start_before_ms=clock.ms + 1)
    cancelled = await store.submit()
    await store.writer.cancel(cancelled.job_id)
    clock.advance(1)

    await store.writer.promote()
    await store.writer.expire()

    tally = store.writer.tally
    assert (tally.statuses, tally.finished) == ({Status.QUEUED: 1}, 3)
    assert tally.queued == {("cpu", "default"): 1}
    assert tally.waiting == {"uid:1000": 1}
