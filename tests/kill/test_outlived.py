"""Promise 4, without luck: a run that would outlive its daemon for long is over before the next."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.checker import files
from tests.kill import clients, loop

OUTLIVES_S = 30.0
SAID = "this will take long"
"""By the handler, when its first run has begun; plugins are not imported where tests run."""


def submit(path: str, notes: Path) -> str:
    args = {"folder": str(notes), "key": "k", "seconds": 0, "failures": 0, "first_s": OUTLIVES_S}
    body = {"kind": "test.history", "args": args}
    headers = {"Prefer": "respond-async"}
    _status, job = clients.answer_of(clients.ask(path, "POST", "/v1/jobs", headers, body))
    return str(job["job_id"])


def wait(path: str, job_id: str, prefer: str, enough: Callable[[Any], bool]) -> dict[str, Any]:
    job: dict[str, Any] = {}
    while not job or not enough(job):
        asked = clients.ask(path, "GET", f"/v1/jobs/{job_id}", {"Prefer": prefer})
        _status, job = clients.answer_of(asked)
    return job


def test_a_run_that_outlives_its_daemon_is_ended_before_the_next(tmp_path: Path) -> None:
    notes = tmp_path / "history"
    notes.mkdir()
    victim = loop.Victim(tmp_path)
    try:
        victim.begin()
        victim.wait_ready()
        loop.wait_for_kinds(victim.socket)
        job_id = submit(victim.socket, notes)
        wait(victim.socket, job_id, "wait=5", lambda job: job["message"] == SAID)
        victim.kill()
        victim.begin()
        victim.wait_ready()
        job = wait(victim.socket, job_id, "wait=5; until=done", lambda job: job["done"])
    finally:
        victim.close()

    assert [line["op"] for line in files.read(notes)] == ["start", "start", "end"]
    assert (job["status"], job["attempt"]) == ("completed", 2)
