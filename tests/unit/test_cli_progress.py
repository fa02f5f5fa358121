"""The bar: what its line says, and that it is painted only on a terminal."""

import io
import os
import termios
from collections.abc import Callable, Iterator

import pytest

from jobd.cli.progress import Bar, Block, line
from jobd.wire.jobs import JobDetail

MakeJob = Callable[..., JobDetail]


def test_the_line_says_how_far_where_and_since_when(job_detail: MakeJob) -> None:
    job = job_detail(
        status="processing", progress_pct=50.0, step="load", step_index=1, step_count=2, message="m"
    )

    expected = "[############------------]  50 %  1:05  load (1/2)  m"
    assert line(job, elapsed_s=65.9) == expected


def test_the_line_of_a_waiting_job_says_its_status(job_detail: MakeJob) -> None:
    expected = "2 of 3  [------------------------]   0 %  0:00  retrying"
    assert line(job_detail(status="retrying"), elapsed_s=0, head="2 of 3") == expected


def test_nothing_is_painted_off_a_terminal(job_detail: MakeJob) -> None:
    stream = io.StringIO()

    with Bar(stream) as bar:
        bar.show(job_detail())

    assert stream.getvalue() == ""


def painted(terminal: int, ending: str) -> str:
    """Return what has come to a terminal, which the kernel may hand over in parts."""
    text = ""
    while not text.endswith(ending):
        text += os.read(terminal, 4096).decode()
    return text


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """The two ends of a terminal that is 40 columns wide."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 40))
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def test_one_line_is_repainted_and_cut_to_the_terminal(
    terminal: tuple[int, int], job_detail: MakeJob
) -> None:
    ours, theirs = terminal
    with open(theirs, "w", closefd=False) as stream, Bar(stream) as bar:
        bar.show(job_detail(status="processing", message="x" * 100))
        bar.show(job_detail(status="completed", progress_pct=100.0, done=True))

    first, second = painted(ours, "\r\n").split("\r")[1:3]
    assert len(first.removesuffix("\x1b[K")) == 39
    assert second == "[########################] 100 %  0:00  "[:39] + "\x1b[K"


def test_a_block_is_repainted_from_its_first_line(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    with open(theirs, "w", closefd=False) as stream, Block(stream) as block:
        block.paint(["a", "b"])
        block.paint(["c", "d"])
        block.paint(["e"])

    text = painted(ours, "\x1b[J\r\n").replace("\x1b[K", "").replace("\r\n", "\n")
    assert text == "\ra\nb" + "\r\x1b[1Ac\nd" + "\r\x1b[1Ae\x1b[J" + "\n"


def test_a_block_is_never_higher_than_the_terminal(terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    termios.tcsetwinsize(theirs, (4, 40))
    with open(theirs, "w", closefd=False) as stream, Block(stream) as block:
        block.paint(["a", "b", "c", "d", "e"])

    words = painted(ours, "more\x1b[K\r\n").replace("\x1b[K", "").split()
    assert words == ["a", "b", "…", "and", "3", "more"]
