"""The one task that writes: takes all that waits, commits it, answers.

No gathering delay: while one batch commits, the next one gathers by itself. Nobody is
answered, nothing published or handed over before COMMIT. A caller that is cancelled has
written all the same. What stands in the way decides what becomes of a batch:

    a lock of another program   waits; submissions are refused when they waited too long
    a full disk                 what adds is refused, what ends things waits till it fits
    anything else               the outcome is unknown and the task stops for good: SQLite
                                would go on, and the next commit vouch for what may be lost

Not here: the verbs as their callers see them (writer.py), their order (batch.py), the disk
(room.py), which errors break the database (database.py).
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jobd.domain.ahead import NOTHING, Ahead
from jobd.domain.catalog import Lane
from jobd.domain.clock import Clock
from jobd.domain.endpoints import Endpoints
from jobd.domain.errors import JobdError, OutcomeUnknown, StorageFull, Unavailable
from jobd.domain.events import Event
from jobd.domain.ids import IdSource
from jobd.domain.jobs import Claim
from jobd.store.batch import ADDS, Batch, Committed, Free, Item, blames_an_item
from jobd.store.connection import primary_code
from jobd.store.counting import count
from jobd.store.database import Database, DatabaseUnusable
from jobd.store.endpoints import read_endpoints
from jobd.store.queries import load
from jobd.store.queues import find_ready
from jobd.store.room import LOOK_S, Ballast, Room
from jobd.store.rules import Rules
from jobd.store.tally import Tally
from jobd.store.transaction import Ids, State, Times
from jobd.store.waiting import Waiting

log = logging.getLogger(__name__)

_META = load("meta.sql")

LOCK_PATIENCE_S = 10.0
"""How long a submission waits for another program's lock."""

