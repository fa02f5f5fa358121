"""Clients that others wrote read a running job's events, over kills of theirs and of the daemon."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import httpx_sse
import pytest

from tests.e2e.conftest import Daemon
from tests.support.contract import HeldTransport

NODE = Path(__file__).parent / "node"
Seen = list[tuple[str, str]]


@contextmanager
def running_job(daemon: Daemon) -> Iterator[tuple[str, Path]]:
    """A job that waits until its FIFO is written to, attempt after attempt."""
    fifo = daemon.folder / "gate"
    os.mkfifo(fifo)
    done = daemon.jobd("submit", "test.gate", json.dumps({"fifo": str(fifo)}))
    assert done.returncode == 0, done.stderr
    yield done.stdout.strip(), fifo


def statuses(seen: Seen) -> Seen:
    return [(id_, type_) for id_, type_ in seen if type_ != "job.progress"]


def history(daemon: Daemon, job_id: str) -> Seen:
    """What the daemon itself says happened."""
    transport = HeldTransport(daemon.socket)
    with httpx.Client(transport=transport, base_url="http://localhost") as client:
        path = f"/v1/jobs/{job_id}/events"
        events = client.get(path, headers={"Accept": "application/json"}).json()["events"]
    return statuses([(str(event["id"]), event["type"]) for event in events])


def follow(daemon: Daemon, job_id: str, last_id: str | None, *, stop_at: str | None) -> Seen:
    """Read with httpx-sse until `stop_at`, or until the stream ends."""
    seen: Seen = []
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    transport = HeldTransport(daemon.socket)
    with (
        httpx.Client(transport=transport, base_url="http://localhost", timeout=30) as client,
        httpx_sse.connect_sse(
            client, "GET", f"/v1/jobs/{job_id}/events", headers=headers
        ) as source,
    ):
        if source.response.status_code == httpx.codes.NO_CONTENT:
            return seen
        for event in source.iter_sse():
            assert json.loads(event.data)["type"] == event.event
            seen.append((event.id, event.event))
            if event.event == stop_at:
                break
    return seen


def test_httpx_sse_resumes_over_its_own_end_and_the_daemons(daemon: Daemon) -> None:
    with running_job(daemon) as (job_id, fifo):
        with fifo.open("wb"):  # open: the handler has begun
            seen = follow(daemon, job_id, None, stop_at="job.processing")
            daemon.kill()
        daemon.start()
        with fifo.open("wb"):
            seen += follow(daemon, job_id, seen[-1][0], stop_at="job.processing")
        seen += follow(daemon, job_id, seen[-1][0], stop_at=None)
        nothing = follow(daemon, job_id, seen[-1][0], stop_at=None)

        ids = [int(id_) for id_, _ in seen]
        assert ids == sorted(set(ids))
        assert statuses(seen) == history(daemon, job_id)[-len(statuses(seen)) :]
        assert [type_ for _, type_ in statuses(seen)][-3:] == [
            "job.queued",
            "job.processing",
            "job.completed",
        ]
        assert nothing == []


@pytest.fixture(scope="session")
def eventsource(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script, with the packages it needs installed beside it."""
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "follow.mjs"):
        shutil.copy(NODE / name, folder)
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    major = 4 if int(node.lstrip("v").split(".")[0]) >= 20 else 3
    install = ["npm", "install", "--no-audit", "--no-fund", "--silent", f"eventsource@{major}"]
    subprocess.run(install, cwd=folder, check=True, timeout=120)
    return folder / "follow.mjs"


def listen(eventsource: Path, socket: str, path: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["node", str(eventsource), socket, path], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.needs("npm")
@pytest.mark.timeout(180)
def test_npm_eventsource_resumes_reconnects_by_itself_and_stops_at_204(
    daemon: Daemon, eventsource: Path
) -> None:
    with running_job(daemon) as (job_id, fifo):
        path = f"/v1/jobs/{job_id}/events"
        with fifo.open("wb"):  # open: the handler has begun
            with listen(eventsource, daemon.socket, path) as killed:
                assert killed.stdout is not None
                lines = [killed.stdout.readline()]
                killed.kill()
            newest = lines[-1].split()[0]
            client = listen(eventsource, daemon.socket, f"{path}?last_event_id={newest}")
            daemon.kill()
        with client:
            assert client.stdout is not None
            daemon.start()
            fifo.write_bytes(b"go")
            lines += client.stdout

        seen: Seen = [(line.split()[0], line.split()[1]) for line in lines]
        ids = [int(id_) for id_, _ in seen]
        assert client.returncode == 0
        assert ids == sorted(set(ids))
        assert statuses(seen) == history(daemon, job_id)[-len(statuses(seen)) :]
        assert seen[-1][1] == "job.completed"
