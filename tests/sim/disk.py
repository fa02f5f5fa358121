"""The database of a simulated daemon: real SQLite, run on the loop, on a disk that fails.

`Database` is the daemon's seam: here its functions run inline after a seeded delay, in the
order in which its one writing thread would run them, with faults before and after. What was
applied stays when the daemon is killed.

Not here: which fault comes when (chaos.py), what must be true of the rows (oracle.py).
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from typing import TYPE_CHECKING, Any, TypeVar

from jobd.domain.errors import Unavailable
from jobd.store import schema
from jobd.store.connection import atomically, primary_code
from jobd.store.database import Database, DatabaseUnusable, Sizes
from tests.sim.weather import pause

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.sim.oracle import Oracle
    from tests.sim.weather import Weather

T = TypeVar("T")

BUSY_S = 5.0
RESERVE_PAGES = 12
_ANY_SIZE = 1 << 30
_FULL_SHARE = 0.3
"""Of the writes to a full disk fail though SQLite needs no new page: the WAL would grow."""


@functools.cache
def _template() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    schema.migrate(connection, schema.migrations())
    schema.install_guards(connection)
    return connection


class Disk:
    """What outlives every daemon: the rows, and the reserve."""

    def __init__(self, weather: Weather, rng: random.Random, oracle: Oracle) -> None:
        self.weather = weather
        self.rng = rng
        self.oracle = oracle
        self.reserve = False
        self._spills = False
        self.connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=256)
        _template().backup(self.connection)
        self.connection.execute("PRAGMA trusted_schema = OFF")

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Look into the file."""
        return self.connection.execute(sql).fetchall()

    def close(self) -> None:
        self.connection.close()

    def apply(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Run a transaction on the disk as it is now."""
        weather, strike = self.weather, self.weather.strike
        if weather.locked:
            weather.counts["locked"] += 1
            raise _error(sqlite3.SQLITE_BUSY)
        if strike is not None:
            weather.strike = None
            weather.counts[strike] += 1
            if strike == "read-only file":
                raise _error(sqlite3.SQLITE_READONLY)
            if strike == "EIO before it applies":
                raise _error(sqlite3.SQLITE_IOERR)
        result = self._fitting(act)
        self.oracle.look(self.connection)
        if strike is not None:
            raise _error(sqlite3.SQLITE_IOERR)
        return result

    def _fitting(self, act: Callable[[sqlite3.Connection], T]) -> T:
        if not self.weather.full:
            return act(self.connection)
        self._spills = self.rng.random() < _FULL_SHARE
        ((pages,),) = self.rows("PRAGMA page_count")
        room = 0 if self.reserve else RESERVE_PAGES
        self.connection.execute(f"PRAGMA max_page_count = {pages + room}").fetchall()
        try:
            return act(self.connection)
        except sqlite3.Error as error:
            if primary_code(error) == sqlite3.SQLITE_FULL:
                self.weather.counts["full"] += 1
            raise
        finally:
            self._spills = False
            self.connection.execute(f"PRAGMA max_page_count = {_ANY_SIZE}").fetchall()

    def transaction(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run one, which may find at its end that the WAL cannot grow."""

        def whole(connection: sqlite3.Connection) -> T:
            before = connection.total_changes
            result = fn(connection)
            if self._spills and connection.total_changes != before:
                raise _error(sqlite3.SQLITE_FULL)
            return result

        return atomically(self.connection, whole)

    # the reserve, as the writer knows it (a Ballast)

    def low(self) -> bool:
        if self.weather.low or self.weather.full:
            self.weather.counts["nearly full"] += 1
        return self.weather.low or self.weather.full

    def take(self) -> bool:
        if self.weather.low or self.weather.full:
            return False
        self.reserve = True
        return True

    def give_up(self) -> bool:
        held, self.reserve = self.reserve, False
        return held


class SimDatabase(Database):
    """One daemon's database."""

    def __init__(self, disk: Disk, broken: Callable[[BaseException], None]) -> None:
        # of the base nothing is used: it is the type that the daemon's rooms ask for
        self._loop = asyncio.get_running_loop()
        self._disk = disk
        self._tell_broken = broken
        self._asked: asyncio.Queue[tuple[Callable[[sqlite3.Connection], Any], Any]] = (
            asyncio.Queue()
        )
        self._error = None
        self.committing = False
        """A transaction is asked for and not applied."""
        self.unanswered = 0
        """Transactions that are applied and of which nobody knows."""
        self._thread = asyncio.create_task(self._serve(), name="database")
        self.identity = schema.begin_start(disk.connection)

    async def run(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        return await self._write(lambda _: self._disk.transaction(fn))

    async def _write(self, act: Callable[[sqlite3.Connection], T]) -> T:
        answer: asyncio.Future[T] = self._loop.create_future()
        self._asked.put_nowait((act, answer))
        return await answer

    async def _serve(self) -> None:
        """Be the thread that writes."""
        while True:
            act, answer = await self._asked.get()
            self.committing = True
            await pause(self._delay())
            if self._disk.weather.locked:
                await pause(BUSY_S)
            result, error = self._done(functools.partial(self._vouched_for, act))
            self.committing = False
            self.unanswered += 1
            self._answer_later(answer, result, error, counted=1)

    def _vouched_for(self, act: Callable[[sqlite3.Connection], Any]) -> Any:
        if self._error is not None:
            raise self._error.with_traceback(None)
        return self._disk.apply(act)

    def _done(self, act: Callable[[], Any]) -> tuple[Any, BaseException | None]:
        try:
            return act(), None
        except sqlite3.Error as error:
            return None, self._judge(error)
        except BaseException as error:  # noqa: BLE001 - it is for who asked
            return None, error

    def _judge(self, error: sqlite3.Error) -> BaseException:
        code = primary_code(error)
        if code == sqlite3.SQLITE_IOERR:
            self._break(error)
        elif code == sqlite3.SQLITE_READONLY:
            unusable = DatabaseUnusable(str(error))
            self._break(unusable)
            return unusable
        return error

    def _break(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
            self._loop.call_soon(self._tell_broken, error)

    def _answer_later(
        self, answer: Any, result: Any, error: BaseException | None, counted: int = 0
    ) -> None:
        def tell() -> None:
            self.unanswered -= counted
            if answer.done():
                return
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)

        self._loop.call_later(self._delay() / 4, tell)

    def _delay(self) -> float:
        rng = self._disk.rng
        return rng.uniform(0, 2) if rng.random() < 0.005 else rng.uniform(0.0001, 0.004)

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        answer: asyncio.Future[T] = self._loop.create_future()

        def act() -> None:
            result, error = self._done(lambda: self._look_up(fn))
            if isinstance(error, sqlite3.Error) and primary_code(error) == sqlite3.SQLITE_IOERR:
                error = Unavailable("starting", "The daemon is stopping.", retryable=True)
            self._answer_later(answer, result, error)

        self._loop.call_later(self._delay(), act)
        return await answer

    def _look_up(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        weather, connection = self._disk.weather, self._disk.connection
        if weather.read_strike:
            weather.read_strike = False
            weather.counts["EIO of a read"] += 1
            raise _error(sqlite3.SQLITE_IOERR)
        connection.row_factory = sqlite3.Row
        try:
            return fn(connection)
        finally:
            connection.row_factory = None

    async def sizes(self) -> Sizes:
        ((pages,),), ((free,),) = (
            self._disk.rows(f"PRAGMA {name}") for name in ("page_count", "freelist_count")
        )
        return Sizes(page_count=pages, freelist_count=free, page_size=4096)

    async def vacuum(self, pages: int) -> int:
        return 0

    def wrote(self, row_bytes: int) -> None:
        """Fold no WAL: there is none."""

    async def checkpoint(self) -> None:
        await self._write(lambda _: None)

    async def close(self) -> None:
        """Leave the connection open: it is the disk's."""
        await self._write(lambda _: None) if self._error is None else None
        self._thread.cancel()


def _error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(f"simulated, code {code}")
    error.sqlite_errorcode = code
    return error
