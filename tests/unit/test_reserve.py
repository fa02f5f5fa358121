"""The space held back on disk."""

import os
import stat
from pathlib import Path

import pytest

from jobd.files.reserve import Reserve

SIZE = 1_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "reserve"


def free_bytes(path: Path) -> int:
    found = os.statvfs(path.parent)
    return found.f_bavail * found.f_frsize


def test_the_reserve_is_real_space_for_its_owner_alone(path: Path) -> None:
    reserve = Reserve(path, min_free_bytes=0, size_bytes=SIZE)

    assert reserve.take()
    assert reserve.take()

    found = path.stat()
    assert found.st_size == SIZE
    assert found.st_blocks * 512 >= SIZE
    assert stat.S_IMODE(found.st_mode) == 0o600


def test_what_is_given_up_is_gone_and_can_be_taken_again(path: Path) -> None:
    reserve = Reserve(path, min_free_bytes=0, size_bytes=SIZE)
    reserve.take()

    assert reserve.give_up()
    assert not path.exists()
    assert not reserve.give_up()
    assert reserve.take()


def test_it_is_not_taken_from_what_should_stay_free(path: Path) -> None:
    reserve = Reserve(path, min_free_bytes=free_bytes(path) * 2, size_bytes=SIZE)

    assert reserve.low()
    assert not reserve.take()
    assert not path.exists()


def test_a_reserve_of_an_earlier_start_is_kept_also_when_little_is_free(path: Path) -> None:
    Reserve(path, min_free_bytes=0, size_bytes=SIZE).take()
    reserve = Reserve(path, min_free_bytes=free_bytes(path) * 2, size_bytes=SIZE)

    assert not reserve.take()
    assert path.stat().st_size == SIZE


def test_a_link_in_its_place_is_not_followed(path: Path) -> None:
    target = path.with_name("elsewhere")
    path.symlink_to(target)
    reserve = Reserve(path, min_free_bytes=0, size_bytes=SIZE)

    assert not reserve.take()
    assert not target.exists()
