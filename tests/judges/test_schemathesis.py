"""Schemathesis asks a running daemon for whatever its own document says can be asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from jobd.api.app import build
from tests.e2e.conftest import Daemon
from tests.judges.exclusions import ACCEPTED, REFUSED, UNLISTED
from tests.judges.relay import relayed
from tests.support.clock import TOMORROW

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.conftest import Api

ROOT = str(Path(__file__).parents[2])
SETTINGS = Path(__file__).parent / "schemathesis.toml"
SCHEMATHESIS = str(Path(sys.executable).parent / "schemathesis")

RUNS = {
    1: "examples,coverage,fuzzing,stateful",
    2: "fuzzing,stateful",
    3: "fuzzing,stateful",
}
"""By seed. What the phase `coverage` tries does not depend on it."""

EXAMPLES = 25


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """One that keeps nobody waiting for long, its queues as they were made."""
    (tmp_path / "d").mkdir()
    daemon = Daemon(tmp_path / "d")
    with daemon.config.open("a") as config:
        config.write("[limits]\nmax_wait_s = 1\nsync_wait_ms = 0\nstreams_per_principal = 1000\n")
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.close()
    assert [line for line in daemon.log if '"level":"error"' in line] == []


def made(daemon: Daemon) -> dict[str, list[str]]:
    """Make what can be asked for, done and undone, and return the ids."""
    transport = httpx.HTTPTransport(uds=daemon.socket)
    with httpx.Client(transport=transport, base_url="http://localhost", timeout=30) as http:

        def post(path: str, **body: Any) -> str:
            answer = http.post(path, headers={"Prefer": "wait=1"}, **body)
            return answer.headers["Location"].rpartition("/")[2]

        ended = ("test.echo", "test.partial", *["test.discard"] * 10)
        jobs = [post("/v1/jobs", json={"kind": kind}) for kind in ended]
        ahead = {"kind": "test.echo", "run_at": TOMORROW}
        jobs += [post("/v1/jobs", json=ahead) for _ in range(10)]
        hook = {"url": "https://app.invalid/hooks"}
        endpoints = [post("/v1/webhook-endpoints", json=hook) for _ in range(3)]
        artifact = post("/v1/jobs", json={"kind": "test.artifact"})
        return {
            "job": [*jobs, artifact],
            "artifact": [artifact],
            "bat": [post("/v1/batches", json={"jobs": [{"kind": "test.echo"}, ahead]})],
            "file": [post("/v1/uploads", content=b"a,b\n")],
            "whe": endpoints,
            "dlv": [post(f"/v1/webhook-endpoints/{one}/test") for one in endpoints],
        }


def test_every_exclusion_is_meant() -> None:
    settings = tomllib.loads(SETTINGS.read_text())

    assert REFUSED.keys() == {
        ("listJobs", "invalid_page_token"),
        ("listBatches", "invalid_page_token"),
        ("listTokens", "invalid_page_token"),
        ("listEndpoints", "invalid_page_token"),
        ("listDeliveries", "invalid_page_token"),
        ("createBatch", "batch_rejected"),
        ("openWebSocket", "upgrade_required"),
    }
    assert UNLISTED.keys() == {("GET", "/openapi.json")}
    assert ACCEPTED.keys() == {"createBatch"}
    slow = {one["include-operation-id"]: one.keys() for one in settings["operations"]}
    assert slow.keys() == {"getEvents", "reloadHandlers"}
    assert {key for keys in slow.values() for key in keys} == {"include-operation-id", "generation"}
    assert settings["checks"].keys() == {"positive_data_acceptance"}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", RUNS)
def test_nothing_is_answered_that_the_document_does_not_say(
    daemon: Daemon, api: Api, tmp_path: Path, seed: int
) -> None:
    report = tmp_path / "report.json"
    with relayed(daemon.socket) as port:
        url = f"http://127.0.0.1:{port}/openapi.json"
        run = subprocess.run(
            [
                *(SCHEMATHESIS, "--config-file", SETTINGS, "run", url),
                *("--seed", str(seed), "--max-examples", str(EXAMPLES), "--phases", RUNS[seed]),
                *("--report-json-path", report, "--no-color", "--continue-on-failure"),
            ],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": ROOT, "JOBD_TEST_KNOWN": json.dumps(made(daemon))},
            capture_output=True,
            text=True,
            check=False,
        )

    found = json.loads(report.read_text())
    routes = len(build(api.services).router.routes()) - len(UNLISTED)
    assert (found["failures"], found["errors"]) == ([], []), run.stdout[-20_000:]
    assert (run.returncode, found["complete"]) == (0, True), run.stdout[-20_000:]
    tested = found["operations"]
    assert (tested["total"], tested["selected"], tested["tested"]) == (routes, routes, routes)
