"""The store and the engine against a dict, over histories that Hypothesis makes up.

What a history is made of: submissions, claims, every end of an attempt, jobs at hand that are
taken back, workers that come too late, kills of the daemon, cancels, retries, deletes, pauses
and limits, plugins that come and go, clocks that are set. After each step the file must say
what the dict says, and nothing may wait that could run.

The long run, some minutes:

    .venv/bin/pytest tests/model --hypothesis-profile=model-long --timeout=0
"""

from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from jobd.domain.errors import (
    Conflict,
    Gone,
    Invalid,
    LeaseLost,
    LimitReached,
    NotFound,
    Unavailable,
)
from jobd.domain.jobs import (
    Checkpoint,
    IdempotencyKey,
    NewJob,
    Progress,
    Settlement,
    Update,
)
from jobd.domain.outcomes import (
    CancelledByRequest,
    Interrupted,
    NotStarted,
    Outcome,
)
from jobd.domain.queues import QueueChange
from jobd.domain.statuses import Status
from jobd.store.idempotency import KEPT_MS
from tests.model.choices import ANY, NEW_JOBS, OUTCOMES, RESULT
from tests.model.expected import Expected, Key
from tests.model.steps import INSTALLED, LANES, QUEUES, Steps
from tests.model.world import RULES

if TYPE_CHECKING:
    from jobd.domain.catalog import Lane


