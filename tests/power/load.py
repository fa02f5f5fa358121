"""A daemon that is recorded under load: jobs, cancels, uploads, artifacts, kills and stops.

The clients of the kill loop work on jobs; one more leaves files: uploads that jobs name,
artifacts, long results. What they were told is in the history (tests/checker), and of the
uploads in `Errands.uploads`, each with the time at which its answer had been read.

Not here: the recorder (recording.py), what a disk keeps (disk.py), the judging (judge.py).
"""

import contextlib
import fcntl
import hashlib
import http.client
import random
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.checker import files
from tests.checker.history import Line
from tests.kill.clients import Answer, Notes, answer_of, ask
from tests.kill.loop import Crowd, Victim
from tests.power import recording

_MAX_UPLOAD_BYTES = 20_000
_LONG_RESULT_BYTES = 100_000
_MAX_NAP_S = 0.05
_LONG = 0.01
"""The share of jobs that take long: whoever records waits for them."""


class Served(Victim):
    """A daemon with more in its environment, whose workers can be waited for."""

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        super().__init__(folder)
        self._environ = {**self._environ, **environ}
        self.state = folder / "state"

    def kill(self) -> None:
        """End it without a word, and return when its workers are gone too."""
        super().kill()
        with contextlib.suppress(FileNotFoundError), (self.state / "workers.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)


def wait_for_kinds(path: str) -> None:
    """Return when handlers are known: later starts have kept them."""
    while not answer_of(ask(path, "GET", "/v1/handlers", {}))[1].get("handlers"):
        pass


class Errands:
    """A client that leaves files; it rests while the daemon is down."""

    def __init__(self, path: str, notes: Path, seed: int) -> None:
        self._path = path
        self._notes = Notes(notes, "errands")
        self._random = random.Random(f"{seed}-errands")  # noqa: S311 - a seed to repeat
        self._up = threading.Event()
        self._over = False
        self._thread = threading.Thread(target=self._run)
        self.uploads: list[tuple[int, str]] = []
        """When each was acknowledged, and its file_id."""
        self._thread.start()

    def up(self) -> None:
        self._up.set()

    def down(self) -> None:
        self._up.clear()

    def close(self) -> None:
        self._over = True
        self._up.set()
        self._thread.join()
        self._notes.close()

    def _run(self) -> None:
        turn = 0
        while self._up.wait() and not self._over:
            turn += 1
            try:
                self._errand(turn)
            except (OSError, http.client.HTTPException, ValueError):
                self._up.clear()  # it is going down, or about to

    def _errand(self, turn: int) -> None:
        match turn % 3:
            case 0:
                content = self._random.randbytes(self._random.randrange(_MAX_UPLOAD_BYTES))
                file_id = self._upload(content)
                self._submit(turn, "test.echo", {"file": file_id})
            case 1:
                self._submit(turn, "test.artifact", {})
            case _:
                self._submit(turn, "test.big", {"bytes": _LONG_RESULT_BYTES})

    def _upload(self, content: bytes) -> str:
        connection = ask(self._path, "POST", "/v1/uploads", {}, content.hex())
        status, answer = answer_of(connection)
        if status != http.HTTPStatus.CREATED:
            raise ValueError(answer)
        # the body went as a JSON string
        digest = hashlib.sha256(f'"{content.hex()}"'.encode()).hexdigest()
        assert answer["file_id"] == f"file_{digest}"
        self.uploads.append((time.monotonic_ns(), answer["file_id"]))
        return str(answer["file_id"])

    def _submit(self, turn: int, kind: str, args: Any) -> None:
        key = f"errand-{turn}"
        self._notes.say("invoke", n=turn, call="submit", key=key)
        # a queue of its own: else it would wait behind all that the others have open
        body = {"kind": kind, "args": args, "metadata": {"key": key}, "queue": "errands"}
        headers = {"Idempotency-Key": key, "Prefer": "wait=5; until=done"}
        outcome: dict[str, Any] = {"outcome": "unknown"}
        try:
            outcome = _told(answer_of(ask(self._path, "POST", "/v1/jobs", headers, body)), key)
        finally:
            self._notes.say("return", n=turn, **outcome)


def _told(answer: Answer, key: str) -> dict[str, Any]:
    status, document = answer
    if status >= http.HTTPStatus.BAD_REQUEST:
        code = document["code"]
        return {"outcome": "unknown" if code == "outcome_unknown" else "fail", "code": code}
    shown = {"job_id": document["job_id"], "key": key, "status": document["status"]}
    return {"outcome": "ok", **shown}


@dataclass
class Told:
    """What was recorded, and what the clients were told meanwhile."""

    folder: Path
    lines: list[Line] = field(default_factory=list)
    uploads: list[tuple[int, str]] = field(default_factory=list)
    ends: list[tuple[int, Path, bool]] = field(default_factory=list)
    """Each end of the daemon: the log's size, a copy of the folder, whether it was killed."""

    @property
    def root(self) -> Path:
        """The state folder, which is recorded."""
        return self.folder / "state"

    @property
    def log(self) -> Path:
        """The recording."""
        return self.folder / "recording"

    @property
    def notes(self) -> Path:
        """What clients and handlers have written."""
        return self.folder / "history"


def record(
    folder: Path, library: Path, seed: int, *, lives: int, acks: int, synchronous: str = "full"
) -> Told:
    """Run the daemon `lives` times under load, until `acks` jobs were acknowledged in each.

    Killed and stopped in turn; after the last time it is stopped.
    """
    told = Told(folder)
    told.log.touch()
    environ = recording.recorded(library, told.root, told.log)
    victim = Served(folder, {**environ, "JOBD_STORE_SYNCHRONOUS": synchronous})
    told.root.mkdir(mode=0o700)
    chance = random.Random(seed)  # noqa: S311 - a seed to repeat
    work(
        victim,
        seed,
        told,
        lambda crowd, errands: _live(victim, crowd, errands, told, chance, lives, acks),
    )
    return told


def work(victim: Victim, seed: int, told: Told, live: Callable[[Crowd, Errands], None]) -> None:
    """Let clients work while `live` has the daemon start and end, and gather what they say.

    `live` has the crowd finish: for that the daemon has to serve.
    """
    notes = told.notes
    notes.mkdir()
    crowd = Crowd(victim, notes, seed, _LONG)
    errands = Errands(victim.socket, notes, seed)
    try:
        live(crowd, errands)
    finally:
        errands.close()
        victim.close()
        crowd.close()
    told.lines = files.read(notes)
    told.uploads = errands.uploads


def _live(
    victim: Served,
    crowd: Crowd,
    errands: Errands,
    told: Told,
    chance: random.Random,
    lives: int,
    acks: int,
) -> None:
    nap = threading.Event()
    for life in range(1, lives + 1):
        victim.begin()
        victim.wait_ready()
        if life == 1:
            wait_for_kinds(victim.socket)
        crowd.tell_up()
        errands.up()
        crowd.wait_acks(acks)
        nap.wait(chance.uniform(0, _MAX_NAP_S))
        last, killed = life == lives, bool(life % 2)
        if last:
            crowd.finish()
        errands.down()
        if killed and not last:
            victim.kill()
        else:
            assert victim.stop() == 0
        copy = told.log.with_name(f"end-{life}")
        shutil.copytree(told.root, copy, ignore=shutil.ignore_patterns(*recording.SKIPPED))
        told.ends.append((told.log.stat().st_size, copy, killed and not last))
