"""Workers that hold old code are replaced; nothing that runs notices."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import pytest

from jobd.domain.catalog import Lane
from jobd.domain.jobs import Claim
from jobd.domain.outcomes import CancelledByRequest, Completed, Outcome

if TYPE_CHECKING:
    from tests.pool.conftest import StartPool

MakeClaim = Callable[..., Claim]


def pid_of(outcome: Outcome) -> int:
    assert isinstance(outcome, Completed)
    assert outcome.result is not None
    pid: int = msgspec.json.decode(outcome.result.body or b"")["pid"]
    return pid


@pytest.mark.parametrize("spare", [True, False])
async def test_what_starts_afterwards_runs_in_new_workers(
    start_pool: "StartPool", claim: MakeClaim, spare: bool
) -> None:
    pool = await start_pool(spare=spare)
    await pool.listener.until(lambda: len(pool.workers("spare")) == spare)
    before = {worker.pid for worker in pool.supervisor.workers()}

    pool.supervisor.renew()
    outcome = await pool.run(claim("test.process"))

    assert pid_of(outcome) not in before


@pytest.mark.parametrize("lane", ["cpu", "io"])
async def test_what_runs_ends_where_it_is(
    start_pool: "StartPool", claim: MakeClaim, lane: Lane
) -> None:
    kind = {"cpu": "test.honour", "io": "test.asleep"}[lane]
    pool = await start_pool(cpu_workers=int(lane == "cpu"), io_workers=int(lane == "io"))
    held = claim(kind, {"seconds": 100}, lane=lane)
    running = await pool.begin(held)
    (old,) = [worker.worker_id for worker in pool.supervisor.workers()]

    pool.supervisor.renew()
    await pool.listener.until(lambda: any(w.worker_id != old for w in pool.workers("ready")))
    pool.supervisor.cancel(held.token)

    assert isinstance(await running, CancelledByRequest)
    assert old not in {worker.worker_id for worker in pool.workers("ready")}


async def test_a_worker_that_is_starting_is_replaced_once_it_has_started(
    start_pool: "StartPool", claim: MakeClaim
) -> None:
    pool = await start_pool(spare=True)
    starting = pool.workers("starting")

    pool.supervisor.renew()
    outcome = await pool.run(claim("test.process"))

    assert pid_of(outcome) not in {worker.pid for worker in starting}
