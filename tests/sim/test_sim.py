"""A share of the simulation, and that a seed says all about a run."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.sim.loop import Life, Stuck, VirtualLoop
from tests.sim.run import NEEDED, outcomes, replay
from tests.sim.weather import pause, stream

RUN = Path(__file__).with_name("run.py")
SEEDS = range(1, 86)
"""Two of them found something when they were first run: 3, that a lock which another program
holds ended the daemon (the deliverer did) or kept it from starting; 51, that a retry was refused
as `not now` when it was made and could not be read back."""


@pytest.mark.timeout(300)
def test_no_run_breaks_a_promise_and_everything_happens() -> None:
    counts: Counter[str] = Counter()
    failed = []
    for outcome in outcomes(SEEDS):
        counts.update(outcome.counts)
        if outcome.violations:
            failed.append(replay(outcome))

    assert failed == []
    assert NEEDED - counts.keys() == set()


def test_a_seed_gives_one_run_whatever_the_hash_seed() -> None:
    command = [sys.executable, str(RUN), "--seeds", "15..34", "--digests"]
    runs = [
        subprocess.Popen(
            command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, stdout=subprocess.PIPE
        )
        for hash_seed in ("1", "2")
    ]
    said = [run.communicate()[0] for run in runs]

    assert len(said[0].splitlines()) == 20
    assert said[0] == said[1]


@pytest.fixture
def loop() -> VirtualLoop:
    return VirtualLoop(stream(1, "test"))


def test_time_costs_none(loop: VirtualLoop) -> None:
    loop.run_until_complete(pause(86_400))
    loop.dispose()

    assert loop.time() == pytest.approx(86_400)


def test_a_wait_that_nothing_ends_is_an_error(loop: VirtualLoop) -> None:
    with pytest.raises(Stuck, match="no timer"):
        loop.run_until_complete(asyncio.Event().wait())
    loop.dispose()


def test_a_thread_is_refused(loop: VirtualLoop) -> None:
    refused: list[object] = []

    async def ask() -> None:
        await loop.run_in_executor(None, lambda: None)  # runs here, later
        loop._thread = 0  # noqa: SLF001 - as if another thread asked
        with pytest.raises(Stuck, match="thread"):
            loop.call_soon_threadsafe(refused.append, 1)

    loop.run_until_complete(ask())
    loop.dispose()

    assert refused == []


def test_what_is_killed_runs_no_finally(loop: VirtualLoop) -> None:
    life = Life("killed")
    said: list[str] = []

    async def work() -> None:
        try:
            await pause(10)
        finally:
            said.append("finally")

    async def kill() -> None:
        loop.spawn(life, work())
        await pause(1)
        loop.end(life)
        await pause(100)

    loop.run_until_complete(kill())

    assert said == []
    loop.dispose()
