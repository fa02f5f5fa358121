"""What must hold in a state that a power cut has left, whatever the disk has lost.

The store opens it as at any start, and it is sound. What clients were told before the cut is
in it, as the history checker has it. The files that its rows name are there, whole.

Not here: how the state came to be (disk.py), promises 1 to 4 and 9 themselves (tests/checker).
"""

import asyncio
import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from jobd.store.database import Database, DatabaseUnusable
from tests.checker.history import HistoryError, Line, check
from tests.checker.outbox import lines_of

_FINALS = """
SELECT job_id, status, attempt AS most_runs,
       CASE WHEN retry_of IS NULL THEN json_extract(metadata, '$.key')
            ELSE 'retry of ' || retry_of END AS key
FROM jobs JOIN job_inputs USING (seq)
"""

_KEYS = """
SELECT json_extract(metadata, '$.key') AS key, j.job_id, i.job_id AS promised
FROM jobs AS j JOIN job_inputs USING (seq)
LEFT JOIN idempotency AS i ON i.key = json_extract(metadata, '$.key')
WHERE retry_of IS NULL AND i.job_id IS NOT j.job_id
"""

_FILES = """
SELECT 'artifacts/' || path AS path, sha256 FROM artifacts
UNION ALL SELECT 'artifacts/' || path, sha256 FROM job_results WHERE path IS NOT NULL
UNION ALL SELECT 'uploads/' || substr(file_id, 6, 2) || '/' || substr(file_id, 6),
  substr(file_id, 6) FROM uploads
"""


def told_before(lines: Sequence[Line], cut_ns: int) -> list[Line]:
    """Return the lines of a history that were written before the power was cut."""
    return [line for line in lines if line["at"] <= cut_ns]


def judge(
    state: Path, lines: Sequence[Line], uploads: Sequence[tuple[int, str]], cut_ns: int
) -> list[str]:
    """Return what is wrong with a state folder; it is changed as a start changes it."""
    try:
        asyncio.run(_opened(state / "jobd.db"))
    except (DatabaseUnusable, OSError) as error:
        return [f"the store does not open it: {error}"]
    with contextlib.closing(sqlite3.connect(state / "jobd.db")) as connection:
        connection.row_factory = sqlite3.Row
        return list(_wrong(connection, state, lines, uploads, cut_ns))


async def _opened(path: Path) -> None:
    database = await Database.open(path)
    await database.close()


def _wrong(
    connection: sqlite3.Connection,
    state: Path,
    lines: Sequence[Line],
    uploads: Sequence[tuple[int, str]],
    cut_ns: int,
) -> Iterator[str]:
    ((sound,),) = connection.execute("PRAGMA integrity_check").fetchall()
    if sound != "ok":
        yield f"the database is damaged: {sound}"
    rows = connection.execute(_FINALS).fetchall()
    finals = [{"op": "final", "who": "state", "at": cut_ns + 1, **dict(row)} for row in rows]
    with contextlib.suppress(HistoryError):  # too early: nobody was told enough to prove anything
        shown = [*finals, *lines_of(connection, cut_ns + 1)]
        yield from check([*told_before(lines, cut_ns), *shown], all_over=False).violations
    for row in connection.execute(_KEYS):
        yield f"the key {row['key']} of {row['job_id']} stands for {row['promised']}"
    for row in connection.execute(_FILES):
        yield from _lacks(state, row["path"], row["sha256"])
    there = {file_id for (file_id,) in connection.execute("SELECT file_id FROM uploads")}
    for at_ns, file_id in uploads:
        if at_ns <= cut_ns and file_id not in there:
            yield f"the upload {file_id} was acknowledged and is not there"


def _lacks(state: Path, path: str, sha256: str) -> Iterator[str]:
    try:
        content = (state / path).read_bytes()
    except FileNotFoundError:
        yield f"{path} is named by a row and is not there"
        return
    if hashlib.sha256(content).hexdigest() != sha256:
        yield f"{path} is named by a row and has another content"
