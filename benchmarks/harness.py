"""What the benchmarks share: a row of the table, a daemon on a scratch folder, its memory."""

import contextlib
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent


def python_path(*folders: Path) -> dict[str, str]:
    """Return an environment in which Python also looks there."""
    known = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": os.pathsep.join([*map(str, folders), *([known] if known else [])])}


PLUGIN = python_path(HERE / "plugin")
"""A daemon with this in its environment has the handlers of the benchmarks."""
TWO_WORKERS = {
    **PLUGIN,
    "JOBD_LIMITS_QUEUED_JOBS": "4000000",
    "JOBD_LIMITS_QUEUED_JOBS_PER_PRINCIPAL": "4000000",
    "JOBD_POOL_CPU_WORKERS": "2",
    "JOBD_POOL_IO_WORKERS": "0",
}


_LOOK_S = 0.01
_BETWEEN_LOOKS = threading.Event()


class Row(NamedTuple):
    """One line of the table, and its figure for the comparison with another run."""

    what: str
    measured: str
    budget: str
    met: bool
    value: float
    spread: float = 0.0
    """How far apart its rounds were, as a part of the value."""
    less: bool = False
    """Whether less is better."""


class Size(NamedTuple):
    """How much of everything."""

    rounds: int
    requests: int
    events: int
    upload_mb: int
    rows: int


def spread(rounds: Sequence[float]) -> float:
    """Return the distance between the quartiles of some rounds, as a part of their median."""
    if len(rounds) < 2:
        return 0.0
    low, _, high = statistics.quantiles(rounds, n=4)
    return (high - low) / statistics.median(rounds)


@contextlib.contextmanager
def process(*command: str, ready: str, environ: dict[str, str] | None = None) -> Iterator[int]:
    """Run a server until the block ends; begins when it has printed `ready` on stderr."""
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | (environ or {})
    ) as child:
        assert child.stderr is not None
        seen = ""
        for line in child.stderr:
            seen += line
            if ready in line:
                break
        else:
            raise AssertionError(f"{command} did not start:\n{seen}")
        pid = _traced(child.pid) if command[0] == "strace" else child.pid
        try:
            yield pid
        finally:
            os.kill(pid, signal.SIGTERM)
            child.communicate(timeout=30)


def _traced(tracer: int) -> int:
    """Return what a tracer runs: a signal to the tracer itself would not be passed on."""
    return int(Path(f"/proc/{tracer}/task/{tracer}/children").read_text().split()[0])


def ready(child: "subprocess.Popen[str]") -> float:
    """Return the time at which a daemon has said that it is ready."""
    assert child.stderr is not None
    for line in child.stderr:
        if "jobd is ready" in line:
            return time.perf_counter()
    raise AssertionError("the daemon did not start")


@contextlib.contextmanager
def daemon(
    folder: Path,
    *,
    under: Sequence[str] = (),
    program: Sequence[str] = ("-m", "jobd"),
    **environ: str,
) -> Iterator[tuple[str, int]]:
    """Run jobd on a scratch state folder, `under` another program; gives its socket and pid."""
    path = str(folder / "jobd.sock")
    command = [*under, sys.executable, *program, "serve", "--state-dir", str(folder / "state")]
    with process(*command, "--socket", path, ready="jobd is ready", environ=environ) as pid:
        wait_for_kinds(path)
        yield path, pid


def ask(
    path: str,
    method: str,
    url: str,
    body: bytes | None = None,
    *,
    media_type: str = "application/json",
) -> tuple[int, dict[str, str], bytes]:
    """Make one request over the socket."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(path)
    headers = {"Content-Type": media_type, "Prefer": "respond-async"}
    connection.request(method, url, body, headers)
    response = connection.getresponse()
    answer = response.status, dict(response.getheaders()), response.read()
    connection.close()
    return answer


def drained(path: str, *, first: Callable[[], None] = lambda: None) -> float:
    """Do `first`; return how long it took from then until nothing is queued or processing."""
    began_s = time.perf_counter()
    first()
    while _left(path):
        _BETWEEN_LOOKS.wait(_LOOK_S)
    return time.perf_counter() - began_s


def _left(path: str) -> int:
    status = json.loads(ask(path, "GET", "/v1/status")[2])
    return int(status["queued"]) + int(status["processing"])


def order(path: str, queue: str, what: str) -> None:
    """Pause or resume a queue."""
    status, _, answer = ask(path, "POST", f"/v1/queues/{queue}/{what}")
    assert status == 200, answer


def wait_for_kinds(path: str) -> None:
    """Wait until the catalogue is there: each refusal is answered after it has been tried."""
    while not json.loads(ask(path, "GET", "/v1/handlers")[2]).get("handlers"):
        pass


def rss_mb(pid: int) -> float:
    """Return a process's resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"no VmRSS of {pid}")
