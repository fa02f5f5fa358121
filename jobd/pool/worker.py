"""One worker as the daemon sees it: starting → ready → (stopping | dying) → dead → gone.

The kill ladder, for a time limit, a cancel and a drain alike: take back what was not
taken, read the replies that are there (one that is there wins), ask with a Cancel frame,
SIGTERM after a fifth of the grace (cpu lane), SIGKILL at its end. A handler that ends in
time keeps its worker. A dead worker is never used again; its attempts get their outcomes,
and its slots are free, only when it is collected and nothing that it started is left.
What a job leaves running behind in a worker that lives on is left alone until then.

In the io lane SIGTERM would reach every job, so there the frame is the only warning; the
neighbours of a job that has to be killed run again uncharged.

Not here: the process itself (process.py), which worker gets which job (supervisor.py).
"""

import asyncio
import itertools
import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from jobd.domain.catalog import Lane
from jobd.domain.jobs import Claim, JobError
from jobd.domain.outcomes import (
    Bystander,
    CancelledByRequest,
    Crashed,
    Failed,
    NotStarted,
    Outcome,
)
from jobd.pool.attempt import Attempt
from jobd.pool.handover import Handover
from jobd.pool.marker import Marker
from jobd.pool.output import Output
from jobd.pool.process import Exit, Process
from jobd.pool.protocol import (
    Cancel,
    Checkpoint,
    Checkpointed,
    Finished,
    Hello,
    Job,
    Progress,
    Ready,
    Up,
)
from jobd.pool.reports import Reason, asked_to_end, reported
from jobd.pool.settings import Listener, Settings

State = Literal["starting", "ready", "stopping", "dying", "dead"]

_MODULE = "jobd.pool.child"
_START_LIMIT_S = 60.0
_TERMINATE_AFTER = 0.2
"""Share of the grace after which a cpu worker gets SIGTERM."""

_LOG = logging.getLogger(__name__)


class Place(msgspec.Struct, frozen=True):
    """Where a worker lives: the folders of its jobs, and the lock whose holder it proves alive."""

    scratch: Path
    artifacts: Path
    uploads: Path
    lock_fd: int


