"""What people see of deliveries, and what they have delivered once more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.deliveries import (
    Attempted,
    Body,
    DeadReason,
    DeliveryAttempt,
    DeliveryFilter,
    DeliveryStatus,
    Verdict,
)
from jobd.domain.endpoints import EndpointChange, EndpointRemoval, Outright
from jobd.domain.errors import JobdError
from jobd.domain.statuses import Status
from jobd.store.deliveries import SLICE, Deliveries
from jobd.store.delivery_log import DeliveryLog
from jobd.store.outbox import DEAD_KEPT_MS
from jobd.store.retention import Expiries

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

    from jobd.domain.deliveries import DeliveryView
    from tests.store.conftest import Store

ME = "uid:1000"
ORIGIN = "https://example.com"
CALLBACK: dict[str, Any] = {"callback_url": f"{ORIGIN}/", "callback_events": ("job.completed",)}
MINE = DeliveryFilter(principal=ME)

DEAD, DONE, PENDING = DeliveryStatus.DEAD, DeliveryStatus.SUCCEEDED, DeliveryStatus.PENDING


class Told:
    """Who was said to have something due."""

    def __init__(self) -> None:
        self.receivers: set[str] = set()

    def due(self, receivers: Collection[str]) -> None:
        self.receivers |= set(receivers)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def log(store: Store, told: Told) -> DeliveryLog:
    return DeliveryLog(store.database, store.clock, due=told.due)


@pytest.fixture
def deliveries(store: Store) -> Deliveries:
    return Deliveries(store.database, store.clock)


async def end(
    store: Store,
    view: DeliveryView,
    status: DeliveryStatus = DEAD,
    reason: DeadReason | None = "exhausted",
) -> None:
    """Have the next attempt of a delivery end it."""
    one = view.delivery
    attempt = DeliveryAttempt(one.attempt_count + 1, store.clock.ms, 5, 500, "http_status", "no")
    verdict = Verdict(status, dead_reason=reason if status is DEAD else None)
    deliveries = Deliveries(store.database, store.clock)
    await deliveries.record([Attempted(one.delivery_id, attempt, verdict)])


async def dead(store: Store, log: DeliveryLog, **new: Any) -> DeliveryView:
    """Return the dead letter of a new job's callback."""
    await store.settled(Status.COMPLETED, new=CALLBACK | new)
    (newest,) = await log.page(MINE, None, 1)
    await end(store, newest)
    return await log.one(ME, newest.delivery.delivery_id)


async def test_a_list_is_newest_first_and_goes_on_where_it_ended(
    store: Store, log: DeliveryLog
) -> None:
    jobs = [await store.settled(Status.COMPLETED, new=CALLBACK) for _ in range(5)]
    views = await log.page(MINE, None, 10)
    await end(store, views[1])
    await end(store, views[2], DONE)

    first = await log.page(MINE, None, 3)
    rest = await log.page(MINE, first[-1].delivery.delivery_id, 3)

    assert [one.job_id for one in first + rest] == [job.job_id for job in reversed(jobs)]
    assert [len(one.attempts) for one in first + rest] == [0, 1, 1, 0, 0]


async def test_a_list_shows_what_fits_all_that_is_said(store: Store, log: DeliveryLog) -> None:
    endpoint = await store.endpoint()
    early = await store.settled(Status.COMPLETED)
    store.clock.advance(1)
    late = await store.settled(Status.COMPLETED, new=CALLBACK)
    await store.settled(Status.COMPLETED, new=CALLBACK | {"principal": "another"})

    async def shown(**said: Any) -> list[tuple[str | None, str | None]]:
        views = await log.page(DeliveryFilter(principal=ME, **said), None, 10)
        return [(one.job_id, one.delivery.endpoint_id) for one in views]

    registered = endpoint.endpoint_id
    all_ = [(late.job_id, registered), (late.job_id, None), (early.job_id, registered)]
    assert await shown() == all_
    assert await shown(endpoint_id=registered) == [all_[0], all_[2]]
    assert await shown(job_id=late.job_id) == all_[:2]
    assert await shown(job_id=late.job_id, endpoint_id=registered) == all_[:1]
    assert await shown(since_ms=store.clock.ms) == all_[:2]
    assert await shown(since_ms=store.clock.ms + 1) == []
    assert await shown(status=PENDING) == all_
    assert await shown(status=DEAD) == await shown(job_id="job_gone") == []


async def test_one_has_all_of_its_attempts(store: Store, log: DeliveryLog) -> None:
    letter = await dead(store, log)
    await log.redeliver(MINE)
    await end(store, await log.one(ME, letter.delivery.delivery_id), DONE)

    view = await log.one(ME, letter.delivery.delivery_id)

    assert view.type == "job.completed"
    assert [one.attempt for one in view.attempts] == [1, 2]
    assert view.attempts[0] == DeliveryAttempt(1, store.clock.ms, 5, 500, "http_status", "no")


