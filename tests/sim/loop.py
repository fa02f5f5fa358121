"""An event loop whose time is made up: nothing waits, and one seed gives one order.

Time jumps to the next timer when nothing is left to do. What asyncio leaves open the seed
decides: which of two timers of the same moment comes first. Threads and descriptors, whose
order nobody decides, are refused; what would run on a thread runs here after a delay.

Every callback belongs to the life (of a daemon) in whose context it was made. A life that is
`ended` runs no more callbacks: no `finally`, no cancellation, as kill -9 leaves a process.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import heapq
import itertools
import threading
import warnings
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, TypeVarTuple, Unpack

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LIFE: contextvars.ContextVar[Life | None] = contextvars.ContextVar("life", default=None)

TICK_S = 1e-6
"""How far apart the timers of one moment may be."""

_CLOSINGS = 20
"""How often a coroutine that was left is told to end; it may wait in each of its `finally`."""


class Stuck(Exception):  # noqa: N818 - named for what happened
    """Everybody waits and no timer is left."""


class Life:
    """All that goes on in one process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ended = False
        self.context = contextvars.copy_context()
        self.context.run(LIFE.set, self)


class _Counted:
    """What is hashed by the order in which it was made, and not by where it lies in memory."""

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other

    _number: int


class CountedFuture(_Counted, asyncio.Future[Any]):
    """A future that sets keep in order."""

    def __init__(self, *, loop: VirtualLoop) -> None:
        self._number = next(loop.numbers)
        super().__init__(loop=loop)


class CountedTask(_Counted, asyncio.Task[Any]):
    """A task that sets keep in order."""

    def __init__(self, coro: Coroutine[Any, Any, Any], *, loop: VirtualLoop, **named: Any) -> None:
        self._number = next(loop.numbers)
        loop.tasks.append(self)
        super().__init__(coro, loop=loop, **named)


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop of one simulated run."""

    _ready: Any
    _scheduled: list[asyncio.TimerHandle]
    _timer_cancelled_count: int

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self.numbers = itertools.count()
        self.tasks: list[CountedTask] = []
        self.steps = 0
        self.mishaps: list[str] = []
        """What nobody caught."""
        self.before_step: Callable[[], None] = lambda: None
        self._rng = rng
        self._now_s = 0.0
        self._thread = threading.get_ident()
        self.set_task_factory(lambda _, coro, **named: CountedTask(coro, loop=self, **named))
        self.set_exception_handler(lambda _, about: self.mishaps.append(_told(about)))

    def time(self) -> float:
        return self._now_s

    def create_future(self) -> asyncio.Future[Any]:
        return CountedFuture(loop=self)

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        handle = super().call_soon(callback, *args, context=context)
        if _ended(context):
            handle.cancel()
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        when += self._rng.random() * TICK_S
        handle = super().call_at(when, callback, *args, context=context)
        if _ended(context):
            handle.cancel()
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        if threading.get_ident() != self._thread:
            raise Stuck("a thread would decide what comes next")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]
        self, executor: None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run it here, later."""
        answer = self.create_future()

        def run() -> None:
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - it is for who waits
                _answer(answer, error=error)
            else:
                _answer(answer, result)

        self.call_later(self._rng.uniform(0, 0.003), run)
        return answer

    def end(self, life: Life) -> None:
        """Have nothing more of the life run."""
        life.ended = True
        for handle in [*self._ready, *self._scheduled]:
            if not handle.cancelled() and handle._context.get(LIFE) is life:  # noqa: SLF001 - the only place that knows
                handle.cancel()

    def spawn(self, life: Life, work: Coroutine[Any, Any, T], name: str = "") -> asyncio.Task[T]:
        """Begin a task of the life."""
        return self.create_task(work, name=name or None, context=life.context)

    def _run_once(self) -> None:
        """Run one callback; time goes on only when there is none."""
        if not self._ready:
            self._to_the_next_timer()
        while self._scheduled and self._scheduled[0].when() <= self._now_s:
            timer = heapq.heappop(self._scheduled)
            timer._scheduled = False  # type: ignore[attr-defined]  # noqa: SLF001 - as BaseEventLoop does
            self._ready.append(timer)
        handle = self._ready.popleft()
        if not handle.cancelled():
            self.steps += 1
            handle._run()  # noqa: SLF001 - as BaseEventLoop does
            self.before_step()

    def _to_the_next_timer(self) -> None:
        while self._scheduled and self._scheduled[0].cancelled():
            heapq.heappop(self._scheduled)
        if not self._scheduled:
            raise Stuck("everybody waits, and no timer is left")
        self._now_s = self._scheduled[0].when()

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Leave it where it is: its time comes."""

    def _write_to_self(self) -> NoReturn:
        raise Stuck("nothing can wake this loop")

    def dispose(self) -> None:
        """Take apart what was left in the middle, without a word."""
        self.set_exception_handler(lambda *_: None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # what had not even begun
            for task in self.tasks:
                if not task.done():
                    task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - it was killed
                    _close(task.get_coro())
        self.tasks.clear()
        self._ready.clear()
        self._scheduled.clear()
        self.close()


def _ended(context: contextvars.Context | None) -> bool:
    life = LIFE.get() if context is None else context.get(LIFE)
    return life is not None and life.ended


def _answer(answer: asyncio.Future[T], result: Any = None, error: Exception | None = None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)


def _close(coro: Any) -> None:
    for _ in range(_CLOSINGS):
        # it may wait on its way out, or fall over what is half done: it would have been killed
        with contextlib.suppress(BaseException):
            coro.close()
            return


def _told(about: dict[str, Any]) -> str:
    error = about.get("exception")
    return f"{about['message']}: {error!r}"
