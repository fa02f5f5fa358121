"""The io lane's worker: many `async def` handlers as tasks of one event loop.

Invariant: while a step of a job's task runs, or of a task that it started, the marker
names that job. A cancel is `Task.cancel()`.
"""

import asyncio
import contextvars
import functools
import itertools
import os
import socket
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from jobd.pool import plugins
from jobd.pool.child_channel import Channel
from jobd.pool.child_job import Ground, handler_for, info, limits, report, take, unavailable
from jobd.pool.child_output import Output
from jobd.pool.marker import TICK_S, Marker
from jobd.pool.protocol import (
    Cancel,
    Checkpoint,
    Checkpointed,
    Down,
    Finished,
    Heartbeat,
    Hello,
    Job,
    Progress,
    Ready,
    SettingUp,
    SetUp,
)
from jobd.sdk import AsyncContext
from jobd.sdk.async_setups import AsyncSetups
from jobd.sdk.execution import run_async
from jobd.sdk.handlers import options_of
from jobd.sdk.outcome import Ended

_NUMBER: contextvars.ContextVar[int] = contextvars.ContextVar("jobd_job_number", default=0)
"""The number of the job that a task belongs to."""


class Marked(Coroutine[Any, Any, Any]):
    """A job's coroutine that writes the job's number into the marker around every step."""

    __slots__ = ("_cell", "_inner", "_number")

    def __init__(
        self, inner: Coroutine[Any, Any, Any], number: int, cell: "memoryview[int]"
    ) -> None:
        self._inner, self._number, self._cell = inner, number, cell

    def send(self, value: Any) -> Any:
        """Run a step."""
        before, self._cell[0] = self._cell[0], self._number
        try:
            return self._inner.send(value)
        finally:
            self._cell[0] = before

    def throw(self, *exc: Any) -> Any:
        """Run a step that begins with an exception."""
        before, self._cell[0] = self._cell[0], self._number
        try:
            return self._inner.throw(*exc)
        finally:
            self._cell[0] = before

    def close(self) -> None:
        """End it."""
        self._inner.close()

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._inner.__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)  # cr_frame and the like, which libraries look at


