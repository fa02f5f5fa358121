"""The commands that go on, on a terminal and off it, over kills of the daemon."""

import json
import os
import pty
import re
import signal
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Daemon
from tests.support.clock import TOMORROW

STEPS = 12


class Walk:
    """A job that takes a step for every byte that `walk` writes."""

    def __init__(self, folder: Path, name: str = "steps") -> None:
        self.fifo = folder / name
        os.mkfifo(self.fifo)
        # for reading too: then neither end waits for the other
        self._fd = os.open(self.fifo, os.O_RDWR)
        self.args = json.dumps({"fifo": str(self.fifo), "steps": STEPS})

    def walk(self, steps: int = 1) -> None:
        os.write(self._fd, b"." * steps)

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def path(daemon: Daemon) -> Iterator[Walk]:
    made = Walk(daemon.folder)
    yield made
    made.close()


class Terminal:
    """What a command paints on a terminal."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        termios.tcsetwinsize(self.theirs, (24, 100))
        self.seen = ""

    def until(self, text: str) -> None:
        """Read until it was painted."""
        while text not in self.seen:
            data = self._read()
            assert data, f"{text} was never painted: {self.seen}"
            self.seen += data

    def rest(self) -> None:
        """Read until the command has ended."""
        while data := self._read():
            self.seen += data

    def _read(self) -> str:
        try:
            return os.read(self._ours, 65536).decode(errors="replace")
        except OSError:  # EIO: nobody has the other end open
            return ""

    def close(self) -> None:
        os.close(self._ours)

    @property
    def percentages(self) -> list[int]:
        return [int(pct) for pct in re.findall(r"\] +([0-9]+) %", self.seen)]


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


@contextmanager
def painting(
    daemon: Daemon, terminal: Terminal, stream: str, *command: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command whose `stream` is the terminal, and read all that it paints."""
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, stream: terminal.theirs}
    with subprocess.Popen([daemon.program, *command], env=daemon.environ, **streams) as process:
        os.close(terminal.theirs)
        yield process
        terminal.rest()


def walk_and_look(path: Walk, terminal: Terminal) -> None:
    """Take the steps one by one, each when the one before was seen."""
    for number in range(1, STEPS + 1):
        path.walk()
        terminal.until(f"{100 * number / STEPS:3.0f} %")


def assert_it_was_live(terminal: Terminal) -> None:
    assert terminal.percentages == sorted(terminal.percentages)
    assert len(set(terminal.percentages)) >= 10
    assert terminal.percentages[-1] == 100


def test_submit_and_wait_paints_every_step(daemon: Daemon, path: Walk, terminal: Terminal) -> None:
    command = ("submit", "test.walk", path.args, "--wait")
    with painting(daemon, terminal, "stderr", *command) as process:
        walk_and_look(path, terminal)

    assert process.returncode == 0
    assert_it_was_live(terminal)


def submitted(daemon: Daemon, path: Walk, *options: str) -> str:
    done = daemon.jobd("submit", "test.walk", path.args, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_watch_paints_every_step(daemon: Daemon, path: Walk, terminal: Terminal) -> None:
    job_id = submitted(daemon, path)

    with painting(daemon, terminal, "stdout", "watch", job_id) as process:
        walk_and_look(path, terminal)

    assert process.returncode == 0
    assert_it_was_live(terminal)


def test_watch_paints_several_jobs_in_one_block(
    daemon: Daemon, path: Walk, terminal: Terminal
) -> None:
    walking = submitted(daemon, path)
    waiting = submitted(daemon, path, "--run-at", TOMORROW)

    with painting(daemon, terminal, "stdout", "watch", walking, waiting) as process:
        terminal.until("scheduled")
        path.walk(STEPS)
        terminal.until("completed")
        daemon.jobd("cancel", waiting)

    assert process.returncode == 7
    last = terminal.seen.split("\x1b[1A")[-1].replace("\x1b[K", "").splitlines()
    assert [
        f"…{job_id[-6:]}" in line for line, job_id in zip(last, (walking, waiting), strict=False)
    ]
    assert "completed" in last[0]
    assert "cancelled" in last[1]


def test_watch_goes_on_over_a_kill_of_the_daemon(daemon: Daemon, path: Walk) -> None:
    job_id = submitted(daemon, path)
    with daemon.begin("watch", job_id) as watch:
        assert watch.stdout is not None
        path.walk()
        lines = [next(line for line in watch.stdout if "  8 %" in line)]
        daemon.kill()
        daemon.start()
        path.walk(STEPS)
        lines += list(watch.stdout)

    assert watch.returncode == 0
    words = [word for word, _ in groupby(line.split()[2] for line in lines)]
    assert words == ["processing", "queued", "processing", "completed"]
    assert "attempt 2" in lines[-1]


def test_logs_follow_a_job_over_a_kill_of_the_daemon(daemon: Daemon, path: Walk) -> None:
    job_id = submitted(daemon, path)
    with daemon.begin("logs", job_id, "-f") as logs:
        assert logs.stdout is not None
        path.walk(2)
        before = [logs.stdout.readline(), logs.stdout.readline()]
        daemon.kill()
        daemon.start()
        path.walk(STEPS)
        after = logs.stdout.readlines()

    assert logs.returncode == 0
    assert before == ["step 1\n", "step 2\n"]
    assert after == [f"step {number}\n" for number in range(1, STEPS + 1)]
    printed = daemon.jobd("logs", job_id, "--attempt", "2", "--tail", "1").stdout
    assert printed == f"step {STEPS}\n"


def test_ctrl_c_ends_the_watching_and_not_the_job(
    daemon: Daemon, path: Walk, terminal: Terminal
) -> None:
    job_id = submitted(daemon, path)

    with painting(daemon, terminal, "stdout", "watch", job_id) as watch:
        path.walk()
        terminal.until("8 %")
        watch.send_signal(signal.SIGINT)

    assert watch.returncode == 130
    path.walk(STEPS)
    assert daemon.jobd("wait", job_id).returncode == 0


def test_top_shows_what_runs_when_it_begins_to(
    daemon: Daemon, path: Walk, terminal: Terminal
) -> None:
    with painting(daemon, terminal, "stdout", "top") as top:
        terminal.until("free slots")
        job_id = submitted(daemon, path)
        terminal.until(job_id)
        top.send_signal(signal.SIGINT)

    assert top.returncode == 0
    assert terminal.seen.endswith("\x1b[?1049l")
    once = daemon.jobd("top", "--once").stdout
    assert job_id in once
    assert re.search(r"^\S+ +cpu +[0-9]+ +\S+ +1 ", once, re.MULTILINE)
    path.walk(STEPS)
