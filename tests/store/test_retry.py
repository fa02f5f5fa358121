"""Retry: a failed or cancelled job once more, as a new job; and the old one says which."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jobd.domain.errors import Conflict, NotFound
from jobd.domain.jobs import Checkpoint, Submitted, Upload
from jobd.domain.statuses import Status
from tests.store.conftest import RULES

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.conftest import OpenStore, Store
    from tests.support.clock import FakeClock

NEW_ID = "job_" + "f" * 32
FILE_ID = "file_" + "0" * 64
COPIED = ("principal", "kind", "queue", "lane", "priority", "metadata")
COPIED_LIMITS = ("max_attempts", "timeout_ms", "retention_ms", "start_before_ms")


def upload(store: Store, principal: str = "uid:1000") -> Upload:
    return Upload(FILE_ID, principal, 1, FILE_ID[5:], store.clock.ms, store.clock.ms + 1000)


async def refusal(store: Store, job_id: str) -> Conflict:
    with pytest.raises(Conflict) as refused:
        await store.writer.retry(job_id, NEW_ID)
    return refused.value


@pytest.mark.parametrize("size_bytes", [10, 100_000])
async def test_a_retry_has_the_inputs_and_options_of_the_job(
    store: Store, clock: FakeClock, size_bytes: int
) -> None:
    claim = await store.settled(
        Status.FAILED,
        new={
            "queue": "slow",
            "priority": 1,
            "metadata": {"team": "data"},
            "traceparent": "00-a-b-01",
            "callback_url": "https://example.com/",
            "callback_events": ("job.failed",),
            "args": b'"' + b"x" * size_bytes + b'"',
            "start_before_ms": clock.ms + 10_000,
            "max_attempts": 7,
        },
    )
    clock.advance(5)

    submitted = await store.writer.retry(claim.job_id, NEW_ID)

    old, new = await store.job(claim.job_id), await store.job(NEW_ID)
    assert submitted == Submitted(NEW_ID, new.seq, new.event_id)
    assert (new.status, new.retry_of, old.retried_as) == (Status.QUEUED, claim.job_id, NEW_ID)
    assert new.inputs == old.inputs
    for name in COPIED + COPIED_LIMITS:
        assert getattr(new, name) == getattr(old, name), name
    assert (new.created_at_ms, new.updated_at_ms) == (clock.ms, clock.ms)
    assert await store.query("SELECT DISTINCT callback_mask FROM jobs") == [(32,)]


async def test_a_retry_has_none_of_the_history(store: Store) -> None:
    claim = await store.running()
    await store.writer.checkpoint(Checkpoint(claim.seq, claim.token, b"7"))
    await store.settle(claim, Status.FAILED, failures_delta=1)

    await store.writer.retry(claim.job_id, NEW_ID)
    (again,) = await store.claim()

    assert (again.job_id, again.attempt, again.failures) == (NEW_ID, 1, 0)
    assert again.checkpoint is None
    assert store.seen.types(again.seq) == ["queued", "processing"]


async def test_a_retry_can_start_in_its_own_commit(store: Store) -> None:
    claim = await store.settled(Status.FAILED)

    await store.together(store.writer.retry(claim.job_id, NEW_ID), free=1)

    assert store.seen.claims[-1].job_id == NEW_ID


async def test_the_old_job_keeps_its_status_and_gets_a_new_version(
    store: Store, clock: FakeClock
) -> None:
    claim = await store.settled(Status.CANCELLED)
    before = await store.job(claim.job_id)
    clock.advance(1)

    await store.writer.retry(claim.job_id, NEW_ID)

    after = await store.job(claim.job_id)
    assert after.event_id > before.event_id
    changed = {"retried_as": NEW_ID, "event_id": after.event_id, "updated_at_ms": clock.ms}
    assert after == msgspec.structs.replace(before, **changed)
    assert store.seen.types(after.seq) == ["queued", "processing", "cancelled"]


async def test_a_deadline_that_is_over_is_not_copied(store: Store, clock: FakeClock) -> None:
    claim = await store.settled(Status.FAILED, new={"start_before_ms": clock.ms + 10})
    clock.advance(1)

    await store.writer.retry(claim.job_id, NEW_ID)

    assert (await store.job(NEW_ID)).start_before_ms is None


@pytest.mark.parametrize("status", [Status.RETRYING, Status.QUEUED])
async def test_a_job_that_is_not_over_is_not_retried(store: Store, status: Status) -> None:
    claim = await store.settled(status, delay_ms=1000)

    assert (await refusal(store, claim.job_id)).code == "job_active"


async def test_a_completed_job_is_not_retried(store: Store) -> None:
    claim = await store.settled(Status.COMPLETED)

    assert (await refusal(store, claim.job_id)).code == "job_completed"


async def test_no_job_no_retry(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.writer.retry("job_none", NEW_ID)

    assert await store.query("SELECT count(*) FROM jobs") == [(0,)]


async def test_a_job_is_retried_once(store: Store) -> None:
    claim = await store.settled(Status.FAILED)
    await store.writer.retry(claim.job_id, "job_first")

    refused = await refusal(store, claim.job_id)

    assert refused.code == "job_already_retried"
    assert "job_first" in refused.detail


async def test_of_two_retries_in_one_batch_the_first_stands(store: Store) -> None:
    one, other = [await store.settled(Status.FAILED) for _ in range(2)]
    wishes = [(one, "job_a"), (one, "job_b"), (other, "job_c")]

    made, refused, also = await store.together(
        *(store.writer.retry(claim.job_id, new_id) for claim, new_id in wishes)
    )

    assert [made.job_id, also.job_id] == ["job_a", "job_c"]
    assert refused.code == "job_already_retried"
    assert made.seq < also.seq
    assert [event.id for event in store.seen.events] == sorted(e.id for e in store.seen.events)


async def test_many_retries_are_a_few_statements(store: Store) -> None:
    claims = [await store.settled(Status.FAILED) for _ in range(20)]

    ran = await store.statements(
        *(store.writer.retry(one.job_id, f"job_{one.seq}") for one in claims)
    )

    assert len(ran) - 2 <= 6


async def test_a_retry_names_the_same_uploads(store: Store) -> None:
    await store.writer.add_upload(upload(store))
    claim = await store.settled(Status.FAILED, new={"files": (FILE_ID,)})

    submitted = await store.writer.retry(claim.job_id, NEW_ID)

    rows: list[Any] = await store.query("SELECT file_id, seq FROM job_files ORDER BY seq")
    assert rows == [(FILE_ID, claim.seq), (FILE_ID, submitted.seq)]


async def test_a_job_whose_upload_is_gone_is_not_retried(store: Store) -> None:
    await store.writer.add_upload(upload(store))
    await store.writer.add_upload(upload(store, "uid:2"))
    claim = await store.settled(Status.FAILED, new={"files": (FILE_ID,)})
    await store.writer.remove_upload(FILE_ID, "uid:1000")

    assert (await refusal(store, claim.job_id)).code == "input_missing"


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"queued_jobs": 2}, "queue_full"), ({"queued_jobs_per_principal": 2}, "quota_exceeded")],
)
async def test_a_copy_is_held_against_the_limits(
    path: Path, open_store: OpenStore, limits: dict[str, int], code: str
) -> None:
    async with open_store(path, rules=msgspec.structs.replace(RULES, **limits)) as store:
        one, other = [await store.settled(Status.FAILED) for _ in range(2)]
        waits = await store.submit()

        made, refused = await store.together(
            store.writer.retry(one.job_id, "job_a"), store.writer.retry(other.job_id, "job_b")
        )
        active = await refusal(store, waits.job_id)

        assert made.job_id == "job_a"
        assert refused.code == code
        assert active.code == "job_active"
        assert (await store.job(other.job_id)).retried_as is None


async def test_copies_and_deletions_are_counted(store: Store) -> None:
    claims = [await store.settled(Status.FAILED) for _ in range(3)]

    await store.writer.retry(claims[0].job_id, NEW_ID)
    copied = (store.writer.tally.queued["cpu", "default"], store.writer.tally.finished)
    await store.writer.delete(claims[0].job_id)
    await store.writer.retire_jobs([claims[1].seq])

    assert copied == (1, 3)
    assert store.writer.tally.finished == 1
