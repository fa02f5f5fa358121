"""The writer itself: batches, bad items, locks of others, I/O errors, the end."""

from __future__ import annotations

import asyncio
import resource
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.errors import NotFound, OutcomeUnknown, Unavailable
from jobd.domain.jobs import Settlement, Submitted
from jobd.domain.statuses import Status
from jobd.store.group_commit import LOCK_PATIENCE_S
from jobd.store.waiting import MAX_WAITING_BYTES
from jobd.store.wal import CHECKPOINT_PAGES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from jobd.store.database import Database
    from jobd.store.writer import Writer
    from tests.store.conftest import NewJobs, OpenStore, Seen, Store


async def test_nobody_is_answered_before_the_commit(store: Store, path: Path) -> None:
    """What an answer says is there for another connection at the moment of the answer."""
    other = sqlite3.connect(path)
    found: list[Any] = []
    asked = asyncio.ensure_future(store.submit())
    asked.add_done_callback(lambda _: found.extend(other.execute("SELECT seq FROM jobs")))

    submitted = await asked
    other.close()

    assert found == [(submitted.seq,)]
    assert [event.seq for event in store.seen.events] == [submitted.seq]


async def test_an_item_that_cannot_be_written_gets_its_error_alone(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    first = await store.submit()
    twin = store.new_job(job_id=first.job_id)
    unspeakable = store.new_job(kind=chr(0xD800))
    good = [store.new_job(), store.new_job(key="k")]

    refused, one, unsaid, two = await store.together(
        *map(store.writer.submit, [twin, good[0], unspeakable, good[1]])
    )

    assert isinstance(refused, sqlite3.IntegrityError)
    assert isinstance(unsaid, UnicodeEncodeError)
    assert [one.job_id, two.job_id] == [job.job_id for job in good]
    assert [e.seq for e in store.seen.events] == [first.seq, one.seq, two.seq]
    assert "this is a bug" in caplog.text
    assert store.seen.deaths == []


async def test_a_bad_settlement_spoils_no_claim_and_no_submission(store: Store) -> None:
    claim = await store.running()
    bad = Settlement(claim.seq, claim.token, Status.COMPLETED, evidence={"x": object()})
    new = store.new_job()

    error, submitted = await store.together(
        store.writer.settle(bad), store.writer.submit(new), free=1
    )

    assert isinstance(error, TypeError)
    assert submitted.job_id == new.job_id
    assert store.seen.claims[-1].job_id == new.job_id
    assert (await store.job(claim.job_id)).status is Status.PROCESSING


async def test_a_move_that_the_guard_refuses_is_an_error_of_its_item(store: Store) -> None:
    claim = await store.running(run_at_ms=1)

    with pytest.raises(sqlite3.IntegrityError, match="cannot make that move"):
        await store.settle(claim, Status.SCHEDULED)

    assert (await store.job(claim.job_id)).status is Status.PROCESSING


@pytest.fixture
def fail_disk(path: Path) -> Iterator[Callable[[], None]]:
    """Let no file grow beyond the WAL as it is: the next commit's write fails with EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fail() -> None:
        size_bytes = path.with_name("jobd.db-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))

    yield fail
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_after_an_io_error_nothing_is_vouched_for_any_more(
    store: Store, fail_disk: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    claim = await store.running()
    settlement = Settlement(claim.seq, claim.token, Status.COMPLETED)

    async with store.busy():
        asked = (store.submit(), store.writer.settle(settlement), store.writer.promote())
        tasks = [asyncio.ensure_future(one) for one in asked]
        await asyncio.wait(tasks, timeout=0)
        fail_disk()
        published = list(store.seen.events)
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(answer) for answer in answers] == [OutcomeUnknown] * 3
    assert store.seen.events == published
    (death,) = store.seen.deaths
    assert isinstance(death, sqlite3.OperationalError)
    assert death.sqlite_errorname.startswith("SQLITE_IOERR")
    assert "The writer has died." in caplog.text
    assert store.writer.condition == "dead"
    with pytest.raises(Unavailable):
        await store.submit()


async def test_a_writer_that_dies_of_a_bug_fails_all_who_wait(
    database: Database, open_writer: Callable[..., Writer], seen: Seen, new_job: NewJobs
) -> None:
    writer = open_writer(database)
    await writer.start()
    seen.free.update({"gpu": 1})  # type: ignore[dict-item]  # a lane that nobody knows

    with pytest.raises(OutcomeUnknown):
        await writer.submit(new_job())

    await writer.close()
    assert [type(death) for death in seen.deaths] == [KeyError]


class Lock:
    """The database's write lock, held by another connection; every try gives up at once."""

    def __init__(self, path: Path) -> None:
        self._other = sqlite3.connect(path, isolation_level=None)

    async def hold(self, store: Store) -> None:
        await store.database.run(lambda c: c.execute("PRAGMA busy_timeout = 1").fetchall())
        self._other.execute("BEGIN IMMEDIATE")

    async def tried(self, store: Store) -> None:
        """Wait until the writer has found it held."""
        store.clock.read.clear()
        await store.clock.read.wait()  # read for every batch, so the one before is over

    def give(self) -> None:
        self._other.execute("COMMIT")

    def close(self) -> None:
        self._other.close()


@pytest.fixture
async def lock(store: Store, path: Path) -> AsyncIterator[Lock]:
    lock = Lock(path)
    await lock.hold(store)
    yield lock
    lock.close()


async def test_a_lock_held_by_another_program_is_waited_for(
    store: Store, lock: Lock, caplog: pytest.LogCaptureFixture
) -> None:
    asked = asyncio.ensure_future(store.submit())
    for _ in range(3):
        await lock.tried(store)
    condition = store.writer.condition
    lock.give()

    assert isinstance(await asked, Submitted)
    assert (condition, store.writer.condition) == ("locked", "ok")
    assert caplog.text.count("Another program holds the database's lock") == 1


async def test_a_submission_that_waited_too_long_for_a_lock_is_refused_alone(
    store: Store, lock: Lock
) -> None:
    old, cancel = asyncio.ensure_future(store.submit()), asyncio.ensure_future(cancel_none(store))
    await lock.tried(store)
    store.clock.advance(LOCK_PATIENCE_S)
    young = asyncio.ensure_future(store.submit())

    with pytest.raises(Unavailable) as refused:
        await old
    lock.give()
    written = await young

    assert (refused.value.code, refused.value.retryable) == ("database_busy", True)
    assert await store.query("SELECT seq FROM jobs") == [(written.seq,)]
    assert isinstance(await cancel, NotFound)


async def cancel_none(store: Store) -> NotFound:
    with pytest.raises(NotFound) as refused:
        await store.writer.cancel("job_none")
    return refused.value


async def test_a_lock_does_not_keep_the_writer_from_closing(store: Store, lock: Lock) -> None:
    asked = [asyncio.ensure_future(store.submit()), asyncio.ensure_future(store.writer.promote())]
    await lock.tried(store)

    await store.writer.close()

    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable, Unavailable]


