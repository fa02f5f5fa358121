"""The one task that writes: takes all that waits, commits it, answers.

No gathering delay: while one batch commits, the next one gathers by itself. Nobody is
answered, nothing published or handed over before COMMIT. A caller that is cancelled has
written all the same. When a commit's outcome is unknown the writer stops for good: SQLite
would go on, and the next commit would vouch for what may be lost.

Not here: the verbs (jobs.py, claims.py, moves.py, attempts.py, finished.py, uploads.py),
their order (batch.py).
"""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jobd.domain.catalog import Lane
from jobd.domain.clock import Clock
from jobd.domain.errors import JobdError, OutcomeUnknown, StorageFull, Unavailable
from jobd.domain.events import Event
from jobd.domain.ids import IdSource
from jobd.domain.jobs import (
    Cancelled,
    Checkpoint,
    Claim,
    NewJob,
    Recovered,
    Settlement,
    Submitted,
    Update,
    Upload,
)
from jobd.store.batch import Batch, Committed, Item, State, blames_an_item
from jobd.store.claims import find_ready
from jobd.store.connection import primary_code
from jobd.store.database import Database
from jobd.store.finished import Retry
from jobd.store.queries import load
from jobd.store.transaction import Ids
from jobd.store.uploads import Owned

log = logging.getLogger(__name__)

_META = load("meta.sql")

MAX_SUBMITS_AT_ONCE = 1000
"""New jobs in one transaction; the writer must not be held much longer by one batch."""

CHECKPOINT_PAGES = 1000

_PAGES_OF_A_COMMIT = 6
_BYTES_OF_A_PAGE = 2048
"""What a commit costs the WAL, roughly: the pages it touches anyway, and new rows."""


