"""The clocks: which time is believed, and a wait that the wall clock itself ends."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from jobd.clock import SystemClock
from jobd.domain.clock import JUMP_MS, STANDS_MS, TrustedTime, wait_until
from tests.support.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY_MS = 86_400_000


class Machine:
    """A wall clock and the time that has passed, both moved by hand."""

    def __init__(self) -> None:
        self.wall_ms = 1_000 * DAY_MS
        self.elapsed_ms = 5_000
        self.trusted = TrustedTime(lambda: self.wall_ms, lambda: self.elapsed_ms)

    def passes(self, ms: int) -> None:
        self.elapsed_ms += ms
        self.wall_ms += ms

    def gained_ms(self) -> int:
        """How far the trusted time is behind the wall clock's."""
        return self.wall_ms - self.trusted.now_ms()


@pytest.mark.parametrize("set_by_ms", [0, JUMP_MS, -1, -DAY_MS])
def test_the_wall_clock_is_followed(set_by_ms: int) -> None:
    machine = Machine()

    machine.passes(DAY_MS)
    machine.wall_ms += set_by_ms

    assert machine.gained_ms() == 0


def test_a_jump_ahead_is_not_believed_until_it_has_stood(
    caplog: pytest.LogCaptureFixture,
) -> None:
    machine = Machine()
    machine.wall_ms += DAY_MS

    at_once = machine.gained_ms()
    machine.passes(STANDS_MS - 1)
    nearly = machine.gained_ms()
    machine.passes(1)

    assert (at_once, nearly, machine.gained_ms()) == (DAY_MS, DAY_MS, 0)
    assert len(caplog.records) == 1


def test_a_jump_is_measured_from_what_is_believed() -> None:
    machine = Machine()
    machine.wall_ms += DAY_MS
    assert machine.gained_ms() == DAY_MS

    machine.wall_ms -= DAY_MS - JUMP_MS

    assert machine.gained_ms() == 0


def test_a_second_jump_begins_the_wait_anew() -> None:
    machine = Machine()
    machine.wall_ms += DAY_MS
    machine.trusted.now_ms()
    machine.passes(STANDS_MS - 1)
    machine.wall_ms += DAY_MS
    machine.trusted.now_ms()

    machine.passes(STANDS_MS - 1)

    assert machine.gained_ms() == 2 * DAY_MS


def test_small_corrections_add_up() -> None:
    machine = Machine()

    for _ in range(10):
        machine.wall_ms += JUMP_MS
        machine.passes(1000)
        assert machine.gained_ms() == 0


@given(st.lists(st.tuples(st.integers(0, 2 * STANDS_MS), st.integers(-DAY_MS, DAY_MS))))
def test_trusted_time_is_never_ahead_and_gains_only_by_passing(
    moves: list[tuple[int, int]],
) -> None:
    machine = Machine()

    for passed_ms, set_by_ms in moves:
        before = machine.trusted.now_ms()
        machine.passes(passed_ms)
        machine.wall_ms += set_by_ms
        now_ms = machine.trusted.now_ms()
        assert now_ms <= machine.wall_ms
        if passed_ms < STANDS_MS and set_by_ms > JUMP_MS:
            assert now_ms <= before + passed_ms + JUMP_MS


def timers() -> list[str]:
    """The descriptors of this process that are timers."""
    return [fd.name for fd in Path("/proc/self/fd").iterdir() if "timerfd" in os.path.realpath(fd)]


def about(timer: str) -> dict[str, str]:
    """What the kernel shows of a timer."""
    lines = Path(f"/proc/self/fdinfo/{timer}").read_text().splitlines()
    return dict(line.split(":", 1) for line in lines)


@pytest.fixture(autouse=True)
def nothing_leaks() -> Iterator[None]:
    yield
    assert timers() == []


@pytest.mark.parametrize("wall_ms", [-5, 0, 1, None])
async def test_a_time_that_has_come_is_not_waited_for(wall_ms: int | None) -> None:
    clock = SystemClock()

    await clock.wait_until(clock.wall_ms() if wall_ms is None else wall_ms)


async def test_a_wait_ends_at_its_time() -> None:
    clock = SystemClock()
    at_ms = clock.wall_ms() + 30

    await clock.wait_until(at_ms)

    assert clock.wall_ms() >= at_ms


def test_a_wait_ends_on_the_daemons_loop_too() -> None:
    clock = SystemClock()
    at_ms = clock.wall_ms() + 30

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(clock.wait_until(at_ms))

    assert clock.wall_ms() >= at_ms


async def test_a_wait_that_is_cancelled_leaves_nothing() -> None:
    clock = SystemClock()
    waiting = asyncio.create_task(clock.wait_until(clock.wall_ms() + DAY_MS))
    await asyncio.wait([waiting], timeout=0)
    during = timers()

    waiting.cancel()
    await asyncio.wait([waiting])

    assert len(during) == 1


async def test_a_wait_is_by_the_wall_clock_and_ends_when_that_is_set() -> None:
    """As the kernel shows it: setting the machine's clock is no test's business."""
    clock = SystemClock()
    waiting = asyncio.create_task(clock.wait_until(clock.wall_ms() + DAY_MS))
    await asyncio.wait([waiting], timeout=0)
    (timer,) = timers()

    shown = about(timer)
    waiting.cancel()
    await asyncio.wait([waiting])

    assert shown["clockid"].strip() == str(time.CLOCK_REALTIME)
    assert int(shown["settime flags"], 8) == 0o3  # absolute, cancelled when the clock is set


async def test_without_descriptors_a_wait_is_short_and_no_failure() -> None:
    clock = SystemClock()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        await clock.wait_until(clock.wall_ms() + 10)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_wait_may_be_ended_by_an_event() -> None:
    clock, wakened = FakeClock(), asyncio.Event()
    waiting = asyncio.create_task(wait_until(clock, clock.ms + 1000, wakened))
    await clock.waits.get()

    wakened.set()

    await waiting


async def test_a_wait_for_either_ends_with_the_time_too() -> None:
    clock = SystemClock()

    await wait_until(clock, clock.wall_ms() + 10, asyncio.Event())


async def test_a_wait_for_either_may_be_cancelled() -> None:
    clock = SystemClock()
    waiting = asyncio.create_task(wait_until(clock, clock.wall_ms() + DAY_MS, asyncio.Event()))
    await asyncio.wait([waiting], timeout=0)

    waiting.cancel()
    await asyncio.wait([waiting])

    assert waiting.cancelled()
