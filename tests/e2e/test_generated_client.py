"""A client that a program wrote from the document alone: it submits, polls, waits and cancels."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Daemon
from tests.support.contract import HeldTransport

GENERATOR = str(Path(sys.executable).parent / "openapi-python-client")
KNOWN_WARNING = "Unsupported content type application/x-ndjson"


class Generated:
    """The package that was generated, and a client of it on the daemon's socket."""

    def __init__(self, daemon: Daemon, package: str) -> None:
        self._package = package
        transport = HeldTransport(daemon.socket)
        self.client = self.part("client").Client(
            base_url="http://jobd",
            httpx_args={"transport": transport},
            raise_on_unexpected_status=True,
        )

    def part(self, name: str) -> Any:
        return importlib.import_module(f"{self._package}.{name}")

    def call(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        """Return the status and the document of one call."""
        reply = self.part(f"api.{operation}").sync_detailed(*args, client=self.client, **kwargs)
        return reply.status_code, reply.parsed

    def submit(self, kind: str, **args: Any) -> tuple[int, Any]:
        document = {"kind": kind, "args": args}
        body = self.part("models.submit_request").SubmitRequest.from_dict(document)
        found: tuple[int, Any] = self.call("jobs.submit_job", body=body, prefer="respond-async")
        return found


@pytest.fixture
def generated(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[Generated]:
    transport = HeldTransport(daemon.socket)
    with httpx.Client(transport=transport, base_url="http://jobd") as http:
        (daemon.folder / "openapi.json").write_bytes(http.get("/openapi.json").content)
    made = subprocess.run(
        [GENERATOR, "generate", "--path=openapi.json", "--output-path=made_client", "--meta=none"],
        cwd=daemon.folder,
        env={"PATH": str(Path(sys.executable).parent), "HOME": str(daemon.folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    said = made.stdout + made.stderr
    assert made.returncode == 0, said
    assert said.count("WARNING") == said.count(KNOWN_WARNING) == 1, said
    monkeypatch.syspath_prepend(daemon.folder)
    found = Generated(daemon, "made_client")
    with found.client:
        yield found
    for name in [name for name in sys.modules if name.startswith("made_client")]:
        del sys.modules[name]


def test_it_submits_polls_and_cancels(generated: Generated) -> None:
    status, job = generated.submit("test.echo", n=1)
    assert (status, job.kind, job.args.to_dict()) == (202, "test.echo", {"n": 1})

    wait = "wait=20; until=done"
    status, job = generated.call("jobs.get_job", job.job_id, prefer=wait)
    assert (status, job.done, job.status, job.result) == (200, True, "completed", {"n": 1})
    assert generated.call("results.get_result", job.job_id) == (200, {"n": 1})

    _, sleeper = generated.submit("test.asleep", seconds=600)
    status, cancelled = generated.call("jobs.cancel_job", sleeper.job_id)
    assert status in {200, 202}
    assert cancelled.cancel_requested or cancelled.done
    _, cancelled = generated.call("jobs.get_job", sleeper.job_id, prefer=wait)
    assert cancelled.status == "cancelled"

    _, page = generated.call("jobs.list_jobs", page_size=1)
    assert [job.job_id for job in page.jobs] == [sleeper.job_id]
    assert page.next_page_token

    status, problem = generated.call("jobs.get_job", "job_" + "0" * 32)
    assert (status, problem.code) in {(404, "job_not_found"), (410, "job_expired")}
    status, problem = generated.submit("test.nothing")
    assert (status, problem.code, problem.errors[0].pointer) == (422, "unknown_kind", "#/kind")


def test_it_sends_a_batch(generated: Generated) -> None:
    request = generated.part("models.batch_request").BatchRequest
    body = request.from_dict({"jobs": [{"kind": "test.echo", "args": {"n": n}} for n in range(3)]})

    status, batch = generated.call("batches.create_batch", body=body)

    assert (status, batch.total, batch.accepted, batch.rejected) == (202, 3, 3, 0)
    status, same = generated.call("batches.get_batch", batch.batch_id)
    assert (status, same.job_ids) == (200, batch.job_ids)
