"""Which files and folders on disk the rows name: what none names may be swept.

Ask only after the disk was looked at. Each folder is made by an attempt that had its lease
by then, and an id or a token is never given again: what is not named stays so.

Not here: looking, and removing (files/sweep.py, engine/sweep.py).
"""

from collections.abc import Collection
from typing import Any

import msgspec

from jobd.store.database import Database
from jobd.store.queries import load

_SQL = load("named.sql")


class Named:
    """Reads, on read-only connections."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def jobs(self, job_ids: Collection[str]) -> set[str]:
        """Return those of these jobs that there are."""
        return await self._column("jobs", job_ids=_array(job_ids))

    async def attempts(self, job_ids: Collection[str]) -> set[tuple[str, str]]:
        """Return (job_id, token) of attempts of these jobs that run, or have left a file."""
        paths = await self._column("attempts", job_ids=_array(job_ids))
        folders = (path.split("/") for path in paths)
        return {(job_id, token) for job_id, token, *_ in folders}

    async def leases(self) -> set[str]:
        """Return the tokens of all attempts that run."""
        return await self._column("leases")

    async def uploads(self, file_ids: Collection[str]) -> set[str]:
        """Return those of these files that somebody claims."""
        return await self._column("uploads", file_ids=_array(file_ids))

    async def _column(self, name: str, **values: Any) -> set[str]:
        rows = await self._database.read(lambda c: c.execute(_SQL[name], values).fetchall())
        return {row[0] for row in rows}


def _array(values: Collection[str]) -> str:
    return msgspec.json.encode(list(values)).decode()
