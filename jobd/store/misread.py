"""A read that failed and that SQLite calls damage: the two end the daemon differently.

SQLite makes SQLITE_CORRUPT of a read that the system failed with EIO, with no extended code
and no errno left (its SQLITE_IOERR_CORRUPTFS). Damage is for a person to look at, a failed
read may pass. So the files are read again: what fails again was no damage. A read that
fails once and then succeeds cannot be told from damage, and counts as such.

Not here: what the two mean (database.py).
"""

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from jobd.store.open_files import wal_of

_PATIENCE_S = 1.0
"""A large database is not read to its end: whoever waits for an answer waits for this."""

_CHUNK_BYTES = 1024 * 1024


def corrected(error: BaseException, path: Path) -> BaseException:
    """Return `error`, or an I/O error in its place if the files cannot be read; blocks."""
    if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_CORRUPT:
        return error
    stop_s = time.monotonic() + _PATIENCE_S
    try:
        for name in (wal_of(path), str(path)):
            with contextlib.suppress(FileNotFoundError):
                _read(name, stop_s)
    except OSError as failed:
        # of the kind that SQLite gives for every other failed read
        wrong = sqlite3.OperationalError(f"disk I/O error: {failed.strerror}")
        wrong.sqlite_errorcode = sqlite3.SQLITE_IOERR  # what judges it looks at the code
        return wrong
    return error


def _read(name: str, stop_s: float) -> None:
    opened = _open_already(name)
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC) if opened is None else opened
    try:
        at = 0
        while time.monotonic() < stop_s and (data := os.pread(fd, _CHUNK_BYTES, at)):
            at += len(data)
    finally:
        if opened is None:
            os.close(fd)


def _open_already(name: str) -> int | None:
    """Return SQLite's own descriptor of a file: closing another would drop its locks."""
    wanted = os.stat(name)  # noqa: PTH116 - to be compared
    for entry in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers
        try:
            if os.path.samestat(os.fstat(int(entry)), wanted):
                return int(entry)
        except OSError:  # the one that lists them
            pass
    return None
