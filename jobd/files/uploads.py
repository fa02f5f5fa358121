"""Uploaded files: received into a temporary file, put in place under the name of their content.

    uploads/incoming/<random>     what is being received
    uploads/<sha[:2]>/<sha>       complete, durable, read-only; each content once

`receive` leaves a complete temporary file; only who is about to store the row puts it in
place, and nobody else may be unlinking that content meanwhile (engine/uploads.py). So a row
never names a file that is not there, and a crash leaves only files that no row names.

Not here: who may name a file (store/uploads.py), opening one (open.py).
"""

import asyncio
import contextlib
import errno
import hashlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

import msgspec

from jobd.domain.errors import StorageFull, TooLarge, Unavailable
from jobd.domain.ids import FILE_ID
from jobd.files.layout import Layout, sync_folder

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)

PART_BYTES = 256 * 1024
"""What is gathered for one turn on a thread: less would cost more to hand over than to write."""

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_ONLY = 0o400  # handlers run as the same user, and must not change what others will read


class Received(msgspec.Struct, frozen=True):
    """A complete file at `path`, not in place yet: `place` or `discard` it."""

    file_id: str
    sha256: str
    size_bytes: int
    path: Path


def relative_path(file_id: str) -> str:
    """Return where the file is below the uploads folder; ValueError if it is no file_id."""
    match = FILE_ID.fullmatch(file_id)
    if match is None:
        raise ValueError(f"not the id of a file: {file_id!r}")
    sha256 = match["sha256"]
    return f"{sha256[:2]}/{sha256}"


def path_of(layout: Layout, file_id: str) -> Path:
    """Return where the file is, or would be; ValueError if it is no file_id."""
    return layout.uploads / relative_path(file_id)


async def receive(
    chunks: AsyncIterator[bytes], layout: Layout, *, limit_bytes: int, min_free_bytes: int = 0
) -> Received:
    """Write what comes to a temporary file and return it, durable.

    Raises TooLarge (`upload_too_large`) as soon as it is more than `limit_bytes`,
    StorageFull before less than `min_free_bytes` would be free or when there is no room,
    Unavailable for what else the system refuses, and what `chunks` raises. Then, and when
    it is cancelled, nothing is left.
    """
    incoming = _Incoming(layout.incoming / secrets.token_hex(16), min_free_bytes)
    try:
        await _to_the_end(incoming.begin)
        part: list[bytes] = []
        part_bytes = 0
        async for chunk in chunks:
            part.append(chunk)
            part_bytes += len(chunk)
            if incoming.size_bytes + part_bytes > limit_bytes:
                detail = f"An upload may have {limit_bytes} bytes at most."
                raise TooLarge("upload_too_large", detail)  # noqa: TRY301 - cleaned up below
            if part_bytes >= PART_BYTES:
                await _to_the_end(incoming.write, part)
                part, part_bytes = [], 0
        return await _to_the_end(incoming.finish, part)
    except BaseException:
        await _to_the_end(incoming.abandon)
        raise


class _Incoming:
    """A file that is being received. Its methods block: one at a time, on a thread."""

    def __init__(self, path: Path, min_free_bytes: int) -> None:
        self._path = path
        self._min_free_bytes = min_free_bytes
        self._fd = -1
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def begin(self) -> None:
        check_room(self._path.parent, self._min_free_bytes)
        with room():
            self._fd = os.open(self._path, _NEW, _READ_ONLY)

    def write(self, part: Sequence[bytes]) -> None:
        check_room(self._path.parent, self._min_free_bytes + sum(map(len, part)))
        for chunk in part:
            self._hash.update(chunk)
            left = memoryview(chunk)
            with room():
                while left:
                    left = left[os.write(self._fd, left) :]
            self.size_bytes += len(chunk)

    def finish(self, part: Sequence[bytes]) -> Received:
        self.write(part)
        with room():
            os.fsync(self._fd)
        self._close()
        sha256 = self._hash.hexdigest()
        return Received(f"file_{sha256}", sha256, self.size_bytes, self._path)

    def abandon(self) -> None:
        self._close()
        self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def place(received: Received, layout: Layout) -> None:
    """Move a received file to where its content belongs; durable on return. Blocks.

    The same content that is there already is replaced by it, and who reads that goes on
    reading. Raises StorageFull or Unavailable; the temporary file is then still there.
    """
    path = path_of(layout, received.file_id)
    with room():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        sync_folder(layout.uploads)
        received.path.replace(path)
        sync_folder(path.parent)


def check_room(folder: Path, wanted_bytes: int) -> None:
    """Raise StorageFull if less is free in the folder's file system. Blocks."""
    with room():
        found = os.statvfs(folder)
    if found.f_bavail * found.f_frsize < wanted_bytes:
        raise _storage_full()


def _storage_full() -> StorageFull:
    return StorageFull("storage_full", "There is no room on disk.", retryable=True)


@contextlib.contextmanager
def room() -> Iterator[None]:
    """Say StorageFull for a full disk, Unavailable for all else that the system refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise _storage_full() from error
        log.exception("An upload could not be written.")
        detail = "The file could not be written, and is not kept."
        raise Unavailable("storage_failed", detail, retryable=True) from error


def discard(received: Received) -> None:
    """Remove a received file that is not wanted after all. Blocks."""
    received.path.unlink(missing_ok=True)


def remove(layout: Layout, file_id: str) -> None:
    """Unlink a file that no row names any more; call after that commit. Blocks."""
    path_of(layout, file_id).unlink(missing_ok=True)


def sweep_incoming(layout: Layout) -> int:
    """Remove what an older daemon was receiving when it ended; return how many files. Blocks.

    Only at the start, before anything is received.
    """
    files = list(layout.incoming.iterdir())
    for file in files:
        file.unlink(missing_ok=True)
    return len(files)


async def _to_the_end(act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `act` on a thread, and let it end before a cancel goes on.

    Otherwise the file would be closed while the thread still writes to it, and the number
    of its descriptor might by then be another file's.
    """
    work = asyncio.ensure_future(asyncio.to_thread(act, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():  # cancelled again or not
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        work.exception()  # nobody else will look at it
        raise
