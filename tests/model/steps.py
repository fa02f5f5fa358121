"""One history of the model: its steps, and what must be true after each of them."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine, invariant

from jobd.domain.errors import JobdError
from jobd.domain.ids import IdSource
from jobd.domain.statuses import INITIAL, MOVES, TERMINAL, Status
from tests.model.expected import WAITING, Expected, Model
from tests.model.world import Row, World

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from jobd.domain.catalog import Lane
    from jobd.domain.jobs import Claim
    from jobd.domain.outcomes import Outcome

T = TypeVar("T")

LANES: tuple[Lane, ...] = ("cpu", "io")
QUEUES = ("default", "narrow", "other")
PRINCIPALS = ("uid:1", "uid:2")
INSTALLED: dict[str, Lane] = {"t.cpu": "cpu", "t.io": "io", "t.moves": "cpu"}


class Steps(RuleBasedStateMachine):
    """One daemon after another over one file, and what is expected of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="jobd-model-"))
        self.runner = asyncio.Runner()
        self.model = Model(kinds=dict(INSTALLED))
        self.world = World(self.folder)
        self.new_id = IdSource().next
        self.stale: list[Claim] = []

    def teardown(self) -> None:
        try:
            self.run(self.over())
        finally:
            self.runner.close()
            shutil.rmtree(self.folder)
        assert self.world.deaths == []

    def run(self, step: Coroutine[Any, Any, T]) -> T:
        return self.runner.get_loop().run_until_complete(step)

    def step(self, doing: Coroutine[Any, Any, T]) -> T | JobdError:
        """Do it and wait until nothing goes on; a refusal is an answer."""

        async def whole() -> T | JobdError:
            answer: T | JobdError
            try:
                answer = await doing
            except JobdError as error:
                answer = error
            await self.world.quiet()
            return answer

        return self.run(whole())

    @property
    def now(self) -> int:
        return self.world.clock.wall_ms()

    @property
    def trusted(self) -> int:
        return self.world.clock.trusted_ms()

    def a_job(self, which: int) -> Expected:
        jobs = list(self.model.jobs.values())
        return jobs[which % len(jobs)]

    def a_running_job(self, which: int) -> tuple[Expected, Claim]:
        held = list(self.world.pool.held.values())
        claim = held[which % len(held)].claim
        return self.model.jobs[claim.seq], claim

    def at_hand(self, meant: Callable[[Claim], bool]) -> list[Claim]:
        """Return the claims of jobs that wait behind others, of those that are meant."""
        return [one.claim for one in self.world.pool.at_hand() if meant(one.claim)]

    def given_back(self, claims: Sequence[Claim], outcome: Outcome) -> None:
        """Expect that these have ended without a run, and can not be ended again."""
        self.stale += claims
        for claim in claims:
            self.model.jobs[claim.seq].ended(outcome, self.now, cancel_known=True)

    def has_jobs(self) -> bool:
        return bool(self.model.jobs)

    def has_running(self) -> bool:
        return bool(self.world.pool.held)

    # what must be true after each step

    @invariant()
    def all_is_as_expected(self) -> None:
        self.the_file_says_what_is_expected()
        self.what_runs_is_what_was_claimed()
        self.nothing_waits_that_could_run()
        self.the_tally_is_right()

    def the_file_says_what_is_expected(self) -> None:
        rows = self.run(self.world.rows())
        self.take_over_deaths(rows)
        changed = self.take_over_places(rows)
        self.take_over_claims(changed)
        assert rows == {seq: job.row() for seq, job in self.model.jobs.items()}

    def take_over_places(self, rows: dict[int, Row]) -> set[int]:
        """Believe which jobs were parked or have another lane, if that may be; return them."""
        changed = set()
        for seq, job in self.model.jobs.items():
            row = rows[seq]
            if job.lane != row.lane:
                assert row.lane == self.model.kinds[job.new.kind]
            if row.parked:
                assert job.new.kind not in self.model.kinds
                job.parked_at = job.parked_at if job.parked else self.trusted
            if (job.lane, job.parked) != (row.lane, row.parked):
                changed.add(seq)
                job.lane, job.parked = row.lane, bool(row.parked)
        return changed

    def take_over_deaths(self, rows: dict[int, Row]) -> None:
        """Believe which queued jobs were failed for a deadline, if they have missed it."""
        for seq, job in self.model.jobs.items():
            row = rows[seq]
            if job.status == "queued" and row.status == "failed":
                assert row.error in job.dooms(self.now, self.trusted)
                job.over("failed", self.now, error=row.error)

    def take_over_claims(self, changed: set[int]) -> None:
        """Believe the claims of this step, if they are of the jobs that were to be claimed."""
        claims = {claim.seq: claim for claim in self.world.claims}
        assert len(claims) == len(self.world.claims)
        self.world.claims.clear()
        for lane in LANES:
            for queue in QUEUES:
                first = [
                    job.seq
                    for job in self.model.startable(lane, queue, self.now, self.trusted)
                    if job.seq in claims or job.seq not in changed
                ]
                taken = [c.seq for c in claims.values() if (c.lane, c.queue) == (lane, queue)]
                assert set(taken) == set(first[: len(taken)])
        for queue, count in Counter(claim.queue for claim in claims.values()).items():
            assert count <= self.model.room(queue)
        for seq, claim in claims.items():
            job = self.model.jobs[seq]
            assert (claim.failures, claim.crashes, claim.interrupted, claim.checkpoint) == (
                (job.failures, job.crashes, job.interrupted, job.checkpoint)
            )
            job.claimed(claim.token)
            assert claim.attempt == job.attempt

    def nothing_waits_that_could_run(self) -> None:
        for lane, free in self.world.pool.free().items():
            for job in self.model.jobs.values():
                if job.status == "queued" and not job.parked and job.lane == lane and free:
                    assert self.model.room(job.new.queue) <= 0, job

    def what_runs_is_what_was_claimed(self) -> None:
        running = {job.token for job in self.model.jobs.values() if job.status == "processing"}
        assert set(self.world.pool.held) == running

    def the_tally_is_right(self) -> None:
        tally, jobs = self.world.writer.tally, self.model.jobs.values()
        statuses = Counter(Status(job.status) for job in jobs if not job.terminal)
        queued = Counter((job.lane, job.new.queue) for job in jobs if job.status == "queued")
        waiting = Counter(job.new.principal for job in jobs if job.status in WAITING)
        assert (tally.statuses, tally.queued, tally.waiting, tally.finished) == (
            (statuses, queued, waiting, sum(job.terminal for job in jobs))
        )

    async def over(self) -> None:
        try:
            await self.histories_are_paths()
        finally:
            await self.world.close()

    async def histories_are_paths(self) -> None:
        """What was published is what is stored, and tells of moves of the table alone."""
        rows = await self.world.query("SELECT id, seq, type FROM events ORDER BY id")
        told = [
            (event.id, event.seq, event.type)
            for event in self.world.events
            if event.seq in self.model.jobs and event.type != "job.progress"
        ]
        assert rows == told
        for seq, job in self.model.jobs.items():
            types = [type_.removeprefix("job.") for _, of, type_ in rows if of == seq]
            path = [Status(word) for word in types if word != "cancel_requested"]
            assert path[0] in INITIAL
            assert path[-1] == job.status
            assert all(new in MOVES[old] for old, new in itertools.pairwise(path))
            assert sum(status in TERMINAL for status in path) == job.terminal
