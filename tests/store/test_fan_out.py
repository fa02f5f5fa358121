"""The fan-out: one message of an event, in its transaction, for each endpoint that wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.batches import NewBatch, Report
from jobd.domain.endpoints import EndpointChange, EndpointRemoval, Outright
from jobd.domain.statuses import Status
from jobd.store.batches import Loaded, Part

if TYPE_CHECKING:
    from tests.store.conftest import Store

ME = "uid:1000"
URL = "https://example.com:8443/hook?x=1"
CALLBACK: dict[str, Any] = {"callback_url": URL, "callback_events": ("job.completed",)}


async def told(store: Store) -> list[tuple[Any, ...]]:
    """Return what is told to whom, in the order of time."""
    return await store.query(
        "SELECT type, receiver FROM deliveries JOIN messages USING (message_id)"
        " ORDER BY delivery_id"
    )


async def test_one_message_goes_to_all_who_want_it(store: Store) -> None:
    plain, full = await store.endpoint(), await store.endpoint(payload="job")
    store.seen.receivers.clear()

    claim = await store.settled(Status.COMPLETED, new=CALLBACK)

    receivers = ["https://example.com:8443", plain.endpoint_id, full.endpoint_id]
    assert await told(store) == [("job.completed", receiver) for receiver in receivers]
    assert await store.query("SELECT seq, subject, body, job_body FROM messages") == [
        (claim.seq, claim.job_id, None, None)
    ]
    rows = "SELECT endpoint_id, url, payload, begun_at, next_attempt_at FROM deliveries"
    now_ms = store.clock.ms
    assert await store.query(f"{rows} ORDER BY delivery_id") == [
        (None, URL, "notice", now_ms, now_ms),
        (plain.endpoint_id, plain.url, "notice", now_ms, now_ms),
        (full.endpoint_id, full.url, "job", now_ms, now_ms),
    ]
    assert store.seen.receivers == set(receivers)


async def test_the_deliverer_is_told_in_the_order_of_the_messages(store: Store) -> None:
    receivers = [(await store.endpoint()).endpoint_id for _ in range(8)]
    store.seen.told.clear()

    await store.settled(Status.COMPLETED)

    assert store.seen.told == receivers


@pytest.mark.parametrize(
    ("fields", "types"),
    [
        ({}, ["job.completed"]),
        ({"events": ("job.queued", "job.processing")}, ["job.queued", "job.processing"]),
        ({"events": ("job.failed",)}, []),
        ({"kinds": ("test.*",)}, ["job.completed"]),
        ({"kinds": ("test", "other")}, []),
        ({"queues": ("slow", "default")}, ["job.completed"]),
        ({"queues": ("slow",)}, []),
        ({"principal": "another"}, []),
        ({"enabled": False}, []),
        ({"paused": True}, ["job.completed"]),
    ],
)
async def test_an_endpoint_is_told_what_it_wants(
    store: Store, fields: dict[str, Any], types: list[str]
) -> None:
    await store.endpoint(**fields)

    await store.settled(Status.COMPLETED)

    assert [type_ for type_, _ in await told(store)] == types


async def test_without_endpoints_nobody_is_looked_for(store: Store) -> None:
    endpoint = await store.endpoint(events=("job.queued",))
    await store.writer.remove_endpoint(EndpointRemoval(endpoint.endpoint_id, ME))

    ran = await store.statements(store.submit())

    assert not any("callback_url" in sql for sql in ran if sql.startswith("SELECT"))
    assert await told(store) == []


async def test_changes_of_endpoints_hold_for_the_jobs_of_their_commit(store: Store) -> None:
    old = await store.endpoint(events=("job.queued",))
    removal = EndpointRemoval(old.endpoint_id, ME)

    new, *_ = await store.together(
        store.endpoint(events=("job.queued",)),
        store.submit(),
        store.writer.remove_endpoint(removal),
    )

    assert await told(store) == [("job.queued", new.endpoint_id)]


async def test_who_is_enabled_again_is_told_again(store: Store) -> None:
    endpoint = await store.endpoint(enabled=False)
    await store.settled(Status.COMPLETED)
    change = EndpointChange(endpoint_id=endpoint.endpoint_id, principal=ME, enabled=True)
    await store.writer.change_endpoint(change)

    await store.settled(Status.FAILED)

    assert await told(store) == [("job.failed", endpoint.endpoint_id)]


async def test_an_item_that_cannot_be_written_tells_no_endpoint(store: Store) -> None:
    await store.endpoint(events=("job.queued",))

    failed, good = await store.together(store.submit(priority="no number"), store.submit())

    assert isinstance(failed, Exception)
    assert await store.query("SELECT seq FROM deliveries") == [(good.seq,)]


async def test_many_jobs_and_endpoints_are_a_few_statements(store: Store) -> None:
    for _ in range(3):
        await store.endpoint(events=("job.queued",))

    ran = await store.statements(*[store.submit() for _ in range(64)])

    assert len(ran) - 2 <= 6
    assert await store.query("SELECT count(*) FROM messages") == [(64,)]
    assert await store.query("SELECT count(*) FROM deliveries") == [(192,)]


async def test_a_batch_is_told_to_those_who_take_all_jobs(store: Store) -> None:
    takes = await store.endpoint(events=("batch.completed",), payload="job")
    await store.endpoint(events=("batch.completed",), kinds=("test.*",))
    new = NewBatch("bat_1", ME, store.clock.ms, retention_ms=1000)
    seq = await store.writer.begin_batch(new)
    part = Part(seq, 1, [store.new_job(batch_index=0)])
    await store.writer.add_to_batch(part)
    (claim,) = await store.claim()
    await store.writer.load_batch(Loaded(seq, Report(1, 1, 0, [None], [])))

    await store.settle(claim, Status.COMPLETED)

    assert await told(store) == [("batch.completed", takes.endpoint_id)]
    assert await store.query("SELECT payload FROM deliveries") == [("notice",)]


async def test_a_message_about_no_job_has_its_body_at_once(store: Store) -> None:
    endpoint = await store.endpoint()
    message = Outright(
        type="webhook.test",
        body=b"{}",
        principal=ME,
        url=endpoint.url,
        endpoint_id=endpoint.endpoint_id,
    )

    delivery_id = await store.writer.tell(message)

    assert await store.query("SELECT seq, type, body, subject FROM messages") == [
        (0, "webhook.test", b"{}", None)
    ]
    assert await store.query("SELECT delivery_id, receiver FROM deliveries") == [
        (delivery_id, endpoint.endpoint_id)
    ]
