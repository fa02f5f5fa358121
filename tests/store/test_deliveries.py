"""Deliveries: due at their receiver until they are over, killed by the slice, found flat."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.deliveries import Attempted, Body, DeliveryAttempt, DeliveryStatus, Verdict
from jobd.domain.endpoints import EndpointChange, EndpointRemoval
from jobd.domain.statuses import Status
from jobd.store.deliveries import SLICE, Deliveries, Died
from jobd.store.outbox import NewDelivery, delete_messages, insert_messages

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from tests.store.conftest import Store

ME = "uid:1000"
URL = "https://example.com/hook"
HERE, THERE = "https://example.com", "https://other.net:444"
AGAIN = Verdict(DeliveryStatus.RETRYING, delay_s=5.0)
DONE = Verdict(DeliveryStatus.SUCCEEDED)


@pytest.fixture
def deliveries(store: Store) -> Deliveries:
    return Deliveries(store.database, store.clock)


def ended(delivery_id: str, verdict: Verdict, attempt: int = 1) -> Attempted:
    return Attempted(delivery_id, DeliveryAttempt(attempt, 1, 2, error="dns"), verdict)


async def tell(store: Store, number: int = 1, *, url: str = URL, **fields: Any) -> list[str]:
    """Store so many messages with a delivery each, as if jobs had ended; return the ids."""
    begin = (await store.query("SELECT count(*) FROM deliveries"))[0][0]
    names = [f"{begin + n:06}" for n in range(number)]
    rows = [
        NewDelivery(
            f"msg_{name}",
            f"dlv_{name}",
            url=url,
            principal=ME,
            type="job.completed",
            at_ms=store.clock.ms,
            **{"seq": 7, "event_id": 70} | fields,
        )
        for name in names
    ]
    await store.database.run(lambda connection: insert_messages(connection, rows))
    return [one.delivery_id for one in rows]


def ids(due: Sequence[Any]) -> list[str]:
    return [one.delivery.delivery_id for one in due]


async def test_a_new_delivery_is_due_at_once(store: Store, deliveries: Deliveries) -> None:
    await tell(store)

    (due,) = await deliveries.due(HERE, 10, ())

    delivery, message = due.delivery, due.message
    assert (delivery.url, delivery.receiver, delivery.endpoint_id) == (URL, HERE, None)
    assert (delivery.status, delivery.attempt_count) == ("pending", 0)
    assert (delivery.begun_at_ms, delivery.earlier_attempts) == (store.clock.ms, 0)
    assert (message.seq, message.event_id, message.type) == (7, 70, "job.completed")
    assert (message.at_ms, message.body, due.endpoint) == (store.clock.ms, None, None)


async def test_each_receiver_has_its_own(store: Store, deliveries: Deliveries) -> None:
    (here,) = await tell(store)
    (there,) = await tell(store, url=f"{THERE}/x")
    now_ms = store.clock.ms

    assert ids(await deliveries.due(THERE, 10, ())) == [there]
    await deliveries.record([ended(here, AGAIN)])

    assert await deliveries.receivers() == {HERE: now_ms + 5000, THERE: now_ms}
    asked = [THERE, HERE, "https://nobody"]
    later = {THERE: None, HERE: now_ms + 5000, "https://nobody": None}
    assert await deliveries.next_due(asked, {there}) == later


async def test_what_is_sent_to_an_endpoint_goes_where_it_is_now(
    store: Store, deliveries: Deliveries
) -> None:
    endpoint = await store.endpoint(payload="job")
    await store.settled(Status.COMPLETED)
    moved = await store.writer.change_endpoint(
        EndpointChange(endpoint_id=endpoint.endpoint_id, principal=ME, url="https://new/")
    )

    (due,) = await deliveries.due(endpoint.endpoint_id, 10, ())

    assert (due.delivery.url, due.endpoint, due.message.payload) == ("https://new/", moved, "job")


async def test_of_an_endpoint_that_is_gone_there_is_none(
    store: Store, deliveries: Deliveries
) -> None:
    endpoint = await store.endpoint()
    await store.settled(Status.COMPLETED)
    await store.writer.remove_endpoint(EndpointRemoval(endpoint.endpoint_id, ME))

    (due,) = await deliveries.due(endpoint.endpoint_id, 10, ())

    assert (due.delivery.endpoint_id, due.endpoint) == (endpoint.endpoint_id, None)


async def test_a_rendering_gets_what_the_event_said_until_there_is_a_body(
    store: Store, deliveries: Deliveries
) -> None:
    await store.database.run(
        lambda c: c.execute(
            "INSERT INTO events (id, seq, type, at, attempt, data)"
            " VALUES (70, 7, 'job.completed', 1, 2, '{\"partial\":true}')"
        )
    )
    await tell(store)

    (fresh,) = await deliveries.due(HERE, 10, ())
    for body in (b"first", b"second"):
        await deliveries.save_bodies([Body(fresh.message.message_id, "notice", body)])
    (saved,) = await deliveries.due(HERE, 10, ())

    assert (fresh.message.attempt, fresh.message.data) == (2, {"partial": True})
    assert (saved.message.body, saved.message.data) == (b"first", {})


async def test_a_message_has_a_body_for_each_payload(store: Store, deliveries: Deliveries) -> None:
    ends = [await store.endpoint(payload=payload) for payload in ("notice", "job")]
    await store.settled(Status.COMPLETED)
    receivers = [one.endpoint_id for one in ends]
    message_id = (await deliveries.due(receivers[0], 10, ()))[0].message.message_id

    await deliveries.save_bodies([Body(message_id, "job", b"all")])
    bodies = [(await deliveries.due(one, 10, ()))[0].message.body for one in receivers]
    await deliveries.save_bodies([Body(message_id, "notice", b"thin")])

    assert bodies == [None, b"all"]
    bodies = [(await deliveries.due(one, 10, ()))[0].message.body for one in receivers]
    assert bodies == [b"thin", b"all"]


async def test_the_longest_overdue_comes_first_without_what_is_under_way(
    store: Store, deliveries: Deliveries
) -> None:
    late, retried, under_way = await tell(store, 3)
    await deliveries.record([ended(retried, AGAIN)])
    store.clock.advance(3)
    (new,) = await tell(store)
    assert await deliveries.next_due([HERE], {late, new, under_way}) == {
        HERE: store.clock.ms + 2000
    }
    store.clock.advance(10)

    assert ids(await deliveries.due(HERE, 2, {under_way})) == [late, new]


@pytest.mark.parametrize("attempt", [1, 3])
async def test_only_the_next_attempt_is_recorded(
    store: Store, deliveries: Deliveries, attempt: int
) -> None:
    (delivery_id,) = await tell(store)
    await deliveries.record([ended(delivery_id, AGAIN)])

    await deliveries.record([ended(delivery_id, DONE, attempt)])

    assert await store.query("SELECT attempt FROM delivery_attempts") == [(1,)]
    assert await store.query("SELECT status, attempt_count FROM deliveries") == [("retrying", 1)]


async def test_what_is_over_stays_over(store: Store, deliveries: Deliveries) -> None:
    (delivery_id,) = await tell(store)
    await deliveries.record([ended(delivery_id, DONE)])

    await deliveries.record([ended(delivery_id, AGAIN, 2)])

    assert await store.query("SELECT status, attempt_count, ended_at FROM deliveries") == [
        ("succeeded", 1, store.clock.ms)
    ]
    assert await deliveries.receivers() == {}


async def test_with_a_job_goes_all_of_its_messages(store: Store, deliveries: Deliveries) -> None:
    (delivery_id,) = await tell(store, seq=1)
    await tell(store, seq=2)
    await deliveries.record([ended(delivery_id, AGAIN)])

    await deliveries.delete([1])
    await deliveries.record([ended(delivery_id, DONE, 2)])

    for table in ("messages", "deliveries"):
        assert await store.query(f"SELECT seq FROM {table}") == [(2,)]  # noqa: S608 - ours
    assert await store.query("SELECT * FROM delivery_attempts") == []


async def test_a_message_is_undone_with_its_transaction(store: Store) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        row = NewDelivery("msg_1", "dlv_1", 1, 1, "job.failed", 1, URL, ME)
        insert_messages(connection, [row])
        delete_messages(connection, [2])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await store.database.run(fail)

    assert await store.query("SELECT * FROM deliveries") == []


async def test_all_that_waits_for_a_receiver_is_killed_by_the_slice(
    store: Store, deliveries: Deliveries
) -> None:
    kept, *_ = await tell(store, SLICE + 2)
    await tell(store, url=THERE)
    await deliveries.record([ended(kept, DONE)])
    (under_way,) = await tell(store)
    dead = "SELECT count(*), dead_reason, ended_at FROM deliveries WHERE status = 'dead'"

    killed = await deliveries.kill(HERE, "endpoint_deleted", {under_way})

    assert killed == SLICE + 1
    assert await store.query(dead) == [(SLICE + 1, "endpoint_deleted", store.clock.ms)]
    assert set(await deliveries.receivers()) == {HERE, THERE}
    assert await deliveries.kill(HERE, "endpoint_deleted") == 1


async def test_what_is_too_old_is_dead_by_trusted_time(
    store: Store, deliveries: Deliveries
) -> None:
    assert await deliveries.next_overdue(60_000) is None
    old, under_way = await tell(store, 2)
    store.clock.advance(30)
    await tell(store)
    store.clock.advance(30)

    assert await deliveries.next_overdue(60_000) == store.clock.ms
    died = await deliveries.kill_overdue(60_000, {under_way})

    assert died == [Died(old, HERE, None, ME)]
    assert await deliveries.kill_overdue(60_001) == []


async def test_what_is_killed_records_no_attempt(store: Store, deliveries: Deliveries) -> None:
    (delivery_id,) = await tell(store)
    await deliveries.kill(HERE, "endpoint_disabled")

    await deliveries.record([ended(delivery_id, DONE)])

    assert await store.query("SELECT status, dead_reason FROM deliveries") == [
        ("dead", "endpoint_disabled")
    ]


async def test_a_claim_costs_the_same_however_many_wait(
    store: Store, deliveries: Deliveries
) -> None:
    """Counted in steps of SQLite's machine, with all of them due at the receiver."""

    async def steps() -> int:
        async with store.counting_steps() as counted:
            await deliveries.due(HERE, 32, ())
            await deliveries.next_due([HERE])
            await deliveries.next_overdue(1)
            await deliveries.receivers()
        return len(counted)

    await tell(store, 100)
    few = await steps()
    await tell(store, 20_000)

    assert 100 < few <= await steps() <= few * 1.05


