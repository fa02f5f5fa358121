"""Who does harm during a soak: to workers, to the receiver, to queues, to the daemon's socket.

The harm that jobs do themselves is in plans.py.
"""

import contextlib
import http.client
import os
import random
import signal
import socket
from collections import deque
from collections.abc import Callable
from pathlib import Path

from tests.soak.crowd import Shared
from tests.soak.house import NARROW, ask, connect
from tests.soak.passers import FILLER_QUEUE

_BURST = 64


class Nemesis:
    """Does one thing after the other, in an order that the seed decides."""

    def __init__(self, seed: int, shared: Shared, every_s: float) -> None:
        self._shared = shared
        self._house = shared.house
        self._every_s = every_s
        self._random = random.Random(f"{seed}-nemesis")  # noqa: S311 - a seed to repeat
        self._deeds: tuple[Callable[[], None], ...] = (
            self.kill_a_worker,
            self.stop_a_worker,
            self.close_the_receiver,
            self.pause_a_queue,
            self.limit_a_queue,
            self.come_in_a_burst,
            self.stay_silent,
            self.talk_nonsense,
        )

    @property
    def deeds(self) -> list[str]:
        """What is done, as it is counted."""
        return [_named(deed) for deed in self._deeds]

    def run(self) -> None:
        """Do everything there is, again and again, each round in another order."""
        left: deque[Callable[[], None]] = deque()
        while not self._shared.stop.wait(self._every_s):
            left = left or deque(self._random.sample(self._deeds, len(self._deeds)))
            deed = left.popleft()
            try:
                deed()
            except (OSError, http.client.HTTPException, ValueError):
                self._shared.counts["fault: came to nothing"] += 1
                left.append(deed)
                self._house.up.wait(self._every_s)
            else:
                self._shared.counts[_named(deed)] += 1

    def _pause(self, most_s: float) -> None:
        self._shared.stop.wait(self._random.uniform(0, most_s))

    def _a_worker(self) -> int:
        """Return the pid of a worker, one with a job if there is one."""
        workers = ask(self._house.socket, "GET", "/v1/workers").document["workers"]
        pids = [one["pid"] for one in workers if one["job_ids"]] or [one["pid"] for one in workers]
        if not pids:
            raise ProcessLookupError
        return int(self._random.choice(pids))

    def kill_a_worker(self) -> None:
        os.kill(self._a_worker(), signal.SIGKILL)

    def stop_a_worker(self) -> None:
        """Let a worker stand still for a while."""
        pid = self._a_worker()
        os.kill(pid, signal.SIGSTOP)
        self._pause(1)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def close_the_receiver(self) -> None:
        self._shared.receiver.down()
        self._pause(3)
        self._shared.receiver.up()

    def pause_a_queue(self) -> None:
        name = self._random.choice(["default", NARROW, FILLER_QUEUE])
        ask(self._house.socket, "POST", f"/v1/queues/{name}/pause")
        try:
            self._pause(1.5)
        finally:
            resume(self._house.socket)

    def limit_a_queue(self) -> None:
        body = {"concurrency": self._random.choice([1, 2, None])}
        ask(self._house.socket, "PATCH", f"/v1/queues/{FILLER_QUEUE}", body)

    def come_in_a_burst(self) -> None:
        """Connect many times at once, and go."""
        with contextlib.ExitStack() as stack:
            for _ in range(_BURST):
                stack.enter_context(contextlib.closing(connect(self._house.socket)))

    def stay_silent(self) -> None:
        """Send half of a request, and stay for a while."""
        connection = connect(self._house.socket)
        assert isinstance(connection.sock, socket.socket)
        connection.sock.sendall(
            b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
        )
        self._pause(2)
        connection.close()

    def talk_nonsense(self) -> None:
        """Send what has to be refused."""
        path = self._house.socket
        refused = [
            ask(path, "POST", "/v1/jobs", {"kind": "nobody.knows"}),
            ask(path, "POST", "/v1/jobs", b"\xff{"),
            ask(path, "POST", "/v1/jobs", {"kind": "test.echo", "args": {"x": "x" * (1 << 19)}}),
            ask(path, "GET", "/v1/jobs?page_token=none"),
            ask(path, "DELETE", "/v1/queues/default"),
        ]
        if any(
            reply.ok or reply.status == http.HTTPStatus.INTERNAL_SERVER_ERROR for reply in refused
        ):
            self._shared.wrong.append(f"nonsense was answered {refused}")


def resume(path: str) -> None:
    """Resume every queue; raises OSError when the daemon is gone."""
    for queue in ask(path, "GET", "/v1/queues").document["queues"]:
        if queue["paused"]:
            ask(path, "POST", f"/v1/queues/{queue['name']}/resume")


def plant(state: Path) -> list[Path]:
    """Leave what a crash may leave, as it looks two hours later; return what has to be swept."""
    job_id, token, sha = "job_" + "f" * 32, "e" * 32, "d" * 64
    files = [
        state / "artifacts" / job_id / token / "out",
        state / "logs" / job_id / "1.ndjson",
        state / "scratch" / token / "note",
        state / "uploads" / "incoming" / token,
        state / "uploads" / sha[:2] / sha,
    ]
    ago_s = Path(state).stat().st_mtime - 7200
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 100)
        for path in (file, file.parent, file.parent.parent):
            if path not in (state, state / "uploads"):
                os.utime(path, (ago_s, ago_s))
    return files


def dig_up(planted: list[Path], state: Path) -> None:
    """Remove what was left and is still there."""
    for file in planted:
        file.unlink(missing_ok=True)
        for folder in (file.parent, file.parent.parent):
            if state not in (folder, folder.parent) and folder.name != "incoming":
                with contextlib.suppress(OSError):  # it is not there, or has other files in it
                    folder.rmdir()


def _named(deed: Callable[[], None]) -> str:
    return f"fault: {deed.__name__.replace('_', ' ')}"
