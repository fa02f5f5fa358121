"""`/result` and `/artifacts`: bytes with their digest, and why there are none."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

from jobd.domain.jobs import Artifact, JobError, Result
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from tests.api.conftest import Api

INLINE = b'{"rows":3}'
LARGE = bytes(range(256)) * 3000


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def inline(body: bytes = INLINE) -> Result:
    return Result("application/json", len(body), digest(body), body=body)


def stored(api: Api, name: str, body: bytes, attempt: int = 1) -> Artifact:
    path = f"{attempt}/{name}"
    (api.artifacts / path).parent.mkdir(exist_ok=True)
    (api.artifacts / path).write_bytes(body)
    return Artifact(name, path, "text/csv", len(body), digest(body), attempt)


def as_result(artifact: Artifact) -> Result:
    return Result(
        artifact.media_type,
        artifact.size_bytes,
        artifact.sha256,
        path=artifact.path,
        filename=artifact.name,
    )


async def test_a_json_result(api: Api) -> None:
    url = await api.ended(result=inline())

    reply = await api.get(f"{url}/result")

    assert (reply.status, reply.body) == (200, INLINE)
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Content-Length"] == str(len(INLINE))
    assert reply.headers["ETag"] == f'"{digest(INLINE)}"'
    encoded = base64.b64encode(hashlib.sha256(INLINE).digest()).decode()
    assert reply.headers["Repr-Digest"] == f"sha-256=:{encoded}:"
    assert reply.headers["Cache-Control"] == "private, max-age=604800, immutable"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Disposition" not in reply.headers


async def test_a_file_as_the_result(api: Api) -> None:
    out = stored(api, "out.csv", LARGE)
    url = await api.ended(result=as_result(out), artifacts=(out,))

    reply = await api.get(f"{url}/result")

    assert (reply.status, reply.body == LARGE) == (200, True)
    assert reply.headers["Content-Type"] == "text/csv"
    assert reply.headers["Content-Length"] == str(len(LARGE))
    assert reply.headers["Content-Disposition"] == "attachment; filename*=UTF-8''out.csv"
    assert reply.headers["Server"] == "jobd"
    job = (await api.get(url)).job
    assert bytes(job.result) == b"null"
    assert job.result_info is not None
    assert (job.result_info.filename, job.result_info.size_bytes) == ("out.csv", len(LARGE))


@pytest.mark.parametrize("path", ["result", "artifacts/out.csv"])
async def test_head_sends_the_same_headers(api: Api, path: str) -> None:
    out = stored(api, "out.csv", LARGE)
    url = await api.ended(result=as_result(out), artifacts=(out,))

    got = await api.get(f"{url}/{path}", X_Request_Id="a")
    head = await api.ask("HEAD", f"{url}/{path}", headers={"X-Request-Id": "a"})

    assert (head.status, head.body) == (200, b"")
    assert {k: v for k, v in head.headers.items() if k != "Date"} == {
        k: v for k, v in got.headers.items() if k != "Date"
    }


async def test_head_of_a_json_result(api: Api) -> None:
    url = await api.ended(result=inline())

    head = await api.ask("HEAD", f"{url}/result")

    assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", "10")


async def test_a_known_result_is_not_sent_again(api: Api) -> None:
    out = stored(api, "out.csv", LARGE)
    url = await api.ended(result=inline(), artifacts=(out,))

    for path, body in (("result", INLINE), ("artifacts/out.csv", LARGE)):
        known = {"If-None-Match": f'"x", "{digest(body)}"'}
        for method in ("GET", "HEAD"):
            reply = await api.ask(method, f"{url}/{path}", headers=known)
            assert (reply.status, reply.body) == (304, b"")
            assert reply.headers["ETag"] == f'"{digest(body)}"'


async def test_a_result_that_is_not_ready(api: Api) -> None:
    url = (await api.submit()).headers["Location"]

    reply = await api.get(f"{url}/result")

    assert reply.problem(409, "result_not_ready").retryable is True
    assert reply.headers["Retry-After"] == "1"


async def test_a_failed_job_says_why_it_has_no_result(api: Api) -> None:
    error = JobError("handler_error", "boom", retryable=False, failed_step="read", attempt=1)
    url = await api.ended(Status.FAILED, error=error)

    problem = (await api.get(f"{url}/result")).problem(409, "job_failed")

    assert problem.error
    assert (problem.error.code, problem.error.failed_step) == ("handler_error", "read")


async def test_a_cancelled_job_has_no_result(api: Api) -> None:
    url = (await api.submit()).headers["Location"]
    await api.ask("POST", f"{url}/cancel")

    (await api.get(f"{url}/result")).problem(409, "job_failed")


async def test_a_job_that_completed_without_a_result(api: Api) -> None:
    url = await api.ended()

    (await api.get(f"{url}/result")).problem(404, "not_found")
    assert (await api.get(url)).job.result_url is None


WHOLE, BEHIND = 200, 416

RANGES: dict[str, range | int] = {
    "bytes=0-0": range(1),
    "bytes=2-5": range(2, 6),
    "BYTES=7-": range(7, 10),
    "bytes=3-99999999999999999999": range(3, 10),
    "bytes=-4": range(6, 10),
    "bytes=-99": range(10),
    "bytes=10-": BEHIND,
    "bytes=99-100": BEHIND,
    "bytes=-0": BEHIND,
    "bytes=5-2": WHOLE,
    "bytes=0-1,3-4": WHOLE,
    "bytes=": WHOLE,
    "bytes=-": WHOLE,
    "bytes=a-b": WHOLE,
    "bytes=+1-2": WHOLE,
    "bytes = 1-2": WHOLE,
    "bytes 1-2": WHOLE,
    "lines=1-2": WHOLE,
    "bytes=" + "9" * 5000 + "-": WHOLE,
}
"""What of ten bytes is sent."""


@pytest.mark.parametrize("path", ["result", "artifacts/out.csv"])
@pytest.mark.parametrize("asked", RANGES, ids=lambda asked: asked[:30])
async def test_a_part_is_sent(api: Api, path: str, asked: str) -> None:
    url = await api.ended(result=inline(), artifacts=(stored(api, "out.csv", INLINE),))
    wanted = RANGES[asked]

    reply = await api.get(f"{url}/{path}", Range=asked)

    if wanted == BEHIND:
        reply.problem(416, "range_not_satisfiable")
        assert reply.headers["Content-Range"] == "bytes */10"
        return
    if isinstance(wanted, range):
        assert (reply.status, reply.body) == (206, INLINE[wanted.start : wanted.stop])
        assert reply.headers["Content-Range"] == f"bytes {wanted.start}-{wanted.stop - 1}/10"
    else:
        assert (reply.status, reply.body) == (200, INLINE)
        assert "Content-Range" not in reply.headers
    assert reply.headers["Content-Length"] == str(len(reply.body))
    assert reply.headers["Accept-Ranges"] == "bytes"
    assert reply.headers["ETag"] == f'"{digest(INLINE)}"'
    whole = await api.get(f"{url}/{path}")
    assert reply.headers["Repr-Digest"] == whole.headers["Repr-Digest"]


@pytest.mark.parametrize(
    ("if_range", "status"),
    [
        (f'"{digest(INLINE)}"', 206),
        (f'W/"{digest(INLINE)}"', 200),
        ('"stale"', 200),
        ("*", 200),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 200),
    ],
)
async def test_a_part_is_sent_only_of_the_version_that_the_caller_has(
    api: Api, if_range: str, status: int
) -> None:
    url = await api.ended(result=inline(), artifacts=(stored(api, "out.csv", INLINE),))

    for path in ("result", "artifacts/out.csv"):
        reply = await api.get(f"{url}/{path}", Range="bytes=2-3", If_Range=if_range)
        assert (reply.status, reply.body) == (status, INLINE[2:4] if status == 206 else INLINE)
        # for other versions it does not matter that there are no such bytes
        behind = await api.get(f"{url}/{path}", Range="bytes=99-", If_Range=if_range)
        assert behind.status == (416 if status == 206 else 200)


async def test_a_broken_download_is_resumed(api: Api) -> None:
    out = stored(api, "out.csv", LARGE)
    url = await api.ended(result=as_result(out), artifacts=(out,))
    half = len(LARGE) // 2 + 7
    etag = (await api.get(f"{url}/result")).headers["ETag"]

    rest = await api.get(f"{url}/result", Range=f"bytes={half}-", If_Range=etag)

    assert (rest.status, rest.body == LARGE[half:]) == (206, True)


async def test_of_nothing_there_is_no_part(api: Api) -> None:
    url = await api.ended(artifacts=(stored(api, "empty.csv", b""),))

    suffix = await api.get(f"{url}/artifacts/empty.csv", Range="bytes=-5")
    first = await api.get(f"{url}/artifacts/empty.csv", Range="bytes=0-")

    assert (suffix.status, suffix.body) == (200, b"")
    first.problem(416, "range_not_satisfiable")
    assert first.headers["Content-Range"] == "bytes */0"


async def test_head_knows_no_parts(api: Api) -> None:
    url = await api.ended(result=inline())

    for asked in ("bytes=0-1", "bytes=99-"):
        head = await api.ask("HEAD", f"{url}/result", headers={"Range": asked})
        assert (head.status, head.headers["Content-Length"]) == (200, "10")


@pytest.mark.parametrize(
    ("if_match", "holds"),
    [
        ("*", True),
        (f'"{digest(INLINE)}"', True),
        (f'W/"x","{digest(INLINE)}"', True),
        (f'W/"{digest(INLINE)}"', False),
        ('"x"', False),
        ("", False),
    ],
)
async def test_a_condition_is_looked_at_before_all_else(
    api: Api, if_match: str, holds: bool
) -> None:
    url = await api.ended(result=inline())
    known = {"If_None_Match": "*", "Range": "bytes=99-"}

    reply = await api.get(f"{url}/result", If_Match=if_match, **known)

    if holds:
        assert reply.status == 304
    else:
        problem = reply.problem(412, "precondition_failed")
        assert [error.header for error in problem.errors] == ["If-Match"]


@pytest.mark.parametrize("damage", ["removed", "shorter", "a link"])
async def test_a_file_that_is_not_what_was_stored_is_not_sent(api: Api, damage: str) -> None:
    out = stored(api, "out.csv", LARGE)
    url = await api.ended(result=as_result(out), artifacts=(out,))
    file = api.artifacts / out.path
    match damage:
        case "removed":
            file.unlink()
        case "shorter":
            file.write_bytes(b"x")
        case "a link":
            file.rename(api.artifacts / "moved")
            file.symlink_to(api.artifacts / "moved")

    (await api.get(f"{url}/result")).problem(500, "internal_error")


async def test_a_file_cut_short_while_it_is_sent_ends_the_connection(api: Api) -> None:
    """The head promised more: only a broken connection can say that the body is not whole."""
    out = stored(api, "out.bin", b"x" * 8_000_000)
    url = await api.ended(result=as_result(out), artifacts=(out,))
    reader, writer = await asyncio.open_unix_connection(api.socket)
    writer.write(f"GET {url}/result HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    begun = await reader.readexactly(1)
    (api.artifacts / out.path).write_bytes(b"")

    body = begun + await reader.read()

    writer.close()
    await writer.wait_closed()
    assert b"Content-Length: 8000000\r\n" in head
    assert len(body) < 8_000_000
    assert set(body) == {ord("x")}


async def test_artifacts_are_listed_the_newest_of_each_name(api: Api) -> None:
    first = stored(api, "a.csv", b"1"), stored(api, "b.csv", b"22")
    second = stored(api, "a.csv", b"333", attempt=2)
    error = JobError("handler_error", "boom", retryable=True)
    url = (await api.submit()).headers["Location"]
    await api.end(await api.claim(), Status.RETRYING, delay_ms=0, error=error, artifacts=first)
    await api.writer.promote()
    await api.end(await api.claim(), Status.FAILED, error=error, artifacts=(second,))

    listed = (await api.get(f"{url}/artifacts")).json

    assert listed == {
        "artifacts": [
            {
                "name": "a.csv",
                "size_bytes": 3,
                "media_type": "text/csv",
                "sha256": digest(b"333"),
                "attempt": 2,
                "url": f"{url}/artifacts/a.csv",
            },
            {
                "name": "b.csv",
                "size_bytes": 2,
                "media_type": "text/csv",
                "sha256": digest(b"22"),
                "attempt": 1,
                "url": f"{url}/artifacts/b.csv",
            },
        ],
        "next_page_token": None,
    }
    assert (await api.get(f"{url}/artifacts/a.csv")).body == b"333"
    assert (await api.get(f"{url}/artifacts/b.csv")).body == b"22"


async def test_an_artifact_of_a_job_that_goes_on_is_not_for_ever(api: Api) -> None:
    first = stored(api, "a.csv", b"1")
    url = (await api.submit()).headers["Location"]
    await api.end(await api.claim(), Status.RETRYING, delay_ms=0, artifacts=(first,))

    reply = await api.get(f"{url}/artifacts/a.csv")

    assert (reply.body, reply.headers["Cache-Control"]) == (b"1", "private, no-cache")


@pytest.mark.parametrize("name", ["none.csv", "..%2F..%2Fjobd.db", "%2Fetc%2Fpasswd", "%00"])
async def test_an_artifact_that_is_not_there(api: Api, name: str) -> None:
    url = await api.ended(artifacts=(stored(api, "a.csv", b"1"),))

    (await api.get(f"{url}/artifacts/{name}")).problem(404, "not_found")


async def test_an_empty_artifact(api: Api) -> None:
    url = await api.ended(artifacts=(stored(api, "empty.csv", b""),))

    reply = await api.get(f"{url}/artifacts/empty.csv")

    assert (reply.status, reply.body, reply.headers["Content-Length"]) == (200, b"", "0")


async def test_no_artifacts(api: Api) -> None:
    url = (await api.submit()).headers["Location"]

    assert (await api.get(f"{url}/artifacts")).json == {"artifacts": [], "next_page_token": None}
