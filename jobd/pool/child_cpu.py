"""The cpu lane's worker: one `def` handler at a time, in the main thread, and no other thread.

Invariant: the reply to a job is sent before the next one is taken. A cancel reaches the
handler in two ways: it asks (`ctx.cancelled`), or SIGTERM raises Cancelled in it, but
only while it is the cancelled attempt's own code that runs, and never inside a frame.
"""

import faulthandler
import functools
import itertools
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

from jobd.pool import plugins
from jobd.pool.child_channel import Channel
from jobd.pool.child_job import Usage, handler_for, info, limits, report, take, unavailable
from jobd.pool.child_output import Output
from jobd.pool.protocol import (
    Cancel,
    Checkpoint,
    Checkpointed,
    Down,
    Finished,
    Hello,
    Job,
    Progress,
    Ready,
)
from jobd.sdk import Cancelled, Context
from jobd.sdk.execution import run_sync
from jobd.sdk.outcome import Ended


class CpuLink:
    """One attempt's way to the daemon (the sdk's Link)."""

    def __init__(self, channel: Channel, token: str) -> None:
        self._channel = channel
        self._token = token
        self._numbers = itertools.count(1)
        self._answers: dict[int, bool] = {}
        self._cancelled = False
        self._interrupted = False
        """A SIGTERM came while a frame was under way; it counts when the frame is through."""
        self._in_handler = False

    def progress(self, **shown: Any) -> None:
        """Send a progress frame."""
        self._channel.send(Progress(self._token, **shown))
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

    def guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the handler, with SIGTERM let in while it runs."""

        @functools.wraps(function)
        def run(ctx: Context, args: Any) -> Any:
            self._in_handler = True
            try:
                return function(ctx, args)
            finally:
                self._in_handler = False

        return run

    def terminate(self) -> None:
        """Raise Cancelled if the handler runs and was cancelled (called by SIGTERM)."""
        if not self._in_handler:
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

    def __init__(self, channel: Channel, jobs: socket.socket, hello: Hello) -> None:
        self._channel, self._jobs, self._hello = channel, jobs, hello
        self._limits = limits(hello)
        self._usage = Usage()
        self._output = Output(hello.mark)
        self._link: CpuLink | None = None
        self._pid = os.getpid()

    def run(self) -> None:
        """Return when the daemon has no more jobs for this worker."""
        signal.signal(signal.SIGTERM, self._on_sigterm)
        faulthandler.enable(self._output.stderr_fd)
        self._output.record(self._hello.log_level)
        self._channel.send(Ready())
        while (job := take(self._jobs)) is not None:
            self._output.restore()
            self._output.begin(job.number)
            finished = self._finished(job)
            if os.getpid() != self._pid:  # the handler forked, and its copy returned as well
                os._exit(0)
            self._output.end(job.number)
            report(self._channel, finished)
            signal.signal(signal.SIGTERM, self._on_sigterm)  # a handler may have changed it

    def _finished(self, job: Job) -> Finished:
        self._usage.begin()
        try:
            handler = handler_for(job, "cpu")
        except plugins.Unavailable as exc:
            return unavailable(job, exc)
        self._link = link = CpuLink(self._channel, job.token)
        try:
            context = Context(info(job, self._hello), link)
            run = link.guarded(handler.function)
            ended = run_sync(run, context, job.args, result_limits=self._limits)
        except Cancelled:  # it came in the few steps around the handler
            ended = Ended("cancelled")
        finally:
            self._link = None
        return Finished(job.token, ended, handler.origin, self._usage.of(ended.duration_s))

    def _on_sigterm(self, _number: int, _frame: object) -> None:
        if self._link is not None:
            self._link.terminate()
