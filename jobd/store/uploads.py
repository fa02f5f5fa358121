"""Uploads: who has sent which content, and which jobs name it.

A row is a principal's claim to a file: without one it may not name the file, for a hash is
no capability. As a job that is not done keeps its principal's claim, a file that nobody
claims is a file that no such job needs. A claim that has expired goes when no job of its
principal names the file any more, done or not: a retry of the job would need it.

Not here: the files themselves (files/uploads.py), references in args (engine/inputs.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jobd.domain.errors import Conflict, FieldError, Invalid, JobdError, NotFound
from jobd.domain.jobs import NewJob, Upload
from jobd.store.queries import load
from jobd.store.transaction import Transaction

_SQL = load("uploads.sql")

KEPT_MS = 24 * 3600 * 1000
"""How long an upload that no job names is kept."""

LOOK_AGAIN_MS = 3600 * 1000
"""What has expired but is still needed is not looked at again before."""


class Owned(NamedTuple):
    """A file as one principal's."""

    file_id: str
    principal: str


def upload_of(row: Sequence[Any]) -> Upload:
    """Return the upload of a row of `uploads`; its name holds the hash of its content."""
    file_id, principal, size_bytes, created_at, expires_at = row
    sha256 = file_id.removeprefix("file_")
    return Upload(file_id, principal, size_bytes, sha256, created_at, expires_at)


def add(tx: Transaction, uploads: Sequence[Upload]) -> list[Upload]:
    """Store uploads whose files are in place; one that was there lives on as long as it would."""
    rows = [
        (one.file_id, one.principal, one.size_bytes, one.created_at_ms, one.expires_at_ms)
        for one in uploads
    ]
    stored = [upload_of(row) for row in tx.rows(_SQL["add_uploads"], uploads=tx.array(rows))]
    by_owner = {Owned(one.file_id, one.principal): one for one in stored}
    return [by_owner[Owned(one.file_id, one.principal)] for one in uploads]


def remove(tx: Transaction, asked: Sequence[Owned]) -> list[bool | JobdError]:
    """Take principals' claims away.

    Answers in order: whether nobody claims the file any more, so that it may be unlinked;
    NotFound; or Conflict (`upload_in_use`, by a job that is not done).
    """
    array = tx.array(asked)
    removed = {Owned(*row) for row in tx.rows(_SQL["remove_uploads"], asked=array)}
    claimed = {Owned(*row) for row in tx.rows(_SQL["claims_to"], asked=array)}
    files_claimed = {one.file_id for one in claimed}
    answers: list[bool | JobdError] = []
    for one in asked:
        if one in removed:
            answers.append(one.file_id not in files_claimed)
        elif one in claimed:
            answers.append(Conflict("upload_in_use", f"An unfinished job names {one.file_id}."))
        else:
            answers.append(NotFound("not_found", f"There is no upload {one.file_id} of yours."))
    return answers


def retire(tx: Transaction, asked: Sequence[Owned]) -> list[bool]:
    """Take claims away that have expired and that no job names; the others get a later time.

    Answers in order: whether nobody claims the file any more, so that it may be unlinked.
    """
    array = tx.array(asked)
    retired = {
        Owned(*row) for row in tx.rows(_SQL["retire_uploads"], asked=array, now=tx.trusted_ms)
    }
    if len(retired) < len(asked):
        tx.rows(
            _SQL["keep_uploads"],
            asked=array,
            now=tx.trusted_ms,
            at_least=tx.trusted_ms + LOOK_AGAIN_MS,
            unknown=tx.trusted_ms + KEPT_MS,
        )
    claimed = {file_id for file_id, _ in tx.rows(_SQL["claims_to"], asked=array)}
    return [one in retired and one.file_id not in claimed for one in asked]


def missing(tx: Transaction, jobs: Mapping[int, NewJob]) -> dict[int, Invalid]:
    """Return a refusal for each job (by seq) that names what its principal has not sent."""
    named = [(seq, job.principal, file_id) for seq, job in jobs.items() for file_id in job.files]
    if not named:
        return {}
    rows = tx.rows(_SQL["files_missing"], named=tx.array(named))
    return {seq: _missing(file_id) for seq, file_id in rows}


def _missing(file_id: str) -> Invalid:
    error = FieldError(f"{file_id} is no upload of yours", pointer="#/args")
    return Invalid("validation_error", "The args name a file that is not there.", errors=(error,))


def refer(tx: Transaction, jobs: Mapping[int, NewJob]) -> None:
    """Note which uploads new jobs name, so that they stay until the jobs are done."""
    rows = [(file_id, seq) for seq, job in jobs.items() for file_id in job.files]
    if rows:
        tx.rows(_SQL["add_references"], files=tx.array(rows))