async def test_a_principal_has_one_secret_whoever_asks_first(
    store: Store, deliveries: Deliveries
) -> None:
    answers = await asyncio.gather(*[deliveries.secrets_of(["a", "b"]) for _ in range(5)])

    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["a"] != answers[0]["b"]
    assert await store.query("SELECT principal, name FROM endpoints ORDER BY principal") == [
        ("a", "default"),
        ("b", "default"),
    ]


async def test_a_rotation_keeps_the_other_secret_for_its_time(
    store: Store, deliveries: Deliveries
) -> None:
    (old,) = (await deliveries.secrets_of(["a"]))["a"]

    rotated = await deliveries.rotate("a", 60)

    assert rotated.previous_until_ms == store.clock.ms + 60_000
    assert await deliveries.secrets_of(["a"]) == {"a": (rotated.secret, old)}
    store.clock.advance(60)
    assert await deliveries.secrets_of(["a"]) == {"a": (rotated.secret,)}


@pytest.mark.parametrize("used_before", [True, False])
async def test_a_rotation_without_overlap_leaves_one_secret(
    store: Store, deliveries: Deliveries, *, used_before: bool
) -> None:
    if used_before:
        await deliveries.secrets_of(["a"])

    rotated = await deliveries.rotate("a", 0)

    assert rotated.previous_until_ms is None
    assert await deliveries.secrets_of(["a"]) == {"a": (rotated.secret,)}
