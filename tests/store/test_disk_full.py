"""A full disk: what is refused, what is kept and written later, and how it ends."""

from __future__ import annotations

import asyncio
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.errors import NotFound, StorageFull
from jobd.domain.jobs import Checkpoint, Progress, Result, Submitted, Update, Upload
from jobd.domain.statuses import Status
from jobd.files.reserve import Reserve
from jobd.store.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tests.store.conftest import OpenStore, Store

BIG = b'"' + b"x" * 200_000 + b'"'
RESULT = Result("application/json", len(BIG), "0" * 64, BIG)


class Disk:
    """The reserve as the writer sees it; `roomy` says whether it can be had."""

    def __init__(self) -> None:
        self.roomy = True
        self.nearly_full = False
        self.did: list[str] = []
        self.when_given_up: Callable[[], None] = lambda: None

    def low(self) -> bool:
        return self.nearly_full

    def take(self) -> bool:
        self.did.append("take")
        return self.roomy

    def give_up(self) -> bool:
        self.did.append("give up")
        self.when_given_up()
        return True


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def store(path: Path, open_store: OpenStore, disk: Disk) -> AsyncIterator[Store]:
    async with open_store(path, ballast=disk, look_s=0.02) as store:
        yield store


async def allow(database: Database, pages: int) -> None:
    """Let the file have that many pages, or as many as it has."""
    sql = f"PRAGMA max_page_count = {pages}"
    await database.run(lambda connection: connection.execute(sql).fetchall())


async def fill(store: Store, disk: Disk) -> None:
    """Make the store read-only, with no page to spare."""
    await allow(store.database, 1)
    disk.roomy = False
    with pytest.raises(StorageFull):
        await store.submit(args=BIG)


async def empty(store: Store, disk: Disk) -> None:
    """Make room; return when the store has noticed."""
    await allow(store.database, 1_000_000)
    disk.roomy = True
    await store.writer.promote()  # waits for room


async def test_what_adds_is_refused_and_what_ends_is_written_later(
    store: Store, disk: Disk
) -> None:
    claim = await store.running()
    await allow(store.database, 1)
    disk.roomy = False

    submitted, settling = (
        asyncio.ensure_future(store.submit(args=BIG)),
        asyncio.ensure_future(store.settle(claim, Status.COMPLETED, result=RESULT)),
    )
    with pytest.raises(StorageFull) as refused:
        await submitted
    full = store.writer.storage_full, store.writer.condition
    assert not settling.done()
    await empty(store, disk)
    await settling

    assert (refused.value.code, refused.value.retryable) == ("storage_full", True)
    assert full == (True, "storage_full")
    assert (await store.job(claim.job_id)).status is Status.COMPLETED
    assert isinstance(await store.submit(args=BIG), Submitted)
    assert store.seen.deaths == []


async def test_the_reserve_is_given_up_and_what_ends_tried_again_at_once(
    path: Path, open_store: OpenStore, disk: Disk
) -> None:
    async with open_store(path, ballast=disk, look_s=3600) as store:
        loop = asyncio.get_running_loop()

        def make_room() -> None:
            asyncio.run_coroutine_threadsafe(allow(store.database, 1000), loop).result()

        disk.when_given_up = make_room
        claim = await store.running()
        await allow(store.database, 1)

        await store.settle(claim, Status.COMPLETED, result=RESULT)

        assert disk.did == ["take", "give up"]
        assert store.writer.storage_full


async def test_what_adds_is_refused_before_it_reaches_the_disk(store: Store, disk: Disk) -> None:
    claim = await store.running()
    old = await store.settled(Status.FAILED)
    await fill(store, disk)
    await allow(store.database, 1_000_000)
    adding = [
        store.submit(),
        store.writer.retry(old.job_id, "job_again"),
        store.writer.checkpoint(Checkpoint(claim.seq, claim.token, b"1")),
        store.writer.progress(Update(claim.seq, claim.token, Progress(done=1))),
        store.writer.add_upload(upload(store)),
    ]

    answers = await asyncio.gather(*adding, return_exceptions=True)

    assert [type(answer) for answer in answers] == [StorageFull] * len(adding)
    await store.writer.delete(old.job_id)
    await store.settle(claim, Status.COMPLETED)
    assert store.writer.storage_full


