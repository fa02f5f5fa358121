"""Everything that is read: on read-only connections, each answer from one snapshot.

What a writer's verb has answered is visible to a read that begins after it.

Not here: how a job looks on the wire (wire/), the reads inside a transaction (the verbs).
"""

import sqlite3
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import msgspec

from jobd.domain.estimates import Position, Run
from jobd.domain.events import Event
from jobd.domain.jobs import (
    Artifact,
    Inputs,
    Job,
    JobError,
    JobFilter,
    Progress,
    Result,
    Summary,
    Upload,
)
from jobd.domain.queues import Queue
from jobd.domain.statuses import TERMINAL, Status
from jobd.store import listing, queues
from jobd.store.batches import Batches
from jobd.store.database import Database
from jobd.store.queries import load
from jobd.store.queues import contents, names_in_use
from jobd.store.uploads import upload_of

_SQL = load("readers.sql")

_METADATA = msgspec.json.Decoder(dict[str, str])
_ERROR = msgspec.json.Decoder(JobError)
_SUMMARY = msgspec.json.Decoder(Summary)
_DATA = msgspec.json.Decoder(dict[str, Any])

MOST_AHEAD = 1000
"""Jobs ahead of a queued one that are counted to say its position."""

_COMPOSED = {"metadata", "error", "summary", "progress", "inputs", "result"}
_FLAGS = {"cancel_requested", "partial", "has_result"}
_PLAIN = [name for name in Job.__struct_fields__ if name not in _COMPOSED | _FLAGS | {"status"}]


class JobPage(NamedTuple):
    """A page of a list."""

    jobs: list[Job]
    before_seq: int | None
    """The seq below which the next page begins; None if this is the last."""


class Readers:
    """The store's reads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.batches = Batches(database)

    async def get(self, job_id: str, *, detail: bool = False) -> Job | None:
        """Return the job, with its inputs and result if `detail`; None if there is none."""
        rows = await _rows(self._database, "get", job_id=job_id, detail=detail)
        return _job(rows[0], detail=detail) if rows else None

    async def get_many(self, seqs: Collection[int]) -> dict[int, Job]:
        """Return those of these jobs that there are, by seq, without inputs and results."""
        rows = await _rows(self._database, "get_many", seqs=_array(list(seqs)), detail=False)
        return {row["seq"]: _job(row, detail=False) for row in rows}

    async def events(self, seq: int, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Return what happened to a job behind the event `after`, oldest first.

        Progress is not in it. Fewer than `limit` means that these are all.
        """
        rows = await _rows(self._database, "events", seq=seq, after=after, limit=limit)
        return [_event(row) for row in rows]

    async def events_of_all(self, *, after: int, limit: int) -> list[Event]:
        """Return what happened to any job behind the event `after`, oldest first."""
        rows = await _rows(self._database, "events_of_all", after=after, limit=limit)
        return [_event(row) for row in rows]

    async def newest_event_id(self) -> int:
        """Return the newest id that was given to an event or a report of progress; 0 if none was.

        What is read afterwards has at least all events up to it.
        """
        ((newest,),) = await _rows(self._database, "newest_event_id")
        return int(newest)

    async def upload(self, file_id: str, principal: str) -> Upload | None:
        """Return a principal's upload, None if it has not sent that content."""
        rows = await _rows(self._database, "upload", file_id=file_id, principal=principal)
        return upload_of(rows[0]) if rows else None

    async def artifacts(self, job_id: str) -> list[Artifact]:
        """Return the job's artifacts by name, each from the newest attempt that left it."""
        rows = await _rows(self._database, "artifacts", job_id=job_id)
        return [Artifact(**dict(row)) for row in rows]

    async def counts(self) -> dict[Status, int]:
        """Return how many jobs have each status that is not terminal."""
        counts = {status: 0 for status in Status if status not in TERMINAL}
        for row in await _rows(self._database, "counts"):
            if row["jobs"]:
                counts[Status(row["status"])] = row["jobs"]
        return counts

    async def queues(
        self, limits: Mapping[str, int], *, named: Collection[str] = (), in_use: bool = False
    ) -> list[Queue]:
        """Return these queues by name, and those that have a row or a job if `in_use`.

        `limits` are those of the settings; a queue's row stands above them.
        """

        def read(connection: sqlite3.Connection) -> list[Queue]:
            names = {*named, *(names_in_use(connection) if in_use else ())}
            return contents(connection, names, limits)

        return await self._database.read(read)

    async def recent_runs(self, limit: int = 1000) -> list[Run]:
        """Return the completed ones of about the `limit` newest jobs that are over, newest first.

        A run is the job's last attempt.
        """
        rows = await _rows(self._database, "recent_runs", limit=limit)
        return [
            Run(row["kind"], row["lane"], max(row["finished_at"] - row["started_at"], 0) / 1000)
            for row in rows
        ]

    async def position(self, job: Job, limits: Mapping[str, int]) -> Position | None:
        """Return where a queued job stands now; None if it is no longer queued.

        `limits` are those of the settings, by queue.
        """

        def find(connection: sqlite3.Connection) -> Position | None:
            values = {"seq": job.seq, "limit": MOST_AHEAD + 1}
            rows = connection.execute(_SQL["position"], values).fetchall()
            if not rows:
                return None
            ((parked_at, ahead),) = rows
            state = queues.states(connection, [job.queue], limits)[job.queue]
            uncounted = parked_at is not None or ahead > MOST_AHEAD
            return Position(state, parked_at is not None, None if uncounted else ahead)

        return await self._database.read(find)

    async def catalog(self) -> bytes | None:
        """Return the catalogue that was saved last, None before the first."""
        rows = await _rows(self._database, "catalog")
        body: bytes | None = rows[0]["value"] if rows else None
        return body

    async def page(self, f: JobFilter) -> JobPage:
        """Return a page of jobs, newest first, without inputs and results.

        It may have fewer than `f.limit`, even none, and not be the last.
        """

        def find(connection: sqlite3.Connection) -> tuple[listing.Place, list[sqlite3.Row]]:
            connection.execute("BEGIN")
            try:
                place = listing.page(connection, f)
                values = {"seqs": _array(place.seqs), "detail": False}
                return place, connection.execute(_SQL["get_many"], values).fetchall()
            finally:
                connection.execute("ROLLBACK")

        place, rows = await self._database.read(find)
        jobs = {row["seq"]: _job(row, detail=False) for row in rows}
        return JobPage([jobs[seq] for seq in place.seqs], place.before_seq)

    async def list(self, f: JobFilter) -> list[Job]:
        """Return the jobs of one page."""
        return (await self.page(f)).jobs


