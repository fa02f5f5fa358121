"""Submissions: stored, one commit for all that wait, and idempotency keys."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from jobd.domain.errors import Gone, Invalid, LimitReached, Unavailable
from jobd.domain.jobs import Submitted
from jobd.domain.statuses import Status
from tests.store.conftest import RULES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.conftest import OpenStore, Store
    from tests.support.clock import FakeClock


async def test_a_submission_is_read_back_as_it_came(store: Store) -> None:
    new = store.new_job(metadata={"team": "data"}, traceparent="00-a-b-01", priority=3)

    submitted = await store.writer.submit(new)

    job = await store.job(new.job_id)
    assert (job.status, job.attempt, job.priority) == (Status.QUEUED, 0, 3)
    assert (job.seq, job.event_id) == (submitted.seq, submitted.event_id)
    assert job.inputs is not None
    assert (job.inputs.args, job.inputs.traceparent) == (new.args, "00-a-b-01")
    assert job.metadata == {"team": "data"}
    assert store.seen.types(job.seq) == ["queued"]


@pytest.mark.parametrize("size_bytes", [10, 4096, 262_144])
async def test_args_keep_their_bytes(store: Store, size_bytes: int) -> None:
    args = ('{"text": "' + "é" * (size_bytes // 2) + '"}').encode()

    submitted = await store.submit(args=args)

    inputs = (await store.job(submitted.job_id)).inputs
    assert inputs is not None
    assert inputs.args == args


async def test_a_job_that_is_not_due_is_scheduled(store: Store, clock: FakeClock) -> None:
    later = await store.submit(run_at_ms=clock.ms + 1)
    now = await store.submit(run_at_ms=clock.ms)

    assert (await store.job(later.job_id)).status is Status.SCHEDULED
    assert (await store.job(now.job_id)).status is Status.QUEUED
    (event,) = [event for event in store.seen.events if event.seq == later.seq]
    assert (event.type, event.data) == ("job.scheduled", {"run_at_ms": clock.ms + 1})


@pytest.mark.parametrize("keyed", [False, True])
async def test_64_waiting_submits_are_one_small_transaction(store: Store, keyed: bool) -> None:
    jobs = [store.new_job(key=f"k{n}" if keyed else None) for n in range(64)]

    ran = await store.statements(*map(store.writer.submit, jobs))

    assert (ran[0], ran[-1]) == ("BEGIN IMMEDIATE", "COMMIT")
    assert len(ran) - 2 <= 5
    assert "BEGIN IMMEDIATE" not in ran[1:]
    assert await store.query("SELECT count(*) FROM jobs") == [(64,)]


async def test_a_batch_with_keys_that_are_taken_is_no_larger(store: Store) -> None:
    await store.submit(key="k0")
    jobs = [store.new_job(key=f"k{n % 33}") for n in range(64)]

    ran = await store.statements(*map(store.writer.submit, jobs))

    assert len(ran) - 2 <= 5
    assert await store.query("SELECT count(*) FROM jobs") == [(33,)]


@pytest.mark.parametrize("jobs", [1, 63, 129])
async def test_a_batch_of_any_size_is_written_whole(store: Store, jobs: int) -> None:
    submitted = await store.together(*(store.submit(queue=f"q{n}") for n in range(jobs)))

    rows = await store.query("SELECT seq, queue FROM jobs ORDER BY seq")
    assert rows == [(one.seq, f"q{n}") for n, one in enumerate(submitted)]


async def test_the_same_key_gives_the_same_job(store: Store) -> None:
    first = await store.submit(key="k")

    again = await store.submit(key="k")

    assert again == Submitted(first.job_id, first.seq, first.event_id, replayed=True)
    assert store.seen.types(first.seq) == ["queued"]


async def test_the_same_key_twice_in_one_batch_gives_one_job(store: Store) -> None:
    jobs = [store.new_job(key="k") for _ in range(3)]

    first, *others = await store.together(*map(store.writer.submit, jobs))

    assert first == Submitted(jobs[0].job_id, first.seq, first.event_id)
    assert others == [Submitted(first.job_id, first.seq, first.event_id, replayed=True)] * 2
    assert await store.query("SELECT count(*) FROM jobs") == [(1,)]
    assert len(store.seen.events) == 1


async def test_a_key_belongs_to_a_principal_and_a_request(store: Store) -> None:
    mine = await store.submit(key="k", principal="uid:1")
    other = await store.submit(key="k", principal="uid:2")

    with pytest.raises(Invalid) as refused:
        await store.submit(key="k", principal="uid:1", fingerprint=b"another")

    assert mine.job_id != other.job_id
    assert refused.value.code == "idempotency_key_reused"


async def test_one_refused_key_spoils_no_other_submission(store: Store) -> None:
    await store.submit(key="k")
    jobs = [store.new_job(), store.new_job(key="k", fingerprint=b"x"), store.new_job()]

    good, refused, also_good = await store.together(*map(store.writer.submit, jobs))

    assert isinstance(refused, Invalid)
    assert (good.job_id, also_good.job_id) == (jobs[0].job_id, jobs[2].job_id)


async def test_a_key_outlives_its_job(store: Store, clock: FakeClock) -> None:
    first = await store.submit(key="k")
    await store.database.run(lambda c: c.execute("DELETE FROM jobs").fetchall())
    clock.advance(24 * 3600 - 1)

    with pytest.raises(Gone) as gone:
        await store.submit(key="k")

    assert gone.value.code == "job_expired"
    assert first.job_id in gone.value.detail


async def test_an_expired_key_whose_job_is_gone_is_free_again(
    store: Store, clock: FakeClock
) -> None:
    first = await store.submit(key="k")
    await store.database.run(lambda c: c.execute("DELETE FROM jobs").fetchall())
    clock.advance(24 * 3600)

    jobs = [store.new_job(key="k", fingerprint=b"new") for _ in range(2)]
    second, third = await store.together(*map(store.writer.submit, jobs))

    assert not second.replayed
    assert second.job_id != first.job_id
    assert (third.job_id, third.replayed) == (second.job_id, True)


async def test_an_expired_key_whose_job_is_kept_still_names_it(
    store: Store, clock: FakeClock
) -> None:
    first = await store.submit(key="k")
    clock.advance(30 * 24 * 3600)

    assert (await store.submit(key="k")).job_id == first.job_id


async def test_too_many_waiting_submissions_are_refused_and_nothing_else_is(
    path: Path, open_store: OpenStore
) -> None:
    async with open_store(path, max_waiting=2) as store:
        claim = await store.running()
        asked = [store.submit() for _ in range(3)]

        *taken, refused, cancelled = await store.together(*asked, store.writer.cancel(claim.job_id))

    assert isinstance(refused, Unavailable)
    assert (refused.code, refused.retryable) == ("queue_full", True)
    assert all(isinstance(one, Submitted) for one in taken)
    assert cancelled.token == claim.token


SMALL = msgspec.structs.replace(RULES, queued_jobs=3, queued_jobs_per_principal=2)


async def test_of_a_batch_as_many_get_in_as_fit(path: Path, open_store: OpenStore) -> None:
    async with open_store(path, rules=SMALL) as store:
        whose = ["uid:1", "uid:1", "uid:1", "uid:2", "uid:2"]

        *fit, over_quota, also_fits, full = await store.together(
            *(store.submit(principal=principal) for principal in whose)
        )

    assert all(isinstance(one, Submitted) for one in [*fit, also_fits])
    assert isinstance(over_quota, LimitReached)
    assert (over_quota.code, over_quota.retryable) == ("quota_exceeded", True)
    assert isinstance(full, Unavailable)
    assert (full.code, full.retryable) == ("queue_full", True)


async def test_only_jobs_that_wait_are_limited(path: Path, open_store: OpenStore) -> None:
    async with open_store(path, rules=SMALL) as store:
        await store.settled(Status.COMPLETED)
        await store.running()
        await store.submit()
        await store.submit()

        with pytest.raises(LimitReached):
            await store.submit()


async def test_a_replay_is_answered_when_there_is_no_room(
    path: Path, open_store: OpenStore
) -> None:
    async with open_store(path, rules=SMALL) as store:
        first = await store.submit(key="k")
        await store.submit()

        assert (await store.submit(key="k")).job_id == first.job_id


async def test_the_key_of_a_refused_job_is_free(path: Path, open_store: OpenStore) -> None:
    async with open_store(path, rules=SMALL) as store:
        first = await store.submit()
        await store.submit()
        refused = await store.together(store.submit(key="k"), store.submit(key="k"))
        await store.writer.cancel(first.job_id)

        again = await store.submit(key="k")

    assert [type(one) for one in refused] == [LimitReached, LimitReached]
    assert not again.replayed


async def test_a_retry_needs_room_too(path: Path, open_store: OpenStore) -> None:
    async with open_store(path, rules=SMALL) as store:
        failed = await store.settled(Status.FAILED)
        waiting = [await store.submit() for _ in range(2)]

        with pytest.raises(LimitReached):
            await store.writer.retry(failed.job_id, "job_again")
        await store.writer.cancel(waiting[0].job_id)

        assert (await store.writer.retry(failed.job_id, "job_again")).job_id == "job_again"


async def test_jobs_of_an_earlier_start_count_once_they_are_counted(
    path: Path, open_store: OpenStore
) -> None:
    async with open_store(path) as store:
        await store.submit()
    async with open_store(path, rules=SMALL) as store:
        await store.submit()
        await store.writer.count()

        with pytest.raises(LimitReached):
            await store.submit()


async def test_the_start_deadline_is_in_the_event(store: Store, clock: FakeClock) -> None:
    at_ms = clock.ms + 1

    submitted = await store.submit(start_before_ms=at_ms)

    (event,) = store.seen.events
    assert (event.seq, event.data) == (submitted.seq, {"start_before_ms": at_ms})


async def test_a_cancelled_caller_has_submitted_all_the_same(store: Store) -> None:
    new = store.new_job()
    async with store.busy():
        caller = asyncio.create_task(store.writer.submit(new))
        await asyncio.wait([caller], timeout=0)
        caller.cancel()

    await store.writer.promote()

    assert (await store.job(new.job_id)).status is Status.QUEUED
    assert store.seen.deaths == []