def upload(store: Store) -> Upload:
    return Upload(
        file_id="file_1",
        principal="uid:1000",
        size_bytes=1,
        sha256="0" * 64,
        created_at_ms=store.clock.ms,
        expires_at_ms=store.clock.ms + 1000,
    )


async def test_nothing_is_claimed_until_there_is_room(store: Store, disk: Disk) -> None:
    await store.submit()
    await fill(store, disk)
    store.seen.free["cpu"] = 1
    store.writer.wake()
    with pytest.raises(NotFound):
        await store.writer.cancel("job_none")  # written, so the disk is not what it waits for
    assert store.seen.claims == []

    await empty(store, disk)
    await store.seen.claim_made.wait()

    assert len(store.seen.claims) == 1


async def test_below_the_floor_the_store_is_read_only_and_keeps_its_reserve(
    store: Store, disk: Disk
) -> None:
    disk.nearly_full, disk.roomy = True, False
    await store.submit()  # the disk is looked at only once a second
    store.clock.advance(1)

    with pytest.raises(StorageFull):
        await store.submit()
    disk.nearly_full = False
    await empty(store, disk)

    assert isinstance(await store.submit(), Submitted)
    assert "give up" not in disk.did


async def test_without_its_reserve_the_store_starts_read_only(
    path: Path, open_store: OpenStore, disk: Disk
) -> None:
    disk.roomy = False
    async with open_store(path, ballast=disk, look_s=0.02) as store:
        with pytest.raises(StorageFull):
            await store.submit()
        await empty(store, disk)

        assert isinstance(await store.submit(), Submitted)


async def test_what_fits_is_written_though_something_larger_does_not(
    store: Store, disk: Disk
) -> None:
    """A delete behind a large result frees the room that the result needs."""
    small, large = await store.running(), await store.running()
    await fill(store, disk)

    settled = asyncio.ensure_future(store.settle(small, Status.COMPLETED))
    stuck = asyncio.ensure_future(store.settle(large, Status.COMPLETED, result=RESULT))
    await settled

    assert not stuck.done()
    await empty(store, disk)
    await stuck


async def test_a_full_disk_does_not_keep_the_writer_from_closing(store: Store, disk: Disk) -> None:
    claim = await store.running()
    await fill(store, disk)
    asked: list[asyncio.Future[Any]] = [
        asyncio.ensure_future(store.settle(claim, Status.COMPLETED, result=RESULT)),
        asyncio.ensure_future(store.writer.promote()),
        asyncio.ensure_future(store.settle(claim, Status.COMPLETED)),
    ]
    await asyncio.wait(asked, timeout=0)

    await store.writer.close()

    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [getattr(answer, "code", None) for answer in answers] == [
        "storage_full",
        "starting",
        None,
    ]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.needs("root", "mount")
async def test_a_disk_that_others_have_filled(small_disk: Path, open_store: OpenStore) -> None:
    reserve = Reserve(small_disk / "reserve", min_free_bytes=0, size_bytes=1_000_000)
    async with open_store(small_disk / "jobd.db", ballast=reserve, look_s=0.02) as store:
        claim = await store.running()
        with pytest.raises(OSError, match="No space left"):
            (small_disk / "filler").write_bytes(bytes(4_000_000))

        with pytest.raises(StorageFull):
            await store.submit(args=BIG)
        await store.settle(claim, Status.COMPLETED, result=RESULT)
        given_up = not (small_disk / "reserve").exists()
        (small_disk / "filler").unlink()
        await store.writer.promote()

        assert given_up
        assert isinstance(await store.submit(args=BIG), Submitted)
        assert (small_disk / "reserve").stat().st_size == 1_000_000
        assert (await store.job(claim.job_id)).status is Status.COMPLETED


@pytest.mark.needs("root", "mount")
async def test_the_reserve_lets_a_store_start_on_a_full_disk(small_disk: Path) -> None:
    path = small_disk / "jobd.db"
    reserve = Reserve(small_disk / "reserve", min_free_bytes=0, size_bytes=1_000_000)
    reserve.take()
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(bytes(4_000_000))

    with pytest.raises(OSError, match=r"jobd\.db: "):
        await Database.open(path)
    database = await Database.open(path, make_room=reserve.give_up)

    await database.close()
    assert not (small_disk / "reserve").exists()
