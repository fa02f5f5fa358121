"""How often one caller may ask, and how many requests of a sort may be under way."""

from __future__ import annotations

import pytest

from jobd.api.rates import Bucket, Rates
from jobd.api.under_way import UnderWay
from jobd.config import Limits
from jobd.domain.errors import LimitReached
from jobd.domain.principals import Caller, Scope
from tests.support.clock import FakeClock


def bucket(clock: FakeClock, per_minute: int = 60) -> Bucket:
    return Bucket(per_minute, clock.monotonic_s)


def taken(one: Bucket, name: str, times: int) -> list[float]:
    return [one.take(name) for _ in range(times)]


def test_as_many_at_once_as_in_a_minute_then_one_at_a_time() -> None:
    clock = FakeClock()
    one = bucket(clock)

    assert taken(one, "a", 60) == [0.0] * 60
    assert one.take("a") == pytest.approx(1.0)
    clock.advance(1)
    assert one.take("a") == 0.0
    assert one.take("a") == pytest.approx(1.0)


def test_who_is_refused_pays_nothing() -> None:
    clock = FakeClock()
    one = bucket(clock)
    taken(one, "a", 60)

    refused = taken(one, "a", 1000)
    clock.advance(1)

    assert min(refused) > 0
    assert one.take("a") == 0.0


def test_one_is_not_refused_for_another() -> None:
    one = bucket(FakeClock())
    taken(one, "a", 61)

    assert one.take("b") == 0.0


def test_a_whole_day_at_the_rate_is_never_refused() -> None:
    clock = FakeClock()
    one = bucket(clock, 6000)
    for _ in range(100_000):
        clock.advance(0.01)
        assert one.take("a") == 0.0


def test_who_has_not_asked_for_long_is_forgotten() -> None:
    clock = FakeClock()
    one = bucket(clock)
    for name in range(1000):
        one.take(str(name))
    assert len(one) == 1000

    clock.advance(61)
    taken(one, "a", 500)

    assert len(one) == 1


def test_nothing_is_kept_without_a_limit() -> None:
    one = bucket(FakeClock(), 0)

    assert sum(taken(one, "a", 100_000)) == 0
    assert len(one) == 0


def test_tokens_and_peers_and_jobs_are_counted_apart() -> None:
    limits = Limits(requests_per_minute=1, socket_requests_per_minute=1)
    rates = Rates(limits, FakeClock().monotonic_s)
    nothing: frozenset[Scope] = frozenset()
    callers = [
        Caller("me", nothing, by_token=True),
        Caller("me", nothing, by_token=False),
        Caller("job:job_1", nothing, job_id="job_1", by_token=True),
    ]

    for caller in callers:
        rates.spend(caller)
    for caller in callers:
        with pytest.raises(LimitReached) as refused:
            rates.spend(caller)
        assert (refused.value.code, refused.value.retry_after_s) == ("rate_limited", 60)


def test_so_many_of_one_and_no_more_until_one_is_over() -> None:
    under_way = UnderWay(2, "too_many_uploads", "uploads")

    with under_way.one("me"), under_way.one("me"):
        with under_way.one("you"):
            pass
        with pytest.raises(LimitReached, match="2 uploads"), under_way.one("me"):
            pass
    with under_way.one("me"), under_way.one("me"):
        pass
