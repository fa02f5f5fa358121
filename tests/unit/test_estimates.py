"""Estimates: what runs teach, how long a job waits, and why it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jobd.bus import Bus
from jobd.domain.estimates import UNKNOWN, Estimate, Position, waiting_for
from jobd.domain.events import Event
from jobd.domain.jobs import Job, NewJob, Progress
from jobd.domain.queues import QueueState
from jobd.domain.statuses import Status
from jobd.engine.estimates import RUNS_KEPT, Estimates, RunTimes
from jobd.store.tally import Tally
from tests.support.claims import CLAIM as ANY_CLAIM
from tests.support.clock import START_MS, FakeClock

if TYPE_CHECKING:
    from jobd.domain.catalog import Lane

JOB = Job(
    seq=7,
    job_id="job_a",
    principal="uid:1000",
    kind="import.csv",
    queue="default",
    lane="cpu",
    priority=5,
    status=Status.QUEUED,
    metadata={},
    created_at_ms=START_MS,
    updated_at_ms=START_MS,
    run_at_ms=None,
    started_at_ms=START_MS,
    finished_at_ms=None,
    expires_at_ms=None,
    start_before_ms=None,
    attempt=0,
    failures=0,
    crashes=0,
    interrupted=0,
    released=0,
    snoozes=0,
    max_attempts=3,
    timeout_ms=1500,
    retention_ms=60_000,
    cancel_requested=False,
    partial=False,
    retry_of=None,
    retried_as=None,
    event_id=41,
)
CLAIM = msgspec.structs.replace(
    ANY_CLAIM, seq=7, job_id="job_a", kind="import.csv", timeout_ms=1500, claimed_at_ms=START_MS
)

NEW = NewJob(
    job_id=JOB.job_id,
    principal=JOB.principal,
    kind=JOB.kind,
    queue=JOB.queue,
    lane=JOB.lane,
    priority=JOB.priority,
    created_at_ms=JOB.created_at_ms,
    run_at_ms=None,
    timeout_ms=JOB.timeout_ms,
    max_attempts=JOB.max_attempts,
    retention_ms=JOB.retention_ms,
    args=b"{}",
)


def job(**changes: Any) -> Job:
    return msgspec.structs.replace(JOB, **changes)


def position(ahead: int | None, *, parked: bool = False, **state: Any) -> Position:
    plain: dict[str, Any] = {"paused": False, "concurrency": None, "processing": 0}
    return Position(QueueState(**plain | state), parked=parked, ahead=ahead)


class Desk:
    """Estimates over a tally, slots and a clock of the test's."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.bus = Bus()
        self.tally = Tally()
        self.tally.known = True
        self.free: dict[Lane, int] = {"cpu": 0}
        self.estimates = Estimates(
            self.clock,
            self.bus,
            slots={"cpu": 2},
            free=lambda: self.free,
            tally=lambda: self.tally,
        )

    def ran(self, seconds: float, end: str = "job.completed", **claim: Any) -> None:
        """Have a job run for so long."""
        self.estimates.claimed([msgspec.structs.replace(CLAIM, **claim)])
        self.clock.advance(seconds)
        self.bus.publish([Event(1, CLAIM.seq, CLAIM.job_id, end, self.clock.ms, 1)])

    def queued(self, jobs: int, queue: str = "default") -> None:
        self.tally.there_are(jobs, "uid:1000", "cpu", queue, Status.QUEUED)

    def of_new(self, **changes: Any) -> Estimate:
        return self.estimates.of_new(msgspec.structs.replace(NEW, **changes), self.clock.ms)

    def of_job(self, at: Position | None = None, /, **changes: Any) -> Estimate:
        return self.estimates.of_job(job(**changes), self.clock.ms, at)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_kind_takes_what_most_of_its_runs_took() -> None:
    times = RunTimes()
    for seconds in (1.0, 1.0, 100.0):
        times.learn("a", "cpu", seconds)

    assert (times.of_kind("a"), times.of_kind("b")) == (1.0, None)


def test_old_runs_are_forgotten() -> None:
    times = RunTimes()
    for seconds in (*[1.0] * RUNS_KEPT, *[5.0] * RUNS_KEPT):
        times.learn("a", "cpu", seconds)

    assert times.of_kind("a") == 5.0


def test_a_completed_run_is_learned(desk: Desk) -> None:
    desk.ran(3.0)

    assert desk.of_job() == Estimate(duration_s=3.0)


def test_a_job_that_is_done_has_nothing_to_expect(desk: Desk) -> None:
    desk.ran(3.0)

    assert desk.of_job(status=Status.COMPLETED) == UNKNOWN


def test_the_wall_clock_does_not_measure_runs(desk: Desk) -> None:
    desk.estimates.claimed([CLAIM])
    desk.clock.jump(-3600)
    desk.ran(3.0)

    assert desk.of_job().duration_s == 3.0


@pytest.mark.parametrize(
    "end", ["job.failed", "job.cancelled", "job.retrying", "job.queued", "job.progress"]
)
def test_what_did_not_complete_teaches_nothing(desk: Desk, end: str) -> None:
    desk.ran(3.0, end)

    assert desk.of_job(status=Status.PROCESSING) == UNKNOWN


