"""The whole schedule and the breakers on it, by the deliverer's own loop in virtual time."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from jobd.config import Config
from jobd.domain.deliveries import age_limit_s
from jobd.webhooks.receivers import AT_ONCE
from tests.sim.weather import pause
from tests.webhooks.virtual import HANGS, REFUSED, TAKEN, PostOffice, attempt

if TYPE_CHECKING:
    from tests.webhooks.virtual import Answer

SCHEDULE_S = Config().webhooks.schedule_s
DAY_S = 86_400.0
HOOK = "https://hooks.example/hook"
ORIGIN = "https://hooks.example"


@pytest.fixture
def office() -> PostOffice:
    return PostOffice(7, SCHEDULE_S)


def gaps(asked_s: list[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(asked_s)]


@pytest.mark.parametrize("seed", range(5))
def test_a_receiver_that_never_takes_it_makes_a_dead_letter(seed: int) -> None:
    office = PostOffice(seed, SCHEDULE_S)
    office.receivers.answers[HOOK] = lambda _: REFUSED

    async def work() -> None:
        await office.tell(HOOK)
        await office.over()
        assert office.rows(
            "SELECT status, attempt_count, dead_reason, next_attempt_at FROM deliveries"
        ) == [("dead", 10, "exhausted", None)]
        assert office.rows("SELECT count(*) FROM delivery_attempts") == [(10,)]

    office.run(work)

    asked_s = office.receivers.asked[HOOK]
    assert sum(SCHEDULE_S) == (75 * 60 + 35) * 60 + 5
    assert len(asked_s) == 10
    for waited_s, scheduled_s in zip(gaps(asked_s), SCHEDULE_S, strict=True):
        assert 0.9 * scheduled_s <= waited_s <= 1.1 * scheduled_s + 5
    ((type_, data),) = office.told
    assert (type_, data["receiver"], data["deliveries"]) == (
        "webhook.delivery_exhausted",
        ORIGIN,
        1,
    )


def test_what_is_never_asked_for_is_dead_by_its_age(office: PostOffice) -> None:
    office.receivers.answers[HOOK] = lambda _: HANGS

    async def work() -> None:
        await office.tell(HOOK, 300)
        await pause(age_limit_s(SCHEDULE_S, 20.0) - 3600)
        assert office.rows("SELECT count(*) FROM deliveries WHERE status = 'dead'") == [(0,)]
        await pause(7200)
        assert office.rows("SELECT DISTINCT status, dead_reason FROM deliveries") == [
            ("dead", "exhausted")
        ]

    office.run(work)

    assert sum(data["deliveries"] for _, data in office.told) == 300


def test_one_that_hangs_is_asked_once_per_probe_while_nine_others_finish(
    office: PostOffice,
) -> None:
    urls = [f"https://{n}.example/hook" for n in range(10)]
    office.receivers.answers[urls[0]] = lambda _: HANGS

    async def work() -> None:
        for url in urls:
            await office.tell(url, 200)
        began_s = office.clock.monotonic_s()
        await office.over({url.removesuffix("/hook") for url in urls[1:]})
        assert office.clock.monotonic_s() - began_s < 20
        await pause(DAY_S)

    office.run(work)

    asked_s = office.receivers.asked[urls[0]]
    probes = [gap for gap in gaps(asked_s) if gap > 20.5]
    assert office.receivers.most == dict.fromkeys(urls, 4)
    assert len(asked_s) - len(probes) <= 9
    # each interval, and the time that the probe before it hung
    assert probes[:6] == pytest.approx([50, 80, 140, 260, 500, 920], abs=5)
    assert all(gap >= 920 for gap in probes[6:])


def test_many_that_hang_leave_room_for_one_that_does_not(office: PostOffice) -> None:
    hanging = [f"https://{n}.example/hook" for n in range(60)]
    office.receivers.answers = dict.fromkeys(hanging, lambda _: HANGS)

    async def work() -> None:
        for url in hanging:
            await office.tell(url, 20)
        began_s, steps = office.clock.monotonic_s(), office.loop.steps
        await office.tell(HOOK, 200)
        await office.over([ORIGIN])
        assert office.clock.monotonic_s() - began_s < 5
        assert office.loop.steps - steps < 200 * 100
        assert sum(office.receivers.under_way.values()) <= AT_ONCE
        await pause(1)  # while nothing ends and much waits, nothing runs
        steps = office.loop.steps
        await pause(1)
        assert office.loop.steps - steps < 10

    office.run(work)


def test_all_that_waited_goes_out_when_a_probe_arrives(office: PostOffice) -> None:
    def answer(now_s: float) -> Answer:
        return REFUSED if now_s < 3600 else TAKEN

    office.receivers.answers[HOOK] = answer

    async def work() -> None:
        await office.tell(HOOK, 1000)
        await office.over()
        assert office.rows("SELECT DISTINCT status FROM deliveries") == [("succeeded",)]
        ((attempts,),) = office.rows("SELECT sum(attempt_count) FROM deliveries")
        assert attempts < 1030

    office.run(work)

    asked_s = office.receivers.asked[HOOK]
    taken_s = [at_s for at_s in asked_s if at_s >= 3600]
    per_second = Counter(int(at_s - taken_s[0]) for at_s in taken_s)
    assert taken_s[0] < 3600 + 900
    assert all(per_second[second] <= 13 for second in range(10))
    assert taken_s[600] - taken_s[0] < 40


def test_an_endpoint_that_fails_for_days_is_disabled(office: PostOffice) -> None:
    office.receivers.answers[HOOK] = lambda _: REFUSED

    async def work() -> None:
        endpoint = await office.endpoint(HOOK)
        for _ in range(4 * 24):
            await office.tell(HOOK, endpoint=endpoint)
            await pause(3600)
        assert office.writer.endpoints.get(endpoint.endpoint_id).enabled  # type: ignore[union-attr]
        for _ in range(2 * 24):
            await office.tell(HOOK, endpoint=endpoint)
            await pause(3600)
        disabled = office.writer.endpoints.get(endpoint.endpoint_id)
        assert disabled is not None
        assert (disabled.enabled, disabled.disabled_reason) == (False, "failing")
        assert office.rows(
            "SELECT DISTINCT dead_reason FROM deliveries WHERE dead_reason <> 'exhausted'"
        ) == [("endpoint_disabled",)]
        assert office.rows("SELECT 1 FROM deliveries WHERE next_attempt_at IS NOT NULL") == []

    office.run(work)

    assert "webhook.endpoint_disabled" in {type_ for type_, _ in office.told}


def test_one_success_in_days_keeps_it(office: PostOffice) -> None:
    failing = iter([False, *[True] * 40, False])
    office.receivers.answers[HOOK] = lambda _: REFUSED if next(failing, True) else TAKEN

    async def work() -> None:
        endpoint = await office.endpoint(HOOK)
        for _ in range(7):
            await office.tell(HOOK, endpoint=endpoint)
            await pause(DAY_S)
        now = office.writer.endpoints.get(endpoint.endpoint_id)
        assert now is not None
        assert now.enabled

    office.run(work)


def test_an_endpoints_rate_is_kept(office: PostOffice) -> None:
    async def work() -> None:
        endpoint = await office.endpoint(HOOK, rate_per_s=5.0)
        await office.tell(HOOK, 100, endpoint=endpoint)
        await office.over()

    office.run(work)

    asked_s = office.receivers.asked[HOOK]
    assert asked_s[-1] - asked_s[0] == pytest.approx(99 / 5, abs=1)


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_that_asks_to_be_left_alone_is(office: PostOffice, status: int) -> None:
    answers = iter([(0.0, attempt(status, retry_after="600"))])
    office.receivers.answers[HOOK] = lambda _: next(answers, TAKEN)

    async def work() -> None:
        await office.tell(HOOK, 50)
        await office.over()

    office.run(work)

    asked_s = office.receivers.asked[HOOK]
    assert len(asked_s) == 51
    assert [gap for gap in gaps(asked_s)[:4] if gap > 1] == pytest.approx([600], abs=1)


def test_a_wall_clock_that_is_set_gives_nothing_up(office: PostOffice) -> None:
    office.receivers.answers[HOOK] = lambda _: HANGS

    async def work() -> None:
        await office.tell(HOOK, 100)
        await pause(600)
        office.machine.jump(30 * DAY_S)
        await pause(600)
        office.machine.jump(-30 * DAY_S)
        await pause(2 * 3600)
        assert office.rows("SELECT count(*) FROM deliveries WHERE status = 'dead'") == [(0,)]

    office.run(work)