async def test_waiting_submissions_are_bounded_in_number_and_in_bytes(
    path: Path, open_store: OpenStore, new_job: NewJobs
) -> None:
    async with open_store(path, max_waiting=2) as store:
        many = await store.together(*(store.submit() for _ in range(3)))
    large = new_job(args=bytes(MAX_WAITING_BYTES))
    async with open_store(path) as store:
        heavy = await store.together(store.writer.submit(large), store.submit())

    assert [type(answer) for answer in many] == [Submitted, Submitted, Unavailable]
    assert heavy[1].code == "queue_full"


async def test_close_writes_what_waits_and_claims_nothing(
    path: Path, open_store: OpenStore, seen: Seen
) -> None:
    async with open_store(path) as store:
        async with store.busy():
            tasks = [asyncio.create_task(store.submit()) for _ in range(3)]
            closing = asyncio.create_task(store.writer.close())
            await asyncio.wait([*tasks, closing], timeout=0)
            seen.free["cpu"] = 3
        await closing
        submitted = await asyncio.gather(*tasks)
        with pytest.raises(Unavailable):
            await store.submit()

        assert await store.query("SELECT seq FROM jobs") == [(one.seq,) for one in submitted]
        assert seen.claims == []


async def test_more_than_a_thousand_waiting_submissions_are_several_commits(
    store: Store,
) -> None:
    jobs = [store.new_job() for _ in range(1001)]

    ran = await store.statements(*map(store.writer.submit, jobs))

    assert ran.count("BEGIN IMMEDIATE") == 2
    assert await store.query("SELECT count(*) FROM jobs") == [(1001,)]


async def test_without_work_no_statement_runs(store: Store) -> None:
    """Slots are free, and the queue that had a job was found empty."""
    await store.settled(Status.COMPLETED)
    store.seen.free["cpu"] = 4
    await store.writer.promote()
    store.seen.free["cpu"] = 4
    traced: list[str] = []
    await store.database.run(lambda c: c.set_trace_callback(traced.append))

    for _ in range(3):
        store.writer.wake()
        # the loop's next turn, in which the writer looks and finds nothing to do
        await asyncio.wait([asyncio.ensure_future(store.readers.counts())])
    await store.database.run(lambda c: c.set_trace_callback(None))

    assert traced == ["COMMIT", "BEGIN IMMEDIATE"]  # of the two calls above


async def test_the_wal_is_folded_in_from_time_to_time(store: Store, path: Path) -> None:
    """Without it the WAL would hold every page that was ever written."""
    wal = path.with_name("jobd.db-wal")
    args = b'"' + b"x" * 200_000 + b'"'
    sizes = []
    for _ in range(80):
        await store.submit(args=args)
        sizes.append(wal.stat().st_size)

    assert 80 * len(args) > 3 * CHECKPOINT_PAGES * 4096
    assert max(sizes) < 2 * CHECKPOINT_PAGES * 4096