class Writer:
    """The store's verbs. All are durable on return; each raises what its lines say.

    Any of them may raise OutcomeUnknown (it may or may not be written; the writer is
    dead), StorageFull (it is not written) or Unavailable (the writer is closed or dead).
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        publish: Callable[[Sequence[Event]], None],
        free_slots: Callable[[], Mapping[Lane, int]],
        claimed: Callable[[list[Claim]], None],
        died: Callable[[BaseException], None],
        messages: Callable[[], None] | None = None,
        max_waiting: int = 10_000,
    ) -> None:
        self._database = database
        self._clock = clock
        self._publish = publish
        self._free_slots = free_slots
        self._claimed = claimed
        self._died = died
        self._messages = messages
        self._new_id = IdSource().next
        self._max_waiting = max_waiting
        self._submits: deque[Item] = deque()
        self._others: list[Item] = []
        self._in_flight: list[Item] = []
        self._wakened = asyncio.Event()
        self._stopped = False
        self._pages = 0
        self._state: State
        self._task: asyncio.Task[None]

    async def start(self) -> None:
        """Read where the ids stand and which queues have work; then serve."""
        self._state = await self._database.run(_initial_state)
        self._task = asyncio.create_task(self._run(), name="writer")

    async def close(self) -> None:
        """Refuse what comes from now on, write what waits, stop."""
        self._stopped = True
        self._wakened.set()
        await asyncio.wait([self._task])

    def wake(self) -> None:
        """Claim if there are slots and jobs: call when a slot became free."""
        self._wakened.set()

    async def submit(self, job: NewJob) -> Submitted:
        """Store a job, or find the one its idempotency key names.

        Raises Invalid (`idempotency_key_reused`), Gone (the key's job has been deleted),
        Unavailable (`queue_full`).
        """
        if len(self._submits) >= self._max_waiting:
            raise Unavailable(
                "queue_full", "Too many submissions wait.", retryable=True, retry_after_s=1
            )
        submitted: Submitted = await self._ask("submit", job)
        return submitted

    async def settle(self, settlement: Settlement) -> None:
        """Write how an attempt ended; raises LeaseLost and changes nothing if it holds no lease."""
        await self._ask("settle", settlement)

    async def progress(self, update: Update) -> None:
        """Replace an attempt's progress; raises LeaseLost."""
        await self._ask("progress", update)

    async def checkpoint(self, checkpoint: Checkpoint) -> None:
        """Replace what a later attempt will resume from; raises LeaseLost."""
        await self._ask("checkpoint", checkpoint)

    async def cancel(self, job_id: str) -> Cancelled:
        """Cancel a job that waits, or mark one that runs; raises NotFound."""
        cancelled: Cancelled = await self._ask("cancel", job_id)
        return cancelled

    async def retry(self, job_id: str, new_id: str) -> Submitted:
        """Queue a copy of a failed or cancelled job as `new_id`; the two name each other.

        Raises NotFound, or Conflict (`job_active`, `job_completed`, `job_already_retried`,
        `input_missing`).
        """
        submitted: Submitted = await self._ask("retry", Retry(job_id, new_id))
        return submitted

    async def delete(self, job_id: str) -> None:
        """Delete a job that is over; its idempotency key stays and says that it is gone.

        Raises NotFound, or Conflict (`job_active`).
        """
        await self._ask("delete", job_id)

    async def add_upload(self, upload: Upload) -> Upload:
        """Store a principal's claim to a file that is in place; return it as it stands."""
        stored: Upload = await self._ask("add_upload", upload)
        return stored

    async def remove_upload(self, file_id: str, principal: str) -> bool:
        """Take a principal's claim away; True if nobody claims the file any more.

        Raises NotFound, or Conflict (`upload_in_use`).
        """
        unclaimed: bool = await self._ask("remove_upload", Owned(file_id, principal))
        return unclaimed

    async def promote(self) -> float | None:
        """Queue what is due; return the seconds until more is (0: now), None if nothing will be."""
        due_in_s: float | None = await self._ask("promote", None)
        return due_in_s

    async def recover(self) -> Recovered:
        """Void the leases of older starts; call when their workers are dead."""
        recovered: Recovered = await self._ask("recover", None)
        return recovered

    async def save_catalog(self, body: bytes) -> None:
        """Replace the stored catalogue."""
        await self._ask("save_catalog", body)

    def _ask(self, verb: str, request: Any) -> asyncio.Future[Any]:
        if self._stopped:
            raise Unavailable("starting", "The daemon is stopping.", retryable=True)
        item = Item(verb, request, asyncio.get_running_loop().create_future())
        (self._submits if verb == "submit" else self._others).append(item)
        self._wakened.set()
        return item.answer

    async def _run(self) -> None:
        try:
            await self._serve()
        except BaseException as error:
            self._die(error)
            if not isinstance(error, Exception):
                raise

    async def _serve(self) -> None:
        while True:
            while (batch := self._take()) is not None:
                await self._write(batch)
            if self._stopped:
                return
            await self._wakened.wait()
            self._wakened.clear()

    def _take(self) -> Batch | None:
        """Return all that waits; None if that is nothing and nothing can be claimed."""
        free = {} if self._stopped else dict(self._free_slots())
        items, self._others = self._others, []
        while self._submits and len(items) < MAX_SUBMITS_AT_ONCE:
            items.append(self._submits.popleft())
        if not items and not self._state.ready.claimable(free):
            return None
        self._in_flight = items
        return Batch(
            items,
            free=free,
            state=self._state,
            now_ms=self._clock.wall_ms(),
            instance=self._database.identity.start_number,
            new_id=self._new_id,
        )

    async def _write(self, batch: Batch) -> None:
        try:
            committed = await self._commit(batch)
        except sqlite3.Error as error:
            if primary_code(error) != sqlite3.SQLITE_FULL:
                raise
            log.error("The disk is full; nothing was written.")  # noqa: TRY400 - no bug to trace
            self._refuse(_full)
            return
        self._state = committed.state
        self._answer(committed)
        self._publish(committed.events)
        if committed.claims:
            self._claimed(committed.claims)
        if committed.messages and self._messages is not None:
            self._messages()
        await self._checkpoint(committed)

    async def _commit(self, batch: Batch) -> Committed:
        write = batch.together
        while True:
            try:
                return await self._database.run(write)
            except Exception as error:
                if primary_code(error) == sqlite3.SQLITE_BUSY:
                    log.warning("Another program holds the database's lock; waiting.")
                elif blames_an_item(error) and write == batch.together:
                    log.exception("A batch failed and is written item by item; this is a bug.")
                    write = batch.one_by_one
                else:
                    raise

    def _answer(self, committed: Committed) -> None:
        self._in_flight = []
        for item, outcome in committed.answers:
            if item.answer.done():  # its caller was cancelled
                continue
            if isinstance(outcome, BaseException):
                item.answer.set_exception(outcome)
            else:
                item.answer.set_result(outcome)

    def _refuse(self, error: Callable[[], JobdError]) -> None:
        items, self._in_flight = self._in_flight, []
        for item in items:
            if not item.answer.done():
                item.answer.set_exception(error())

    async def _checkpoint(self, committed: Committed) -> None:
        """Fold the WAL into the file from time to time, when nobody waits for the answer."""
        self._pages += _PAGES_OF_A_COMMIT + committed.written_bytes // _BYTES_OF_A_PAGE
        if self._pages < CHECKPOINT_PAGES:
            return
        self._pages = 0
        try:
            await self._database.checkpoint()
        except sqlite3.Error as error:
            if primary_code(error) != sqlite3.SQLITE_FULL:
                raise
            # the WAL still has all of it; the next round tries again
            log.warning("The disk is full; the WAL was not folded into the database.")

    def _die(self, error: BaseException) -> None:
        """Fail all who wait and refuse all who come: nothing may be vouched for any more."""
        self._stopped = True
        self._in_flight = [*self._in_flight, *self._others, *self._submits]
        self._others = []
        self._submits.clear()
        self._refuse(_unknown)
        if isinstance(error, Exception):
            log.critical("The writer has died.", exc_info=error)
            self._died(error)


def _initial_state(connection: sqlite3.Connection) -> State:
    ((seq, event),) = connection.execute(_META["last_ids"]).fetchall()
    return State(Ids(seq, event), find_ready(connection))


def _full() -> JobdError:
    return StorageFull("storage_full", "There is no room on disk.", retryable=True)


def _unknown() -> JobdError:
    return OutcomeUnknown(
        "outcome_unknown",
        "It may or may not have been written; try again with the same idempotency key.",
        retryable=True,
    )
