"""Kill jobd with SIGKILL again and again while four clients work, and check what they saw.

`python tests/kill/loop.py --cycles 300 [--seed 7] [--long 0.04]` prints a table, and exits 1
on a violation. `--long` is the share of jobs that outlive a restart. The seed decides when to
kill: before the daemon is ready, or so many acknowledged jobs and some milliseconds after. The
daemon is started again at once, beside what it left behind.

Not here: what the clients do (clients.py), what is a violation (tests/checker/history.py).
"""

import argparse
import contextlib
import os
import queue
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.checker import files, history, outbox
from tests.kill import clients
from tests.kill.hooks import Hooks

JOBD = str(Path(sys.executable).parent / "jobd")
CLIENTS = 4
LONG = 0.04
"""The share of jobs that outlive a restart, or none could overlap."""
SCHEDULE_S = [0.1, 0.2, 0.5, 1, 2, 5]
_PATIENCE_S = 60.0
_MAX_ACKS = 25
_MAX_STARTUP_S = 0.5
_EARLY = 0.15
"""The share of kills that come while the daemon starts."""
_MAX_PAUSE_S = 0.05


@dataclass(frozen=True)
class Result:
    """What a loop came to."""

    cycles: int
    early: int
    """Kills before the daemon was ready."""
    seconds: float
    report: history.Report

    def table(self) -> str:
        report = self.report
        rows = {
            "kill -9 cycles": self.cycles,
            "of these before it was ready": self.early,
            "acknowledged jobs": report.acknowledged,
            "attempts": report.attempts,
            "attempts cut short": report.cut,
            "calls without an answer": report.unknown,
            "events that a receiver had to be told of": report.owed,
            **{f"violations: {name}": len(found) for name, found in report.by_kind()},
            "seconds": round(self.seconds),
        }
        return "\n".join(
            ["| what | count |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items())]
        )


class Victim:
    """`jobd serve` on one state folder, which dies without a word and comes back."""

    def __init__(self, folder: Path, **environ: str) -> None:
        """Begin nothing yet; `environ` is for the daemon."""
        self.socket = str(folder / "s")
        config = folder / "jobd.toml"
        config.write_text(
            '[pool]\ncpu_workers = 2\ndrain_s = 10\n[log]\nlevel = "error"\n'
            f'[webhooks]\nallow_unix = ["{clients.hooks_beside(self.socket)}"]\n'
            f"schedule_s = {SCHEDULE_S}\n"
        )
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("JOBD_", "XDG_"))}
        self.database = folder / "state" / "jobd.db"
        self._environ = clean | {"HOME": str(folder)} | environ
        state = ["--state-dir", str(folder / "state"), "--socket", self.socket]
        self._command = [JOBD, "serve", "--config", str(config), *state]
        self._process: subprocess.Popen[str] | None = None
        self._ready: queue.SimpleQueue[str] = queue.SimpleQueue()

    def begin(self) -> None:
        """Start it, and do not wait."""
        self._ready = queue.SimpleQueue()
        self._process = subprocess.Popen(
            self._command, env=self._environ, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        threading.Thread(target=self._read, args=(self._process, self._ready), daemon=True).start()

    @staticmethod
    def _read(process: subprocess.Popen[str], ready: queue.SimpleQueue[str]) -> None:
        assert process.stderr is not None
        log = []
        with process.stderr as pipe:
            for line in pipe:
                log.append(line)
                if line.startswith("jobd is ready on "):
                    ready.put("")
        ready.put("".join(log) or "it said nothing")

    def wait_ready(self) -> None:
        """Return when it serves; AssertionError has what it said instead."""
        said = self._ready.get(timeout=_PATIENCE_S)
        assert not said, said

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def close(self) -> None:
        if self._process is not None:
            self.stop()

    def _end(self, number: int) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        status = self._process.wait(_PATIENCE_S)
        self._process = None
        return status


class Crowd:
    """The client processes."""

    def __init__(self, victim: Victim, folder: Path, seed: int, long: float = LONG) -> None:
        self._hooks = Hooks(
            Path(clients.hooks_beside(victim.socket)), clients.Notes(folder, "hooks"), seed
        )
        self._acks, acks = os.pipe()
        arguments = [victim.socket, str(folder), str(seed), str(long)]
        self._processes = [
            subprocess.Popen(
                [sys.executable, clients.__file__, str(number), *arguments],
                stdin=subprocess.PIPE,
                stdout=acks,
            )
            for number in range(CLIENTS)
        ]
        os.close(acks)

    def tell_up(self) -> None:
        """Say that the daemon is up; what was acknowledged before is not counted any more."""
        os.set_blocking(self._acks, False)
        with contextlib.suppress(BlockingIOError):
            os.read(self._acks, 1 << 20)
        os.set_blocking(self._acks, True)
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(b"up\n")
            process.stdin.flush()

    def wait_acks(self, count: int) -> None:
        """Return when so many more jobs were acknowledged."""
        while count > 0:
            read = os.read(self._acks, count)
            assert read, "all clients are gone"
            count -= len(read)

    def finish(self) -> None:
        """Return when each has ended its last call; AssertionError if one broke."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        statuses = [process.wait(_PATIENCE_S) for process in self._processes]
        assert not any(statuses), f"the clients ended with {statuses}"

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # what it was not told any more
                process.stdin.close()
        os.close(self._acks)
        self._hooks.close()


def run(folder: Path, cycles: int, seed: int, long: float = LONG) -> Result:
    """Kill `cycles` times, let all jobs end, and check; HistoryError if nothing was shown."""
    began = time.monotonic()
    notes = folder / "history"
    notes.mkdir()
    victim = Victim(folder)
    crowd = Crowd(victim, notes, seed, long)
    try:
        early = _kill(victim, crowd, cycles, random.Random(seed))  # noqa: S311 - a seed to repeat
        crowd.finish()
        clients.audit(victim.socket, notes)
        assert victim.stop() == 0
    finally:
        crowd.close()
        victim.close()
    report = history.check([*files.read(notes), *told_in(victim.database)])
    return Result(cycles, early, time.monotonic() - began, report)


def told_in(database: Path) -> list[history.Line]:
    """Return what a database says of webhooks, as of now."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        return list(outbox.lines_of(connection, time.monotonic_ns()))


def _kill(victim: Victim, crowd: Crowd, cycles: int, chance: random.Random) -> int:
    """Kill `cycles` times and leave it running; return how many came before it was ready."""
    early = 0
    moment = threading.Event()
    victim.begin()
    victim.wait_ready()
    wait_for_kinds(victim.socket)
    crowd.tell_up()
    for cycle in range(cycles):
        if cycle > 0 and chance.random() < _EARLY:
            early += 1
            moment.wait(chance.uniform(0, _MAX_STARTUP_S))
        else:
            if cycle > 0:
                victim.wait_ready()
                crowd.tell_up()
            crowd.wait_acks(chance.randint(0, _MAX_ACKS))
            moment.wait(chance.uniform(0, _MAX_PAUSE_S))
        victim.kill()
        victim.begin()
    victim.wait_ready()
    crowd.tell_up()
    return early


def wait_for_kinds(path: str) -> None:
    """Return when handlers are known: later starts have kept them."""
    while not clients.answer_of(clients.ask(path, "GET", "/v1/handlers", {}))[1].get("handlers"):
        pass


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill jobd again and again, and check.")
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--long", type=float, default=LONG, help="the share of long jobs")
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    folder = Path(tempfile.mkdtemp(prefix="jobd-kill-"))
    print(f"seed {seed}, in {folder}", flush=True)  # noqa: T201 - what it is for
    result = run(folder, asked.cycles, seed, asked.long)
    print(result.table())  # noqa: T201
    for name, found in result.report.by_kind():
        for violation in found:
            print(f"{name}: {violation}")  # noqa: T201
    if result.report.violations:
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
