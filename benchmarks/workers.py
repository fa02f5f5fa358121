"""What a worker's death costs, and what the API costs while every worker hogs its core."""

import json
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import load
from harness import Row, ask, daemon, spread

CONNECTIONS = 1
"""More would keep both cores busy themselves, and measure who wins them."""


def get(path: str, url: str) -> Any:
    """Return what the daemon answers."""
    status, _, body = ask(path, "GET", url)
    assert status == 200, body
    return json.loads(body)


def submitted(path: str, kind: str, **args: Any) -> str:
    """Submit a job and return its id."""
    status, _, body = ask(
        path, "POST", "/v1/jobs", json.dumps({"kind": kind, "args": args}).encode()
    )
    assert status == 202, body
    job_id: str = json.loads(body)["job_id"]
    return job_id


def running(path: str, job_id: str, attempt: int) -> None:
    """Return when an attempt of the job runs."""
    while True:
        job = get(path, f"/v1/jobs/{job_id}")
        assert not job["done"], job
        if job["status"] == "processing" and job["attempt"] == attempt:
            return


def cancelled(path: str, job_id: str) -> None:
    """Cancel a job and return when it has ended."""
    ask(path, "POST", f"/v1/jobs/{job_id}/cancel")
    while not get(path, f"/v1/jobs/{job_id}")["done"]:
        pass


def deaths(rounds: int) -> list[Row]:
    """From kill -9 of a worker: until its job runs again, and until its slot is back."""
    again, back = [], []
    with (
        tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
        # the wait before another attempt is not what is measured
        daemon(Path(scratch), JOBD_JOBS_BACKOFF_BASE_S="0.001") as (path, _),
    ):
        for _ in range(rounds):
            job_id = submitted(path, "test.sleep", seconds=30)
            running(path, job_id, 1)
            (pid,) = [w["pid"] for w in workers(path) if job_id in w["job_ids"]]
            again.append(killed(pid, lambda job_id=job_id: running(path, job_id, 2)))
            cancelled(path, job_id)
            filled(path)
            pid = next(w["pid"] for w in workers(path) if w["state"] == "ready")
            back.append(killed(pid, lambda pid=pid: filled(path, without=pid)))
    rows = [("its job runs again", again, 1), ("its slot is back", back, 2)]
    return [
        Row(
            f"a worker dies: {what}",
            f"median {statistics.median(took) * 1000:.0f} ms, worst {max(took) * 1000:.0f} ms",
            f"< {budget} s",
            met=max(took) < budget,
            value=statistics.median(took),
            spread=spread(took),
            less=True,
        )
        for what, took, budget in rows
    ]


def killed(pid: int, wait: Any) -> float:
    """Kill a worker; return how long it took until `wait` returned."""
    began_s = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    wait()
    return time.perf_counter() - began_s


def workers(path: str) -> list[dict[str, Any]]:
    """Return the cpu lane's workers."""
    listed = get(path, "/v1/workers")["workers"]
    return [worker for worker in listed if worker["lane"] == "cpu"]


def filled(path: str, without: int | None = None) -> None:
    """Return when every slot of the cpu lane is free, and the worker `without` is gone."""
    while True:
        slots = get(path, "/v1/status")["worker_slots"]["cpu"]
        if slots["free"] == slots["total"] and all(w["pid"] != without for w in workers(path)):
            return


def hogged(rounds: int, count: int) -> Row:
    """Polls while every cpu worker computes in C and holds its interpreter, against idle."""
    idles, busies = [], []
    with (
        tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
        daemon(Path(scratch), JOBD_POOL_KILL_GRACE_S="0.2") as (path, _),
    ):
        done = submitted(path, "test.echo")
        request = f"GET /v1/jobs/{done} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        for _ in range(rounds):
            filled(path)
            idles.append(p99_ms(path, request, count))
            hogs = [submitted(path, "test.power") for _ in workers(path)]
            for hog in hogs[: get(path, "/v1/status")["worker_slots"]["cpu"]["total"]]:
                running(path, hog, 1)
            busies.append(p99_ms(path, request, count))
            for hog in reversed(hogs):
                cancelled(path, hog)
    idle, busy = statistics.median(idles), statistics.median(busies)
    figures = f"{busy / idle:.2f} (p99 {busy:.2f} ms of {idle:.2f} ms)"
    what = "polls, one after the other, while every cpu worker holds its GIL, of idle"
    return Row(
        what,
        figures,
        "≤ 2",
        met=busy <= 2 * idle,
        value=busy / idle,
        spread=spread(busies),
        less=True,
    )


def p99_ms(path: str, request: bytes, count: int) -> float:
    return load.run(path, request, count, CONNECTIONS, b"HTTP/1.1 200").percentile_ms(0.99)
