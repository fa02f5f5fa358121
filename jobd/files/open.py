"""Opens a file that a handler left, without being led out of its folder.

Handlers write what they like below their folder, links too. Every segment is opened from
the one before it and none is followed if it is a link, so a link put there between two
looks gains nothing.

Not here: which path is asked for (store/readers.py), paths a client sends (never opened).
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# a FIFO would block the open for ever
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


def open_below(folder: Path, relative: str) -> BinaryIO:
    """Open the regular file at `relative` below `folder` for reading.

    `folder` itself may be reached by links. Raises ValueError for a path that is absolute,
    empty or has a `.`, `..` or empty segment; OSError if it is not there, is not a regular
    file, or a segment is a link.
    """
    *folders, name = _segments(relative)
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for segment in folders:
            below = os.open(segment, _FOLDER, dir_fd=at)
            os.close(at)
            at = below
        fd = os.open(name, _FILE, dir_fd=at)
    finally:
        os.close(at)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", relative)
    return os.fdopen(fd, "rb")


def _segments(relative: str) -> list[str]:
    segments = relative.split("/")
    if any(segment in {"", ".", ".."} for segment in segments) or "\0" in relative:
        raise ValueError(f"not a plain relative path: {relative!r}")
    return segments
