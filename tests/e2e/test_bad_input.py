"""The README's table of bad input: each of its lines is sent, and answered as it says."""

import contextlib
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import Daemon
from tests.support.clock import TOMORROW
from tests.support.contract import HeldTransport

README = (Path(__file__).parents[2] / "README.md").read_text()
JSON = {"Content-Type": "application/json"}


def table() -> dict[str, str]:
    """Return the rows: what is sent, and what comes back."""
    (rows,) = re.findall(
        r"\| what you send \| what you get \|\n\|---\|---\|\n((?:\|.*\n)+)", README
    )
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows.splitlines()]
    return {row[0]: row[1] for row in cells}


class Caller:
    """Sends bad input to a daemon with small limits."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        transport = HeldTransport(daemon.socket)
        self.http = httpx.Client(transport=transport, base_url="http://localhost", timeout=30)

    @contextlib.contextmanager
    def beside(self, settings: str) -> "Iterator[Caller]":
        """Give a caller of another daemon, with these settings."""
        with tempfile.TemporaryDirectory() as folder:
            daemon = Daemon(Path(folder))
            daemon.config.write_text(settings)
            try:
                daemon.start()
                other = Caller(daemon)
                with other.http:
                    yield other
            finally:
                daemon.close()

    def post(self, **job: Any) -> httpx.Response:
        return self.http.post("/v1/jobs", json=job)

    def importing(self, **args: Any) -> httpx.Response:
        given = {"source": "/a.csv", "database": "/b.db", "table": "t"}
        return self.post(kind="import.csv", args=given | args)

    def waited(self, source: Path) -> subprocess.CompletedProcess[str]:
        database = str(self.daemon.folder / "t.db")
        args = json.dumps({"source": str(source), "database": database, "table": "t"})
        return self.daemon.jobd("submit", "import.csv", args, "--wait")


def refused(answer: httpx.Response, status: int, code: str) -> Any:
    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, problem["code"]) == (status, code), problem
    return problem


def unknown_kind(caller: Caller) -> None:
    problem = refused(caller.post(kind="import.cvs"), 422, "unknown_kind")
    assert "import.csv" in problem["detail"]


def broken_args(caller: Caller) -> None:
    answer = caller.importing(source="a.csv", table="no table", colour="red")
    problem = refused(answer, 422, "validation_error")
    pointers = {error["pointer"] for error in problem["errors"]}
    assert pointers == {"#/args/source", "#/args/table", "#/args/colour"}


def malformed(caller: Caller) -> None:
    answer = caller.http.post("/v1/jobs", content=b'{"kind": ', headers=JSON)
    refused(answer, 400, "malformed_json")


def too_large(caller: Caller) -> None:
    body = json.dumps({"kind": "test.echo", "args": {"x": "y" * 5_000}})
    refused(caller.http.post("/v1/jobs", content=body, headers=JSON), 413, "args_too_large")
    body = json.dumps({"kind": "test.echo", "args": {"x": "y" * 20_000}})
    refused(caller.http.post("/v1/jobs", content=body, headers=JSON), 413, "body_too_large")


def not_loaded(caller: Caller) -> None:
    problem = refused(caller.post(kind="broken.raises"), 503, "handler_unavailable")
    assert "no licence found" in problem["detail"]


def forbidden_callback(caller: Caller) -> None:
    answer = caller.post(kind="test.echo", callback_url="https://127.0.0.1/hook")
    problem = refused(answer, 422, "callback_url_forbidden")
    assert problem["errors"][0]["pointer"] == "#/callback_url"


def strange_upload(caller: Caller) -> None:
    file_id = "file_" + "0" * 64
    problem = refused(caller.importing(source={"$file": file_id}), 422, "validation_error")
    assert problem["errors"][0]["pointer"].startswith("#/args")


def large_upload(caller: Caller) -> None:
    answer = caller.http.post("/v1/uploads", content=b"x" * 20_000)
    refused(answer, 413, "upload_too_large")


def too_many_waiting(caller: Caller) -> None:
    for limit, status, code in (
        ("queued_jobs_per_principal", 429, "quota_exceeded"),
        ("queued_jobs", 503, "queue_full"),
    ):
        with caller.beside(f"[limits]\n{limit} = 1\n") as other:
            assert other.post(kind="test.echo", run_at=TOMORROW).status_code == 202
            answer = other.post(kind="test.echo", run_at=TOMORROW)
        refused(answer, status, code)
        assert int(answer.headers["Retry-After"]) >= 1


def full_disk(caller: Caller) -> None:
    with caller.beside(f"[files]\nmin_free_bytes = {2**62}\n") as other:
        refused(other.post(kind="test.echo"), 507, "storage_full")


def too_late(caller: Caller) -> None:
    answer = caller.post(kind="test.echo", run_at="2999-01-01T00:00:00Z")
    problem = refused(answer, 422, "validation_error")
    assert problem["errors"][0]["pointer"] == "#/run_at"
    assert "jobs.max_age_s" in problem["errors"][0]["detail"]


def bad_source(caller: Caller) -> None:
    folder = caller.daemon.folder
    (folder / "picture.csv").write_bytes(bytes(range(256)) * 50)
    (folder / "closed.csv").mkdir()
    for name, code in (
        ("none.csv", "source_not_found"),
        ("closed.csv", "source_unreadable"),
        ("picture.csv", "not_csv"),
    ):
        done = caller.waited(folder / name)
        assert done.returncode == 7, done.stderr
        assert code in done.stderr
        assert re.search(r"failed step: +open|failed step: +import", done.stderr), done.stderr


LINES: dict[str, Callable[[Caller], None]] = {
    "an unknown kind": unknown_kind,
    "args that break the schema, a relative path": broken_args,
    "JSON that cannot be parsed": malformed,
    "a body or args over the limit": too_large,
    "a kind whose plugin did not load": not_loaded,
    "a callback to an address that is not allowed": forbidden_callback,
    "a `$file` that you have not uploaded": strange_upload,
    "an upload over the limit": large_upload,
    "more waiting jobs than `[limits]` allows": too_many_waiting,
    "a submission while the disk is full": full_disk,
    "a `run_at` behind the end of the job's age": too_late,
    "a source that is missing, unreadable or no CSV": bad_source,
}


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Any:
    daemon = Daemon(tmp_path_factory.mktemp("d"))
    daemon.config.write_text(
        f'[files]\nallow_paths = ["{daemon.folder}"]\n'
        "[limits]\nbody_bytes = 16384\nargs_bytes = 4096\nupload_bytes = 16384\n"
    )
    try:
        daemon.start()
        calling = Caller(daemon)
        yield calling
        calling.http.close()
    finally:
        daemon.close()


def test_every_line_of_the_table_is_tried() -> None:
    assert set(LINES) == set(table())


@pytest.mark.parametrize("sent", LINES)
def test_bad_input_is_answered_as_the_readme_says(caller: Caller, sent: str) -> None:
    LINES[sent](caller)
