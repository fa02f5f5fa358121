"""The count of all jobs that stands under the tally: once a start, beside the daemon's work.

The count is taken from one snapshot. The snapshot begins while nothing is committed, so
that each commit is either in it or among the changes that the tally has added up since.

Not here: the changes (tally.py), when it is asked for (group_commit.py).
"""

import asyncio
import sqlite3
from collections.abc import Callable

from jobd.domain.statuses import Status
from jobd.store.database import Database
from jobd.store.queries import load
from jobd.store.tally import Tally

_SQL = load("counting.sql")


async def count(database: Database, tally: Tally, between_commits: asyncio.Lock) -> None:
    """Add to `tally`, which has the changes since the start, what was there before it.

    Holds `between_commits` only until a reader has its snapshot. Raises sqlite3.Error and
    changes nothing if the count cannot be read.
    """
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with between_commits:
        since_start = tally.copy()
        counting = asyncio.create_task(
            database.read(lambda c: _count(c, lambda: loop.call_soon_threadsafe(begun.set)))
        )
        counting.add_done_callback(lambda _: begun.set())
        await begun.wait()
    counted = await counting
    counted.subtract(since_start)
    tally.add(counted)
    tally.known = True


def _count(connection: sqlite3.Connection, begun: Callable[[], object]) -> Tally:
    connection.execute("BEGIN")
    try:
        connection.execute(_SQL["begin_snapshot"]).fetchall()
        begun()
        tally = Tally()
        for status, principal, lane, queue, jobs in connection.execute(_SQL["tally"]).fetchall():
            tally.there_are(jobs, principal, lane, queue, Status(status))
        ((tally.finished,),) = connection.execute(_SQL["finished"]).fetchall()
    finally:
        connection.execute("ROLLBACK")
    return tally
