"""How long jobs run and wait, as far as those that ran tell.

Learned from claims and the events after them, in memory; at the start from the runs that
are still on record. No statement is run for an estimate.

Not here: what is done with one (wire/rendering.py), the counts (store/tally.py).
"""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence

from jobd.bus import Bus
from jobd.domain.catalog import Lane
from jobd.domain.clock import Clock
from jobd.domain.estimates import UNKNOWN, Estimate, Position
from jobd.domain.events import Event
from jobd.domain.jobs import Claim, Job, NewJob
from jobd.domain.statuses import Status
from jobd.store.readers import Readers
from jobd.store.tally import Tally

RUNS_KEPT = 31
"""Of each kind: few enough to follow a change, enough that a stray one does not count."""

NEWEST_RUN_COUNTS = 0.05
"""The share of the newest run in a lane's mean."""

_ENDED = frozenset({"job.completed", "job.failed", "job.cancelled", "job.retrying", "job.queued"})


class RunTimes:
    """What completed runs took, in seconds."""

    def __init__(self) -> None:
        self._kinds: defaultdict[str, deque[float]] = defaultdict(lambda: deque(maxlen=RUNS_KEPT))
        self._lanes: dict[Lane, float] = {}
        self._medians: dict[str, float] = {}

    def learn(self, kind: str, lane: Lane, seconds: float) -> None:
        """Note a run."""
        self._kinds[kind].append(seconds)
        self._medians.pop(kind, None)
        mean = self._lanes.get(lane, seconds)
        self._lanes[lane] = mean + NEWEST_RUN_COUNTS * (seconds - mean)

    def of_kind(self, kind: str) -> float | None:
        """Return the median of the kind's newest runs; None if there were none."""
        median = self._medians.get(kind)
        runs = self._kinds.get(kind) if median is None else None
        if runs:
            median = self._medians[kind] = sorted(runs)[len(runs) // 2]
        return median

    def of_lane(self, lane: Lane) -> float | None:
        """Return the moving mean of the lane's runs: how fast a backlog goes."""
        return self._lanes.get(lane)


class Estimates:
    """Learns from what runs, and says what may be expected of what waits."""

    def __init__(
        self,
        clock: Clock,
        bus: Bus,
        *,
        slots: Mapping[Lane, int],
        free: Callable[[], Mapping[Lane, int]],
        tally: Callable[[], Tally],
    ) -> None:
        """Use `slots` as what each lane can run at a time, `free` as what could start now."""
        self._clock = clock
        self._slots = slots
        self._free = free
        self._tally = tally
        self._times = RunTimes()
        self._running: dict[int, tuple[Claim, float]] = {}
        bus.subscribe(self._notice)

    async def learn_from_past(self, readers: Readers) -> None:
        """Learn the runs that ended before this start, of kinds that none is known of."""
        runs = await readers.recent_runs()
        unknown = {run.kind for run in runs if self._times.of_kind(run.kind) is None}
        for run in reversed(runs):
            if run.kind in unknown:
                self._times.learn(run.kind, run.lane, run.seconds)

    def claimed(self, claims: Sequence[Claim]) -> None:
        """Note that these run now."""
        now_s = self._clock.monotonic_s()
        for claim in claims:
            self._running[claim.seq] = (claim, now_s)

    def _notice(self, event: Event) -> None:
        if event.type not in _ENDED:
            return
        begun = self._running.pop(event.seq, None)
        if begun is not None and event.type == "job.completed":
            claim, since_s = begun
            self._times.learn(claim.kind, claim.lane, self._clock.monotonic_s() - since_s)

    def of_job(self, job: Job, now_ms: int, position: Position | None = None) -> Estimate:
        """Return what may be expected of `job`; of a queued one little without its position.

        Of a job that is done there is nothing to expect.
        """
        duration_s = self._times.of_kind(job.kind)
        match job.status:
            case Status.PROCESSING:
                return Estimate(duration_s, None, _remaining_s(job, now_ms, duration_s))
            case Status.SCHEDULED | Status.RETRYING:
                starts_in_s: float | None = max((job.run_at_ms or now_ms) - now_ms, 0) / 1000
            case Status.QUEUED if position is not None:
                starts_in_s = self._wait_of(job, position)
            case Status.QUEUED:
                starts_in_s = None
            case _:
                return UNKNOWN
        if starts_in_s is None or duration_s is None:
            return Estimate(duration_s, starts_in_s)
        return Estimate(duration_s, starts_in_s, starts_in_s + duration_s)

    def of_new(self, new: NewJob, now_ms: int) -> Estimate:
        """Return what may be expected of a job that has just been stored: the last of its queue.

        No look was taken at the queue: it counts as one that runs, without a limit.
        """
        duration_s = self._times.of_kind(new.kind)
        if new.run_at_ms is not None:
            starts_in_s: float | None = max(new.run_at_ms - now_ms, 0) / 1000
        else:
            starts_in_s = self._wait_at_the_end(new.lane, new.queue)
        if starts_in_s is None or duration_s is None:
            return Estimate(duration_s, starts_in_s)
        return Estimate(duration_s, starts_in_s, starts_in_s + duration_s)

    def _wait_at_the_end(self, lane: Lane, queue: str) -> float | None:
        queued = self._tally().queued
        ahead = own = max(queued.get((lane, queue), 0) - 1, 0)
        for (of, other), count in queued.items():
            if of == lane and other != queue and count > 0:
                ahead += min(own, count)
        return self._lane_wait(lane, ahead)

    def wait_s(self) -> float | None:
        """Return how long a job would wait behind all that wait now, in the busier lane."""
        tally = self._tally()
        longest_s = 0.0
        for lane in (lane for lane, slots in self._slots.items() if slots):
            wait_s = self._lane_wait(lane, sum(_queues(tally, lane).values()))
            if wait_s is None:
                return None
            longest_s = max(longest_s, wait_s)
        return longest_s

    def _wait_of(self, job: Job, position: Position) -> float | None:
        state = position.queue
        if position.parked or state.paused:
            return None
        queues = _queues(self._tally(), job.lane)
        own = max(queues.pop(job.queue, 0) - 1, 0)
        if position.ahead is not None:
            own = position.ahead
        # the queues of a lane take turns: each of them starts one while this one starts one
        wait_s = self._lane_wait(job.lane, own + sum(min(own, n) for n in queues.values()))
        if wait_s is None or state.concurrency is None or own < state.spare:
            return wait_s
        run_s = self._times.of_lane(job.lane)
        if run_s is None:
            return None
        return max(wait_s, (own + 1 - state.spare) * run_s / state.concurrency)

    def _lane_wait(self, lane: Lane, ahead: int) -> float | None:
        """Return how long until a slot is free behind `ahead` others."""
        if not self._tally().known:
            return None
        slots = self._slots[lane]
        missing = ahead + 1
        if missing <= slots:
            missing -= self._free().get(lane, 0)
        if missing <= 0:
            return 0.0
        run_s = self._times.of_lane(lane)
        return None if run_s is None or not slots else missing * run_s / slots


def _queues(tally: Tally, lane: Lane) -> dict[str, int]:
    return {queue: n for (of, queue), n in tally.queued.items() if of == lane and n > 0}


def _remaining_s(job: Job, now_ms: int, duration_s: float | None) -> float | None:
    """Return how long a run goes on: by its own progress, else by its kind's runs.

    One that has taken longer than usual says nothing about its end.
    """
    elapsed_s = max(now_ms - (job.started_at_ms or now_ms), 0) / 1000
    pct = None if job.progress is None else job.progress.pct
    if pct:
        return elapsed_s * (100 - pct) / pct
    if duration_s is None or elapsed_s > duration_s:
        return None
    return duration_s - elapsed_s
