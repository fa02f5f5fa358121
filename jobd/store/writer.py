"""The store's verbs: each is one request to the task that writes, durable on return.

Not here: when it is written and what happens if it cannot be (group_commit.py); what a
verb does (jobs.py, claims.py, moves.py, attempts.py, finished.py, uploads.py …).
"""

import asyncio
from collections.abc import Sequence

from jobd.domain.batches import NewBatch
from jobd.domain.endpoints import (
    Disabling,
    Endpoint,
    EndpointChange,
    EndpointRemoval,
    EndpointRotation,
    Endpoints,
    Health,
    NewEndpoint,
    Outright,
)
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
from jobd.domain.queues import QueueChange
from jobd.store.batches import Answers, Loaded, Part
from jobd.store.finished import Retry
from jobd.store.group_commit import Condition, GroupCommit
from jobd.store.moves import Promoted
from jobd.store.parking import Place
from jobd.store.retention import Looked, Retired
from jobd.store.tally import Tally
from jobd.store.uploads import Owned


class Writer:
    """What can be written. Each raises what its lines say.

    Any of them may raise OutcomeUnknown (it may or may not be written; the writer is
    dead), StorageFull (it is not written) or Unavailable (it is not written: the writer is
    closed or dead, or a submission met another program's lock). While the disk is full what
    adds is refused at once, and what ends things waits until it fits.
    """

    def __init__(self, commits: GroupCommit) -> None:
        self._commits = commits

    async def start(self) -> None:
        """Read where the ids stand and which queues have work; then serve."""
        await self._commits.start()

    async def close(self) -> None:
        """Refuse what comes from now on, write what waits, stop."""
        await self._commits.close()

    async def count(self) -> None:
        """Count the jobs of before the start into the tally, once; the writer goes on meanwhile.

        Until it returns the limits hold only against what has changed since the start.
        """
        await self._commits.count()

    @property
    def tally(self) -> Tally:
        """Jobs by what they wait for, as of the newest commit; not to be changed."""
        return self._commits.tally

    @property
    def storage_full(self) -> bool:
        """Whether there is no room on disk: what adds is refused, nothing is claimed."""
        return self._commits.storage_full

    @property
    def condition(self) -> Condition:
        """What keeps it from writing, if anything does; for readiness."""
        return self._commits.condition

    def wake(self) -> None:
        """Claim if there are slots and jobs: call when a slot became free."""
        self._commits.wake()

    def is_aside(self, queue: str) -> bool:
        """Whether the last claim that looked found the queue paused or at its limit."""
        return self._commits.is_aside(queue)

    async def submit(self, job: NewJob) -> Submitted:
        """Store a job, or find the one its idempotency key names.

        Raises Invalid (`idempotency_key_reused`), Gone (the key's job has been deleted),
        Unavailable (`queue_full`), LimitReached (`quota_exceeded`).
        """
        submitted: Submitted = await self._commits.ask("submit", job)
        return submitted

    async def begin_batch(self, new: NewBatch) -> int:
        """Store a batch without any job and return its seq; its key must be free."""
        seq: int = await self._commits.ask("begin_batch", new)
        return seq

    async def add_to_batch(self, part: Part) -> Answers:
        """Store lines of a batch, in one transaction; return for each what `submit` would."""
        answers: Answers = await self._commits.ask("add_to_batch", part)
        return answers

    async def load_batch(self, loaded: Loaded) -> None:
        """Take note that all lines of a batch are written; of one without a job nothing stays."""
        await self._commits.ask("load_batch", loaded)

    async def settle(self, settlement: Settlement) -> None:
        """Write how an attempt ended; raises LeaseLost and changes nothing if it holds no lease."""
        await self._commits.ask("settle", settlement)

    def settling(self, settlement: Settlement) -> asyncio.Future[None]:
        """Write how an attempt ended as `settle` does; the future has what that would raise."""
        return self._commits.ask("settle", settlement)

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

    async def retire_upload(self, upload: Owned) -> bool:
        """Take an expired claim away that no job names; True if nobody claims the file any more.

        One that is named gets a later time instead.
        """
        unclaimed: bool = await self._commits.ask("retire_upload", upload)
        return unclaimed

    async def retire_jobs(self, seqs: Sequence[int]) -> Retired:
        """Delete those of these jobs that are over and have no unsettled deliveries."""
        retired: Retired = await self._commits.ask("retire_jobs", seqs)
        return retired

    async def retire_keys(self, limit: int) -> Looked:
        """Look at up to `limit` expired idempotency keys; delete those whose jobs are gone."""
        looked: Looked = await self._commits.ask("retire_keys", limit)
        return looked

    async def promote(self) -> Promoted:
        """Queue what is due, some at a time; what is overdue by then is failed instead."""
        promoted: Promoted = await self._commits.ask("promote", None)
        return promoted

    async def expire(self) -> int:
        """Fail queued jobs that are overdue, some at a time; return when to look again.

        In wall ms: now if any was failed. Jobs that are submitted later, but for those with
        a start_before, are not overdue sooner.
        """
        next_ms: int = await self._commits.ask("expire", None)
        return next_ms

    async def unpark(self, place: Place) -> Place | None:
        """Queue parked jobs behind `place` whose kind can run again, some of them.

        Returns where to go on, None when that was the end.
        """
        on: Place | None = await self._commits.ask("unpark", place)
        return on

    async def set_queue(self, change: QueueChange) -> None:
        """Pause or resume a queue, or set its limit; what runs goes on.

        No transaction from then on claims a job that the change forbids.
        """
        await self._commits.ask("set_queue", change)

    async def recover(self) -> Recovered:
        """Void the leases of older starts; call when their workers are dead."""
        recovered: Recovered = await self._commits.ask("recover", None)
        return recovered

    @property
    def endpoints(self) -> Endpoints:
        """All webhook endpoints, as of the newest commit."""
        return self._commits.endpoints

    async def add_endpoint(self, new: NewEndpoint) -> Endpoint:
        """Store an endpoint; all that commits later is told to it. Raises LimitReached."""
        endpoint: Endpoint = await self._commits.ask("endpoints", new)
        return endpoint

    async def change_endpoint(self, change: EndpointChange) -> Endpoint:
        """Change an endpoint; raises NotFound, or JobdError (`precondition_failed`)."""
        endpoint: Endpoint = await self._commits.ask("endpoints", change)
        return endpoint

    async def remove_endpoint(self, removal: EndpointRemoval) -> Endpoint:
        """Delete an endpoint and return it; raises NotFound, JobdError (`precondition_failed`).

        What waits for it is ended by the deliverer.
        """
        endpoint: Endpoint = await self._commits.ask("endpoints", removal)
        return endpoint

    async def rotate_endpoint(self, rotation: EndpointRotation) -> Endpoint:
        """Give an endpoint another secret; raises NotFound."""
        endpoint: Endpoint = await self._commits.ask("endpoints", rotation)
        return endpoint

    async def note_health(self, health: Health) -> Endpoint | None:
        """Note since when an endpoint fails; return it, None if it is gone.

        Written only if that changes something.
        """
        endpoint: Endpoint | None = await self._commits.ask("endpoints", health)
        return endpoint

    async def disable_endpoint(self, disabling: Disabling) -> Endpoint | None:
        """Have an endpoint told no more; return it, None if it is gone.

        What waits for it is ended by the deliverer.
        """
        endpoint: Endpoint | None = await self._commits.ask("endpoints", disabling)
        return endpoint

    async def tell(self, message: Outright) -> str:
        """Store a message about no job, due at once; return the id of its delivery."""
        delivery_id: str = await self._commits.ask("tell", message)
        return delivery_id

    async def save_catalog(self, body: bytes) -> None:
        """Replace the stored catalogue."""
        await self._commits.ask("save_catalog", body)