async def test_of_others_nothing_is_shown_or_redelivered(store: Store, log: DeliveryLog) -> None:
    delivery_id = (await dead(store, log)).delivery.delivery_id

    for asked in (log.one("another", delivery_id), log.redeliver_one("another", delivery_id)):
        with pytest.raises(JobdError) as refused:
            await asked
        assert refused.value.code == "delivery_not_found"
    assert await log.redeliver(DeliveryFilter(principal="another")) == 0


async def test_of_all_nothing_is_left_out(store: Store, log: DeliveryLog) -> None:
    everybodys = DeliveryFilter(principal=None)
    mine = await dead(store, log)
    endpoint = await store.endpoint(principal="another")
    await store.settled(Status.COMPLETED, new={"principal": "another"})
    to_it = DeliveryFilter(principal=None, endpoint_id=endpoint.endpoint_id)
    of_job = DeliveryFilter(principal=None, job_id=mine.job_id)

    theirs, first = await log.page(everybodys, None, 10)
    (second,) = await log.page(everybodys, theirs.delivery.delivery_id, 10)

    assert first == second == mine
    assert [theirs.delivery.principal, *await log.page(to_it, None, 10)] == ["another", theirs]
    assert await log.page(of_job, None, 10) == [mine]
    assert await log.one(None, theirs.delivery.delivery_id) == theirs
    assert await log.redeliver(everybodys) == 1


