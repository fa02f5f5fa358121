"""What a job did to its worker's process is no matter of the next one's."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import Completed, Failed
from tests.pool.conftest import marked

if TYPE_CHECKING:
    from tests.pool.conftest import Pool

MakeClaim = Callable[..., Claim]


@pytest.fixture
def errand(claim: MakeClaim, tmp_path: Path) -> Claim:
    """A job that writes in its folder, opens a descriptor, and needs a folder to be in."""
    os.mkfifo(tmp_path / "gate")
    return claim("test.errand", {"gate": str(tmp_path / "gate"), "number": 7})


async def test_a_folder_that_is_gone_and_a_umask_are_not_inherited(
    pool: "Pool", claim: MakeClaim, errand: Claim
) -> None:
    worker = pool.worker.worker_id

    astray = await pool.run(claim("test.astray"))
    after = await pool.run(errand)

    assert [type(astray), type(after)] == [Completed, Completed]
    assert pool.worker.worker_id == worker


async def test_a_worker_without_descriptors_leaves(
    pool: "Pool", claim: MakeClaim, errand: Claim
) -> None:
    worker = pool.worker.worker_id

    exhausting = await pool.run(claim("test.exhaust"))
    await pool.listener.until(
        lambda: [one.worker_id for one in pool.workers("ready")] == [worker + 1]
    )
    after = await pool.run(errand)

    assert [type(exhausting), type(after)] == [Completed, Completed]


async def test_a_few_descriptors_that_stay_open_cost_no_worker(
    pool: "Pool", claim: MakeClaim, errand: Claim
) -> None:
    worker = pool.worker.worker_id

    leaking = await pool.run(claim("test.leak"))
    after = await pool.run(errand)

    assert [type(leaking), type(after)] == [Completed, Completed]
    assert pool.worker.worker_id == worker


async def test_one_that_ends_when_asked_to_takes_with_it_what_it_has_started(
    pool: "Pool", claim: MakeClaim
) -> None:
    worker = pool.worker.pid

    outcome = await pool.run(claim("test.bomb", timeout_s=0.5))
    left = marked()
    await pool.ready()

    assert isinstance(outcome, Failed)
    assert outcome.error.code == "timeout"
    assert worker not in left
    assert len(left) <= 1  # the next worker


async def test_one_that_ends_when_asked_to_and_has_started_nothing_keeps_its_worker(
    pool: "Pool", claim: MakeClaim
) -> None:
    worker = pool.worker.worker_id

    outcome = await pool.run(claim("test.spin", timeout_s=0.5))

    assert isinstance(outcome, Failed)
    assert pool.worker.worker_id == worker