async def _rows(database: Database, name: str, **values: Any) -> list[sqlite3.Row]:
    return await database.read(lambda connection: connection.execute(_SQL[name], values).fetchall())


def _array(values: Any) -> str | None:
    return None if values is None else msgspec.json.encode(values).decode()


def _job(row: sqlite3.Row, *, detail: bool) -> Job:
    metadata = _METADATA.decode(row["metadata"])
    result = _result(row)
    return Job(
        **{name: row[name] for name in _PLAIN},
        status=Status(row["status"]),
        metadata=metadata,
        cancel_requested=bool(row["cancel_requested"]),
        partial=bool(row["partial"]),
        error=None if row["error"] is None else _ERROR.decode(row["error"]),
        summary=None if row["summary"] is None else _SUMMARY.decode(row["summary"]),
        progress=_progress(row),
        has_result=result is not None,
        inputs=_inputs(row, metadata) if detail else None,
        result=result if detail else None,
    )


def _inputs(row: sqlite3.Row, metadata: dict[str, str]) -> Inputs:
    return Inputs(row["args"], metadata, row["traceparent"], row["callback_url"], row["request_id"])


def _event(row: sqlite3.Row) -> Event:
    return Event(
        id=row["id"],
        seq=row["seq"],
        job_id=row["job_id"],
        type=row["type"],
        at_ms=row["at"],
        attempt=row["attempt"],
        data=_DATA.decode(row["data"]),
    )


def _progress(row: sqlite3.Row) -> Progress | None:
    if row["reported"] is None:
        return None
    return Progress(**{name: row[name] for name in Progress.__struct_fields__})


def _result(row: sqlite3.Row) -> Result | None:
    if row["media_type"] is None:
        return None
    return Result(**{name: row[name] for name in Result.__struct_fields__})
