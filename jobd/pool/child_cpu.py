"""The cpu lane's worker: one `def` handler at a time, in the main thread, and no other thread.

Invariant: the reply to a job is sent before the next one is taken. A cancel reaches the
handler in two ways: it asks (`ctx.cancelled`), or SIGTERM raises Cancelled in it, but
only while it is the cancelled attempt's own code that runs, and never inside a frame.
"""

import contextlib
import faulthandler
import functools
import itertools
import os
import signal
import socket
import threading
from _signal import signal as set_signal  # type: ignore[import-not-found]  # without its enums
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from jobd.pool import plugins
from jobd.pool.child_channel import Channel
from jobd.pool.child_job import (
    Ground,
    Usage,
    handler_for,
    info,
    limits,
    report,
    take,
    unavailable,
)
from jobd.pool.child_output import Output, Voice
from jobd.pool.marker import Marker
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
from jobd.sdk import Cancelled, Context
from jobd.sdk.execution import run_sync
from jobd.sdk.handlers import options_of
from jobd.sdk.outcome import Ended
from jobd.sdk.setups import Setups

P = ParamSpec("P")
R = TypeVar("R")


class CpuLink:
    """One attempt's way to the daemon (the sdk's Link)."""

    def __init__(self, channel: Channel, token: str) -> None:
        self._channel = channel
        self._token = token
        self._numbers = itertools.count(1)
        self._answers: dict[int, bool] = {}
        self._cancelled = False
        self._interrupted = False
        """A SIGTERM came while a frame was under way, or was held; it counts afterwards."""
        self._in_handler = False
        self._held = False

    def progress(self, **shown: Any) -> None:
        """Send a progress frame."""
        self._channel.send(Progress(self._token, **shown))
        self._interrupt()

    def heartbeat(self) -> None:
        """Send a heartbeat."""
        self._channel.send(Heartbeat(self._token))
        self._interrupt()

    def cancelled(self) -> bool:
        """Whether a Cancel for this attempt has come."""
        if not self._cancelled:
            self._channel.poll(self._hear)
        return self._cancelled

    def checkpoint(self, data: bytes) -> None:
        """Return once it is durable; Cancelled if it never will be."""
        number = next(self._numbers)
        self._channel.send(Checkpoint(self._token, number, data))
        self._channel.wait(self._hear, lambda: number in self._answers)
        if self._answers.pop(number):
            self._cancelled = True
            raise Cancelled
        self._interrupt()

    def setting_up(self, get: Callable[[], R]) -> Callable[[], R]:
        """Return a setup that tells the daemon of its begin and end, with SIGTERM let in."""

        def run() -> R:
            self._channel.send(SettingUp(self._token))
            try:
                shared = self.guarded(get)
            finally:
                self._channel.send(SetUp(self._token))
            if self.cancelled():  # the signal may have come between setup and handler
                raise Cancelled
            return shared

        return run

    @contextlib.contextmanager
    def held(self) -> Iterator[int]:
        """Keep SIGTERM from raising Cancelled; give the connection, where the Cancel comes."""
        if threading.current_thread() is not threading.main_thread():  # no signal is raised there
            yield self._channel.fileno()
            return
        outer, self._held = self._held, True
        try:
            yield self._channel.fileno()
        finally:
            self._held = outer
            self._interrupt()

    def guarded(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the plugin's function, with SIGTERM let in while it runs."""
        self._in_handler = True
        try:
            return function(*args, **kwargs)
        finally:
            self._in_handler = False

    def terminate(self) -> None:
        """Raise Cancelled if the handler runs and was cancelled (called by SIGTERM)."""
        if not self._in_handler:
            return
        if self._held:
            self._interrupted = True
            return
        if not self._channel.lock.acquire(blocking=False):
            self._interrupted = True
            return
        self._channel.lock.release()
        if self.cancelled():
            self._in_handler = False  # once: what the handler then does to clean up goes on
            raise Cancelled

    def _interrupt(self) -> None:
        if self._interrupted and threading.current_thread() is threading.main_thread():
            self._interrupted = False
            self.terminate()

    def _hear(self, frame: Down) -> None:
        match frame:
            case Cancel(token=self._token):
                self._cancelled = True
            case Checkpointed(token=self._token):
                self._answers[frame.number] = frame.lost
            case _:  # about an attempt that is over
                pass


class CpuLane:
    """Takes jobs and runs them until no more come."""

    def __init__(self, channel: Channel, jobs: socket.socket, hello: Hello, marker: Marker) -> None:
        self._channel, self._jobs, self._hello = channel, jobs, hello
        self._limits = limits(hello)
        self._usage = Usage()
        self._ground = Ground()
        self._output = Output(hello.mark)
        self._voice = Voice(self._output, marker)
        self._configs = plugins.Configs(hello.config)
        self._setups = Setups()
        self._link: CpuLink | None = None
        self._pid = os.getpid()

    def run(self) -> None:
        """Return when the daemon has no more jobs for this worker."""
        on_sigterm = self._on_sigterm
        signal.signal(signal.SIGTERM, on_sigterm)
        faulthandler.enable(self._output.stderr_fd)
        self._output.record(self._hello.log_level)
        self._channel.send(Ready())
        while (job := take(self._jobs)) is not None:
            self._output.restore()
            self._ground.restore()
            self._voice.begin(job.number)
            finished = self._finished(job)
            if os.getpid() != self._pid:  # the handler forked, and its copy returned as well
                os._exit(0)
            finished.spoke = self._voice.end(job.number)
            report(self._channel, finished)
            set_signal(signal.SIGTERM, on_sigterm)  # a handler may have changed it
        self._output.restore()
        self._setups.close()

    def _finished(self, job: Job) -> Finished:
        self._usage.begin()
        try:
            handler = handler_for(job, "cpu", self._channel)
            config = self._configs.of(handler)
        except plugins.Unavailable as exc:
            return unavailable(job, exc)
        self._link = link = CpuLink(self._channel, job.token)
        try:
            ended = run_sync(
                handler.function,
                Context(info(job, self._hello, config), link),
                job.args,
                result_limits=self._limits,
                setup=self._setup(handler, link, config),
                call=link.guarded,
            )
        except Cancelled:  # it came in the few steps around the handler
            ended = Ended("cancelled")
        finally:
            self._link = None
        usage, worn = self._usage.of(ended.duration_s), self._ground.is_worn(ended.duration_s)
        scratch = os.access(job.scratch_dir, os.F_OK)
        return Finished(job.token, ended, handler.origin, usage, scratch=scratch, worn=worn)

    def _setup(
        self, handler: plugins.Handler, link: CpuLink, config: object
    ) -> Callable[[], Any] | None:
        """Return what gives the handler's `ctx.shared`, if it declared a setup."""
        setup = options_of(handler.function).setup
        if setup is None:
            return None
        get = functools.partial(self._setups.get, setup, config)
        return get if self._setups.has(setup, config) else link.setting_up(get)

    def _on_sigterm(self, _number: int, _frame: object) -> None:
        if self._link is not None:
            self._link.terminate()
