"""A transaction of its own, beside the writer's: what cannot be done now is refused as such.

Not here: writes about jobs, which the writer gathers (writer.py).
"""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from jobd.domain.errors import StorageFull, Unavailable
from jobd.store.connection import primary_code
from jobd.store.database import Database

T = TypeVar("T")


async def write(database: Database, fn: Callable[[sqlite3.Connection], T]) -> T:
    """Run `fn` as one transaction; durable on return.

    Raises StorageFull, or Unavailable (`database_busy`: another program holds the lock);
    nothing of it is written then.
    """
    try:
        return await database.run(fn)
    except sqlite3.Error as error:
        code = primary_code(error)
        if code == sqlite3.SQLITE_FULL:
            detail = "There is no room on disk."
            raise StorageFull("storage_full", detail, retryable=True) from error
        if code == sqlite3.SQLITE_BUSY:
            detail = "Another program holds the database's lock."
            raise Unavailable("database_busy", detail, retryable=True, retry_after_s=5) from error
        raise
