"""One worker as the daemon sees it: starting → (spare →) ready → … → dead → gone.

An attempt that has to end: take back what was not taken, read the replies that are there
(one that is there wins), then climb the ladder. Who takes too much memory, or does not come
out of its setup, gets SIGKILL at once. A dead worker is never used again; its attempts get
their outcomes, and its slots are free, only when it is collected and nothing that it started
is left. What a job leaves running behind in a worker that lives on is left alone until then,
unless it had to be ended (cpu). In the io lane neighbours of one killed run again uncharged.
What waits in a cpu worker for one that overran, has to end, or took the worker down was not
started, and can start elsewhere at once.

Not here: the process itself (process.py), the rungs (ladder.py), which worker gets which job
(supervisor.py).
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from typing import Literal

from jobd.domain.catalog import Lane
from jobd.domain.jobs import Claim, JobError
from jobd.domain.outcomes import Failed, HandlerUnavailable, Outcome
from jobd.pool import briefing, memory, protocol
from jobd.pool.apart import ALONE, Room
from jobd.pool.attempt import Attempt
from jobd.pool.briefing import Place
from jobd.pool.checkpoints import Checkpoints
from jobd.pool.handover import Handover
from jobd.pool.inquest import Inquest
from jobd.pool.ladder import Ladder
from jobd.pool.line import Line
from jobd.pool.looks import Looks
from jobd.pool.marker import Marker
from jobd.pool.output import Output
from jobd.pool.process import Exit, Process
from jobd.pool.recycling import Wear
from jobd.pool.reports import WORKER_CPU, Reason, reported
from jobd.pool.settings import AttemptLimits, Listener, Settings
from jobd.pool.shared_loop import SharedLoop
from jobd.pool.timekeeper import Timekeeper
from jobd.pool.verdict import not_started

State = Literal["starting", "spare", "ready", "retiring", "stopping", "dying", "dead"]
"""spare: stands by. retiring: takes no more jobs, and leaves when it runs none."""

_START_LIMIT_S = 60.0

_LOG = logging.getLogger(__name__)


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
        room: Room | None = None,
    ) -> None:
        """Start it; OSError when that is impossible. `freed` is called when a slot became free.

        `room`: the only sort of claims that it takes.
        """
        self.worker_id = worker_id
        self.lane: Lane = lane
        self.room = room
        self.started_at_ms = time.time_ns() // 1_000_000
        self.state: State = "starting"
        self.was_ready = self._leaving = self.unfit = False
        self.standing_by = False
        """Whether it takes no jobs before it is promoted."""
        self.jobs_done = 0
        self._settings, self._place, self._listener, self._freed = settings, place, listener, freed
        self.fresh = True  # until it is handed a job
        self.lost_to: str | None = None
        """The kind whose job took it down or had to be ended with it, if it came to that."""
        self._capacity = 1 if lane == "cpu" or room == ALONE else settings.io_concurrency
        self._numbers = itertools.count(1)
        self._handover = Handover()
        self._marker = Marker.create()
        self._inquest = Inquest(lane, self._marker)
        self._loop = SharedLoop(self._marker, settings.loop_stall_s)
        self._output = Output(worker_id, listener, self._marker if lane == "cpu" else None)
        try:
            self._process = Process(
                settings.program,
                [self._handover.worker_fd(), self._marker.fd],
                owner=self,
                mark=f"{settings.mark}:{worker_id}",
                give=[self._handover.worker_fd(), self._marker.fd, place.lock_fd],
                output=self._output.worker_fds(),
            )
        except BaseException:
            self._close()
            raise
        self._equip()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def free(self) -> int:
        """How many jobs could be handed to it now."""
        return max(0, self._capacity - len(self.line)) if self.state == "ready" else 0

    @property
    def room_ahead(self) -> float:
        """How much more short work it may have at hand, as a share of what it may have at most."""
        able = self.lane == "cpu" and self.state == "ready" and not self.due
        return self.line.room if able else 0.0

    @property
    def due(self) -> bool:
        """Whether it is to be replaced between jobs: a failed import may have left half of it."""
        return self._wear.is_too_much or self.unfit

    @property
    def idle(self) -> bool:
        """Whether it runs nothing."""
        return not self.line

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """What it was handed and has not ended."""
        return tuple(self.line)

    def promote(self) -> None:
        """Let it take jobs, as soon as it is ready."""
        self.standing_by = False
        if self.state == "spare":
            self.state = "ready"
            self._freed()

    def start(self, claim: Claim, limits: AttemptLimits, share: float | None = None) -> Attempt:
        """Hand a claim over; its outcome comes by `Attempt.outcome`, whatever happens.

        `share`: what it takes of the room ahead; None if nothing may wait behind it.
        """
        self.fresh = False
        if self.idle and self.lane == "io":
            self._loop.is_used()
        attempt = Attempt(claim, next(self._numbers), limits, share)
        self.line.join(attempt)
        self._output.begin(attempt.number, claim)
        if limits.memory_bytes is not None and self._group is not None:
            self._group.limit(limits.memory_bytes)
        try:
            self._handover.send(briefing.job(attempt, self._place))
        except OSError as exc:
            error = JobError("scratch_unwritable", f"No scratch file: {exc}", retryable=True)
            self._end(attempt, Failed(error))
        else:
            self.line.handed(attempt)
        return attempt

    def end(self, attempt: Attempt, reason: Reason) -> None:
        """Begin the kill ladder for an attempt, unless it has ended or was asked to end before."""
        if attempt.asked is not None or attempt.outcome.done() or not self._process.alive:
            return
        attempt.asked = reason
        attempt.stop_timers()
        messages = self._handover.take_back()
        taken = messages.pop(attempt.claim.token, None) is None
        self._process.read()
        if not taken and reason in ("timeout", "heartbeat"):
            # a worker that takes nothing is of no use
            self._kill("took no job for as long as a job may last")
            self.line.pass_on(messages)
        elif taken and self.lane == "cpu" and not attempt.outcome.done():
            self.line.pass_on(messages)  # else a signal for this one could meet the next
        else:
            self._handover.give_again(messages.values())
        if not taken:
            self._end(attempt, not_started(attempt))
        elif not attempt.outcome.done():
            self._ladder.climb(attempt)

    def end_at_once(self, attempt: Attempt, reason: Reason) -> None:
        """End an attempt that must not have the time to be asked, unless it has ended."""
        self._process.read()
        if not attempt.outcome.done() and self._process.alive:
            attempt.asked = attempt.asked or reason
            attempt.stop_timers()
            self._sacrifice(attempt)

    def retire(self) -> None:
        """Have it take no more jobs and leave when it runs none."""
        if self.state in ("ready", "spare"):
            self.state = "retiring"
            if self.idle:
                self._leave()

    def stop(self) -> None:
        """Have it leave: at once if it runs nothing, else by the ladder."""
        self._leaving = True
        if self.state == "starting":
            self._kill(None)
        elif self.state in ("ready", "spare", "retiring"):
            self.line.shed()
            for attempt in self.attempts:
                self.end(attempt, "drain")
            self._leave()

    async def gone(self) -> None:
        """Return when it is collected, its tree is gone and every attempt has its outcome."""
        how = await self._process.gone()
        self._output.finish()
        if last_words := self._inquest.last_words():
            self._output.add(*last_words)
        for attempt in self.attempts:
            self._end(attempt, self._fate(attempt, how))
        await self._checkpoints.settled()
        if self._group is not None:
            self._group.close()
        self._close()

    def received(self, frame: protocol.Up, /) -> None:
        """Take a frame of the process (its Owner)."""
        match frame:
            case protocol.Finished() if attempt := self.line.get(frame.token):
                self._finished(attempt, frame)
            case protocol.Progress() if attempt := self.line.get(frame.token):
                self._listener.progressed(attempt.claim, attempt.merge(frame))
            case protocol.Heartbeat() if attempt := self.line.get(frame.token):
                attempt.hear()
            case protocol.Checkpoint() if attempt := self.line.get(frame.token):
                attempt.hear()
                self._checkpoints.store(attempt, frame)
            case protocol.SettingUp() if attempt := self.line.get(frame.token):
                self._timekeeper.begin_setup(attempt)
            case protocol.SetUp() if attempt := self.line.get(frame.token):
                self._timekeeper.end_setup(attempt)
            case protocol.Ready():
                self._became_ready()
            case _:  # about an attempt that has ended here
                _LOG.debug("A late frame. worker=%d frame=%s", self.worker_id, type(frame).__name__)

    def died(self, how: Exit, /) -> None:
        """Take note of the death (the process's Owner): who had not begun, who is to blame."""
        if not self._leaving:
            _LOG.warning("A worker %s. worker=%d pid=%d", how, self.worker_id, self.pid)
        self.state = "dead"
        self._watch.cancel()
        self._wear.stop()
        self._timekeeper.stop()
        self.line.close()
        if self._group is not None:
            self._group.kill()
        for attempt in self.attempts:
            attempt.stop_timers()
        self.line.pass_on(self._handover.take_back())
        self._inquest.open(self.attempts)
        if not self._leaving:
            self.lost_to = self._inquest.verdict.lost_to

    def _became_ready(self) -> None:
        self._watch.cancel()
        if self.state == "starting":
            self.state, self.was_ready = "spare" if self.standing_by else "ready", True
            self._inquest.cpu_s = memory.cpu_seconds(self.pid)
            self._freed()

    def _equip(self) -> None:
        self._timekeeper = Timekeeper(
            self._loop if self.lane == "io" else None,
            attempts=lambda: self.line,
            read=self._process.read,
            overran=self._overran,
        )
        self.line = Line(
            self.lane,
            handover=self._handover,
            read=self._process.read,
            begun=self._timekeeper.begin,
            given_back=lambda attempt: self._end(attempt, not_started(attempt)),
            passed_on=self._pass_on,
        )
        self.looks = Looks(
            self._process,
            self.line,
            end_at_once=self.end_at_once,
            loop=self._loop if self.lane == "io" else None,
            inquest=self._inquest,
            kill=self._kill,
        )
        self._ladder = Ladder(
            self._process,
            self.lane,
            self._settings.kill_grace_s,
            timekeeper=self._timekeeper,
            kill=self._sacrifice,
        )
        self._wear = Wear(
            self._settings,
            pid=self.pid,
            at_rest=lambda: self.lane == "io" or self.idle,
            worn_out=self._freed,
        )
        self._checkpoints = Checkpoints(self._listener, self._process.send)
        cgroups = self._place.cgroups
        self._group = cgroups.open(self.worker_id, self.pid) if cgroups else None
        self._output.listen()
        self._process.send(
            briefing.hello(self.lane, self._settings, self._place, self._output.mark)
        )
        self._watch = asyncio.get_running_loop().call_later(
            _START_LIMIT_S, self._kill, "did not become ready"
        )

    def _overran(self, attempt: Attempt, reason: Reason) -> None:
        if reason == "setup":
            self.end_at_once(attempt, reason)
        else:
            self.end(attempt, reason)

    def _sacrifice(self, attempt: Attempt) -> None:
        self._inquest.sacrificed = attempt
        self._kill(None)

    def _kill(self, broken: str | None) -> None:
        if self._process.alive:
            self.state = "dying"
            if self.lane == "cpu" and not self.idle:
                self.line.first.saw(memory.peak_rss_bytes(self.pid) or 0)
            self._process.kill(broken)

    def _leave(self) -> None:
        self.state, self._leaving = "stopping", True
        self.line.close()
        self._handover.finish()
        self._watch = asyncio.get_running_loop().call_later(
            self._settings.kill_grace_s, self._kill, "did not leave"
        )

    def _finished(self, attempt: Attempt, frame: protocol.Finished) -> None:
        try:
            outcome = reported(attempt.claim, frame, attempt.reason, attempt.limits)
        except ValueError as exc:
            self._kill(f"sent a report that cannot be: {exc}")
            return
        self._inquest.cpu_s = frame.usage.get(WORKER_CPU, self._inquest.cpu_s)
        self.jobs_done += 1
        attempt.scratch, attempt.spoke = frame.scratch, frame.spoke
        self.unfit = self.unfit or frame.worn or isinstance(outcome, HandlerUnavailable)
        self._wear.job_ended(self.jobs_done)
        if isinstance(outcome, HandlerUnavailable):
            self._listener.unavailable(attempt.claim.kind, outcome.message)
        else:
            self.line.learned(attempt.claim.kind)
        if attempt.asked and self.lane == "cpu" and memory.has_children(self.pid):
            attempt.reported = outcome  # what it has started goes before
            self._kill(None)
        else:
            self._end(attempt, outcome)

    def _fate(self, attempt: Attempt, how: Exit) -> Outcome:
        if attempt.reason is None and self._group is not None and self._group.was_over():
            attempt.asked = "memory"
        return self._inquest.fate(attempt, how, broken=self._process.broken)

    def _pass_on(self, attempt: Attempt) -> bool:
        """Have another worker run one that was taken back; False if none is idle."""
        if attempt.asked is not None or not attempt.passed_on(attempt):
            return False
        self._let_go(attempt)
        return True

    def _let_go(self, attempt: Attempt) -> None:
        (self._output.end if attempt.spoke else self._output.forget)(attempt.number)
        self.line.leave(attempt)
        if attempt.limits.memory_bytes is not None and self._group is not None:
            self._group.limit(None)

    def _end(self, attempt: Attempt, outcome: Outcome) -> None:
        self._let_go(attempt)
        attempt.end(outcome)
        if self.state not in ("ready", "retiring"):
            return
        if self.state == "retiring" and self.idle:
            self._leave()
        elif self.due:
            self.line.shed()
        self._freed()

    def _close(self) -> None:
        self._handover.close()
        self._marker.close()
        self._output.close()
