"""The writer itself: batches, bad items, a full disk, I/O errors, the end."""

from __future__ import annotations

import asyncio
import logging
import resource
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.errors import OutcomeUnknown, StorageFull, Unavailable
from jobd.domain.jobs import Settlement, Submitted
from jobd.domain.statuses import Status
from jobd.store.group_commit import CHECKPOINT_PAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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


async def test_a_full_disk_refuses_and_passes(store: Store) -> None:
    async def allow(pages: int) -> None:
        sql = f"PRAGMA max_page_count = {pages}"
        await store.database.run(lambda c: c.execute(sql).fetchall())

    first = await store.submit()
    await allow(1)

    with pytest.raises(StorageFull) as refused:
        await store.submit(args=b'"' + b"x" * 100_000 + b'"')
    await allow(1_000_000)
    second = await store.submit()

    assert refused.value.code == "storage_full"
    assert second.seq == first.seq + 1
    assert await store.query("SELECT seq FROM jobs") == [(first.seq,), (second.seq,)]
    assert store.seen.deaths == []


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
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(answer) for answer in answers] == [OutcomeUnknown] * 3
    (death,) = store.seen.deaths
    assert isinstance(death, sqlite3.OperationalError)
    assert death.sqlite_errorname.startswith("SQLITE_IOERR")
    assert "The writer has died." in caplog.text
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


async def test_a_lock_held_by_another_program_is_waited_for(store: Store, path: Path) -> None:
    warned = asyncio.Event()

    class Warned(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warned.set()

    handler = Warned(logging.WARNING)
    logging.getLogger("jobd.store.group_commit").addHandler(handler)
    await store.database.run(lambda c: c.execute("PRAGMA busy_timeout = 1").fetchall())
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    asked = asyncio.ensure_future(store.submit())
    await warned.wait()
    other.execute("COMMIT")
    submitted = await asked

    other.close()
    logging.getLogger("jobd.store.group_commit").removeHandler(handler)
    assert isinstance(submitted, Submitted)


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
