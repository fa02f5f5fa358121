"""When which fault comes, when the daemon is killed, and that it is started again.

The seed decides. A kill comes between two steps of the loop: at any await of the daemon.

Not here: what a fault does (weather.py, disk.py), what workers and receivers do.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, get_args

from jobd.domain.errors import OutcomeUnknown, Unavailable
from jobd.store.connection import primary_code
from jobd.store.database import DatabaseUnusable
from tests.sim.house import KINDS, House
from tests.sim.loop import Life
from tests.sim.weather import Strike, pause, stream

if TYPE_CHECKING:
    from tests.sim.world import World

BETWEEN_FAULTS_S = 8.0
KILLED_SHARE = 0.75
"""Of the daemons; the others are asked to stop, or end by themselves."""
EARLY_SHARE = 0.3
"""Of the kills come while the daemon starts, or soon after."""
EARLY_STEPS, LATE_STEPS = 150, 2000
LIVES_ON_SHARE = 0.5
"""Of the workers begin one more job before they notice that their daemon is dead."""
STOPS_IN_S = 90.0
"""A daemon that is asked to stop, by somebody or by a broken database, does so by then."""
CLOCK_JUMPS_S = (7, 400, 90_000, -7, -400, -90_000)

End = Literal["killed", "broke", "drains", "could not start"]
FAULTS = ("lock", "full", "low", "strike", "strike", "read", "clock", "clock", "plugin", "drain")


class Chaos:
    """Makes a run go wrong."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.rng = stream(world.seed, "chaos")
        self.house: House | None = None
        self.lives = 0
        self.points: Counter[str] = Counter()
        """Where daemons were when they were killed, and how else they ended."""
        self._ending: asyncio.Future[End]
        self._steps_left: int | None = None
        self._stopping = False
        self._lanes = dict(KINDS)
        world.loop.before_step = self._step
        world.oracle.recovering = lambda: self.house is not None and self.house.recovering

    # the daemon's life

    async def keep(self) -> None:
        """Start a daemon, and another when it has ended, for ever."""
        world = self._world
        while True:
            self.lives += 1
            life = Life(f"daemon {self.lives}")
            self._ending = world.loop.create_future()
            self._steps_left = self._life_steps()
            house = world.loop.spawn(life, self._begin(life), "start")
            end = await self._ending
            world.note("end", end)
            self.points[f"({end})"] += 1
            if end in {"broke", "drains"} and self.house is not None:
                await self._stop(self.house)
            world.loop.end(life)
            await self._bury(self.house)
            del house

    def _life_steps(self) -> int | None:
        if self._world.weather.calm or self.rng.random() > KILLED_SHARE:
            return None
        most = EARLY_STEPS if self.rng.random() < EARLY_SHARE else LATE_STEPS
        return self.rng.randrange(1, most)

    async def _begin(self, life: Life) -> None:
        world = self._world
        self.house = House(
            life,
            world.disk,
            world.machine,
            seed=world.seed,
            layout=world.layout,
            died=self._died,
            received=world.received,
        )
        try:
            await self.house.start(world.hands(), self._lanes)
        except Exception as error:  # noqa: BLE001 - whatever it is, it does not start
            self._judge(error, "could not start")
            self._over("could not start")

    def _died(self, error: BaseException) -> None:
        if (
            not self._ending.done() and not self._stopping
        ):  # what fails now fails because of the first
            self._judge(error, "ended")
        self._over("broke")

    def _judge(self, error: BaseException, what: str) -> None:
        """Hold the end of a daemon against the faults that may end one."""
        self._world.note(what, type(error).__name__)
        broken = isinstance(error, DatabaseUnusable | OutcomeUnknown | Unavailable)
        if not broken and primary_code(error) != sqlite3.SQLITE_IOERR:
            self._world.oracle.wrong(f"the daemon {what}: {error!r}")

    def _over(self, end: End) -> None:
        if not self._ending.done():
            self._ending.set_result(end)

    async def _stop(self, house: House) -> None:
        """Have the daemon stop by itself, unless it is killed meanwhile."""
        self._ending = self._world.loop.create_future()
        if not house.serving:
            return
        self._stopping = True
        hurry = self._world.disk.weather.calm
        stop = self._world.loop.spawn(
            house.life, house.stop(0 if hurry else self.rng.choice([0, 3]))
        )
        ends: list[asyncio.Future[Any]] = [stop, self._ending]
        done, _ = await asyncio.wait(ends, timeout=STOPS_IN_S, return_when=asyncio.FIRST_COMPLETED)
        self._stopping = False
        if not done:
            self._world.oracle.wrong("the daemon was asked to stop and does not")
        elif stop.done():
            stop.result()

    async def _bury(self, house: House | None) -> None:
        """Wait until all that the daemon has left is dead."""
        self.house = None
        self._steps_left = None
        if house is not None:
            for connection in house.connections:
                if not connection.done():
                    connection.set_exception(ConnectionResetError())
            for worker in house.pool.all if hasattr(house, "pool") else ():
                if self.rng.random() < LIVES_ON_SHARE:
                    worker.child.go_on_alone()
        for job_id in list(self._world.alive):
            await pause(self.rng.uniform(0, 0.3))
            self._world.alive.pop(job_id, None)
        await pause(self.rng.uniform(0.01, 0.5))

    def _step(self) -> None:
        if self._steps_left is None or self._ending.done():
            return
        self._steps_left -= 1
        if self._steps_left <= 0:
            self._kill()

    def _kill(self) -> None:
        house = self.house
        self._steps_left = None
        if house is not None:
            self._world.loop.end(house.life)
            self._note_points(house)
        self._over("killed")

    def _note_points(self, house: House) -> None:
        points = {
            "while it stops": self._stopping,
            "while it starts": not house.serving and not house.recovering,
            "while it recovers": house.recovering,
            "with requests open": bool(house.connections),
            "with deliveries under way": bool(house.sender.under_way),
            "before a commit was applied": hasattr(house, "database") and house.database.committing,
            "with a commit that nobody knows of": hasattr(house, "database")
            and bool(house.database.unanswered),
            "with attempts running": hasattr(house, "pool") and bool(house.pool.taken),
            "with jobs at hand": hasattr(house, "pool") and bool(house.pool.at_hand),
        }
        self.points.update(point for point, there in points.items() if there)

    # the faults

    async def harm(self) -> None:
        """Let one thing after another go wrong."""
        while True:
            await pause(self.rng.expovariate(1 / BETWEEN_FAULTS_S))
            fault = self.rng.choice(FAULTS)
            self._world.note("fault", fault)
            await getattr(self, f"_{fault}")()

    async def _lock(self) -> None:
        await self._for_a_while("locked", 20)

    async def _full(self) -> None:
        await self._for_a_while("full", 12)

    async def _low(self) -> None:
        await self._for_a_while("low", 8)

    async def _for_a_while(self, what: str, most_s: float) -> None:
        setattr(self._world.weather, what, True)
        await pause(self.rng.uniform(0.05, most_s))
        setattr(self._world.weather, what, False)

    async def _strike(self) -> None:
        strikes: tuple[Strike, ...] = get_args(Strike)
        self._world.weather.strike = self.rng.choice(strikes)

    async def _read(self) -> None:
        self._world.weather.read_strike = True

    async def _clock(self) -> None:
        seconds = self.rng.choice(CLOCK_JUMPS_S)
        self._world.weather.counts[f"clock {'forward' if seconds > 0 else 'back'}"] += 1
        self._world.machine.jump(seconds)

    async def _plugin(self) -> None:
        """Have one kind go, or all of them be there."""
        self._lanes = dict(KINDS)
        if self.rng.random() < 0.4:
            self._lanes["sim.moves"] = "io"
        if self.rng.random() < 0.4:
            del self._lanes["sim.moves"]
            self._world.weather.counts["plugin gone"] += 1
        self._install()

    def _install(self) -> None:
        house = self.house
        if house is not None and house.serving:
            house.pool.renew()
            house.begin(house.install(self._lanes))

    async def _drain(self) -> None:
        self.drain()

    def drain(self) -> None:
        """Have somebody stop the daemon."""
        if self.house is not None and self.house.serving:
            self._over("drains")

    def _stays(self) -> bool:
        """Whether a daemon serves, and nothing has ended it or is about to."""
        ends = self._stopping or self._ending.done()
        return self.house is not None and self.house.serving and not ends

    async def relent(self) -> None:
        """Let nothing go wrong any more: a daemon runs, with every plugin."""
        self._world.weather.clear()
        self._steps_left = None
        self._lanes = dict(KINDS)
        while not self._stays():
            await pause(1)
        self._install()
