"""Retention as the daemon runs it: what goes, and when it looks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.jobs import IdempotencyKey
from jobd.engine.retention import FIRST_LOOK_S, LOOK_AGAIN_S, PAUSE_S, Pace
from jobd.files.uploads import path_of
from tests.support.house import HOUR_MS, House, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DAY_S = 86_400
CALLBACK: dict[str, Any] = {
    "callback_url": "https://example.com/",
    "callback_events": ("job.completed",),
}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with opened(tmp_path) as house:
        yield house


async def test_a_job_goes_when_its_time_is_over_with_its_files(house: House) -> None:
    await house.over()
    kept = await house.over(retention_ms=2 * HOUR_MS)
    house.clock.advance(3600)

    await house.retention().look()

    assert await house.jobs() == [kept.seq]
    assert house.folders() == {kept.job_id}


async def test_a_wall_clock_that_has_jumped_deletes_nothing(house: House) -> None:
    claim = await house.over()
    house.clock.trusted = house.clock.ms
    house.clock.jump(365 * DAY_S)

    await house.retention().look()

    assert await house.jobs() == [claim.seq]


async def test_of_too_many_those_that_expire_first_go(house: House) -> None:
    claims = [await house.over(retention_ms=hours * HOUR_MS) for hours in (5, 3, 4, 2)]
    house.finished = 4

    await house.retention(max_jobs=2).look()

    assert await house.jobs() == [claims[0].seq, claims[2].seq]


async def test_what_expired_counts_among_those_that_are_too_many(house: House) -> None:
    claims = [await house.over(retention_ms=hours * HOUR_MS) for hours in (1, 2, 3, 4)]
    house.clock.advance(3600)
    house.finished = 4

    await house.retention(max_jobs=2).look()

    assert await house.jobs() == [claims[2].seq, claims[3].seq]


async def test_until_they_are_counted_none_is_too_many(house: House) -> None:
    claim = await house.over()

    await house.retention(max_jobs=0).look()

    assert await house.jobs() == [claim.seq]


async def test_jobs_go_until_the_folder_holds_no_more_than_it_may(house: House) -> None:
    claims = [await house.over(500_000, retention_ms=hours * HOUR_MS) for hours in range(9, 3, -1)]

    await house.retention(max_bytes=3_500_000).look()  # each job has left a million

    assert await house.jobs() == [claim.seq for claim in claims[:3]]
    assert house.folders() == {claim.job_id for claim in claims[:3]}


async def test_a_job_whose_callbacks_are_not_told_is_passed_over(house: House) -> None:
    spared, gone = await house.over(**CALLBACK), await house.over()
    house.clock.advance(3600)

    await house.retention().look()
    before = await house.jobs()
    await house.told()
    await house.retention().look()

    assert before == [spared.seq]
    assert gone.job_id not in house.folders()
    assert await house.jobs() == []


async def test_an_upload_goes_with_its_file(house: House) -> None:
    upload = await house.upload()
    house.clock.advance(DAY_S)

    await house.retention().look()

    assert await house.query("SELECT * FROM uploads") == []
    assert not path_of(house.layout, upload.file_id).exists()


async def test_an_upload_and_its_file_stay_while_a_job_names_it(house: House) -> None:
    upload = await house.upload()
    await house.over(files=(upload.file_id,), retention_ms=100 * HOUR_MS)
    house.clock.advance(DAY_S)

    await house.retention().look()
    kept = path_of(house.layout, upload.file_id).exists()
    house.clock.advance(100 * 3600)
    await house.retention().look()

    assert kept
    assert not path_of(house.layout, upload.file_id).exists()


async def test_keys_go_with_what_has_expired(house: House) -> None:
    key = IdempotencyKey("k", "POST /v1/jobs", b"f")
    await house.over(idempotency=key)
    house.clock.advance(3600)
    await house.retention().look()
    kept = await house.query("SELECT count(*) FROM idempotency")
    house.clock.advance(DAY_S)
    await house.retention().look()

    assert kept == [(1,)]
    assert await house.query("SELECT count(*) FROM idempotency") == [(0,)]


async def test_a_backlog_goes_in_slices_with_others_in_between(house: House) -> None:
    backlog = [await house.over(size_bytes=1) for _ in range(3 * Pace().size)]
    house.clock.advance(3600)
    looking = asyncio.create_task(house.retention().look())

    left = set[int]()
    while not looking.done():
        await house.running()
        left.add(len({claim.seq for claim in backlog} & set(await house.jobs())))

    assert left - {0, len(backlog)}
    assert house.folders() == set()


async def test_the_loop_looks_again_for_a_job_that_was_spared(house: House) -> None:
    spared = await house.over(**CALLBACK)
    await house.over()
    house.clock.advance(3600)
    async with house.going(house.retention()):
        await house.passing(FIRST_LOOK_S)
        before = await house.jobs()
        await house.told()
        await house.passing(LOOK_AGAIN_S)

    assert before == [spared.seq]
    assert await house.jobs() == []


async def test_the_loop_looks_when_a_job_expires(house: House) -> None:
    left = list[list[int]]()
    async with house.going(house.retention()):
        await house.passing(FIRST_LOOK_S)
        for _ in range(2):
            await house.over()
            await house.passing(3600)
            left.append(await house.jobs())

    assert left == [[], []]


async def test_a_job_that_expires_sooner_brings_the_look_forward(house: House) -> None:
    late = await house.over(retention_ms=100 * HOUR_MS)
    async with house.going(house.retention()):
        await house.passing(FIRST_LOOK_S)
        await house.over(retention_ms=60_000)
        await house.passing(60)

    assert await house.jobs() == [late.seq]


async def test_one_job_too_many_brings_the_look_forward(house: House) -> None:
    await house.over(retention_ms=100 * HOUR_MS)
    house.finished = 1
    async with house.going(house.retention(max_jobs=1)):
        await house.passing(FIRST_LOOK_S)
        house.finished = 2
        second = await house.over(retention_ms=101 * HOUR_MS)
        await house.passing(PAUSE_S)

    assert await house.jobs() == [second.seq]


async def test_a_full_folder_is_noticed_after_a_job_has_ended(house: House) -> None:
    async with house.going(house.retention(max_bytes=1_000_000)):
        await house.passing(FIRST_LOOK_S)
        await house.over(2_000_000)
        await house.passing(LOOK_AGAIN_S)

    assert await house.jobs() == []


async def test_between_two_looks_nothing_is_asked_of_the_database(house: House) -> None:
    await house.over(retention_ms=100 * HOUR_MS)
    async with house.going(house.retention()):
        await house.passing(FIRST_LOOK_S)
        ran = await house.traced()
        for _ in range(99):
            await house.passing(3600)
        idle = list(ran)
        await house.passing(3600)

    assert idle == []
    assert ran != []


async def test_a_clock_that_was_set_forward_is_no_reason_to_look(house: House) -> None:
    await house.over()
    house.clock.trusted = house.clock.ms
    async with house.going(house.retention()):
        await house.passing(FIRST_LOOK_S)
        ran = await house.traced()
        house.clock.asleep.clear()
        house.clock.jump(365 * DAY_S)
        await house.clock.asleep.wait()
        house.clock.advance(PAUSE_S)
        for _ in range(20):
            await house.database.alive()

    assert ran == []


async def test_what_cannot_be_written_is_tried_again(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.over()
    house.clock.advance(3600)
    await house.writer.close()
    async with house.going(house.retention()):
        await house.passing(FIRST_LOOK_S)
        await house.passing(LOOK_AGAIN_S)

    assert caplog.text.count("was not deleted") == 2


@pytest.mark.parametrize(
    ("count", "held_s", "size"),
    [
        (100, 0.008, 100),
        (100, 0.005, 160),
        (100, 0.001, 200),
        (100, 0.010, 80),
        (100, 0.100, 50),
        (3, 0.001, 100),
        (3, 0.100, 50),
    ],
    ids=["right", "room", "twice at most", "less", "half at most", "too few to tell", "few, slow"],
)
def test_a_slice_fits_what_the_last_one_took(count: int, held_s: float, size: int) -> None:
    pace = Pace()

    pace.took(count, held_s)

    assert pace.size == size


def test_a_slice_is_neither_nothing_nor_all() -> None:
    slow, fast = Pace(), Pace()
    for _ in range(10):
        slow.took(slow.size, 1.0)
        fast.took(fast.size, 0.0)

    assert (slow.size, fast.size) == (Pace.LEAST, Pace.MOST)
