"""Retention: what has expired goes, what is needed stays, and nobody looks at it twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.deliveries import Attempted, DeliveryAttempt, DeliveryStatus, Verdict
from jobd.domain.errors import Gone
from jobd.domain.jobs import Upload
from jobd.domain.statuses import Status
from jobd.store.deliveries import Deliveries
from jobd.store.retention import FIRST, Expiries
from jobd.store.space import give_back, live_bytes
from jobd.store.uploads import Owned

if TYPE_CHECKING:
    import sqlite3

    from jobd.domain.jobs import Claim
    from tests.store.conftest import Store
    from tests.support.clock import FakeClock

ME, OTHER = "uid:1000", "uid:2"
SHA256 = "ab" * 32
FILE_ID = f"file_{SHA256}"
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
CALLBACK = {"callback_url": "https://example.com/", "callback_events": ("job.completed",)}


async def over(store: Store, **new: Any) -> Claim:
    """Run a new job to its end."""
    return await store.settled(Status.COMPLETED, new=new)


async def tell(store: Store) -> None:
    """Have what is due delivered."""
    deliveries = Deliveries(store.database, store.clock)
    attempt = DeliveryAttempt(1, store.clock.ms, 1, 204)
    verdict = Verdict(DeliveryStatus.SUCCEEDED)
    due = await deliveries.due("https://example.com", 10, ())
    await deliveries.record([Attempted(one.delivery.delivery_id, attempt, verdict) for one in due])


async def test_those_that_expire_first_come_first(store: Store) -> None:
    late, early, middle = [await over(store, retention_ms=ms) for ms in (9000, 1000, 5000)]
    await store.running()

    found = await Expiries(store.database).jobs(FIRST, 10)

    assert [one.seq for one in found] == [early.seq, middle.seq, late.seq]
    assert [one.expires_at_ms - store.clock.ms for one in found] == [1000, 5000, 9000]
    assert {one.unsettled for one in found} == {False}


async def test_a_look_goes_on_where_the_one_before_has_ended(store: Store) -> None:
    claims = [await over(store) for _ in range(5)]  # all of one millisecond
    expiries = Expiries(store.database)

    seqs, place = list[int](), FIRST
    while page := await expiries.jobs(place, 2):
        seqs += [one.seq for one in page]
        place = page[-1].place

    assert seqs == [claim.seq for claim in claims]


async def test_a_retired_job_is_gone_with_all_that_was_stored_of_it(store: Store) -> None:
    claim, other = await over(store, key="k"), await over(store)

    retired = await store.writer.retire_jobs([claim.seq])

    assert retired.job_ids == [claim.job_id]
    assert await store.readers.get(claim.job_id) is None
    assert await store.query("SELECT DISTINCT seq FROM events") == [(other.seq,)]
    assert await store.query("SELECT seq FROM job_inputs") == [(other.seq,)]
    with pytest.raises(Gone):
        await store.submit(key="k")


async def test_only_what_is_over_is_retired(store: Store) -> None:
    waits, runs = await store.submit(queue="other", lane="io"), await store.running()

    retired = await store.writer.retire_jobs([waits.seq, runs.seq, 999])

    assert retired.job_ids == []
    assert await store.query("SELECT count(*) FROM jobs") == [(2,)]


async def test_a_job_stays_until_its_callbacks_are_told(store: Store) -> None:
    claim = await over(store, **CALLBACK)
    expiries = Expiries(store.database)

    (before,) = await expiries.jobs(FIRST, 10)
    spared = await store.writer.retire_jobs([claim.seq])
    await tell(store)
    (after,) = await expiries.jobs(FIRST, 10)
    retired = await store.writer.retire_jobs([claim.seq])

    assert (before.unsettled, after.unsettled) == (True, False)
    assert (spared.job_ids, retired.job_ids) == ([], [claim.job_id])
    assert await store.query("SELECT count(*) FROM deliveries") == [(0,)]


async def test_many_jobs_are_a_few_statements(store: Store) -> None:
    seqs = [(await over(store)).seq for _ in range(20)]

    ran = await store.statements(store.writer.retire_jobs(seqs))

    assert len(ran) - 2 <= 13


async def test_a_key_outlives_its_job_and_goes_when_both_are_over(
    store: Store, clock: FakeClock
) -> None:
    claim = await over(store, key="k", retention_ms=3 * DAY_MS)
    clock.advance(2 * 86_400)
    kept = await store.writer.retire_keys(10)
    next_ms = await Expiries(store.database).next_ms()
    await store.writer.retire_jobs([claim.seq])
    clock.advance(86_400)
    gone = await store.writer.retire_keys(10)

    assert (kept.keys, gone.keys) == (1, 1)
    assert next_ms == clock.ms
    assert await store.query("SELECT count(*) FROM idempotency") == [(0,)]
    assert not (await store.submit(key="k")).replayed


async def test_a_key_whose_job_still_runs_is_not_looked_at_again_for_a_day(
    store: Store, clock: FakeClock
) -> None:
    await store.running(key="k")
    clock.advance(2 * 86_400)

    looked = [(await store.writer.retire_keys(10)).keys for _ in range(2)]

    assert looked == [1, 0]
    assert await Expiries(store.database).next_ms() == clock.ms + DAY_MS


async def test_keys_are_looked_at_in_slices(store: Store, clock: FakeClock) -> None:
    for n in range(5):
        claim = await over(store, key=f"k{n}")
        await store.writer.retire_jobs([claim.seq])
    clock.advance(2 * 86_400)

    assert [(await store.writer.retire_keys(2)).keys for _ in range(4)] == [2, 2, 1, 0]


async def test_a_wall_clock_that_has_jumped_takes_no_key(store: Store, clock: FakeClock) -> None:
    claim = await over(store, key="k")
    await store.writer.retire_jobs([claim.seq])
    clock.trusted = clock.ms
    clock.jump(365 * 86_400)

    assert (await store.writer.retire_keys(10)).keys == 0


def upload(store: Store, principal: str = ME) -> Upload:
    return Upload(FILE_ID, principal, 3, SHA256, store.clock.ms, store.clock.ms + DAY_MS)


async def expired(store: Store) -> list[Owned]:
    return await Expiries(store.database).uploads(store.clock.trusted_ms(), 10)


async def test_an_upload_that_no_job_names_goes_after_its_time(
    store: Store, clock: FakeClock
) -> None:
    await store.writer.add_upload(upload(store))

    early = await store.writer.retire_upload(Owned(FILE_ID, ME))
    clock.advance(86_400)
    found = await expired(store)
    unclaimed = await store.writer.retire_upload(Owned(FILE_ID, ME))

    assert (early, found, unclaimed) == (False, [Owned(FILE_ID, ME)], True)
    assert await store.readers.upload(FILE_ID, ME) is None


async def test_a_file_stays_while_another_claims_it(store: Store, clock: FakeClock) -> None:
    await store.writer.add_upload(upload(store))
    clock.advance(43_200)
    await store.writer.add_upload(upload(store, OTHER))
    clock.advance(43_200)

    assert not await store.writer.retire_upload(Owned(FILE_ID, ME))
    assert await store.readers.upload(FILE_ID, OTHER) is not None


async def test_two_claims_retired_in_one_batch_set_the_file_free(
    store: Store, clock: FakeClock
) -> None:
    for principal in (ME, OTHER):
        await store.writer.add_upload(upload(store, principal))
    clock.advance(86_400)

    free = await store.together(
        *(store.writer.retire_upload(Owned(FILE_ID, p)) for p in (ME, OTHER))
    )

    assert free == [True, True]


@pytest.mark.parametrize(
    ("status", "kept_ms"),
    [(Status.COMPLETED, 7 * DAY_MS), (Status.RETRYING, 3 * DAY_MS)],
    ids=["over", "not over"],
)
async def test_an_upload_lives_as_long_as_the_job_that_names_it(
    store: Store, clock: FakeClock, status: Status, kept_ms: int
) -> None:
    await store.writer.add_upload(upload(store))
    began_ms = clock.ms
    new = {"files": (FILE_ID,), "retention_ms": 7 * DAY_MS}
    claim = await store.settled(status, new=new, delay_ms=30 * DAY_MS)
    clock.advance(2 * 86_400)

    unclaimed = await store.writer.retire_upload(Owned(FILE_ID, ME))
    stored = await store.readers.upload(FILE_ID, ME)

    assert not unclaimed
    assert stored is not None
    assert stored.expires_at_ms == began_ms + kept_ms
    assert await expired(store) == []
    assert (await store.job(claim.job_id)).status is status


async def test_another_principals_job_keeps_no_claim(store: Store, clock: FakeClock) -> None:
    for principal in (ME, OTHER):
        await store.writer.add_upload(upload(store, principal))
    await over(store, files=(FILE_ID,), principal=OTHER, retention_ms=7 * DAY_MS)
    clock.advance(86_400)

    await store.together(*(store.writer.retire_upload(Owned(FILE_ID, p)) for p in (ME, OTHER)))

    assert await store.readers.upload(FILE_ID, ME) is None
    assert await store.readers.upload(FILE_ID, OTHER) is not None


async def test_a_job_that_names_the_upload_in_the_same_batch_keeps_it(
    store: Store, clock: FakeClock
) -> None:
    await store.writer.add_upload(upload(store))
    clock.advance(86_400)

    unclaimed, submitted = await store.together(
        store.writer.retire_upload(Owned(FILE_ID, ME)), store.submit(files=(FILE_ID,))
    )

    assert not unclaimed
    assert await store.query("SELECT seq FROM job_files") == [(submitted.seq,)]
    assert await store.readers.upload(FILE_ID, ME) is not None


def fill(connection: sqlite3.Connection) -> None:
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
        " INSERT INTO job_inputs (seq, metadata, args) SELECT i, '{}', zeroblob(8000) FROM n"
    )


async def test_pages_are_given_back_when_much_of_the_file_is_free(store: Store) -> None:
    await store.database.run(fill)
    full = await store.database.sizes()
    kept = await give_back(store.database)
    await store.database.run(lambda connection: connection.execute("DELETE FROM job_inputs"))
    live = await live_bytes(store.database)

    given = await give_back(store.database)

    sizes = await store.database.sizes()
    assert kept == 0
    assert given > 3500
    assert sizes.page_count == full.page_count - given
    assert await live_bytes(store.database) <= live
    assert await give_back(store.database) == 0
