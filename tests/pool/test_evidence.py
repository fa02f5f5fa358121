"""What is known of an attempt that did not come to report."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import CancelledByRequest, Completed, Crashed, Failed
from jobd.pool.supervisor import AttemptLimits

if TYPE_CHECKING:
    from tests.pool.conftest import Pool

MakeClaim = Callable[..., Claim]

PLUGIN = "jobd-test-plugin 1.0"


async def test_of_one_that_was_killed(pool: "Pool", claim: MakeClaim) -> None:
    await pool.run(claim("test.big", {"bytes": 1}))

    outcome = await pool.run(claim("test.deaf", timeout_s=0.6))

    assert isinstance(outcome, Failed)
    assert outcome.evidence["signal"] == "SIGKILL"
    assert 0.6 <= outcome.evidence["duration_s"] < 10
    assert 5 << 20 < outcome.evidence["peak_rss_bytes"] < 100 << 20
    assert 0 <= outcome.evidence["cpu_seconds"] < 0.5


async def test_of_one_that_crashed(pool: "Pool", claim: MakeClaim) -> None:
    pool.limits["test.stumble"] = AttemptLimits(handler=PLUGIN)

    outcome = await pool.run(claim("test.stumble"))

    assert isinstance(outcome, Crashed)
    assert outcome.failed_step == "second"
    assert [step["name"] for step in outcome.evidence["steps"]] == ["first", "second"]
    assert outcome.evidence["handler"] == PLUGIN
    assert outcome.evidence["exit_code"] == 3
    assert outcome.evidence["duration_s"] > 0


@pytest.mark.parametrize("kind", ["test.spin", "test.deaf"])
async def test_cpu_time_is_the_attempts_own(pool: "Pool", claim: MakeClaim, kind: str) -> None:
    for _ in range(2):
        await pool.run(claim("test.spin", timeout_s=0.4))

    outcome = await pool.run(claim(kind, timeout_s=0.5))

    assert isinstance(outcome, Failed)
    assert outcome.evidence["cpu_seconds"] < 1.1
    assert kind == "test.deaf" or outcome.evidence["cpu_seconds"] > 0.2


async def test_of_one_that_ended_itself(pool: "Pool", claim: MakeClaim) -> None:
    task = await pool.begin(running := claim("test.honour"))
    pool.supervisor.cancel(running.token)

    cancelled, completed = await task, await pool.run(claim("test.progress"))

    assert isinstance(cancelled, CancelledByRequest)
    assert isinstance(completed, Completed)
    for outcome in (cancelled, completed):
        assert {"duration_s", "cpu_seconds", "handler"} <= outcome.evidence.keys()
        assert "worker_cpu_seconds" not in outcome.evidence
