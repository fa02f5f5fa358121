"""The files that a job names: opened here, regular, and not through a link that came since."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobd.sdk import Context, Discard
from jobd_report.args import File, Upload


@contextmanager
def opened(ctx: Context, named: File) -> Iterator[tuple[int, Path]]:
    """Open a file and give its descriptor and path; Discard if that may not or cannot be."""
    path = ctx.file(named.file_id) if isinstance(named, Upload) else ctx.path(named)
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
        yield fd, path
    finally:
        os.close(fd)
