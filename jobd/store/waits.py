"""Since when the first job of each queue waits, for whoever watches that queues move.

Not here: how much is in a queue (readers.py), who is told when one stands still
(webhooks/ops.py).
"""

from collections.abc import Collection

import msgspec

from jobd.store.database import Database
from jobd.store.queries import load

_SQL = load("waits.sql")


class Waits:
    """Reads on read-only connections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def since(self, queues: Collection[str]) -> dict[str, int]:
        """Return since when, in wall ms, the longest waiting job in front of each is due.

        Without queues that are paused or have no job that could start.
        """
        names = msgspec.json.encode(list(queues)).decode()
        rows = await self._database.read(
            lambda c: c.execute(_SQL["heads"], {"names": names}).fetchall()
        )
        return {queue: since_ms for queue, since_ms in rows if since_ms is not None}