class Machine(Steps):
    """What may happen."""

    def workers_start(self, cpu: int, io: int) -> None:
        self.workers("cpu", cpu)
        self.workers("io", io)

    @rule(lane=st.sampled_from(LANES), size=st.sampled_from([0, 1, 1, 2, 3]))
    def workers(self, lane: Lane, size: int) -> None:
        async def resize() -> None:
            self.world.resize(lane, size)

        self.step(resize())

    @initialize(
        cpu=st.integers(0, 2),
        io=st.integers(0, 2),
        asked=st.lists(NEW_JOBS, min_size=4, max_size=9),
    )
    def the_daemon_starts(self, cpu: int, io: int, asked: list[dict[str, Any]]) -> None:
        self.run(self.world.start())
        self.step(self.world.install(INSTALLED))
        self.submit(asked)
        self.all_is_as_expected()
        self.workers_start(cpu, io)

    @rule(asked=st.lists(NEW_JOBS, min_size=1, max_size=4))
    def submit(self, asked: list[dict[str, Any]]) -> None:
        jobs = [self.new_job(**one) for one in asked if one["kind"] in self.model.kinds]

        async def submit() -> list[Any]:
            submitting = [self.world.writer.submit(job) for job in jobs]
            return await asyncio.gather(*submitting, return_exceptions=True)

        answers = self.step(submit())
        assert isinstance(answers, list)
        for job, answer in zip(jobs, answers, strict=True):
            self.submitted(job, answer)

    def new_job(
        self, wait_s: int | None, start_within_s: int | None, key: str | None, **fields: Any
    ) -> NewJob:
        fingerprint = fields.pop("fingerprint")
        run_at = None if wait_s is None else self.now + wait_s * 1000
        start_before = None
        if start_within_s is not None:
            start_before = (run_at or self.now) + start_within_s * 1000 + 500
        return NewJob(
            job_id=self.new_id("job_", self.now),
            lane=self.model.kinds[fields["kind"]],
            created_at_ms=self.now,
            run_at_ms=run_at,
            start_before_ms=start_before,
            timeout_ms=60_000,
            retention_ms=3_600_000,
            args=b"{}",
            idempotency=None if key is None else IdempotencyKey(key, "POST /v1/jobs", fingerprint),
            **fields,
        )

    def submitted(self, job: NewJob, answer: Any) -> None:
        """Check the answer to a submission, and expect its job from now on."""
        asked, owner = job.idempotency, None
        if asked is not None:
            owner = self.model.keys.get((job.principal, asked.key))
        if asked is not None and owner is not None:
            free = owner.seq not in self.model.jobs and owner.expires_at <= self.trusted
            if owner.fingerprint != asked.fingerprint and not free:
                assert isinstance(answer, Invalid)
                return
            if owner.seq in self.model.jobs:
                assert (answer.seq, answer.replayed) == (owner.seq, True)
                return
            if not free:
                assert isinstance(answer, Gone)
                return
        if self.no_room_for(job.principal, answer):
            return
        assert not answer.replayed
        assert answer.seq not in self.model.jobs
        if asked is not None:
            expires_at = job.created_at_ms + KEPT_MS
            key = Key(asked.fingerprint, answer.seq, expires_at)
            self.model.keys[job.principal, asked.key] = key
        self.expect(answer.seq, job)

    def no_room_for(self, principal: str, answer: Any) -> bool:
        if self.model.waiting(principal) >= RULES.queued_jobs_per_principal:
            assert isinstance(answer, LimitReached)
            return True
        if self.model.waiting() >= RULES.queued_jobs:
            assert isinstance(answer, Unavailable)
            return True
        return False

    def expect(self, seq: int, job: NewJob) -> None:
        self.model.jobs[seq] = Expected(
            seq,
            job,
            created_at=job.created_at_ms,
            status="queued" if job.run_at_ms is None else "scheduled",
            lane=job.lane,
            run_at=job.run_at_ms,
            start_before=job.start_before_ms,
        )

    @precondition(Steps.has_running)
    @rule(which=ANY, outcome=st.sampled_from(OUTCOMES))
    def end(self, which: int, outcome: Outcome) -> None:
        job, claim = self.a_running_job(which)
        if isinstance(outcome, CancelledByRequest) and not job.cancel_requested:
            outcome = Interrupted()
        self.stale.append(claim)
        self.step(self.world.end(claim.token, outcome))
        job.ended(outcome, self.now, cancel_known=True)

    @precondition(Steps.has_running)
    @rule(outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=3))
    def some_end(self, outcomes: list[Outcome]) -> None:
        """One after another, each making room for the next."""
        for outcome in outcomes:
            if self.world.pool.held:
                self.end(0, outcome)
                self.all_is_as_expected()

    @precondition(Steps.has_running)
    @rule(which=ANY, outcome=st.sampled_from(OUTCOMES))
    def end_beside_a_cancel(self, which: int, outcome: Outcome) -> None:
        """Either may come first; no slot is free, so that nothing else depends on it."""
        job, claim = self.a_running_job(which)
        lane = claim.lane
        self.workers(lane, 0)
        self.stale.append(claim)

        async def both() -> None:
            cancel = asyncio.create_task(self.world.cancel(job.new.job_id))
            await self.world.end(claim.token, outcome)
            await cancel

        self.step(both())
        actual = self.run(self.world.rows())[job.seq]
        for order in ("end, cancel", "cancel, end", "decide, cancel, end"):
            maybe = deepcopy(job)
            if order == "end, cancel":
                maybe.ended(outcome, self.now, cancel_known=maybe.cancel_requested)
                maybe.cancelled(self.now)
            else:
                known = maybe.cancel_requested or order == "cancel, end"
                maybe.cancelled(self.now)
                maybe.ended(outcome, self.now, cancel_known=known)
            if maybe.row() == actual:
                self.model.jobs[job.seq] = maybe
                return
        assert maybe.row() == actual

    @precondition(Steps.has_running)
    @rule(which=ANY, done=st.integers(0, 9))
    def report(self, which: int, done: int) -> None:
        job, claim = self.a_running_job(which)
        self.step(self.world.writer.progress(Update(claim.seq, claim.token, Progress(done=done))))
        job.done = done

    @precondition(Steps.has_running)
    @rule(which=ANY, data=st.sampled_from([b"1", b"2"]))
    def save(self, which: int, data: bytes) -> None:
        job, claim = self.a_running_job(which)
        saved = self.step(self.world.dispatcher.checkpointed(claim, data))
        assert saved is True
        job.checkpoint = data

    @precondition(lambda self: bool(self.stale))
    @rule(which=ANY)
    def a_worker_comes_too_late(self, which: int) -> None:
        claim = self.stale[which % len(self.stale)]
        seq, token, writer = claim.seq, claim.token, self.world.writer
        settlement = Settlement(seq, token, Status.COMPLETED, result=RESULT)
        for write in (
            writer.settle(settlement),
            writer.progress(Update(seq, token, Progress(done=99))),
            writer.checkpoint(Checkpoint(seq, token, b"late")),
        ):
            assert isinstance(self.step(write), LeaseLost)

    @precondition(Steps.has_jobs)
    @rule(which=ANY)
    def cancel(self, which: int) -> None:
        job = self.a_job(which)
        at_hand = self.at_hand(lambda claim: claim.seq == job.seq)
        self.step(self.world.cancel(job.new.job_id))
        job.cancelled(self.now)
        self.given_back(at_hand, CancelledByRequest())

    @precondition(Steps.has_jobs)
    @rule(which=ANY)
    def retry(self, which: int) -> None:
        job = self.a_job(which)
        new_id = self.new_id("job_", self.now)
        answer: Any = self.step(self.world.writer.retry(job.new.job_id, new_id))
        if job.status not in ("failed", "cancelled") or job.retried_as is not None:
            assert isinstance(answer, Conflict)
            return
        if self.no_room_for(job.new.principal, answer):
            return
        job.retried_as = new_id
        start_before = job.start_before
        if start_before is not None and start_before <= self.now:
            start_before = None
        copy = msgspec.structs.replace(
            job.new,
            job_id=new_id,
            created_at_ms=self.now,
            run_at_ms=None,
            start_before_ms=start_before,
            lane=job.lane,
        )
        self.expect(answer.seq, copy)

    @precondition(Steps.has_jobs)
    @rule(which=ANY)
    def delete(self, which: int) -> None:
        job = self.a_job(which)
        answer = self.step(self.world.writer.delete(job.new.job_id))
        if job.terminal:
            assert answer is None
            del self.model.jobs[job.seq]
            assert isinstance(self.step(self.world.writer.delete(job.new.job_id)), NotFound)
        else:
            assert isinstance(answer, Conflict)

    @precondition(Steps.has_jobs)
    @rule(which=st.lists(ANY, min_size=1, max_size=4))
    def retire(self, which: list[int]) -> None:
        """Retention names what it has read; only what is over goes."""
        asked = {self.a_job(one).seq for one in which}
        retired: Any = self.step(self.world.writer.retire_jobs(sorted(asked)))
        over = [seq for seq in asked if self.model.jobs[seq].terminal]
        assert set(retired.job_ids) == {self.model.jobs[seq].new.job_id for seq in over}
        for seq in over:
            del self.model.jobs[seq]

    @rule(name=st.sampled_from(QUEUES), paused=st.booleans())
    def pause_or_resume(self, name: str, paused: bool) -> None:
        at_hand = self.at_hand(lambda claim: paused and claim.queue == name)
        self.step(self.world.set_queue(QueueChange(name, paused=paused)))
        self.model.queue(name).paused = paused
        self.given_back(at_hand, NotStarted())

    @rule(name=st.sampled_from(QUEUES), limit=st.sampled_from([None, 1, 2]))
    def set_limit(self, name: str, limit: int | None) -> None:
        at_hand = self.at_hand(lambda claim: limit is not None and claim.queue == name)
        self.step(self.world.set_queue(QueueChange(name, concurrency=limit)))
        self.model.queue(name).limit = limit
        self.given_back(at_hand, NotStarted())

    @precondition(lambda self: bool(self.world.pool.at_hand()))
    @rule()
    def one_takes_longer_than_was_thought(self) -> None:
        """Those that wait behind it are taken back, and may be claimed again at once."""
        at_hand = self.at_hand(lambda _: True)
        self.step(self.world.give_back())
        self.given_back(at_hand, NotStarted())

    @rule(gone=st.sets(st.sampled_from(sorted(INSTALLED)), max_size=2), lane=st.sampled_from(LANES))
    def plugins_change(self, gone: set[str], lane: Lane) -> None:
        """Some are not installed any more, and one has become another lane's."""
        lanes = {k: v for k, v in (INSTALLED | {"t.moves": lane}).items() if k not in gone}
        self.step(self.world.install(lanes))
        self.model.kinds = dict(lanes)

    @rule()
    def promote(self) -> None:
        self.step(self.world.writer.promote())
        for job in self.model.jobs.values():
            due = job.run_at is not None and job.run_at <= self.now
            if job.status in ("scheduled", "retrying") and due:
                missed = job.dooms(self.now, self.trusted)
                if missed:
                    job.over("failed", self.now, error=min(missed))
                else:
                    job.status = "queued"

    @rule()
    def expire(self) -> None:
        async def until_nothing_is() -> None:
            while await self.world.writer.expire() <= self.now:
                pass

        self.step(until_nothing_is())

    @rule(seconds=st.sampled_from([1, 60, 700, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.world.advance(seconds)

    @rule(seconds=st.sampled_from([-8000, -30, 30, 8000]))
    def the_clock_is_set(self, seconds: int) -> None:
        self.world.jump(seconds)

    @rule(cpu=st.integers(0, 3), io=st.integers(0, 2))
    def the_daemon_is_killed(self, cpu: int, io: int) -> None:
        self.stale += [held.claim for held in self.world.pool.held.values()]
        self.run(self.world.kill())

        async def restart() -> None:
            await self.world.start()
            await self.world.install(dict(self.model.kinds))

        self.step(restart())
        for job in self.model.jobs.values():
            if job.status == "processing":
                job.orphaned(self.now)
        self.workers_start(cpu, io)


def in_this_run() -> settings:
    """Return the profile that was asked for, or the one for every day."""
    name = settings.get_current_profile_name()
    return settings.get_profile(name if name.startswith("model") else "model")


TestQueue = Machine.TestCase
TestQueue.settings = in_this_run()