def test_with_a_free_slot_a_job_starts_at_once(desk: Desk) -> None:
    desk.free["cpu"] = 1

    assert desk.of_job(position(0)).starts_in_s == 0.0
    assert desk.of_job(position(1)).starts_in_s is None


def test_a_job_waits_for_those_ahead(desk: Desk) -> None:
    desk.ran(3.0)

    assert desk.of_job(position(0)) == Estimate(3.0, 1.5, 4.5)
    assert desk.of_job(position(5)) == Estimate(3.0, 9.0, 12.0)


def test_each_queue_of_the_lane_takes_its_turn(desk: Desk) -> None:
    desk.ran(2.0)
    desk.queued(8)
    desk.queued(1000, "other")
    desk.queued(1, "third")

    assert desk.of_job(position(4)).starts_in_s == 4 + 4 + 1 + 1


def test_a_new_job_is_the_last_of_its_queue(desk: Desk) -> None:
    desk.ran(2.0)
    desk.queued(3)

    assert desk.of_new().starts_in_s == 3.0


def test_a_new_job_lets_the_other_queues_take_their_turns(desk: Desk) -> None:
    desk.ran(2.0)
    desk.queued(5)
    desk.queued(1000, "other")
    desk.queued(1, "third")

    assert desk.of_new() == Estimate(2.0, 4 + 4 + 1 + 1, 12.0)


def test_a_new_job_that_is_due_later_starts_then(desk: Desk) -> None:
    desk.ran(2.0)

    assert desk.of_new(run_at_ms=desk.clock.ms + 500) == Estimate(2.0, 0.5, 2.5)


def test_a_queue_with_a_limit_is_slower(desk: Desk) -> None:
    desk.ran(2.0)

    assert desk.of_job(position(3, concurrency=1, processing=1)).starts_in_s == 8.0


@pytest.mark.parametrize("at", [position(0, parked=True), position(0, paused=True), None])
def test_nobody_knows_when_such_a_job_starts(desk: Desk, at: Position | None) -> None:
    desk.ran(2.0)

    assert desk.of_job(at) == Estimate(duration_s=2.0)


def test_before_the_count_nothing_is_said_of_waiting(desk: Desk) -> None:
    desk.ran(2.0)
    desk.tally.known = False

    assert desk.of_job(position(0)).starts_in_s is None
    assert desk.estimates.wait_s() is None


def test_the_wait_behind_all(desk: Desk) -> None:
    desk.free["cpu"] = 1
    assert desk.estimates.wait_s() == 0.0

    desk.queued(3)
    assert desk.estimates.wait_s() is None

    desk.ran(2.0)
    assert desk.estimates.wait_s() == 4.0


@pytest.mark.parametrize("status", [Status.SCHEDULED, Status.RETRYING])
def test_a_job_that_is_not_due_starts_when_it_is(desk: Desk, status: Status) -> None:
    desk.ran(2.0)

    expected = desk.of_job(status=status, run_at_ms=desk.clock.ms + 7000)

    assert expected == Estimate(2.0, 7.0, 9.0)


@pytest.mark.parametrize(
    ("elapsed_s", "pct", "ends_in_s"),
    [(4, None, 6.0), (4, 0.0, 6.0), (4, 50.0, 4.0), (40, 80.0, 10.0), (11, None, None)],
)
def test_the_rest_of_a_run(
    desk: Desk, elapsed_s: float, pct: float | None, ends_in_s: float | None
) -> None:
    desk.ran(10.0)
    started_at_ms = desk.clock.ms
    desk.clock.advance(elapsed_s)

    running = desk.of_job(
        status=Status.PROCESSING, started_at_ms=started_at_ms, progress=Progress(pct=pct)
    )

    assert running == Estimate(10.0, None, ends_in_s)


@pytest.mark.parametrize(
    ("at", "runnable", "full", "why"),
    [
        (position(0), True, False, "slot"),
        (position(0), False, True, "handler_missing"),
        (position(None, parked=True, paused=True), True, True, "handler_missing"),
        (position(0, paused=True), True, True, "queue_paused"),
        (position(0, concurrency=2, processing=2), True, True, "storage_full"),
        (position(0, concurrency=2, processing=2), True, False, "queue_limit"),
        (position(0, concurrency=2, processing=1), True, False, "slot"),
        (None, True, False, None),
    ],
)
def test_why_a_queued_job_waits(
    at: Position | None, runnable: bool, full: bool, why: str | None
) -> None:
    assert waiting_for(JOB, at, runnable=runnable, storage_full=full) == why


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (Status.SCHEDULED, "run_at"),
        (Status.RETRYING, "backoff"),
        (Status.PROCESSING, None),
        (Status.COMPLETED, None),
    ],
)
def test_why_another_job_waits(status: Status, why: str | None) -> None:
    assert waiting_for(job(status=status), None, runnable=True, storage_full=True) == why
