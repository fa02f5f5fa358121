"""Whether the files under the database's names are still those that are open.

SQLite would write into files that somebody has deleted or replaced, without a word, and
after a crash all of it would be gone. Looked at by name only: opening and closing one
would drop SQLite's locks.

And whether those names are on disk at all.

Not here: when it is looked (database.py).
"""

import os
from pathlib import Path


class OpenFiles:
    """The database and its WAL, as they are when this is made."""

    def __init__(self, path: Path) -> None:
        self._names = (str(path), wal_of(path))
        self._then = [_identity(os.stat(name)) for name in self._names]  # noqa: PTH116 - for speed

    def replaced(self) -> str | None:
        """Return what has happened to them, None if nothing has."""
        for name, then in zip(self._names, self._then, strict=True):
            try:
                now = _identity(os.stat(name))  # noqa: PTH116 - runs behind every commit
            except OSError as error:
                return f"{name} is gone under jobd: {error.strerror}"
            if now != then:
                return f"{name} was replaced or linked under jobd"
        return None


def sync_names(path: Path) -> None:
    """Make the names of the database and its WAL survive a power cut; raises OSError.

    SQLite does so when it has made them, but goes on when that fails.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def wal_of(path: Path) -> str:
    """Return the name of the database's WAL."""
    return f"{path}-wal"


def _identity(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_dev, found.st_ino, found.st_nlink
