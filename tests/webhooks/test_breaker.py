"""The breaker of one receiver: when it opens, when it asks again, how fast it begins after that."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest

from jobd.domain.breaker import Breaker, BreakerRules, BreakerState


@dataclass
class Receiver:
    """A breaker, the time, and what has been asked of the receiver behind it."""

    breaker: Breaker = field(default_factory=Breaker)
    now_s: float = 1000.0

    def wait_s(self) -> float | None:
        at_s = self.breaker.opens_at_s(self.now_s)
        return None if at_s is None else at_s - self.now_s

    def begin(self) -> int:
        """Begin an attempt as soon as one may."""
        wait_s = self.wait_s()
        assert wait_s is not None
        self.now_s += wait_s
        return self.breaker.begins(self.now_s)

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.failed(self.begin(), self.now_s)

    def succeed(self) -> None:
        self.breaker.succeeded(self.begin(), self.now_s)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def test_five_failures_in_a_row_open_it(receiver: Receiver) -> None:
    receiver.fail(4)
    assert (receiver.breaker.state, receiver.wait_s()) == (BreakerState.CLOSED, 0.0)

    receiver.fail()

    assert (receiver.breaker.state, receiver.wait_s()) == (BreakerState.OPEN, 30.0)


def test_a_success_between_them_begins_the_count_anew(receiver: Receiver) -> None:
    receiver.fail(4)
    receiver.succeed()
    receiver.fail(4)

    assert receiver.breaker.state is BreakerState.CLOSED


def test_one_probe_at_a_time_asks_it_again(receiver: Receiver) -> None:
    receiver.fail(5)

    receiver.begin()

    assert (receiver.breaker.state, receiver.wait_s()) == (BreakerState.HALF_OPEN, None)


def test_probes_that_fail_come_ever_more_seldom(receiver: Receiver) -> None:
    receiver.fail(5)
    waits = []
    for _ in range(7):
        waits.append(receiver.wait_s())
        receiver.fail()

    assert waits == [30, 60, 120, 240, 480, 900, 900]


def test_a_probe_that_arrives_closes_it_and_the_waits_begin_anew(receiver: Receiver) -> None:
    receiver.fail(7)
    receiver.succeed()
    assert receiver.breaker.state is BreakerState.CLOSED

    receiver.fail(5)

    assert receiver.wait_s() == 30.0


def test_a_probe_that_says_nothing_is_followed_by_another(receiver: Receiver) -> None:
    receiver.fail(5)

    receiver.breaker.undecided(receiver.begin())

    assert (receiver.breaker.state, receiver.wait_s()) == (BreakerState.HALF_OPEN, 0.0)


def test_what_began_before_it_opened_decides_nothing_any_more(receiver: Receiver) -> None:
    late = [receiver.begin() for _ in range(3)]
    receiver.fail(5)
    probe = receiver.begin()

    receiver.breaker.failed(late[0], receiver.now_s)
    receiver.breaker.succeeded(late[1], receiver.now_s)
    receiver.breaker.undecided(late[2])
    assert (receiver.breaker.state, receiver.wait_s()) == (BreakerState.HALF_OPEN, None)

    receiver.breaker.succeeded(probe, receiver.now_s)
    assert receiver.breaker.state is BreakerState.CLOSED


def test_a_pause_that_was_asked_for_is_kept(receiver: Receiver) -> None:
    receiver.breaker.pause(receiver.now_s + 60)
    receiver.breaker.pause(receiver.now_s + 10)

    assert receiver.wait_s() == 60.0
    assert not receiver.breaker.at_rest


def test_a_pause_longer_than_the_wait_puts_the_probe_off(receiver: Receiver) -> None:
    receiver.fail(5)
    receiver.breaker.pause(receiver.now_s + 3600)

    assert receiver.wait_s() == 3600.0


def test_after_an_outage_the_pace_begins_low_and_doubles(receiver: Receiver) -> None:
    receiver.fail(5)
    receiver.succeed()
    began_s = receiver.now_s

    begun_s = []
    while receiver.now_s < began_s + 30:
        receiver.succeed()
        begun_s.append(receiver.now_s - began_s)

    per_ten_s = [len(list(some)) for _, some in itertools.groupby(begun_s, lambda s: int(s // 10))]
    assert per_ten_s[:3] == pytest.approx([100, 200, 400], abs=3)


def test_a_failure_meanwhile_does_not_hold_it_up(receiver: Receiver) -> None:
    receiver.fail(5)
    receiver.succeed()
    receiver.now_s += 25
    for _ in range(4):
        receiver.fail()

    assert receiver.wait_s() == pytest.approx(1 / 40, abs=0.01)


def test_another_outage_makes_it_slow_again(receiver: Receiver) -> None:
    receiver.fail(5)
    receiver.succeed()
    receiver.now_s += 25
    receiver.fail(5)
    receiver.succeed()
    receiver.begin()

    assert receiver.wait_s() == pytest.approx(0.1, abs=0.051)


def test_the_pace_is_free_again_when_nothing_waits(receiver: Receiver) -> None:
    receiver.fail(5)
    receiver.succeed()
    receiver.breaker.caught_up(receiver.now_s)

    assert [receiver.begin() and receiver.wait_s() for _ in range(3)] == [0.0] * 3
    assert receiver.breaker.at_rest


def test_the_pace_is_free_again_when_it_is_high_enough() -> None:
    receiver = Receiver(Breaker(BreakerRules(full_rate=40)))
    receiver.fail(5)
    receiver.succeed()
    receiver.now_s += 20
    receiver.succeed()

    assert receiver.breaker.at_rest


def test_an_endpoints_own_rate_is_never_exceeded() -> None:
    receiver = Receiver(Breaker(rate_per_s=2.0))
    began_s = receiver.now_s
    for _ in range(21):
        receiver.succeed()

    assert receiver.now_s - began_s == pytest.approx(10, abs=0.1)

    receiver.fail(5)
    receiver.succeed()
    began_s = receiver.now_s
    for _ in range(20):
        receiver.succeed()

    assert receiver.now_s - began_s == pytest.approx(10, abs=0.1)