async def test_anothers_endpoint_is_not_walked_through(store: Store, log: DeliveryLog) -> None:
    endpoint = await store.endpoint()
    await store.settled(Status.COMPLETED)
    ran: list[str] = []

    def trace(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(ran.append)

    # both readers at once, else it would be the same one twice
    await asyncio.gather(store.database.read(trace), store.database.read(trace))
    ran.clear()
    asked = DeliveryFilter(principal="another", endpoint_id=endpoint.endpoint_id)

    assert await log.page(asked, None, 10) == []
    assert not any("ORDER BY" in statement and "receiver =" in statement for statement in ran)
    assert any("LIMIT 1" in statement for statement in ran)


@pytest.mark.parametrize("endpoint_id", ["whe_", ORIGIN, ""])
async def test_what_is_no_endpoint_has_no_deliveries(
    store: Store, log: DeliveryLog, endpoint_id: str
) -> None:
    await dead(store, log)

    for principal in (ME, None):
        asked = DeliveryFilter(principal=principal, endpoint_id=endpoint_id)
        assert await log.page(asked, None, 10) == []


async def test_a_dead_letter_begins_anew_as_the_same_message(
    store: Store, log: DeliveryLog, told: Told, deliveries: Deliveries
) -> None:
    letter = (await dead(store, log)).delivery
    store.clock.advance(60)

    await log.redeliver_one(ME, letter.delivery_id)

    (due,) = await deliveries.due(ORIGIN, 10, ())
    again = due.delivery
    assert (again.message_id, again.status, again.dead_reason) == (letter.message_id, PENDING, None)
    assert (again.attempt_count, again.earlier_attempts) == (1, 1)
    assert again.begun_at_ms == again.next_attempt_at_ms == store.clock.ms
    assert told.receivers == {ORIGIN}


async def test_what_is_under_way_is_not_redelivered(store: Store, log: DeliveryLog) -> None:
    await store.settled(Status.COMPLETED, new=CALLBACK)
    (view,) = await log.page(MINE, None, 1)

    with pytest.raises(JobdError) as refused:
        await log.redeliver_one(ME, view.delivery.delivery_id)

    assert refused.value.code == "delivery_active"
    assert await log.redeliver(DeliveryFilter(principal=ME, status=PENDING)) == 0


@pytest.mark.parametrize(("status", "count"), [(None, 1), (DEAD, 1), (DONE, 2)])
async def test_what_fits_is_redelivered(
    store: Store, log: DeliveryLog, status: DeliveryStatus | None, count: int
) -> None:
    for ended in (DEAD, DONE, DONE):
        await store.settled(Status.COMPLETED, new=CALLBACK)
        await end(store, (await log.page(MINE, None, 1))[0], ended)

    begun = await log.redeliver(DeliveryFilter(principal=ME, status=status))

    assert begun == count
    assert len(await log.page(DeliveryFilter(principal=ME, status=PENDING), None, 9)) == count


async def test_all_are_redelivered_by_the_slice(store: Store, log: DeliveryLog) -> None:
    jobs = [
        store.new_job(**CALLBACK | {"callback_events": ("job.queued",)}) for _ in range(SLICE + 1)
    ]
    await store.together(*map(store.writer.submit, jobs))
    await Deliveries(store.database, store.clock).kill(ORIGIN, "exhausted")

    assert await log.redeliver(MINE) == SLICE + 1


@pytest.mark.parametrize("gone", [True, False])
async def test_nothing_is_redelivered_to_whom_it_would_not_reach(
    store: Store, log: DeliveryLog, *, gone: bool
) -> None:
    endpoint_id = (await store.endpoint()).endpoint_id
    await store.settled(Status.COMPLETED)
    (view,) = await log.page(MINE, None, 1)
    await end(store, view)
    if gone:
        await store.writer.remove_endpoint(EndpointRemoval(endpoint_id, ME))
    else:
        await store.writer.change_endpoint(
            EndpointChange(endpoint_id=endpoint_id, principal=ME, enabled=False)
        )

    with pytest.raises(JobdError) as refused:
        await log.redeliver_one(ME, view.delivery.delivery_id)

    assert refused.value.code == ("endpoint_not_found" if gone else "endpoint_disabled")
    assert await log.redeliver(MINE) == 0


async def test_a_dead_letter_outlives_its_job(
    store: Store, log: DeliveryLog, deliveries: Deliveries
) -> None:
    await store.endpoint()
    claim = await store.settled(Status.COMPLETED, new=CALLBACK)
    arrived, letter = await log.page(MINE, None, 9)
    await deliveries.save_bodies([Body(letter.delivery.message_id, "notice", b"{}")])
    await end(store, arrived, DONE)
    await end(store, letter)

    await store.writer.retire_jobs([claim.seq])

    (kept,) = await log.page(MINE, None, 9)
    assert kept.job_id == claim.job_id
    assert kept.delivery.delivery_id == letter.delivery.delivery_id
    await log.redeliver_one(ME, letter.delivery.delivery_id)
    (due,) = await deliveries.due(ORIGIN, 10, ())
    assert (due.message.seq, due.message.body) == (0, b"{}")


async def test_what_was_never_sent_goes_with_its_job(
    store: Store, log: DeliveryLog, deliveries: Deliveries
) -> None:
    claim = await store.settled(Status.COMPLETED, new=CALLBACK)
    await deliveries.kill(ORIGIN, "endpoint_disabled")

    await store.writer.retire_jobs([claim.seq])

    assert await log.page(MINE, None, 9) == []


async def test_who_deletes_a_job_deletes_its_dead_letters(store: Store, log: DeliveryLog) -> None:
    letter = await dead(store, log)
    assert letter.job_id is not None

    await store.writer.delete(letter.job_id)

    assert await log.page(MINE, None, 9) == []


async def test_what_is_about_no_job_goes_when_its_time_is_over(
    store: Store, log: DeliveryLog
) -> None:
    message = Outright(type="webhook.test", body=b"{}", principal=ME, url=ORIGIN)
    await store.writer.tell(message)
    await end(store, (await log.page(MINE, None, 1))[0])
    expiries = Expiries(store.database)
    over_ms = store.clock.ms + DEAD_KEPT_MS
    store.clock.advance(DEAD_KEPT_MS / 1000 - 0.001)
    before = await store.writer.retire_keys(10)
    assert await expiries.next_ms() == over_ms

    store.clock.advance(0.001)
    looked = await store.writer.retire_keys(10)

    assert (before.keys, looked.keys) == (0, 1)
    for table in ("messages", "deliveries", "delivery_attempts"):
        assert await store.query(f"SELECT * FROM {table}") == []  # noqa: S608 - ours
    assert await expiries.next_ms() is None


async def test_a_page_costs_the_same_however_many_there_are(store: Store, log: DeliveryLog) -> None:
    """Counted in steps of SQLite's machine."""

    async def steps(wanted: DeliveryFilter) -> int:
        async with store.counting_steps() as counted:
            await log.page(wanted, None, 5)
        return len(counted)

    async def add(number: int) -> None:
        jobs = [
            store.new_job(**CALLBACK | {"callback_events": ("job.queued",)}) for _ in range(number)
        ]
        await store.together(*map(store.writer.submit, jobs))

    filters = [
        MINE,
        DeliveryFilter(principal=ME, status=DEAD),
        DeliveryFilter(principal=ME, since_ms=1),
    ]
    await add(20)
    few = [await steps(wanted) for wanted in filters]
    await add(2000)

    many = [await steps(wanted) for wanted in filters]
    assert min(few) > 10
    assert all(now <= before * 1.05 for before, now in zip(few, many, strict=True))
