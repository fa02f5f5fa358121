"""`/v1/uploads`: sent, kept once, seen by its uploader alone, removed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from jobd.config import Config, Limits
from jobd.domain.jobs import Upload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tests.api.conftest import Api

    Serve = Callable[..., AbstractAsyncContextManager[Api]]

CONTENT = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
URL = f"/v1/uploads/file_{SHA256}"
EXPIRES_AT = "2026-01-02T00:00:00Z"


async def send(api: Api, content: bytes = CONTENT) -> str:
    reply = await api.ask("POST", "/v1/uploads", data=content)
    assert reply.status == 201, reply.body
    file_id: str = reply.json["file_id"]
    return file_id


async def test_a_file_is_sent(api: Api) -> None:
    reply = await api.ask("POST", "/v1/uploads", data=CONTENT)

    assert (reply.status, reply.headers["Location"]) == (201, URL)
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.json == {
        "file_id": f"file_{SHA256}",
        "size_bytes": len(CONTENT),
        "expires_at": EXPIRES_AT,
    }
    assert (api.layout.uploads / SHA256[:2] / SHA256).read_bytes() == CONTENT


async def test_a_file_of_unknown_length_in_pieces(api: Api) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(CONTENT), 1000):
            yield CONTENT[at : at + 1000]

    reply = await api.ask("POST", "/v1/uploads", data=pieces())

    assert (reply.status, reply.json["file_id"]) == (201, f"file_{SHA256}")


async def test_an_empty_file(api: Api) -> None:
    file_id = await send(api, b"")

    assert file_id == f"file_{hashlib.sha256(b'').hexdigest()}"


async def test_the_same_again_is_the_same(api: Api) -> None:
    assert await send(api) == await send(api)
    assert [f for f in api.layout.uploads.rglob("*") if f.is_file()] == [
        api.layout.uploads / SHA256[:2] / SHA256
    ]


async def test_it_can_be_looked_up(api: Api) -> None:
    (await api.get(URL)).problem(404, "not_found")
    sent = await api.ask("POST", "/v1/uploads", data=CONTENT)

    found, head = await api.get(URL), await api.ask("HEAD", URL)

    assert (found.status, found.json) == (200, sent.json)
    assert found.headers["Cache-Control"] == "private, no-cache"
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == str(len(found.body))


async def test_anothers_is_not_seen(api: Api) -> None:
    await api.writer.add_upload(Upload(f"file_{SHA256}", "uid:-1", 1, SHA256, 1, 2))

    assert (await api.ask("HEAD", URL)).status == 404
    (await api.get(URL)).problem(404, "not_found")
    (await api.ask("DELETE", URL)).problem(404, "not_found")


async def test_it_is_removed(api: Api) -> None:
    await send(api)

    assert (await api.ask("DELETE", URL)).status == 204

    (await api.ask("DELETE", URL)).problem(404, "not_found")
    assert not (api.layout.uploads / SHA256[:2] / SHA256).exists()


async def test_not_while_a_job_needs_it(api: Api) -> None:
    file_id = await send(api)
    job = await api.submit({"kind": "test.any", "args": {"in": {"$file": file_id}}})
    assert job.status == 202

    (await api.ask("DELETE", URL)).problem(409, "upload_in_use")
    await api.ask("POST", f"{job.headers['Location']}/cancel")
    assert (await api.ask("DELETE", URL)).status == 204


async def test_a_job_may_only_name_what_its_principal_has_sent(api: Api) -> None:
    reply = await api.submit({"kind": "test.any", "args": {"in": {"$file": f"file_{SHA256}"}}})

    assert reply.problem(422, "validation_error").errors[0].pointer == "#/args"


@pytest.mark.parametrize("file_id", ["x", f"file_{SHA256.upper()}", SHA256, f"file_{SHA256}0"])
async def test_what_is_no_file_id(api: Api, file_id: str) -> None:
    for method in ("GET", "DELETE"):
        (await api.ask(method, f"/v1/uploads/{file_id}")).problem(404, "not_found")


async def test_one_that_is_too_large(serve: Serve) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * 600
        yield b"x" * 600

    async with serve(Config(limits=Limits(upload_bytes=1000))) as api:
        stated = await api.ask("POST", "/v1/uploads", data=b"x" * 1001)
        found_out = await api.ask("POST", "/v1/uploads", data=pieces())
        fits = await api.ask("POST", "/v1/uploads", data=b"x" * 1000)
        incoming = list(api.layout.incoming.iterdir())

    stated.problem(413, "upload_too_large")
    found_out.problem(413, "upload_too_large")
    assert fits.status == 201
    assert incoming == []


async def test_one_that_stalls(serve: Serve) -> None:
    async with serve(Config(), stall_timeout_s=0.01) as api:
        head = b"POST /v1/uploads HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"
        answer = await api.raw(head)
        incoming = list(api.layout.incoming.iterdir())

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body_timeout"' in answer
    assert incoming == []


async def test_one_that_is_encoded(api: Api) -> None:
    headers = {"Content-Encoding": "gzip"}
    reply = await api.ask("POST", "/v1/uploads", data=b"x", headers=headers)

    reply.problem(415, "unsupported_media_type")
    assert (reply.headers["Accept"], reply.headers["Accept-Encoding"]) == ("*/*", "identity")


async def test_a_parameter_is_refused(api: Api) -> None:
    for method, path in (("POST", "/v1/uploads"), ("GET", URL), ("DELETE", URL)):
        (await api.ask(method, f"{path}?name=x")).problem(400, "unknown_parameter")
