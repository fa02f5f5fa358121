"""A short soak, and that what is measured in one is judged: leaks are caught, peaks are not."""

import gc
from dataclasses import replace
from pathlib import Path

import pytest

from jobd.pool.paces import Paces
from tests.soak import run, samples, serve
from tests.soak.samples import Sample
from tests.soak.soak import Soak

SECONDS = 12
FLAT = Sample(
    at_s=0,
    rss=60_000,
    fds=70,
    threads=10,
    children=5,
    zombies=0,
    workers_rss=100_000,
    db=5_000,
    wal=4_000,
    artifacts=500,
    logs=500,
    scratch=2,
    uploads=10,
    keys=0,
)


@pytest.mark.timeout(180)
def test_a_short_soak_leaves_nothing_behind(tmp_path: Path) -> None:
    result = Soak(tmp_path, SECONDS, seed=1).run()

    print(run.shown(result))  # noqa: T201 - shown with a failure
    assert result.violations == []
    assert result.report.acknowledged > 100
    assert result.report.attempts > 30


def not_flat(history: list[Sample], *, settled: bool = True) -> list[str]:
    return [one.name for one in samples.growths(history, settled=settled) if not one.flat]


def test_what_stays_as_it_is_is_flat() -> None:
    assert not_flat([replace(FLAT, at_s=at) for at in range(100)]) == []


@pytest.mark.parametrize("name", samples.BOUNDS)
def test_what_grows_a_little_at_a_time_is_not(name: str) -> None:
    start = getattr(FLAT, name)
    history = [
        replace(FLAT, at_s=at, **{name: start + at * start // 100 + at}) for at in range(500)
    ]

    assert not_flat(history) == [name]


def test_a_saw_is_flat() -> None:
    history = [replace(FLAT, at_s=at, rss=60_000 + at % 10 * 2_000) for at in range(300)]

    assert not_flat(history) == []


def test_a_peak_is_no_growth() -> None:
    history = [replace(FLAT, at_s=at, fds=300 if at in (50, 98) else 70) for at in range(100)]

    assert not_flat(history) == []


def test_jobs_pile_up_until_retention_has_begun() -> None:
    history = [replace(FLAT, at_s=at, logs=at * 10, db=at * 100) for at in range(100)]

    assert not_flat(history, settled=False) == []
    assert not_flat(history) == ["db", "logs"]


def test_a_key_is_remembered_and_may_cost_its_bytes() -> None:
    history = [replace(FLAT, at_s=at, db=5_000 + at * 40, keys=at * 100) for at in range(100)]

    assert not_flat(history) == []


def test_one_more_worker_may_cost_its_descriptors_and_memory() -> None:
    history = [
        replace(
            FLAT, at_s=at, fds=70 + at // 8, workers_rss=100_000 + at * 400, children=5 + at // 50
        )
        for at in range(100)
    ]
    without = [replace(one, children=5) for one in history]

    assert not_flat(history) == []
    assert not_flat(without) == ["fds", "workers_rss"]


def test_a_zombie_that_stays_is_seen() -> None:
    history = [replace(FLAT, at_s=at, zombie_pids=frozenset({5, 100 + at})) for at in range(6)]
    came_back = [
        replace(FLAT, at_s=at, zombie_pids=frozenset({9} if at % 2 else ())) for at in range(6)
    ]

    assert samples.lasting_zombies(history) == {5}
    assert samples.lasting_zombies(came_back) == set()


def test_what_the_daemon_keeps_is_counted() -> None:
    before = serve.held()
    paces = Paces()
    for number in range(300):
        paces.ran(f"kind {number}", 0.001)

    more = serve.held() - before
    gc.unfreeze()

    assert more["jobd.pool.paces.Paces"] == 1
    assert more["jobd.pool.paces.Paces._runs"] == 300
