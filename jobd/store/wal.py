"""How much the WAL holds, and when and how it is folded into the database.

Folding waits for nobody, so readers that overlap all the time keep the WAL growing. Over
TRUNCATE_BYTES it is cut off while nobody reads.

Not here: keeping the readers out (database.py).
"""

import logging
import os
import sqlite3
from pathlib import Path

from jobd.store.connection import BUSY_TIMEOUT_MS
from jobd.store.open_files import wal_of

log = logging.getLogger(__name__)

CHECKPOINT_PAGES = 1000
PAGE_BYTES = 4096

TRUNCATE_BYTES = 16 * 1024 * 1024
ALARM_BYTES = 64 * 1024 * 1024

_PAGES_OF_A_COMMIT = 6
_ROW_BYTES_OF_A_PAGE = 2048
"""What a commit costs the WAL, roughly: the pages it touches anyway, and new rows."""


class Wal:
    """The WAL of the database at `path`."""

    def __init__(self, path: Path) -> None:
        self._name = wal_of(path)
        self._pages = 0
        self._folded_bytes = 0
        self._alarmed = False

    def committed(self) -> None:
        """Count a commit."""
        self._pages += _PAGES_OF_A_COMMIT

    def wrote(self, row_bytes: int) -> None:
        """Count what was written in rows."""
        self._pages += row_bytes // _ROW_BYTES_OF_A_PAGE

    def due(self) -> bool:
        """Whether it should be folded."""
        grown_bytes = self.size_bytes() - self._folded_bytes
        return self._pages >= CHECKPOINT_PAGES or grown_bytes >= CHECKPOINT_PAGES * PAGE_BYTES

    def too_large(self) -> bool:
        """Whether it should be cut off."""
        return self.size_bytes() > TRUNCATE_BYTES

    def size_bytes(self) -> int:
        """Return the size of the file, which does not shrink by folding."""
        try:
            return os.stat(self._name).st_size  # noqa: PTH116 - runs behind every commit
        except FileNotFoundError:
            return 0

    def fold(self, connection: sqlite3.Connection) -> None:
        """Copy what readers allow into the database; waits for nobody."""
        self._pages = 0
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._folded_bytes = self.size_bytes()

    def truncate(self, connection: sqlite3.Connection) -> None:
        """Fold and cut off; does not, at once, if another program still reads."""
        # with the usual patience the writer would stand still for a reader that stays
        connection.execute("PRAGMA busy_timeout = 0").fetchall()
        try:
            ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}").fetchall()
        self._folded_bytes = self.size_bytes()
        alarming = bool(busy) and self._folded_bytes > ALARM_BYTES
        if alarming and not self._alarmed:
            log.warning(
                "Another program keeps the WAL from being folded; it grows.",
                extra={"bytes": self._folded_bytes},
            )
        self._alarmed = alarming