class IoLink:
    """One attempt's way to the daemon (the sdk's AsyncLink)."""

    def __init__(self, channel: Channel, token: str) -> None:
        self._channel = channel
        self._token = token
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[bool]] = {}
        self._cancelled = False

    def progress(self, **shown: Any) -> None:
        """Send a progress frame."""
        self._channel.send(Progress(self._token, **shown))

    def heartbeat(self) -> None:
        """Send a heartbeat."""
        self._channel.send(Heartbeat(self._token))

    def cancelled(self) -> bool:
        """Whether this attempt was asked to end."""
        return self._cancelled

    async def checkpoint(self, data: bytes) -> None:
        """Return once it is durable; CancelledError if it never will be."""
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._channel.send(Checkpoint(self._token, number, data))
            lost = await answer
        finally:
            del self._waiting[number]
        if lost:
            self._cancelled = True
            raise asyncio.CancelledError

    def setting_up(self, get: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
        """Return a setup that tells the daemon how long this attempt waits for it."""

        async def run() -> Any:
            self._channel.send(SettingUp(self._token))
            try:
                return await get()
            finally:
                self._channel.send(SetUp(self._token))

        return run

    def cancel(self) -> None:
        """Take note of a Cancel."""
        self._cancelled = True

    def answered(self, frame: Checkpointed) -> None:
        """Take note of an answer; nobody may be waiting for it any more."""
        answer = self._waiting.get(frame.number)
        if answer is not None and not answer.done():
            answer.set_result(frame.lost)


class IoLane:
    """Takes jobs and runs them until no more come and none runs."""

    def __init__(self, channel: Channel, jobs: socket.socket, hello: Hello, marker: Marker) -> None:
        self._channel, self._jobs, self._hello = channel, jobs, hello
        self._marker = marker
        self._limits = limits(hello)
        self._output = Output(hello.mark, _NUMBER.get)
        self._configs = plugins.Configs(hello.config)
        self._setups = AsyncSetups()
        self._ground = Ground()
        self._running: dict[str, tuple[asyncio.Task[Finished], IoLink]] = {}
        self._ticking = False
        self._no_more = False
        self._pid = os.getpid()

    def run(self) -> None:
        """Return when the daemon has no more jobs for this worker."""
        self._marker.catch_faults()
        self._output.route()
        self._output.record(self._hello.log_level)
        asyncio.run(self._main())

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_task_factory(self._task)
        self._over = asyncio.Event()
        loop.add_reader(self._jobs.fileno(), self._take)
        loop.add_reader(self._channel.fileno(), self._channel.poll, self._hear)
        self._channel.send(Ready())
        await self._over.wait()
        await self._setups.close()

    def _task(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **options: Any,
    ) -> asyncio.Task[Any]:
        context: contextvars.Context | None = options.get("context")
        number = _NUMBER.get() if context is None else context.get(_NUMBER, 0)
        if number and isinstance(coro, Coroutine):
            coro = Marked(coro, number, self._marker.cell)
        return asyncio.Task(coro, loop=loop, **options)

    def _take(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while (job := take(self._jobs, socket.MSG_DONTWAIT)) is not None:
                self._start(job)
        except BlockingIOError:
            return
        loop.remove_reader(self._jobs.fileno())
        self._no_more = True
        self._leave_if_done()

    def _start(self, job: Job) -> None:
        self._output.begin(job.number)
        link = IoLink(self._channel, job.token)
        context = contextvars.copy_context()
        context.run(_NUMBER.set, job.number)
        task = asyncio.get_running_loop().create_task(
            self._attempt(job, link), name=job.job_id, context=context
        )
        self._running[job.token] = (task, link)
        task.add_done_callback(functools.partial(self._ended, job))
        if not self._ticking:
            self._tick()

    def _tick(self) -> None:
        """Show that the loop comes round, while jobs run."""
        self._ticking = bool(self._running)
        if self._ticking:
            self._marker.tick()
            asyncio.get_running_loop().call_later(TICK_S, self._tick)

    async def _attempt(self, job: Job, link: IoLink) -> Finished:
        try:
            handler = handler_for(job, "io", self._channel)
            config = self._configs.of(handler)
        except plugins.Unavailable as exc:
            return unavailable(job, exc)
        ended = await run_async(
            handler.function,
            AsyncContext(info(job, self._hello, config), link),
            job.args,
            result_limits=self._limits,
            setup=self._setup(handler, link, config),
        )
        worn = self._ground.is_worn(ended.duration_s)
        return Finished(job.token, ended, handler.origin, worn=worn)

    def _setup(
        self, handler: plugins.Handler, link: IoLink, config: object
    ) -> Callable[[], Awaitable[Any]] | None:
        """Return what gives the handler's `ctx.shared`, if it declared a setup."""
        setup = options_of(handler.function).setup
        if setup is None:
            return None
        get = functools.partial(self._setups.get, setup, config)
        return get if self._setups.has(setup, config) else link.setting_up(get)

    def _ended(self, job: Job, task: asyncio.Task[Finished]) -> None:
        if os.getpid() != self._pid:  # the handler forked, and its copy returned as well
            os._exit(0)
        self._output.end(job.number)
        del self._running[job.token]
        # cancelled before its first step, a task ends without having run anything
        unbegun = Finished(job.token, Ended("cancelled"))
        report(self._channel, unbegun if task.cancelled() else task.result())
        self._leave_if_done()

    def _hear(self, frame: Down) -> None:
        match frame:
            case Cancel() if found := self._running.get(frame.token):
                task, link = found
                link.cancel()
                task.cancel()
            case Checkpointed() if found := self._running.get(frame.token):
                found[1].answered(frame)
            case _:  # about an attempt that is over
                pass

    def _leave_if_done(self) -> None:
        if self._no_more and not self._running:
            self._over.set()
