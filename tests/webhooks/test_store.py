"""The store's side: written with the event, due until over, secrets that are made once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jobd.domain.deliveries import Attempted, DeliveryAttempt, DeliveryStatus, Verdict
from jobd.store.deliveries import NewDelivery, delete_messages, insert_messages

if TYPE_CHECKING:
    import sqlite3

    from tests.webhooks.conftest import Outbox

URL = "https://example.com/hook"
AGAIN = Verdict(DeliveryStatus.RETRYING, delay_s=5.0)
DONE = Verdict(DeliveryStatus.SUCCEEDED)


def ended(delivery_id: str, verdict: Verdict, attempt: int = 1) -> Attempted:
    return Attempted(delivery_id, DeliveryAttempt(attempt, 1, 2, error="dns"), verdict)


async def test_a_new_delivery_is_due_at_once(outbox: Outbox) -> None:
    (delivery_id,) = await outbox.tell(URL, seq=7)

    (due,) = await outbox.deliveries.due(10, ())

    assert (due.delivery.delivery_id, due.delivery.url) == (delivery_id, URL)
    assert (due.delivery.status, due.delivery.attempt_count) == ("pending", 0)
    assert (due.message.seq, due.message.event_id, due.message.type) == (7, 70, "job.completed")
    assert (due.message.at_ms, due.message.body) == (outbox.clock.ms, None)
    assert await outbox.deliveries.next_due_s(()) == 0.0


async def test_a_rendering_gets_what_the_event_said_until_there_is_a_body(outbox: Outbox) -> None:
    await outbox.database.run(
        lambda c: c.execute(
            "INSERT INTO events (id, seq, type, at, attempt, data)"
            " VALUES (70, 7, 'job.completed', 1, 2, '{\"partial\":true}')"
        )
    )
    await outbox.tell(URL, seq=7)

    (fresh,) = await outbox.deliveries.due(10, ())
    await outbox.deliveries.save_bodies({fresh.message.message_id: b"first"})
    await outbox.deliveries.save_bodies({fresh.message.message_id: b"second"})
    (saved,) = await outbox.deliveries.due(10, ())

    assert (fresh.message.attempt, fresh.message.data) == (2, {"partial": True})
    assert (saved.message.body, saved.message.data) == (b"first", {})


async def test_a_message_is_undone_with_its_transaction(outbox: Outbox) -> None:
    def fail(connection: sqlite3.Connection) -> None:
        row = NewDelivery("msg_1", "dlv_1", 1, 1, "job.failed", 1, URL, "uid:1")
        insert_messages(connection, [row])
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await outbox.database.run(fail)

    assert await outbox.deliveries.due(10, ()) == []


async def test_what_is_under_way_is_not_due(outbox: Outbox) -> None:
    first, second = await outbox.tell(URL, URL)

    due = await outbox.deliveries.due(10, {first})

    assert [one.delivery.delivery_id for one in due] == [second]
    assert await outbox.deliveries.next_due_s({first, second}) is None


async def test_the_longest_overdue_comes_first(outbox: Outbox) -> None:
    (late,) = await outbox.tell(URL)
    (retried,) = await outbox.tell(URL)
    await outbox.deliveries.record([ended(retried, AGAIN)])
    outbox.clock.advance(3)
    (new,) = await outbox.tell(URL)
    assert await outbox.deliveries.next_due_s({late, new}) == 2.0
    outbox.clock.advance(10)

    due = await outbox.deliveries.due(2, ())

    assert [one.delivery.delivery_id for one in due] == [late, new]


@pytest.mark.parametrize("attempt", [1, 3])
async def test_only_the_next_attempt_is_recorded(outbox: Outbox, attempt: int) -> None:
    (delivery_id,) = await outbox.tell(URL)
    await outbox.deliveries.record([ended(delivery_id, AGAIN)])

    await outbox.deliveries.record([ended(delivery_id, DONE, attempt)])

    assert await outbox.state(delivery_id) == ("retrying", 1, 5.0, None)
    assert await outbox.rows("SELECT attempt FROM delivery_attempts") == [(1,)]


async def test_what_is_over_stays_over(outbox: Outbox) -> None:
    (delivery_id,) = await outbox.tell(URL)
    await outbox.deliveries.record([ended(delivery_id, DONE)])

    await outbox.deliveries.record([ended(delivery_id, AGAIN, 2)])

    assert await outbox.state(delivery_id) == ("succeeded", 1, None, None)
    assert await outbox.deliveries.next_due_s(()) is None


async def test_with_a_job_goes_all_of_its_messages(outbox: Outbox) -> None:
    (delivery_id,) = await outbox.tell(URL, seq=1)
    await outbox.tell(URL, seq=2)
    await outbox.deliveries.record([ended(delivery_id, AGAIN)])

    await outbox.database.run(lambda connection: delete_messages(connection, [1]))
    await outbox.deliveries.record([ended(delivery_id, DONE, 2)])

    for table in ("messages", "deliveries"):
        assert await outbox.rows(f"SELECT seq FROM {table}") == [(2,)]  # noqa: S608 - ours
    assert await outbox.rows("SELECT * FROM delivery_attempts") == []


async def test_a_principal_has_one_secret_whoever_asks_first(outbox: Outbox) -> None:
    asked = [outbox.deliveries.secrets_of(["a", "b"]) for _ in range(5)]

    answers = await asyncio.gather(*asked)

    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["a"] != answers[0]["b"]
    assert await outbox.rows("SELECT principal, name FROM endpoints ORDER BY principal") == [
        ("a", "default"),
        ("b", "default"),
    ]


async def test_a_rotation_keeps_the_other_secret_for_its_time(outbox: Outbox) -> None:
    (old,) = (await outbox.deliveries.secrets_of(["a"]))["a"]

    rotated = await outbox.deliveries.rotate("a", 60)

    assert rotated.previous_until_ms == outbox.clock.ms + 60_000
    assert await outbox.deliveries.secrets_of(["a"]) == {"a": (rotated.secret, old)}
    outbox.clock.advance(60)
    assert await outbox.deliveries.secrets_of(["a"]) == {"a": (rotated.secret,)}


@pytest.mark.parametrize("used_before", [True, False])
async def test_a_rotation_without_overlap_leaves_one_secret(
    outbox: Outbox, *, used_before: bool
) -> None:
    if used_before:
        await outbox.deliveries.secrets_of(["a"])

    rotated = await outbox.deliveries.rotate("a", 0)

    assert rotated.previous_until_ms is None
    assert await outbox.deliveries.secrets_of(["a"]) == {"a": (rotated.secret,)}
