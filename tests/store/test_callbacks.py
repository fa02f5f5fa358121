"""Callbacks: the messages that are written with the events they tell of, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.events import CALLBACK_TYPES
from jobd.domain.jobs import NewJob, Progress, Update
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from pathlib import Path

    from tests.store.conftest import OpenStore, Store
    from tests.support.clock import FakeClock

URL = "https://example.com/hook"
ALL: dict[str, Any] = {"callback_url": URL, "callback_events": CALLBACK_TYPES}


async def told(store: Store) -> list[str]:
    rows = await store.query("SELECT type FROM messages ORDER BY event_id")
    return [type_.removeprefix("job.") for (type_,) in rows]


async def test_a_message_is_of_its_event_and_goes_to_the_callback(store: Store) -> None:
    submitted = await store.submit(callback_url=URL, callback_events=("job.queued",))

    ((message_id, *message),) = await store.query(
        "SELECT message_id, seq, event_id, type, at, body FROM messages"
    )
    delivery = await store.query(
        "SELECT message_id, seq, principal, url, status, next_attempt_at FROM deliveries"
    )
    now_ms = store.clock.ms
    assert message == [submitted.seq, submitted.event_id, "job.queued", now_ms, None]
    assert delivery == [(message_id, submitted.seq, "uid:1000", URL, "pending", now_ms)]
    assert store.seen.log == ["events", "messages"]


async def test_only_the_events_that_were_asked_for_are_told(store: Store) -> None:
    claim = await store.running(callback_url=URL, callback_events=("job.completed",))
    before = await told(store)

    await store.settle(claim, Status.COMPLETED)

    assert before == []
    assert await told(store) == ["completed"]


@pytest.mark.parametrize("options", [{"callback_events": CALLBACK_TYPES}, {"callback_url": URL}])
async def test_without_url_or_events_nothing_is_told(store: Store, options: dict[str, Any]) -> None:
    await store.settled(Status.COMPLETED, new=options)

    assert await told(store) == []
    assert "messages" not in store.seen.log


async def test_every_move_of_a_job_can_be_told(store: Store, clock: FakeClock) -> None:
    submitted = await store.submit(run_at_ms=clock.ms + 1000, **ALL)
    clock.advance(1)
    await store.writer.promote()
    (claim,) = await store.claim()
    await store.settle(claim, Status.RETRYING, delay_ms=1000)
    clock.advance(1)
    await store.writer.promote()
    (claim,) = await store.claim()
    await store.writer.cancel(submitted.job_id)
    await store.settle(claim, Status.CANCELLED)

    expected = ["scheduled", "queued", "processing", "retrying", "queued", "processing"]
    assert await told(store) == [*expected, "cancel_requested", "cancelled"]


async def test_a_cancel_of_a_waiting_job_is_told(store: Store) -> None:
    submitted = await store.submit(**ALL)

    await store.writer.cancel(submitted.job_id)

    assert await told(store) == ["queued", "cancelled"]


async def test_what_a_start_finds_is_told(path: Path, open_store: OpenStore) -> None:
    async with open_store(path) as store:
        await store.running(**ALL)

    async with open_store(path) as store:
        await store.writer.recover()

        assert await told(store) == ["queued", "processing", "queued"]


async def test_a_retry_is_told_as_the_job_was(store: Store) -> None:
    claim = await store.settled(Status.FAILED, new=ALL)

    await store.writer.retry(claim.job_id, "job_new")

    assert await told(store) == ["queued", "processing", "failed", "queued"]


async def test_progress_is_not_told(store: Store) -> None:
    claim = await store.running(**ALL)

    await store.writer.progress(Update(claim.seq, claim.token, Progress(pct=1)))

    assert await told(store) == ["queued", "processing"]


async def test_a_stale_settlement_tells_nothing(store: Store) -> None:
    claim = await store.settled(Status.FAILED, new=ALL)

    (lost,) = await store.together(store.settle(claim, Status.COMPLETED))

    assert lost.code == "lease_lost"
    assert await told(store) == ["queued", "processing", "failed"]


async def test_messages_of_a_batch_are_a_few_statements(store: Store) -> None:
    jobs = [store.new_job(**ALL) for _ in range(64)]

    ran = await store.statements(*map(store.writer.submit, jobs))

    assert len(ran) - 2 <= 6
    assert await store.query("SELECT count(*) FROM deliveries") == [(64,)]


async def test_an_item_that_cannot_be_written_leaves_no_message(store: Store) -> None:
    broken: NewJob = store.new_job(priority="no number", **ALL)
    good = store.new_job(**ALL)

    failed, submitted = await store.together(*map(store.writer.submit, (broken, good)))

    assert isinstance(failed, Exception)
    assert await store.query("SELECT seq FROM messages") == [(submitted.seq,)]