Condition = Literal["ok", "locked", "storage_full", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What the task asks of the daemon, and what it tells it. All are called on the loop."""

    free_slots: Callable[[], Mapping[Lane, int]]
    """Jobs that could start now, by lane; asked for every batch."""
    ahead: Callable[[], Ahead] = lambda: NOTHING
    """What the cpu lane takes beyond its free slots; asked for every batch."""
    runnable: Callable[[], Mapping[str, Lane] | None]
    """The lane of each kind that can run; None while that is not known."""
    claimed: Callable[[list[Claim]], None]
    publish: Callable[[Sequence[Event]], None]
    messages: Callable[[Collection[str]], None]
    """There are messages for these receivers, or something has changed of them."""
    storage_low: Callable[[], None] = lambda: None
    """The disk has become full, or nearly."""
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
        ballast: Ballast | None = None,
        look_s: float = LOOK_S,
        max_waiting: int = 10_000,
    ) -> None:
        self._database = database
        self._clock = clock
        self._rules = rules
        self._around = around
        self._new_id = IdSource().next
        self._waiting = Waiting(max_waiting)
        self._room = Room(ballast, clock, look_s=look_s, low=around.storage_low)
        self._in_flight: list[Item] = []
        self._wakened = asyncio.Event()
        self._between_commits = asyncio.Lock()
        self._locked = False
        self._dead = False
        self._stopped = False
        self._state: State
        self._task: asyncio.Task[None]

    @property
    def storage_full(self) -> bool:
        """Whether there is no room on disk: what adds is refused, nothing is claimed."""
        return self._room.full

    @property
    def condition(self) -> Condition:
        """What keeps it from writing, if anything does; `locked` is by another program."""
        if self._dead:
            return "dead"
        if self._room.full:
            return "storage_full"
        return "locked" if self._locked else "ok"

    async def start(self) -> None:
        """Take the reserve, read where the ids stand and which queues have work; then serve."""
        await self._room.begin()
        # read only, so that another program's lock does not keep the daemon from starting
        self._state = await self._database.read(_initial_state)
        self._task = asyncio.create_task(self._run(), name="writer")

    async def count(self) -> None:
        """Bring what was there before the start into the tally, beside the work."""
        await count(self._database, self._state.tally, self._between_commits)

    @property
    def tally(self) -> Tally:
        """Jobs by what they wait for, as of the newest commit; not to be changed."""
        return self._state.tally

    @property
    def endpoints(self) -> Endpoints:
        """All webhook endpoints, as of the newest commit."""
        return self._state.endpoints

    async def close(self) -> None:
        """Refuse what comes from now on, write what waits, stop.

        What a lock or the disk keeps from being written is refused then.
        """
        self._stopped = True
        self._wakened.set()
        await asyncio.wait([self._task])

    def wake(self) -> None:
        """Claim if there are slots and jobs: call when a slot became free."""
        self._wakened.set()

    def is_aside(self, queue: str) -> bool:
        """Whether the last claim that looked found the queue paused or at its limit."""
        return self._state.ready.is_aside(queue)

    def ask(self, verb: str, request: Any) -> asyncio.Future[Any]:
        """Have the request written by the verb; the future has its answer.

        Raises Unavailable: the task has stopped, or (submissions only) too many wait; and
        StorageFull for what adds while the disk is full.
        """
        if self._stopped:
            raise _closing()
        if self._room.full and verb in ADDS:
            raise _full()
        answer = asyncio.get_running_loop().create_future()
        self._waiting.put(Item(verb, request, answer, self._clock.monotonic_s()))
        self._wakened.set()
        return answer

    async def _run(self) -> None:
        try:
            await self._serve()
        except BaseException as error:
            self._die(error)
            if not isinstance(error, Exception):
                raise

    async def _serve(self) -> None:
        while True:
            await self._room.look()
            batch = self._take()
            if batch is not None:
                async with self._between_commits:
                    await self._write(batch)
            elif self._stopped:
                return
            else:
                await self._rest()

    async def _rest(self) -> None:
        """Wait for work, and for the time to look for room if there is none."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self._room.look_at):
                await self._wakened.wait()
        self._wakened.clear()

    def _take(self) -> Batch | None:
        """Return all that may be written; None if that is nothing and nothing can be claimed."""
        free = Free({})
        if self._room.full:
            items = self._take_ends()
        else:
            items = self._waiting.take()
            if not items and not self._state.ready.has_work:
                return None  # as behind most wakes: then nobody need look what is free
            if not self._stopped:
                free = Free(dict(self._around.free_slots()), self._around.ahead())
        if not items and not self._state.ready.claimable(free.slots, ahead=free.ahead.places > 0):
            return None
        self._in_flight = items
        return Batch(
            items,
            free=free,
            state=self._state,
            times=Times(self._clock.wall_ms(), self._clock.trusted_ms(), self._clock.monotonic_s),
            rules=self._rules,
            runnable=self._around.runnable(),
            instance=self._database.identity.start_number,
            new_id=self._new_id,
        )

    def _take_ends(self) -> list[Item]:
        self._refuse(self._waiting.drop(lambda item: item.verb in ADDS), _full)
        if self._room.stuck and not self._stopped:
            return []
        items = self._waiting.take_ends(self._room.at_most)
        if not items and self._stopped:
            self._refuse(self._waiting.drop(), _closing)
        return items

    async def _write(self, batch: Batch) -> None:
        try:
            committed = await self._commit(batch)
        except sqlite3.Error as error:
            code = primary_code(error)
            if code == sqlite3.SQLITE_FULL:
                await self._ran_out(batch)
            elif code == sqlite3.SQLITE_BUSY:
                self._locked_out(batch)
            else:
                raise
            return
        self._locked = False
        self._room.fitted()
        self._state = committed.take_over()
        self._answer(committed)
        self._around.publish(committed.events)
        if committed.leased:
            self._around.claimed(committed.claims)
        if committed.receivers:
            self._around.messages(committed.receivers)
        self._database.wrote(committed.written_bytes)

    async def _commit(self, batch: Batch) -> Committed:
        try:
            return await self._database.run(batch.together)
        except DatabaseUnusable:
            raise
        except Exception as error:
            if not blames_an_item(error):
                raise
            log.exception("A batch failed and is written item by item; this is a bug.")
        return await self._database.run(batch.one_by_one)

    async def _ran_out(self, batch: Batch) -> None:
        """Refuse what adds, and have the rest tried again when it may fit."""
        self._in_flight = []
        ends = [item for item in batch.items if item.verb not in ADDS]
        self._refuse((item for item in batch.items if item.verb in ADDS), _full)
        if self._stopped and self._room.full and len(ends) == 1:
            self._refuse(ends, _full)
            return
        self._waiting.put_back(ends)
        await self._room.ran_out(len(ends))
        if self._room.stuck:
            await self._database.fold()  # the WAL is then written from its beginning again

    def _locked_out(self, batch: Batch) -> None:
        """Have it tried again; refuse the submissions that have waited too long by now."""
        if not self._locked:
            log.warning("Another program holds the database's lock; waiting.")
        self._locked = True
        self._in_flight = []
        self._waiting.put_back(batch.items)
        since_s = self._clock.monotonic_s() - LOCK_PATIENCE_S
        self._refuse(
            self._waiting.drop(
                lambda item: self._stopped or (item.verb == "submit" and item.asked_s <= since_s)
            ),
            _busy,
        )

    def _answer(self, committed: Committed) -> None:
        self._in_flight = []
        for item, outcome in committed.answers:
            if item.answer.done():  # its caller was cancelled
                continue
            if isinstance(outcome, BaseException):
                item.answer.set_exception(outcome)
            else:
                item.answer.set_result(outcome)

    def _refuse(self, items: Iterable[Item], error: Callable[[], JobdError]) -> None:
        for item in items:
            if not item.answer.done():
                item.answer.set_exception(error())

    def _die(self, error: BaseException) -> None:
        """Fail all who wait and refuse all who come: nothing may be vouched for any more."""
        self._stopped = self._dead = True
        items, self._in_flight = [*self._in_flight, *self._waiting.drop()], []
        self._refuse(items, _unknown)
        if isinstance(error, Exception):
            log.critical("The writer has died.", exc_info=error)
            self._around.died(error)


def _initial_state(connection: sqlite3.Connection) -> State:
    ((seq, event),) = connection.execute(_META["last_ids"]).fetchall()
    return State(Ids(seq, event), find_ready(connection), endpoints=read_endpoints(connection))


def _full() -> JobdError:
    return StorageFull("storage_full", "There is no room on disk.", retryable=True)


def _busy() -> JobdError:
    return Unavailable(
        "database_busy",
        "Another program holds the database's lock.",
        retryable=True,
        retry_after_s=5,
    )


def _closing() -> JobdError:
    return Unavailable("starting", "The daemon is stopping.", retryable=True)


def _unknown() -> JobdError:
    return OutcomeUnknown(
        "outcome_unknown",
        "It may or may not have been written; try again with the same idempotency key.",
        retryable=True,
    )
