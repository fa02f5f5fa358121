"""The one task that writes: takes all that waits, commits it, answers.

No gathering delay: while one batch commits, the next one gathers by itself. Nobody is
answered, nothing published or handed over before COMMIT. A caller that is cancelled has
written all the same. When a commit's outcome is unknown the task stops for good: SQLite
would go on, and the next commit would vouch for what may be lost.

Not here: the verbs as their callers see them (writer.py), their order (batch.py).
"""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobd.domain.catalog import Lane
from jobd.domain.clock import Clock
from jobd.domain.errors import JobdError, OutcomeUnknown, StorageFull, Unavailable
from jobd.domain.events import Event
from jobd.domain.ids import IdSource
from jobd.domain.jobs import Claim
from jobd.store.batch import Batch, Committed, Item, State, blames_an_item
from jobd.store.claims import find_ready
from jobd.store.connection import primary_code
from jobd.store.database import Database
from jobd.store.queries import load
from jobd.store.rules import Rules
from jobd.store.transaction import Ids, Times

log = logging.getLogger(__name__)

_META = load("meta.sql")

MAX_SUBMITS_AT_ONCE = 1000
"""New jobs in one transaction; the writer must not be held much longer by one batch."""

CHECKPOINT_PAGES = 1000

_PAGES_OF_A_COMMIT = 6
_BYTES_OF_A_PAGE = 2048
"""What a commit costs the WAL, roughly: the pages it touches anyway, and new rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What the task asks of the daemon, and what it tells it. All are called on the loop."""

    free_slots: Callable[[], Mapping[Lane, int]]
    """Jobs that could start now, by lane; asked for every batch."""
    runnable: Callable[[], Mapping[str, Lane] | None]
    """The lane of each kind that can run; None while that is not known."""
    claimed: Callable[[list[Claim]], None]
    publish: Callable[[Sequence[Event]], None]
    messages: Callable[[], None]
    """There are new messages to deliver."""
    died: Callable[[BaseException], None]


class GroupCommit:
    """Commits what is asked of it, all that waits at a time."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        rules: Rules,
        around: Around,
        *,
        max_waiting: int = 10_000,
    ) -> None:
        self._database = database
        self._clock = clock
        self._rules = rules
        self._around = around
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

    def ask(self, verb: str, request: Any) -> asyncio.Future[Any]:
        """Have the request written by the verb; the future has its answer.

        Raises Unavailable: the task has stopped, or (submissions only) too many wait.
        """
        if verb == "submit" and len(self._submits) >= self._max_waiting:
            raise Unavailable(
                "queue_full", "Too many submissions wait.", retryable=True, retry_after_s=1
            )
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
        free = {} if self._stopped else dict(self._around.free_slots())
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
            times=Times(self._clock.wall_ms(), self._clock.trusted_ms()),
            rules=self._rules,
            runnable=self._around.runnable(),
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
        self._around.publish(committed.events)
        if committed.claims:
            self._around.claimed(committed.claims)
        if committed.messages:
            self._around.messages()
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
            self._around.died(error)


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
