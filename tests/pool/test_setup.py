"""A handler's settings and setup in real workers: once per worker, with a limit of its own."""

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jobd.domain.jobs import Claim
from jobd.domain.outcomes import CancelledByRequest, Completed, Failed, Outcome
from jobd.pool.catalog import load_catalog
from jobd.pool.settings import AttemptLimits

if TYPE_CHECKING:
    from tests.pool.conftest import Pool, StartPool

MakeClaim = Callable[..., Claim]

PLUGIN = "jobd-test-plugin"
lanes = pytest.mark.parametrize(("kind", "lane"), [("test.join", "cpu"), ("test.ajoin", "io")])
hanging = pytest.mark.parametrize(("kind", "lane"), [("test.never", "cpu"), ("test.anever", "io")])


def value_of(outcome: Outcome) -> Any:
    assert isinstance(outcome, Completed), outcome
    assert outcome.result is not None
    return msgspec.json.decode(outcome.result.body or b"")


def error_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Failed), outcome
    return outcome.error.code


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal"
    path.touch()
    return path


async def start(start_pool: "StartPool", lane: str, config: dict[str, Any]) -> "Pool":
    sizes = {"cpu_workers": int(lane == "cpu"), "io_workers": int(lane == "io")}
    return await start_pool(**sizes, kill_grace_s=5, plugin_config={PLUGIN: config})


def lines_of(journal: Path) -> list[str]:
    return journal.read_text().splitlines()


async def setting_up(pool: "Pool", claim: Claim) -> asyncio.Task[Outcome]:
    """Run a claim and wait until its setup runs."""
    task = asyncio.create_task(pool.run(claim))
    await pool.listener.until(lambda: bool(pool.listener.written(claim)))
    return task


async def test_the_table_of_its_distribution_is_the_config(
    start_pool: "StartPool", claim: MakeClaim
) -> None:
    tables = {"Jobd_Test.Plugin": {"colour": "blue", "sizes": [1, 2]}, "another": {"x": 1}}
    pool = await start_pool(plugin_config=tables)

    assert value_of(await pool.run(claim("test.config"))) == {"colour": "blue", "sizes": [1, 2]}


async def test_without_a_table_the_config_is_empty(pool: "Pool", claim: MakeClaim) -> None:
    assert value_of(await pool.run(claim("test.config"))) == {}


@lanes
async def test_a_setup_runs_once_in_a_worker_and_cleans_up_when_it_leaves(
    start_pool: "StartPool", claim: MakeClaim, journal: Path, kind: str, lane: str
) -> None:
    pool = await start(start_pool, lane, {"journal": str(journal)})
    pid = pool.worker.pid
    claims = [claim(kind, lane=lane) for _ in range(3)]

    shared = [value_of(await pool.run(one)) for one in claims]
    await pool.supervisor.close()

    begun, *_, cleaned = lines_of(journal)
    assert shared[-1] == [one.job_id for one in claims]
    assert (begun, cleaned) == (f"begun {pid}", f"cleaned {pid}")
    assert pool.listener.written(claims[0]) == ["setting up"]
    assert pool.listener.written(claims[1]) == []


async def test_two_kinds_share_what_their_one_setup_gives(pool: "Pool", claim: MakeClaim) -> None:
    first, second = claim("test.join"), claim("test.join_too")

    await pool.run(first)

    assert value_of(await pool.run(second)) == [first.job_id, second.job_id]


async def test_of_fifty_that_arrive_together_one_runs_the_setup(
    start_pool: "StartPool", claim: MakeClaim, journal: Path
) -> None:
    config = {"journal": str(journal)}
    pool = await start_pool(
        cpu_workers=0, io_workers=1, io_concurrency=50, plugin_config={PLUGIN: config}
    )

    outcomes = await asyncio.gather(*(pool.run(claim("test.ajoin", lane="io")) for _ in range(50)))

    assert max(len(value_of(outcome)) for outcome in outcomes) == 50
    assert len(lines_of(journal)) == 2


@lanes
async def test_a_setup_that_fails_fails_the_attempt_and_the_next_tries_again(
    start_pool: "StartPool", claim: MakeClaim, journal: Path, kind: str, lane: str
) -> None:
    pool = await start(start_pool, lane, {"fail": str(journal)})
    pid = pool.worker.pid

    failed = await pool.run(claim(kind, lane=lane))
    os.unlink(journal)  # noqa: PTH108 - the next attempt waits for it

    assert isinstance(failed, Failed)
    assert failed.error.code == "setup_failed"
    assert failed.error.retryable
    assert re.fullmatch("The setup .*setup failed. RuntimeError: not today", failed.error.message)
    assert "in begin" in failed.evidence["traceback"]
    assert len(value_of(await pool.run(claim(kind, lane=lane)))) == 1
    assert pool.worker.pid == pid


@hanging
async def test_a_setup_that_does_not_end_is_ended_with_its_worker(
    start_pool: "StartPool", claim: MakeClaim, kind: str, lane: str
) -> None:
    pool = await start(start_pool, lane, {})
    pool.limits[kind] = AttemptLimits(setup_timeout_s=0.3)

    outcome = await pool.run(claim(kind, lane=lane))

    assert error_of(outcome) == "setup_timeout"


@hanging
async def test_the_time_limit_does_not_count_while_a_setup_runs(
    start_pool: "StartPool", claim: MakeClaim, kind: str, lane: str
) -> None:
    pool = await start(start_pool, lane, {})
    pool.limits[kind] = AttemptLimits(setup_timeout_s=1.0)

    outcome = await pool.run(claim(kind, lane=lane, timeout_s=0.2))

    assert error_of(outcome) == "setup_timeout"


@hanging
async def test_a_cancel_reaches_who_waits_for_a_setup(
    start_pool: "StartPool", claim: MakeClaim, kind: str, lane: str
) -> None:
    pool = await start(start_pool, lane, {})
    pid = pool.worker.pid
    task = await setting_up(pool, waiting := claim(kind, lane=lane))

    pool.supervisor.cancel(waiting.token)

    assert isinstance(await task, CancelledByRequest)
    assert pool.worker.pid == pid


async def test_a_table_that_does_not_fit_is_a_load_error(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        catalog = await load_catalog(
            f"test{os.getpid()}.config:1",
            lock.fileno(),
            config={"jobd_test_plugin": {"journal": 3}, "absent": {}},
        )

    assert catalog.errors["test.join"].message == (
        "The settings in [plugins.jobd-test-plugin] do not fit Settings: "
        "Expected `str`, got `int` - at `$.journal`"
    )
    assert "test.config" in catalog.handlers
    assert catalog.unclaimed(["jobd_test_plugin", "absent"]) == ["absent"]


async def test_what_a_handler_declares_is_known(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        catalog = await load_catalog(f"test{os.getpid()}.declared:1", lock.fileno())

    never = catalog.handlers["test.never"]
    assert (never.setup_timeout_s, never.memory_mb, never.heartbeat_timeout_s) == (60, None, None)
    assert catalog.handlers["test.config"].setup_timeout_s is None
