"""The video that a job names: opened here, so that ffmpeg reads what was looked at."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from jobd.sdk import Context, Discard
from jobd_video.args import Upload


class Source(msgspec.Struct, frozen=True):
    """An open file."""

    url: str
    """By this process's descriptor; the protocol is said, so that a name cannot say another."""
    name: str
    """For people."""


@contextmanager
def opened(ctx: Context, source: str | Upload) -> Iterator[Source]:
    """Open it; Discard if that may not or cannot be."""
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
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Discard(code="source_unreadable", message=f"{path} is not a regular file.")
        yield Source(f"file:/proc/{os.getpid()}/fd/{fd}", str(path))
    finally:
        os.close(fd)
