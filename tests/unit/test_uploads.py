"""Receiving a file: complete and durable under its content's name, or nothing at all."""

from __future__ import annotations

import asyncio
import hashlib
import resource
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobd.domain.errors import StorageFull, TooLarge, Unavailable
from jobd.files import uploads
from jobd.files.layout import Layout

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

LIMIT_BYTES = 10_000_000


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path)
    layout.make()
    return layout


async def arriving(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def receive(
    layout: Layout, *chunks: bytes, limit_bytes: int = LIMIT_BYTES
) -> uploads.Received:
    return await uploads.receive(arriving(chunks), layout, limit_bytes=limit_bytes)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(
    "chunks",
    [[], [b""], [b"abc"], [b"a", b"bc"] * 1000, [b"x" * 300_000] * 3, [b"y" * 1000] * 600],
    ids=["nothing", "empty", "small", "many small", "large", "gathered"],
)
async def test_what_arrives_is_placed_under_the_hash_of_its_content(
    layout: Layout, chunks: list[bytes]
) -> None:
    content = b"".join(chunks)
    sha256 = hashlib.sha256(content).hexdigest()

    received = await receive(layout, *chunks)
    uploads.place(received, layout)

    assert (received.file_id, received.sha256) == (f"file_{sha256}", sha256)
    assert received.size_bytes == len(content)
    assert uploads.path_of(layout, received.file_id).read_bytes() == content
    assert names(layout.uploads) == [f"{sha256[:2]}/{sha256}"]


async def test_until_it_is_placed_it_has_no_name(layout: Layout) -> None:
    received = await receive(layout, b"abc")

    assert received.path.parent == layout.incoming
    assert not uploads.path_of(layout, received.file_id).exists()


async def test_the_same_content_is_there_once(layout: Layout) -> None:
    for _ in range(2):
        received = await receive(layout, b"abc")
        uploads.place(received, layout)

    assert names(layout.uploads) == [uploads.relative_path(received.file_id)]


async def test_a_file_is_read_only_and_nobody_elses(layout: Layout) -> None:
    received = await receive(layout, b"abc")
    uploads.place(received, layout)

    path = uploads.path_of(layout, received.file_id)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o400, 0o700)


async def test_as_much_as_the_limit_is_taken(layout: Layout) -> None:
    received = await receive(layout, b"12345", b"67890", limit_bytes=10)

    assert received.size_bytes == 10


async def test_more_than_the_limit_is_refused_before_it_is_all_there(layout: Layout) -> None:
    taken: list[int] = []

    def endless() -> Iterator[bytes]:
        while True:
            taken.append(1)
            yield b"x" * 400_000

    with pytest.raises(TooLarge) as refused:
        await uploads.receive(arriving(endless()), layout, limit_bytes=1_000_000)

    assert (refused.value.code, len(taken)) == ("upload_too_large", 3)
    assert names(layout.uploads) == []


@pytest.fixture
def small_disk(layout: Layout) -> Iterator[Layout]:
    """One whose uploads arrive on a disk of 8 MiB."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(layout.incoming)]
    subprocess.run(mount, check=True)
    yield layout
    subprocess.run(["umount", layout.incoming], check=True)


@pytest.mark.needs("root")
async def test_the_last_of_the_disk_is_left_alone_also_while_it_arrives(
    small_disk: Layout,
) -> None:
    floor = 4 << 20
    taken: list[int] = []

    def large() -> Iterator[bytes]:
        for _ in range(100):
            taken.append(1)
            yield b"x" * 300_000

    with pytest.raises(StorageFull):
        await uploads.receive(
            arriving(large()), small_disk, limit_bytes=1 << 30, min_free_bytes=floor
        )

    assert 10 < len(taken) <= 15
    assert names(small_disk.incoming) == []
    await uploads.receive(arriving([b"abc"]), small_disk, limit_bytes=10, min_free_bytes=floor)


async def test_a_sender_that_breaks_off_leaves_nothing(layout: Layout) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * 400_000
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await uploads.receive(broken(), layout, limit_bytes=LIMIT_BYTES)

    assert names(layout.uploads) == []


@pytest.mark.parametrize("turns", range(12))
async def test_a_cancel_leaves_no_file_and_no_descriptor(layout: Layout, turns: int) -> None:
    """Whatever it was doing: opening, waiting for more, writing, or syncing."""
    before = descriptors()
    receiving = asyncio.create_task(receive(layout, *[b"x" * 300_000] * 3))
    for _ in range(turns):
        await asyncio.wait([receiving], timeout=0)

    receiving.cancel()
    receiving.cancel()
    await asyncio.wait([receiving])

    assert receiving.cancelled()
    assert names(layout.uploads) == []
    assert descriptors() == before


async def test_a_file_that_cannot_be_written_leaves_nothing(layout: Layout) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(Unavailable) as refused:
            await receive(layout, b"x" * 400_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert refused.value.code == "storage_failed"
    assert names(layout.uploads) == []


def test_no_room_is_storage_full() -> None:
    with (
        pytest.raises(StorageFull) as full,
        Path("/dev/full").open("wb", buffering=0) as device,
        uploads.room(),
    ):
        device.write(b"x")

    assert full.value.code == "storage_full"


async def test_what_is_not_wanted_is_discarded(layout: Layout) -> None:
    received = await receive(layout, b"abc")

    uploads.discard(received)

    assert names(layout.uploads) == []


async def test_a_removed_file_is_gone_and_may_be_gone_already(layout: Layout) -> None:
    received = await receive(layout, b"abc")
    uploads.place(received, layout)

    for _ in range(2):
        uploads.remove(layout, received.file_id)

    assert names(layout.uploads) == []


@pytest.mark.parametrize("file_id", ["", "file_", "file_../../etc/passwd", "file_" + "g" * 64])
def test_only_an_id_of_a_file_has_a_path(layout: Layout, file_id: str) -> None:
    with pytest.raises(ValueError, match="not the id of a file"):
        uploads.path_of(layout, file_id)


async def test_a_start_sweeps_what_was_being_received(layout: Layout) -> None:
    placed = await receive(layout, b"abc")
    uploads.place(placed, layout)
    await receive(layout, b"def")

    assert uploads.sweep_incoming(layout) == 1
    assert names(layout.uploads) == [uploads.relative_path(placed.file_id)]
