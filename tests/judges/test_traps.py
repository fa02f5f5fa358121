"""What servers like this one have got wrong: the traps of aiohttp, msgspec and Python's patterns.

Those of bodies are in tests/unit/test_codec.py, of addresses in tests/unit/test_egress.py.
"""

from __future__ import annotations

import ast
import asyncio
import gzip
import importlib
import inspect
import logging
import pkgutil
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import jobd.wire
from jobd.api.app import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api.conftest import Api

JSON = "Content-Type: application/json\r\n"
API = Path(build.__code__.co_filename).parent


async def raw(api: Api, request: str | bytes) -> bytes:
    """Send bytes on a connection of their own and return all that comes back."""
    reader, writer = await asyncio.open_unix_connection(api.socket)
    writer.write(request if isinstance(request, bytes) else request.encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


def head(method: str, path: str, *headers: str) -> str:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *headers]
    return "\r\n".join(lines) + "\r\n\r\n"


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/v1/jobs", "POST"),
        ("/v1/queues/slow", "PATCH"),
        ("/v1/webhook-endpoints/default/rotate-secret", "POST"),
    ],
)
@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"a":' * 700 + b"1" + b"}" * 700])
async def test_what_is_no_json_is_the_callers_fault(
    api: Api, path: str, method: str, body: bytes
) -> None:
    headers = {"Content-Type": "application/json"}

    reply = await api.ask(method, path, data=body, headers=headers)

    assert reply.status in {400, 422}, reply.body


@pytest.mark.parametrize(
    "body",
    [
        b'{"kind":"test.none","kind":"test.any"}',
        b'{"kind":"test.any","args":{"a":1,"a":2}}',
        b'{"kind":"test.any","args":{"a":[{"b":1,"\\u0062":2}]}}',
    ],
)
async def test_a_key_that_comes_twice_is_refused(api: Api, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}

    reply = await api.ask("POST", "/v1/jobs", data=body, headers=headers)

    assert "comes twice" in reply.problem(400, "malformed_json").detail


async def test_a_word_is_checked_though_nothing_comes_of_it(api: Api) -> None:
    reply = await api.submit({"kind": "test.any", "callback_events": ["job.done"]})

    (error,) = reply.problem(422, "validation_error").errors
    assert error.pointer == "#/callback_events/0"


def patterns(schema: Any) -> Iterator[str]:
    """Yield every pattern of a JSON Schema."""
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for inner in schema.values():
            yield from patterns(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from patterns(inner)


def wire_structs() -> list[type[msgspec.Struct]]:
    modules = [
        importlib.import_module(f"jobd.wire.{module.name}")
        for module in pkgutil.iter_modules(jobd.wire.__path__)
    ]
    return [
        struct
        for module in modules
        for _, struct in inspect.getmembers(module, inspect.isclass)
        if issubclass(struct, msgspec.Struct) and struct.__module__ == module.__name__
    ]


def test_no_pattern_takes_a_final_newline() -> None:
    found = {
        pattern
        for struct in wire_structs()
        if not any(field.type is msgspec.Raw for field in msgspec.structs.fields(struct))
        for pattern in patterns(msgspec.json.schema(struct))
    }

    assert found
    assert [p for p in found if p.endswith("$") and not p.endswith(r"(?!\n)$")] == []
    assert all(re.compile(pattern) for pattern in found)


async def test_a_body_that_cannot_be_read_is_the_callers_fault(api: Api) -> None:
    chunked = head("POST", "/v1/jobs", JSON.strip(), "Transfer-Encoding: chunked")

    answer = await raw(api, chunked + "zz\r\n{}\r\n0\r\n\r\n")

    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer


async def test_a_body_that_is_said_to_be_compressed_is_not_unpacked(api: Api) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    for body in (bomb, b"no gzip at all"):
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        reply = await api.ask("POST", "/v1/jobs", data=body[:8000], headers=headers)
        reply.problem(415, "unsupported_media_type")


@pytest.mark.parametrize(
    "request_",
    [
        "GET /livez HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
        "GET /livez HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n",
        "GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
        "GET  HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + "\x00" * 64 + "\r\n\r\n",
        f"GET /livez HTTP/1.1\r\nHost: x\r\nX-A: {'a' * 9000}\r\n\r\n",
        f"GET /{'a' * 9000} HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST /v1/jobs HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_refused_and_the_connection_closed(
    api: Api, caplog: pytest.LogCaptureFixture, request_: str
) -> None:
    """The parser answers these before any code of ours: in plain text."""
    caplog.set_level(logging.INFO)

    answer = await raw(api, request_.encode("latin-1"))

    assert re.match(rb"HTTP/1\.[01] (400|413|414|431) ", answer), answer
    assert b"Traceback" not in answer
    assert [r for r in caplog.records if r.exc_info or r.levelno > logging.INFO] == []
    assert (await api.get("/livez")).status == 200


def test_head_is_only_where_it_is_meant(api: Api) -> None:
    routes = [route for route in build(api.services).router.routes() if route.method == "HEAD"]

    assert {route.resource.canonical for route in routes if route.resource is not None} == {
        "/v1/jobs/{job_id}/result",
        "/v1/jobs/{job_id}/artifacts/{name}",
        "/v1/uploads/{file_id}",
    }


@pytest.mark.parametrize("name", ["FileResponse", "enable_compression", "json_response"])
def test_what_aiohttp_does_wrong_is_not_used(name: str) -> None:
    used = {
        getattr(node, "attr", None) or getattr(node, "id", None)
        for path in API.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute | ast.Name)
    }

    assert name not in used


async def test_no_answer_is_compressed(api: Api) -> None:
    url = await api.ended()
    for path in ("/v1/jobs", url, f"{url}/events", f"{url}/logs", "/v1/handlers"):
        reply = await api.get(path, Accept_Encoding="gzip, deflate, br")
        assert "Content-Encoding" not in reply.headers, path


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs?page_size=1&page_size=1",
        "/v1/jobs?created_after=2026-01-01T00:00:00Z&created_after=2026-01-01T00:00:00Z",
        "/v1/jobs/{id}/events?timeout=1&timeout=1",
        "/v1/jobs/{id}/events?last_event_id=1&last_event_id=2",
        "/v1/jobs/{id}/logs?tail=1&tail=1",
        "/v1/events?kind=a&kind=b",
    ],
)
async def test_a_parameter_that_comes_twice_is_refused(api: Api, path: str) -> None:
    url = await api.ended()

    reply = await api.get(path.replace("/v1/jobs/{id}", url))

    reply.problem(400, "invalid_parameter")


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/jobs", ["Authorization: Bearer x"]),
        ("/v1/uploads", ["Authorization: Bearer x"]),
        ("/v1/jobs?colour=red", []),
        ("/v1/uploads?colour=red", []),
        ("/v1/jobs", ["Content-Encoding: gzip"]),
        ("/v1/jobs", ["Idempotency-Key: a b"]),
        ("/v1/nowhere", []),
        ("/v1/status", []),
    ],
)
async def test_who_is_refused_is_not_asked_for_the_body(
    api: Api, path: str, headers: list[str]
) -> None:
    expecting = ("Expect: 100-continue", JSON.strip(), "Content-Length: 19")

    answer = await api.raw(head("POST", path, *headers, *expecting).encode())

    assert answer.startswith(b"HTTP/1.1 4"), answer
    assert b"100 Continue" not in answer
