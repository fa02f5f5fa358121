"""What every answer carries, and how what is nobody's route is refused."""

from __future__ import annotations

import ast
import asyncio
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import jobd
from jobd.api.problems import PROBLEMS

if TYPE_CHECKING:
    import pytest

    from tests.api.conftest import Api

OURS = re.compile(r"req_[0-9a-f]{32}")


async def test_a_request_id_is_given_or_echoed(api: Api) -> None:
    given = [(await api.get("/livez")).headers["X-Request-Id"] for _ in range(2)]

    assert all(OURS.fullmatch(request_id) for request_id in given)
    assert given[0] != given[1]
    assert (await api.get("/livez", X_Request_Id="My-id_1.2")).headers[
        "X-Request-Id"
    ] == "My-id_1.2"
    for bad in ("a b", "é", "x" * 129, ""):
        assert OURS.fullmatch((await api.get("/livez", X_Request_Id=bad)).headers["X-Request-Id"])


async def test_the_instance_is_the_request(api: Api) -> None:
    first = await api.get("/none")
    problem = first.problem(404, "not_found")

    uuid = problem.instance.removeprefix("urn:uuid:").replace("-", "")
    assert problem.request_id == f"req_{uuid}"
    echoed = [(await api.get("/none", X_Request_Id="a")).json["instance"] for _ in range(2)]
    assert echoed[0] == echoed[1] != problem.instance


async def test_no_version_is_told_to_strangers(api: Api) -> None:
    for path in ("/livez", "/none", "/v1/jobs"):
        reply = await api.get(path)
        assert reply.headers["Server"] == "jobd"
        assert "Date" in reply.headers


async def test_a_path_that_is_not_there(api: Api) -> None:
    for path in ("/", "/v1", "/v1/jobs/", "/v1/jobs/x/y", "/V1/jobs", "/v1/event", "/%ff"):
        problem = (await api.get(path)).problem(404, "not_found")
        assert problem.retryable is False


async def test_a_method_that_is_not_taken(api: Api) -> None:
    allowed = {
        "/v1/jobs": "GET,POST",
        "/v1/jobs/x": "DELETE,GET",
        "/v1/jobs/x/cancel": "POST",
        "/v1/jobs/x/retry": "POST",
        "/v1/jobs/x/events": "GET",
        "/v1/jobs/x/logs": "GET",
        "/v1/jobs/x/result": "GET,HEAD",
        "/v1/jobs/x/artifacts": "GET",
        "/v1/jobs/x/artifacts/y": "GET,HEAD",
        "/v1/events": "GET",
        "/v1/ws": "GET",
        "/v1/uploads": "POST",
        "/v1/uploads/x": "DELETE,GET,HEAD",
        "/v1/webhook-endpoints/default/rotate-secret": "POST",
        "/v1/handlers": "GET",
        "/v1/workers": "GET",
        "/v1/status": "GET",
        "/livez": "GET",
        "/readyz": "GET",
    }
    for path, methods in allowed.items():
        for method in ("PUT", "OPTIONS", "HEAD"):
            if method in methods:
                continue
            reply = await api.ask(method, path)
            assert (reply.status, reply.headers["Allow"]) == (405, methods), (method, path)
            if method != "HEAD":
                reply.problem(405, "method_not_allowed")


async def test_a_credential_never_falls_back_to_the_peer(api: Api) -> None:
    reply = await api.get("/v1/jobs", Authorization="Bearer x")

    reply.problem(401, "invalid_token")
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="jobd", error="invalid_token"'


async def test_a_bug_leaks_nothing_and_is_logged(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    api.checks = None  # type: ignore[assignment] # which no caller may do

    reply = await api.get("/readyz", X_Request_Id="the-one")

    assert reply.problem(500, "internal_error").request_id == "the-one"
    assert b"NoneType" not in reply.body
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert record.exc_info is not None
    assert record.__dict__["request_id"] == "the-one"


async def test_a_body_that_does_not_arrive(hasty_api: Api) -> None:
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"

    answer = await hasty_api.raw(head + b'Content-Length: 19\r\n\r\n{"kind"')

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert b'"code":"body_timeout"' in answer


async def test_a_body_is_asked_for_only_when_it_will_be_read(api: Api) -> None:
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n"
    json = b"Content-Type: application/json\r\n"

    refused = [
        await api.raw(head % 19 + b"\r\n"),
        await api.raw(head % 10_000 + json + b"\r\n"),
    ]
    reader, writer = await asyncio.open_unix_connection(api.socket)
    writer.write(head % 19 + json + b"\r\n")
    asked = await reader.readuntil(b"\r\n\r\n")
    writer.write(b'{"kind":"test.any"}')
    answer = await reader.readuntil(b"\r\n")
    writer.close()
    await writer.wait_closed()

    assert refused[0].startswith(b"HTTP/1.1 415 ")
    assert refused[1].startswith(b"HTTP/1.1 413 ")
    assert asked == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer == b"HTTP/1.1 202 Accepted\r\n"


def codes_raised_in(path: Path) -> set[object]:
    """The first argument of every call of an error class of the domain."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    errors = {
        alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "jobd.domain.errors"
        for alias in node.names
    }
    return {
        node.args[0].value
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if node.func.id in errors and node.func.id not in {"FieldError", "Forbidden", "LeaseLost"}
        if node.args and isinstance(node.args[0], ast.Constant)
    }


def test_every_code_that_is_raised_has_a_problem_document() -> None:
    files = Path(jobd.__file__).parent.rglob("*.py")
    codes = set().union(*(codes_raised_in(path) for path in files))

    assert {"job_not_found", "storage_full", "unknown_kind"} <= codes
    assert codes <= PROBLEMS.keys()


def test_a_problem_is_an_error_with_a_title_of_its_own() -> None:
    assert all(400 <= problem.status < 600 for problem in PROBLEMS.values())
    assert len({problem.title for problem in PROBLEMS.values()}) == len(PROBLEMS)
