"""Disk space held back in a file, given up when the disk is full.

Even a delete needs room in the WAL. What the file gives back lets results that are finished
be written, and old jobs be deleted, until there is room again.

Not here: when it is given up and what is written then (store/room.py).
"""

import contextlib
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

RESERVE_BYTES = 32 * 1024 * 1024


class Reserve:
    """The file at `path`; it is kept over restarts. Everything here blocks."""

    def __init__(self, path: Path, *, min_free_bytes: int, size_bytes: int = RESERVE_BYTES) -> None:
        self._path = path
        self._min_free_bytes = min_free_bytes
        self._size_bytes = size_bytes

    def low(self) -> bool:
        """Whether less than the wanted minimum is free; the reserve itself is not free."""
        return _free_bytes(self._path.parent) < self._min_free_bytes

    def take(self) -> bool:
        """Hold the space and say whether there is room: more than the minimum is free besides.

        Changes nothing if there is not.
        """
        missing_bytes = self._size_bytes - self._held_bytes()
        if _free_bytes(self._path.parent) <= self._min_free_bytes + missing_bytes:
            return False
        if missing_bytes:
            try:
                self._allocate()
            except OSError as error:
                log.warning("The reserve on disk cannot be taken.", extra={"reason": str(error)})
                self.give_up()
                return False
        return True

    def give_up(self) -> bool:
        """Give the space back; False if none was held."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True

    def _held_bytes(self) -> int:
        with contextlib.suppress(FileNotFoundError):
            return min(self._size_bytes, self._path.stat().st_blocks * 512)
        return 0

    def _allocate(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(self._path, flags, 0o600)
        try:
            os.posix_fallocate(fd, 0, self._size_bytes)
        finally:
            os.close(fd)


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