class Worker:
    """A child process of one lane, and the attempts it was handed. Starts at construction."""

    def __init__(
        self,
        worker_id: int,
        lane: Lane,
        settings: Settings,
        place: Place,
        *,
        listener: Listener,
        freed: Callable[[], None],
        alone: bool = False,
    ) -> None:
        """Start it; OSError when that is impossible. `freed` is called when a slot became free.

        `alone`: it takes one job at a time, also in the io lane.
        """
        self.worker_id = worker_id
        self.lane: Lane = lane
        self.started_at_ms = time.time_ns() // 1_000_000
        self.state: State = "starting"
        self.was_ready = False
        self._leaving = False
        self.jobs_done = 0
        self._settings, self._place = settings, place
        self._listener, self._freed = listener, freed
        self.alone = alone
        self.fresh = True
        """Whether it was handed no job yet."""
        self._capacity = 1 if alone or lane == "cpu" else settings.io_concurrency
        self._numbers = itertools.count(1)
        self._attempts: dict[str, Attempt] = {}
        self._called_back: set[str] = set()
        self._culprits: list[Attempt] = []
        self._sacrificed = False
        """Whether it is killed for one job, which has a reason to end: nobody else is to blame."""
        self._storing: set[asyncio.Task[None]] = set()
        self._handover = Handover()
        self._marker = Marker.create()
        self._output = Output(worker_id, listener)
        try:
            self._process = Process(
                _MODULE,
                [self._handover.worker_fd(), self._marker.fd],
                owner=self,
                mark=f"{settings.mark}:{worker_id}",
                give=[self._handover.worker_fd(), self._marker.fd, place.lock_fd],
                output=self._output.worker_fds(),
            )
        except BaseException:
            self._close()
            raise
        self._output.listen()
        self._process.send(self._hello())
        self._watch = asyncio.get_running_loop().call_later(
            _START_LIMIT_S, self._kill, "did not become ready"
        )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def free(self) -> int:
        """How many jobs could be handed to it now."""
        return self._capacity - len(self._attempts) if self.state == "ready" else 0

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What it was handed and has not ended."""
        return tuple(self._attempts.values())

    def start(self, claim: Claim) -> Attempt:
        """Hand a claim over; its outcome comes by `Attempt.outcome`, whatever happens."""
        self.fresh = False
        attempt = Attempt(claim, next(self._numbers))
        self._attempts[claim.token] = attempt
        self._output.begin(attempt.number, claim)
        try:
            self._handover.send(self._job(attempt))
        except OSError as exc:
            error = JobError("scratch_unwritable", f"No scratch file: {exc}", retryable=True)
            self._end(attempt, Failed(error))
        else:
            attempt.after(claim.timeout_ms / 1000, self.end, attempt, "timeout")
        return attempt

    def end(self, attempt: Attempt, reason: Reason) -> None:
        """Begin the kill ladder for an attempt, unless it has ended or was asked to end before."""
        if attempt.asked is not None or attempt.outcome.done() or not self._process.alive:
            return
        attempt.asked = reason
        attempt.stop_timer()
        messages = self._handover.take_back()
        taken = messages.pop(attempt.claim.token, None) is None
        self._process.read()
        if not taken and reason == "timeout":  # a worker that takes nothing is of no use
            self._called_back.update(messages)
            self._kill("took no job for as long as a job may last")
        else:
            for message in messages.values():
                self._handover.give_again(message)
        if not taken:
            self._end(attempt, _not_started(attempt))
        elif not attempt.outcome.done():
            self._ask(attempt)

    def stop(self) -> None:
        """Have it leave: at once if it runs nothing, else by the ladder."""
        self._leaving = True
        if self.state == "starting":
            self._kill(None)
        elif self.state == "ready":
            self.state = "stopping"
            for attempt in self.attempts:
                self.end(attempt, "drain")
            self._handover.finish()
            self._watch = asyncio.get_running_loop().call_later(
                self._settings.kill_grace_s, self._kill, "did not leave"
            )

    async def gone(self) -> None:
        """Return when it is collected, its tree is gone and every attempt has its outcome."""
        how = await self._process.gone()
        self._output.finish()
        self._pass_on_fault()
        for attempt in self.attempts:
            self._end(attempt, self._fate(attempt, how))
        await asyncio.gather(*self._storing)
        self._close()

    def received(self, frame: Up, /) -> None:
        """Take a frame of the process (its Owner)."""
        match frame:
            case Ready():
                self._watch.cancel()
                if self.state == "starting":
                    self.state, self.was_ready = "ready", True
                    self._freed()
            case Progress() if attempt := self._attempts.get(frame.token):
                self._listener.progressed(attempt.claim, attempt.merge(frame))
            case Checkpoint() if attempt := self._attempts.get(frame.token):
                task = asyncio.get_running_loop().create_task(self._store(attempt, frame))
                self._storing.add(task)
                task.add_done_callback(self._storing.discard)
            case Finished() if attempt := self._attempts.get(frame.token):
                self._finished(attempt, frame)
            case _:  # about an attempt that has ended here
                _LOG.debug("A late frame. worker=%d frame=%s", self.worker_id, type(frame).__name__)

    def died(self, how: Exit, /) -> None:
        """Take note of the death (the process's Owner): who had not begun, who is to blame."""
        if not self._leaving:
            _LOG.warning("A worker %s. worker=%d pid=%d", how, self.worker_id, self.pid)
        self.state = "dead"
        self._watch.cancel()
        for attempt in self.attempts:
            attempt.stop_timer()
        self._called_back.update(self._handover.take_back())
        taken = [a for a in self.attempts if a.claim.token not in self._called_back]
        if self._sacrificed:
            self._culprits = []  # also if its reply came at the last moment
        elif self.lane == "cpu" or len(taken) == 1:
            self._culprits = taken
        else:
            running = self._marker.cell[0]
            self._culprits = [attempt for attempt in taken if attempt.number == running]

    def _ask(self, attempt: Attempt) -> None:
        self._process.send(Cancel(attempt.claim.token))
        grace_s = self._settings.kill_grace_s
        if self.lane == "cpu":
            attempt.after(grace_s * _TERMINATE_AFTER, self._terminate, attempt)
        else:
            attempt.after(grace_s, self._sacrifice, attempt)

    def _terminate(self, attempt: Attempt) -> None:
        self._process.signal(signal.SIGTERM)
        rest_s = self._settings.kill_grace_s * (1 - _TERMINATE_AFTER)
        attempt.after(rest_s, self._sacrifice, attempt)

    def _sacrifice(self, attempt: Attempt) -> None:
        self._process.read()
        if not attempt.outcome.done():
            self._sacrificed = True
            self._kill(None)

    def _kill(self, broken: str | None) -> None:
        if self._process.alive:
            self.state = "dying"
            self._process.kill(broken)

    def _finished(self, attempt: Attempt, frame: Finished) -> None:
        try:
            outcome = reported(attempt.claim, frame, attempt.reason)
        except ValueError as exc:
            self._kill(f"sent a report that cannot be: {exc}")
            return
        self.jobs_done += 1
        self._end(attempt, outcome)

    async def _store(self, attempt: Attempt, frame: Checkpoint) -> None:
        durable = False
        try:
            durable = await self._listener.checkpointed(attempt.claim, frame.data)
        except Exception:  # noqa: BLE001 - the worker waits for an answer, whatever happened
            _LOG.exception("A checkpoint was not stored. job_id=%s", attempt.claim.job_id)
        finally:
            attempt.lost = attempt.lost or not durable
            self._process.send(Checkpointed(frame.token, frame.number, lost=not durable))

    def _fate(self, attempt: Attempt, how: Exit) -> Outcome:
        if attempt.claim.token in self._called_back:
            return _not_started(attempt)
        if attempt.reason is not None:
            return asked_to_end(attempt.claim, attempt.reason, how.evidence())
        if attempt in self._culprits:
            return Crashed(f"The worker {self._process.broken or how}.", how.evidence())
        return Bystander(how.evidence())

    def _pass_on_fault(self) -> None:
        if report := self._marker.fault():
            number = self._culprits[0].number if len(self._culprits) == 1 else 0
            self._output.add(number, "stderr", report.splitlines())

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        self._output.end(attempt.number)
        del self._attempts[attempt.claim.token]
        attempt.end(outcome)
        if self.state == "ready":
            self._freed()

    def _job(self, attempt: Attempt) -> Job:
        claim = attempt.claim
        return Job(
            token=claim.token,
            number=attempt.number,
            job_id=claim.job_id,
            kind=claim.kind,
            attempt=claim.attempt,
            max_attempts=claim.max_attempts,
            timeout_s=claim.timeout_ms / 1000,
            args=claim.args,
            metadata=claim.metadata,
            traceparent=claim.traceparent,
            restored=claim.checkpoint,
            scratch_dir=str(self._place.scratch / claim.token),
            artifacts_dir=str(self._place.artifacts / claim.job_id / claim.token),
        )

    def _hello(self) -> Hello:
        settings = self._settings
        return Hello(
            lane=self.lane,
            allow_paths=settings.allow_paths,
            inline_result_bytes=settings.inline_result_bytes,
            result_bytes=settings.result_bytes,
            artifact_bytes=settings.artifact_bytes,
            uploads_dir=str(self._place.uploads),
            log_level=settings.log_level,
            mark=self._output.mark,
        )

    def _close(self) -> None:
        self._handover.close()
        self._marker.close()
        self._output.close()


def _not_started(attempt: Attempt) -> Outcome:
    return CancelledByRequest() if attempt.asked == "cancel" else NotStarted()
