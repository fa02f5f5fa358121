"""Sweep: what no row names goes, once it is old; what any row names stays."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jobd.engine.sweep import EVERY_S, FIRST_S
from jobd.files.uploads import path_of, place
from tests.support.house import House, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NOBODYS = "job_" + "a" * 32
TOKEN = "f" * 32


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with opened(tmp_path) as house:
        yield house


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


async def test_folders_of_jobs_that_are_gone_go(house: House) -> None:
    claim = await house.over()
    put(house.layout.artifacts / NOBODYS / TOKEN / "out")
    put(house.layout.logs / NOBODYS / "1.ndjson")
    house.grow_old()

    await house.sweep().once()

    assert house.folders() == {claim.job_id}
    assert (house.layout.artifacts / claim.job_id / claim.token / "out").exists()
    assert (house.layout.logs / claim.job_id / "1.ndjson").exists()


async def test_what_a_lost_attempt_has_left_goes(house: House) -> None:
    over, running = await house.over(), await house.running()
    lost = put(house.layout.artifacts / over.job_id / TOKEN / "out")
    also_lost = put(house.layout.artifacts / running.job_id / TOKEN / "out")
    held = put(house.layout.artifacts / running.job_id / running.token / "out")
    house.grow_old()

    await house.sweep().once()

    assert not lost.parent.exists()
    assert not also_lost.parent.exists()
    assert held.exists()
    assert (house.layout.artifacts / over.job_id / over.token / "out").exists()


async def test_a_result_in_a_file_is_kept(house: House) -> None:
    claim = await house.over_with_file()
    house.grow_old()

    await house.sweep().once()

    assert (house.layout.artifacts / claim.job_id / claim.token / "result").exists()


async def test_working_folders_of_no_running_attempt_go(house: House) -> None:
    claim = await house.running()
    held = put(house.layout.scratch / claim.token / "tmp")
    nobodys = put(house.layout.scratch / TOKEN / "tmp")
    house.grow_old()

    await house.sweep().once()

    assert held.exists()
    assert not nobodys.parent.exists()


async def test_files_that_nobody_claims_go(house: House) -> None:
    claimed = path_of(house.layout, (await house.upload(b"abc")).file_id)
    received = await house.receive(b"other")
    place(received, house.layout)
    broken_off = put(house.layout.incoming / TOKEN)
    house.grow_old()

    await house.sweep().once()

    assert claimed.exists()
    assert not path_of(house.layout, received.file_id).exists()
    assert not broken_off.exists()


async def test_what_is_younger_than_an_hour_stays(house: House) -> None:
    paths = [
        put(house.layout.artifacts / NOBODYS / TOKEN / "out"),
        put(house.layout.logs / NOBODYS / "1.ndjson"),
        put(house.layout.scratch / TOKEN / "tmp"),
        put(house.layout.uploads / "ab" / ("ab" * 32)),
        put(house.layout.incoming / TOKEN),
    ]
    house.grow_old(by_s=3000)

    await house.sweep().once()

    assert all(path.exists() for path in paths)


async def test_what_jobd_has_not_named_stays(house: House) -> None:
    paths = [
        put(house.layout.artifacts / "lost+found" / "x"),
        put(house.layout.logs / "README"),
        put(house.layout.scratch / "notes.txt"),
        put(house.layout.uploads / "ab" / "notes.txt"),
    ]
    house.grow_old()

    await house.sweep().once()

    assert all(path.exists() for path in paths)


@pytest.mark.parametrize("turns", range(12))
async def test_a_file_that_is_sent_again_meanwhile_stays(house: House, turns: int) -> None:
    """The sweep has begun, has found that nobody claims it, or is about to unlink."""
    received = await house.receive(b"abc")
    place(received, house.layout)
    house.grow_old()
    sent_again = await house.receive(b"abc")

    sweeping = asyncio.create_task(house.sweep().once())
    for _ in range(turns):
        await asyncio.wait([sweeping], timeout=0)
        await house.database.alive()
    await asyncio.gather(sweeping, house.uploads.add("uid:2", sent_again))

    assert path_of(house.layout, received.file_id).read_bytes() == b"abc"


async def test_the_loop_sweeps_a_while_after_the_start_and_every_few_hours(house: House) -> None:
    found = list[set[str]]()
    async with house.going(house.sweep()):
        for wait_s in (FIRST_S, EVERY_S):
            put(house.layout.logs / NOBODYS / "1.ndjson")
            house.grow_old()
            await house.passing(wait_s)
            found.append(house.folders())

    assert found == [set(), set()]
