"""What is known of a job's end without reading it is what reading it says, or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import JobError, Progress, Result, Summary
from jobd.domain.outcomes import CancelledByRequest, Completed, Failed, NotStarted
from jobd.engine.commands import Submission
from tests.engine.conftest import ME

if TYPE_CHECKING:
    from jobd.domain.outcomes import Outcome
    from jobd.engine.commands import Accepted
    from jobd.engine.endings import Ending
    from tests.engine.conftest import Attempt, Engine

RESULT = Result("application/json", 4, "0" * 64, body=b"true")
LONG = Result("application/json", 70_000, "0" * 64, body=b'"%b"' % (b"x" * 69_998))
ON_DISK = Result("image/png", 4, "0" * 64, path="ab/job/1/x.png", filename="x.png")


async def submitted(engine: Engine, **fields: object) -> Accepted:
    asked = {"principal": ME, "kind": "test.echo", "args": {"text": "x"}} | fields
    return await engine.commands.submit(Submission(**asked))  # type: ignore[arg-type]


def ending(engine: Engine, accepted: Accepted) -> Ending:
    return engine.endings.of(accepted.new, accepted.seq, engine.bus)


async def begun(engine: Engine) -> Attempt:
    engine.pool.slots["cpu"] += 1
    engine.dispatcher.slots_free()
    return await engine.pool.begun.get()


@pytest.mark.parametrize(
    "outcome",
    [
        Completed(),
        Completed(RESULT),
        Completed(RESULT, partial=True, summary=Summary(total=3, succeeded=2, failed=1)),
        Completed(RESULT, evidence={"max_rss_bytes": 5}),
    ],
    ids=["no result", "plain", "partial", "evidence"],
)
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {
            "queue": "q",
            "priority": 1,
            "metadata": {"a": "b"},
            "timeout_s": 7.5,
            "max_attempts": 5,
            "retention_s": 900,
            "traceparent": f"00-{'1' * 32}-{'2' * 16}-01",
            "request_id": "mine",
            "callback_url": "https://example.com/",
            "start_before_ms": 4_000_000_000_000,
        },
    ],
    ids=["defaults", "everything"],
)
async def test_a_known_end_is_as_it_is_read(
    engine: Engine, outcome: Completed, fields: dict[str, object]
) -> None:
    accepted = await submitted(engine, **fields)
    with ending(engine, accepted) as end:
        (await begun(engine)).end(outcome)
        await engine.dispatcher.settled()

    assert end.job() == await engine.job(accepted.new.job_id)


@pytest.mark.parametrize(
    "outcome",
    [
        Completed(LONG),
        Completed(ON_DISK),
        Failed(JobError("bad", "It is bad.", retryable=False)),
        Failed(JobError("bad", "It is bad.", retryable=True)),
        CancelledByRequest(),
        NotStarted(),
    ],
    ids=["long", "file", "failed", "retrying", "cancelled", "not started"],
)
async def test_of_another_end_nothing_is_known(engine: Engine, outcome: Outcome) -> None:
    accepted = await submitted(engine)
    with ending(engine, accepted) as end:
        (await begun(engine)).end(outcome)
        await engine.dispatcher.settled()

    assert end.job() is None


async def test_nothing_is_known_of_a_job_to_which_something_else_has_happened(
    engine: Engine,
) -> None:
    accepted = await submitted(engine)
    with ending(engine, accepted) as end:
        attempt = await begun(engine)
        with engine.bus.watch(accepted.seq) as watch:
            engine.dispatcher.progressed(attempt.claim, Progress(pct=5.0))
            assert (await watch.next()).type == "job.progress"
        attempt.end(Completed(RESULT))
        await engine.dispatcher.settled()

    assert end.job() is None


async def test_nothing_is_known_of_a_job_that_was_claimed_twice(engine: Engine) -> None:
    accepted = await submitted(engine)
    with ending(engine, accepted) as end:
        for outcome in (NotStarted(), Completed(RESULT)):
            (await begun(engine)).end(outcome)
            await engine.dispatcher.settled()

    assert end.job() is None


async def test_nothing_is_known_before_the_commit(engine: Engine) -> None:
    accepted = await submitted(engine)
    with ending(engine, accepted) as end:
        attempt = await begun(engine)
        attempt.outcome.set_result(Completed(RESULT))
        assert end.job() is None
        await engine.dispatcher.settled()
