"""Short jobs are at hand in a cpu worker before it can run them, and stay as free as in the queue.

The order of things is asserted, never how long they took. A worker that is stopped takes
nothing, so that what it was handed waits.
"""

import asyncio
import os
import random
import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
import pytest

from jobd.domain.ahead import NOTHING, Ahead
from jobd.domain.jobs import Claim
from jobd.domain.outcomes import (
    CancelledByRequest,
    Completed,
    Crashed,
    Failed,
    NotStarted,
    Outcome,
)
from jobd.pool import line
from jobd.pool.paces import LONG_S, MOST, SAMPLES, WINDOW_S, Paces
from jobd.pool.supervisor import AttemptLimits

if TYPE_CHECKING:
    from tests.pool.conftest import Pool, StartPool

MakeClaim = Callable[..., Claim]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody overruns because this machine has much else to do."""
    monkeypatch.setattr(line, "OVERRUN_S", 60.0)


@pytest.fixture
async def quick(start_pool: "StartPool", claim: MakeClaim) -> "Pool":
    """One cpu worker that has run an echo, which is known to be short."""
    pool = await start_pool()
    await pool.run(claim("test.echo"))
    believe(pool, "test.echo")
    return pool


def believe(pool: "Pool", *kinds: str) -> None:
    """Have kinds taken for short, and known to every worker."""
    for kind in kinds:
        pool.supervisor._paces.forget(kind)  # noqa: SLF001 - no machine can be told to be quick
        for _ in range(SAMPLES):
            pool.supervisor._paces.ran(kind, 0.0)  # noqa: SLF001
        for worker in pool.supervisor._crew.workers.values():  # noqa: SLF001
            worker.line.learned(kind)


def hand_over(pool: "Pool", claims: Sequence[Claim]) -> list[asyncio.Future[Outcome]]:
    return [pool.supervisor.begin(claim) for claim in claims]


def ids(pool: "Pool") -> set[int]:
    return {worker.worker_id for worker in pool.supervisor.workers()}


def types(outcomes: Sequence[asyncio.Future[Outcome]]) -> list[type[Outcome]]:
    return [type(outcome.result()) for outcome in outcomes]


def go_on(pool: "Pool") -> None:
    os.kill(pool.worker.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("duration_s", "depth"),
    [(0.00001, MOST), (WINDOW_S / 10, 10), (WINDOW_S / 2, 2), (WINDOW_S, 1), (0.04, 1), (0.2, 1)],
)
def test_how_many_may_be_at_hand_follows_from_their_time(duration_s: float, depth: int) -> None:
    paces = Paces()
    for _ in range(SAMPLES - 1):
        paces.ran("test.echo", duration_s)
    before = dict(paces.shares)

    paces.ran("test.echo", duration_s * 1.5 if depth == 1 else 0.04)  # one in twenty counts not

    assert before == {}
    assert paces.shares.get("test.echo", 1.0) == pytest.approx(1 / depth)


def test_one_long_run_ends_it_until_it_is_learned_again() -> None:
    paces = Paces()
    for _ in range(SAMPLES + 5):
        paces.ran("test.echo", 0.0001)

    paces.ran("test.echo", LONG_S + 0.001)
    after = dict(paces.shares)
    for _ in range(SAMPLES - 1):
        paces.ran("test.echo", 0.0001)

    assert after == dict(paces.shares) == {}
    paces.ran("test.echo", 0.0001)
    assert paces.shares == {"test.echo": 1 / MOST}


async def test_nothing_goes_ahead_before_the_kind_is_known(pool: "Pool", claim: MakeClaim) -> None:
    await pool.run(claim("test.echo"))
    nothing = pool.supervisor.ahead()
    believe(pool, "test.echo")

    assert nothing == NOTHING
    assert pool.supervisor.ahead() == Ahead(1.0, {"test.echo": 1 / MOST})


async def test_twenty_short_runs_make_room(pool: "Pool", claim: MakeClaim) -> None:
    rooms = []
    for _ in range(SAMPLES):
        rooms.append(pool.supervisor.ahead())
        await pool.run(claim("test.echo"))

    assert rooms == [NOTHING] * SAMPLES
    assert pool.supervisor.ahead().room == 1
    assert pool.supervisor.ahead().shares.keys() == {"test.echo"}


async def test_jobs_that_are_at_hand_run_in_order(quick: "Pool", claim: MakeClaim) -> None:
    quick.halt()
    outcomes = hand_over(quick, [claim("test.echo", {"n": n}) for n in range(MOST)])
    room, ended = quick.supervisor.ahead().room, list[int]()
    for n, outcome in enumerate(outcomes):
        outcome.add_done_callback(lambda _, n=n: ended.append(n))  # type: ignore[misc]

    go_on(quick)
    await asyncio.wait(outcomes)

    assert room == 0
    assert ended == list(range(MOST))
    assert types(outcomes) == [Completed] * MOST


async def test_room_is_offered_again_when_half_is_free(quick: "Pool", claim: MakeClaim) -> None:
    quick.halt()
    outcomes = hand_over(quick, [claim("test.echo") for _ in range(MOST // 2)])
    at_half = quick.supervisor.ahead().room
    outcomes += hand_over(quick, [claim("test.echo")])
    above = quick.supervisor.ahead().room
    go_on(quick)
    await asyncio.wait(outcomes)

    assert (at_half, above) == (0.5, 0.0)


async def test_no_second_job_for_one_while_another_is_idle(
    start_pool: "StartPool", claim: MakeClaim
) -> None:
    pool = await start_pool(cpu_workers=2)
    believe(pool, "test.honour", "test.echo")
    claims = [claim("test.honour") for _ in range(2)] + [claim("test.echo")]

    outcomes = hand_over(pool, claims)
    handed = sorted(len(worker.tokens) for worker in pool.supervisor.workers())
    each = {worker.tokens[0] for worker in pool.supervisor.workers()}
    pool.supervisor.cancel(claims[0].token)
    pool.supervisor.cancel(claims[1].token)
    await asyncio.wait(outcomes)

    assert handed == [1, 2]
    assert each == {one.token for one in claims[:2]}


async def test_nothing_waits_behind_what_is_not_known_to_be_short(
    quick: "Pool", claim: MakeClaim
) -> None:
    (long,) = hand_over(quick, [running := claim("test.honour")])

    room, (refused,) = quick.supervisor.ahead().room, hand_over(quick, [claim("test.echo")])
    quick.supervisor.cancel(running.token)
    await long

    assert room == 0
    assert await refused == NotStarted()


async def test_only_what_the_worker_has_run_waits_in_it(pool: "Pool", claim: MakeClaim) -> None:
    """Else an import or a setup would be before those behind it."""
    believe(pool, "test.echo")
    await pool.run(claim("test.echo"))
    pool.supervisor._paces.forget("test.process")  # noqa: SLF001
    for _ in range(SAMPLES):
        pool.supervisor._paces.ran("test.process", 0.0)  # noqa: SLF001

    assert pool.supervisor.ahead().shares.keys() == {"test.echo"}


@pytest.mark.parametrize("history", [{"interrupted": 1}, {"released": 3}, {"limited": True}])
async def test_some_have_nothing_before_or_behind_them(
    quick: "Pool", claim: MakeClaim, history: dict[str, int]
) -> None:
    apart = msgspec.structs.replace(claim("test.echo"), **history)
    quick.halt()
    first, behind = hand_over(quick, [claim("test.echo"), apart])
    go_on(quick)
    await asyncio.wait([first, behind])
    believe(quick, "test.echo")
    quick.halt()
    (alone,) = hand_over(quick, [apart])
    room = quick.supervisor.ahead().room
    go_on(quick)

    assert types([first, behind]) == [Completed, NotStarted]
    assert isinstance(await alone, Completed)
    assert room == 0


@pytest.mark.parametrize(
    "limits", [AttemptLimits(memory_bytes=1 << 30), AttemptLimits(heartbeat_timeout_s=30)]
)
async def test_kinds_that_are_watched_stand_alone(
    quick: "Pool", claim: MakeClaim, limits: AttemptLimits
) -> None:
    quick.limits["test.echo"] = limits
    quick.halt()
    outcomes = hand_over(quick, [claim("test.echo"), claim("test.echo")])
    go_on(quick)
    await asyncio.wait(outcomes)

    assert types(outcomes) == [Completed, NotStarted]
    assert "test.echo" not in quick.supervisor.ahead().shares  # nor is it claimed ahead again


async def test_who_waits_behind_one_that_overruns_is_given_back_before_it_ends(
    quick: "Pool", claim: MakeClaim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "OVERRUN_S", 0.02)
    believe(quick, "test.honour")
    running = claim("test.honour")
    head, *behind = hand_over(quick, [running, *(claim("test.echo") for _ in range(3))])
    await asyncio.wait(behind)
    going_on, room = not head.done(), quick.supervisor.ahead().room
    quick.supervisor.cancel(running.token)
    await head

    assert types(behind) == [NotStarted] * 3
    assert going_on
    assert room == 0


async def test_who_waits_behind_one_that_overruns_starts_in_a_worker_that_is_idle(
    start_pool: "StartPool", claim: MakeClaim, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = await start_pool(cpu_workers=2)
    believe(pool, "test.honour", "test.echo")
    heads = {
        one.token: await pool.begin(one) for one in (claim("test.honour"), claim("test.honour"))
    }
    behind = [claim("test.echo"), claim("test.echo")]
    outcomes = hand_over(pool, behind[:1])
    (busy,) = (one for one in pool.supervisor._crew.workers.values() if len(one.line) > 1)  # noqa: SLF001
    (other,) = heads.keys() - {busy.line.first.claim.token}
    outcomes += hand_over(pool, behind[1:])  # behind the other one

    pool.supervisor.cancel(other)  # who waits there has nowhere to go yet, and is given back
    await heads[other]
    monkeypatch.setattr(line, "OVERRUN_S", 0.0)
    busy.line._look()  # noqa: SLF001 - what its timer does
    await asyncio.wait(outcomes)
    going_on = not heads[busy.line.first.claim.token].done()
    pool.supervisor.cancel(busy.line.first.claim.token)
    await asyncio.wait(heads.values())

    assert types(outcomes) == [Completed, NotStarted]
    assert going_on


async def test_nobody_waits_long_though_each_in_front_of_him_is_short(
    quick: "Pool", claim: MakeClaim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "OVERRUN_S", 0.02)
    believe(quick, "test.sleep")
    outcomes = hand_over(quick, [claim("test.sleep", {"seconds": 0.015}) for _ in range(8)])
    await asyncio.wait(outcomes)

    ended = types(outcomes)
    assert (ended[0], ended[-1]) == (Completed, NotStarted)


async def test_a_worker_that_takes_nothing_keeps_only_its_first(
    quick: "Pool", claim: MakeClaim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "OVERRUN_S", 0.02)
    quick.halt()
    head, *behind = hand_over(quick, [claim("test.echo") for _ in range(4)])
    await asyncio.wait(behind)
    waits = not head.done()
    go_on(quick)

    assert types(behind) == [NotStarted] * 3
    assert waits
    assert isinstance(await head, Completed)


@pytest.mark.parametrize("place", [0, 3, 5])
async def test_a_crash_charges_only_the_job_that_ran(
    quick: "Pool", claim: MakeClaim, place: int
) -> None:
    believe(quick, "test.kill")
    quick.halt()
    kinds = ["test.kill" if n == place else "test.echo" for n in range(6)]
    outcomes = hand_over(quick, [claim(kind) for kind in kinds])
    go_on(quick)
    await asyncio.wait(outcomes)

    assert types(outcomes) == [Completed] * place + [Crashed] + [NotStarted] * (5 - place)


async def test_a_kill_from_outside_charges_nobody_who_had_not_begun(
    quick: "Pool", claim: MakeClaim
) -> None:
    quick.halt()
    outcomes = hand_over(quick, [claim("test.echo") for _ in range(5)])
    os.kill(quick.worker.pid, signal.SIGKILL)
    await asyncio.wait(outcomes)

    assert types(outcomes) == [NotStarted] * 5


async def test_a_cancel_takes_out_one_that_waits(quick: "Pool", claim: MakeClaim) -> None:
    quick.halt()
    claims = [claim("test.echo", {"n": n}) for n in range(4)]
    outcomes = hand_over(quick, claims)
    quick.supervisor.cancel(claims[2].token)
    at_once = outcomes[2].done()
    go_on(quick)
    await asyncio.wait(outcomes)

    assert at_once
    assert types(outcomes) == [Completed, Completed, CancelledByRequest, Completed]


async def test_who_waits_can_be_recalled_and_who_has_run_cannot(
    quick: "Pool", claim: MakeClaim
) -> None:
    quick.halt()
    claims = [claim("test.echo") for _ in range(3)]
    outcomes = hand_over(quick, claims)
    recalled = [quick.supervisor.recall(one.token) for one in claims[1:]]
    go_on(quick)
    await asyncio.wait(outcomes)

    assert recalled == [True, True]
    assert types(outcomes) == [Completed, NotStarted, NotStarted]
    assert not quick.supervisor.recall(claims[0].token)


async def test_a_cancel_of_the_one_that_runs_gives_the_others_back(
    quick: "Pool", claim: MakeClaim
) -> None:
    believe(quick, "test.ignore_term")
    head = await quick.begin(running := claim("test.ignore_term"))
    behind = hand_over(quick, [claim("test.echo") for _ in range(2)])

    quick.supervisor.cancel(running.token)
    await asyncio.wait(behind)
    going_on = not head.done()

    assert types(behind) == [NotStarted] * 2
    assert going_on
    assert isinstance(await head, CancelledByRequest)


async def test_a_time_limit_begins_when_the_job_can(quick: "Pool", claim: MakeClaim) -> None:
    believe(quick, "test.spin")
    outcomes = hand_over(quick, [claim("test.spin", timeout_s=0.4) for _ in range(2)])
    await asyncio.wait(outcomes)
    believe(quick, "test.chat")
    slow = claim("test.chat", {"turns": 1, "seconds": 0.4})
    outcomes += hand_over(quick, [slow, claim("test.echo", timeout_s=0.3)])
    await asyncio.wait(outcomes)

    assert types(outcomes) == [Failed, NotStarted, Completed, Completed]


async def test_a_drain_gives_back_what_waits_at_once(quick: "Pool", claim: MakeClaim) -> None:
    believe(quick, "test.honour")
    head = await quick.begin(claim("test.honour"))
    behind = hand_over(quick, [claim("test.echo") for _ in range(3)])
    patient = asyncio.create_task(quick.supervisor.drain(60))
    await asyncio.wait(behind)
    going_on = not head.done()
    await quick.supervisor.drain(0)
    await patient

    assert types(behind) == [NotStarted] * 3
    assert going_on


async def test_a_worker_that_has_served_gives_back_what_waits(
    start_pool: "StartPool", claim: MakeClaim
) -> None:
    pool = await start_pool(max_jobs_per_worker=10)
    await pool.run(claim("test.echo"))
    believe(pool, "test.echo")
    first = pool.worker.worker_id
    pool.halt()
    outcomes = hand_over(pool, [claim("test.echo") for _ in range(MOST)])
    go_on(pool)
    await asyncio.wait(outcomes)
    await pool.ready()

    ended = types(outcomes)
    assert ended[:8] == [Completed] * 8
    assert set(ended) <= {Completed, NotStarted}  # it may have taken some before
    assert pool.worker.worker_id > first


@pytest.mark.timeout(120)
async def test_whatever_is_taken_out_each_job_runs_once_or_was_not_started(
    quick: "Pool", claim: MakeClaim
) -> None:
    """200 histories: some are cancelled or recalled while they wait, some workers are killed."""
    chance = random.Random(7)  # noqa: S311 - no secret
    for number in range(200):
        believe(quick, "test.echo")
        first = quick.worker
        quick.halt()
        claims = [claim("test.echo", {"n": n}) for n in range(chance.randint(1, 8))]
        outcomes = hand_over(quick, claims)
        expected: list[type[Outcome]] = [Completed] * len(claims)
        for _ in range(chance.randint(0, 4)):
            at = chance.randrange(len(claims))
            take_out = chance.choice([quick.supervisor.cancel, quick.supervisor.recall])
            if not outcomes[at].done() and (take_out(claims[at].token) or outcomes[at].done()):
                cancelled = take_out == quick.supervisor.cancel
                expected[at] = CancelledByRequest if cancelled else NotStarted
        if number % 50 == 49:
            os.kill(first.pid, signal.SIGKILL)
            expected = [NotStarted if one is Completed else one for one in expected]
        else:
            go_on(quick)
        await asyncio.wait(outcomes)
        if number % 50 == 49:
            gone = first.worker_id
            await quick.listener.until(lambda: gone not in ids(quick))  # noqa: B023 - awaited here
        await quick.ready()

        assert types(outcomes) == expected
        done_before = first.jobs_done if first.worker_id in ids(quick) else 0
        assert quick.worker.jobs_done - done_before == expected.count(Completed)
