"""The file that is read: opened once, a regular file, the same one in every attempt."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from jobd.sdk import Context, Discard
from jobd_ocr.args import Upload


class Source(msgspec.Struct, frozen=True):
    """An open file."""

    path: str
    """By its descriptor: what is opened is what was looked at."""
    stamp: tuple[int, int, int]
    """Tells whether it is still the same file, unchanged."""


@contextmanager
def opened(ctx: Context, source: str | Upload) -> Iterator[Source]:
    """Open the file that a job names; Discard if that may not or cannot be."""
    path = ctx.file(source.file_id) if isinstance(source, Upload) else ctx.path(source)
    try:
        # O_NOFOLLOW: links were followed before the path was allowed; O_NONBLOCK: a fifo
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise Discard(code="source_not_found", message=f"There is no file {path}.") from None
    except OSError as exc:
        message = f"{path} cannot be read: {exc.strerror}."
        raise Discard(code="source_unreadable", message=message) from None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise Discard(code="source_unreadable", message=f"{path} is not a regular file.")
        stamp = (found.st_size, found.st_mtime_ns, found.st_ino)
        yield Source(f"/proc/self/fd/{fd}", stamp)
    finally:
        os.close(fd)
