"""Whose bytes are whose does not depend on the pieces they arrive in."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobd.pool.demux import Demux
from jobd.pool.inband import BEGIN, END, LOG, MARK_BYTES, MAX_TEXT_BYTES, STDOUT, sign

MARK = b"\0" + b"m" * (MARK_BYTES - 1)

SPOKEN = (
    b"own before\n"
    + sign(MARK, BEGIN, 1)
    + b"one\nhalf "
    + sign(MARK, LOG, 1, b"INFO logged\n")
    + b"line\n\0mm and no mark\n"
    + sign(MARK, BEGIN, 2)
    + b"nobody's\n"
    + sign(MARK, STDOUT, 2, b"two ")
    + sign(MARK, STDOUT, 1, b"still ")
    + sign(MARK, STDOUT, 2, b"words\n")
    + sign(MARK, STDOUT, 1, b"one, no end")
    + sign(MARK, END, 1)
    + b"two alone"
    + sign(MARK, END, 2)
    + sign(MARK, STDOUT, 2, b"late\n")
    + MARK[:9]
)
MEANT = {
    (0, "stdout"): ["own before", "nobody's", (MARK[:9]).decode()],
    (1, "stdout"): ["one", "half line", "\0mm and no mark", "still one, no end"],
    (1, "log"): ["INFO logged"],
    (2, "stdout"): ["two words", "two alone", "late"],
}

Heard = defaultdict[tuple[int, str], list[str]]


def heard(*pieces: bytes) -> Heard:
    lines: Heard = defaultdict(list)
    demux = Demux(MARK, "stdout", lambda number, stream, new: lines[number, stream].extend(new))
    for piece in pieces:
        demux.feed(piece)
    demux.finish()
    return lines


@given(st.lists(st.integers(0, len(SPOKEN)), max_size=20).map(sorted))
def test_it_is_the_same_however_it_is_cut(cuts: list[int]) -> None:
    pieces = [SPOKEN[a:b] for a, b in zip([0, *cuts], [*cuts, len(SPOKEN)], strict=True)]

    assert heard(*pieces) == MEANT


def test_byte_by_byte() -> None:
    assert heard(*(SPOKEN[at : at + 1] for at in range(len(SPOKEN)))) == MEANT


@given(st.binary(), st.integers(1, 7))
def test_any_bytes_become_the_lines_that_they_are(data: bytes, size: int) -> None:
    pieces = [data[at : at + size] for at in range(0, len(data), size)]

    lines = heard(*pieces)[0, "stdout"]

    whole = data.decode("utf-8", "replace")
    assert lines == whole.removesuffix("\n").split("\n") if data else lines == []


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_is_not_cut_within_a_character(end: bytes) -> None:
    lines = heard(b"x" + "é".encode() * 40_000 + end)[0, "stdout"]

    assert "".join(lines) == "x" + "é" * 40_000
    assert len(lines) == 2


def test_a_sign_is_what_a_pipe_takes_whole() -> None:
    assert len(sign(MARK, LOG, 2**64 - 1, bytes(MAX_TEXT_BYTES))) == 4096
