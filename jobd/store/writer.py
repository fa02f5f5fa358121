"""The store's verbs: each is one request to the task that writes, durable on return.

Not here: when it is written and what happens if it cannot be (group_commit.py); what a
verb does (jobs.py, claims.py, moves.py, attempts.py, finished.py, uploads.py …).
"""

from jobd.domain.jobs import (
    Cancelled,
    Checkpoint,
    NewJob,
    Recovered,
    Settlement,
    Submitted,
    Update,
    Upload,
)
from jobd.store.finished import Retry
from jobd.store.group_commit import GroupCommit
from jobd.store.uploads import Owned


class Writer:
    """What can be written. Each raises what its lines say.

    Any of them may raise OutcomeUnknown (it may or may not be written; the writer is
    dead), StorageFull (it is not written) or Unavailable (the writer is closed or dead).
    """

    def __init__(self, commits: GroupCommit) -> None:
        self._commits = commits

    async def start(self) -> None:
        """Read where the ids stand and which queues have work; then serve."""
        await self._commits.start()

    async def close(self) -> None:
        """Refuse what comes from now on, write what waits, stop."""
        await self._commits.close()

    def wake(self) -> None:
        """Claim if there are slots and jobs: call when a slot became free."""
        self._commits.wake()

    async def submit(self, job: NewJob) -> Submitted:
        """Store a job, or find the one its idempotency key names.

        Raises Invalid (`idempotency_key_reused`), Gone (the key's job has been deleted),
        Unavailable (`queue_full`).
        """
        submitted: Submitted = await self._commits.ask("submit", job)
        return submitted

    async def settle(self, settlement: Settlement) -> None:
        """Write how an attempt ended; raises LeaseLost and changes nothing if it holds no lease."""
        await self._commits.ask("settle", settlement)

    async def progress(self, update: Update) -> None:
        """Replace an attempt's progress; raises LeaseLost."""
        await self._commits.ask("progress", update)

    async def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Replace what a later attempt will resume from; raises LeaseLost."""
        await self._commits.ask("checkpoint", checkpoint)

    async def cancel(self, job_id: str) -> Cancelled:
        """Cancel a job that waits, or mark one that runs; raises NotFound."""
        cancelled: Cancelled = await self._commits.ask("cancel", job_id)
        return cancelled

    async def retry(self, job_id: str, new_id: str) -> Submitted:
        """Queue a copy of a failed or cancelled job as `new_id`; the two name each other.

        Raises NotFound, or Conflict (`job_active`, `job_completed`, `job_already_retried`,
        `input_missing`).
        """
        submitted: Submitted = await self._commits.ask("retry", Retry(job_id, new_id))
        return submitted

    async def delete(self, job_id: str) -> None:
        """Delete a job that is over; its idempotency key stays and says that it is gone.

        Raises NotFound, or Conflict (`job_active`).
        """
        await self._commits.ask("delete", job_id)

    async def add_upload(self, upload: Upload) -> Upload:
        """Store a principal's claim to a file that is in place; return it as it stands."""
        stored: Upload = await self._commits.ask("add_upload", upload)
        return stored

    async def remove_upload(self, file_id: str, principal: str) -> bool:
        """Take a principal's claim away; True if nobody claims the file any more.

        Raises NotFound, or Conflict (`upload_in_use`).
        """
        unclaimed: bool = await self._commits.ask("remove_upload", Owned(file_id, principal))
        return unclaimed

    async def promote(self) -> float | None:
        """Queue what is due; return the seconds until more is (0: now), None if nothing will be."""
        due_in_s: float | None = await self._commits.ask("promote", None)
        return due_in_s

    async def recover(self) -> Recovered:
        """Void the leases of older starts; call when their workers are dead."""
        recovered: Recovered = await self._commits.ask("recover", None)
        return recovered

    async def save_catalog(self, body: bytes) -> None:
        """Replace the stored catalogue."""
        await self._commits.ask("save_catalog", body)
