"""A worker knows whether a job has written anything, whatever the daemon has read by then."""

import os
from collections.abc import Iterator

import pytest

from jobd.pool.marker import Marker
from jobd.pool.turns import Count, Turn, whose


@pytest.fixture
def marker() -> Iterator[Marker]:
    marker = Marker.create()
    yield marker
    marker.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_what_was_written_counts_whether_it_was_read_or_not(
    marker: Marker, pipe: tuple[int, int]
) -> None:
    ours, theirs = pipe
    count, other = Count(marker, 0), Count(marker, 1)
    counted = [count.written(theirs)]
    os.write(theirs, b"abcde")
    counted.append(count.written(theirs))
    count.read(ours, 3)
    counted.append(count.written(theirs))
    count.read(ours, 3)
    with pytest.raises(BlockingIOError):
        count.read(ours, 3)
    counted.append(count.written(theirs))

    assert counted == [0, 5, 5, 5]
    assert other.written(theirs) == 0


def test_it_is_not_known_while_the_daemon_reads(
    marker: Marker, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pipe
    count, seen = Count(marker, 0), list[int | None]()
    read = os.read

    def slow(fd: int, size_bytes: int) -> bytes:
        data = read(fd, size_bytes)
        seen.append(count.written(theirs))
        return data

    os.write(theirs, b"abcde")
    monkeypatch.setattr(os, "read", slow)
    count.read(ours, 5)

    assert seen == [None]
    assert count.written(theirs) == 5


def test_a_turn_is_one_jobs_and_the_time_between_two_is_nobodys(marker: Marker) -> None:
    turn = Turn(marker)
    seen = [turn.at]
    for number in (1, 2):
        turn.begin(number)
        seen.append(turn.at)
        turn.end(number)
        seen.append(turn.at)

    assert [whose(at) for at in seen] == [0, 1, 0, 2, 0]
    assert seen == sorted(set(seen))
