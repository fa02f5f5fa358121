"""Tokens of jobs: given with the submission, and what they open."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain import job_tokens
from jobd.domain.jobs import Artifact, Result
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from tests.api.conftest import Api

OWN = ["", "/result", "/attempts", "/events", "/logs", "/artifacts", "/artifacts/a.csv"]
ELSEWHERE = [
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs?all=true"),
    ("POST", "/v1/jobs"),
    ("GET", "/v1/events"),
    ("GET", "/v1/batches"),
    ("GET", "/v1/status"),
    ("GET", "/v1/workers"),
    ("GET", "/v1/tokens"),
    ("GET", "/openapi.json"),
]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def submitted(api: Api) -> tuple[str, str]:
    """A queued job's URL and its token."""
    reply = await api.submit(Prefer="respond-async")
    return reply.headers["Location"], reply.json["job_token"]


async def sent(api: Api, head: str) -> bytes:
    """Send a request as it is, on a connection of its own, and return all that comes back."""
    reader, writer = await asyncio.open_unix_connection(api.socket)
    writer.write(f"{head}Connection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def finished(api: Api) -> tuple[str, str]:
    """A job that has left all that a job can leave: its URL and its token."""
    url, token = await submitted(api)
    sha256 = "ab" * 32
    (api.artifacts / "1").mkdir()
    (api.artifacts / "1/a.csv").write_bytes(b"a,b")
    artifact = Artifact("a.csv", "1/a.csv", "text/csv", 3, sha256, 1)
    result = Result("application/json", 1, sha256, body=b"1")
    await api.end(await api.claim(), result=result, artifacts=(artifact,))
    return url, token


async def test_a_submission_and_its_replays_are_answered_with_one_token(api: Api) -> None:
    first = await api.submit(Idempotency_Key="k", Prefer="respond-async")
    again = await api.submit(Idempotency_Key="k", Prefer="respond-async")
    await api.end(await api.claim())
    done = await api.submit(Idempotency_Key="k")

    assert [reply.status for reply in (first, again, done)] == [202, 202, 200]
    (token,) = {reply.json["job_token"] for reply in (first, again, done)}
    assert job_tokens.check(token, api.tokens.server_key) == first.job.job_id


async def test_it_stands_behind_the_document_that_everybody_reads(api: Api) -> None:
    done = await api.ended()
    created = (await api.submit(Prefer="respond-async")).json
    read = (await api.get(f"/v1/jobs/{created['job_id']}")).json

    assert list(created)[:-1] == list(read)
    assert list(created)[-1] == "job_token"
    assert "job_token" not in (await api.get(done)).json


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_it_opens_what_is_read_of_its_job(api: Api, method: str) -> None:
    url, token = await finished(api)
    paths = OWN if method == "GET" else ["/result", "/artifacts/a.csv"]

    for path in paths:
        by_header = await api.ask(method, url + path, headers=bearer(token))
        by_query = await api.ask(method, f"{url}{path}?access_token={token}")
        assert (by_header.status, by_query.status) == (200, 200), path
        assert by_query.headers["Referrer-Policy"] == "no-referrer", path
        assert "Referrer-Policy" not in by_header.headers


async def test_a_browser_follows_its_job(api: Api) -> None:
    url, token = await submitted(api)

    async with api.stream(f"{url}/events?access_token={token}&timeout=60") as events:
        first = await events.next()

    assert first is not None
    assert first.event == "job.queued"


async def test_it_cancels_its_job_by_a_header_alone(api: Api) -> None:
    url, token = await submitted(api)

    by_query = await api.ask("POST", f"{url}/cancel?access_token={token}")
    by_header = await api.ask("POST", f"{url}/cancel", headers=bearer(token))

    by_query.problem(401, "invalid_token")
    assert (by_header.status, by_header.job.status) == (200, Status.CANCELLED)


async def test_it_opens_no_other_job(api: Api) -> None:
    other, _ = await finished(api)
    _, token = await submitted(api)
    never = f"/v1/jobs/job_{'0' * 32}"

    for url in (other, never):
        for path in OWN:
            reply = await api.get(url + path, Authorization=f"Bearer {token}")
            reply.problem(404, "job_not_found")
        cancelled = await api.ask("POST", f"{url}/cancel", headers=bearer(token))
        cancelled.problem(404, "job_not_found")


async def test_it_opens_nothing_else(api: Api) -> None:
    url, token = await finished(api)

    for method, path in [*ELSEWHERE, ("DELETE", url), ("POST", f"{url}/retry")]:
        reply = await api.ask(method, path, headers=bearer(token))
        reply.problem(403, "forbidden")
        assert 'error="insufficient_scope"' in reply.headers["WWW-Authenticate"]
    by_query = await api.get(f"/v1/jobs?access_token={token}")
    by_query.problem(403, "forbidden")


async def test_it_ends_with_its_job(api: Api) -> None:
    url, token = await finished(api)
    await api.ask("DELETE", url)

    (await api.get(url, Authorization=f"Bearer {token}")).problem(404, "job_not_found")


async def test_other_parameters_are_checked_beside_it(api: Api) -> None:
    url, token = await submitted(api)

    problem = (await api.get(f"{url}?access_token={token}&a=1")).problem(400, "unknown_parameter")
    escaped = await sent(api, f"GET {url}?access%5Ftoken={token} HTTP/1.1\r\nHost: x\r\n")

    assert [error.parameter for error in problem.errors] == ["a"]
    assert escaped.startswith(b"HTTP/1.1 200 ")
    assert b"Referrer-Policy: no-referrer" in escaped


async def test_it_is_in_no_line_of_the_log(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    url, token = await submitted(api)
    path = f"{url}?access_token={token}"

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(api.services.readers, "get", broken)
    (await api.get(path)).problem(500, "internal_error")
    for request in (
        f"PUT {path} HTTP/1.1\r\nHost: x\r\n",
        f"BREW {path} HTTP/1.1\r\nHost: x\r\n",
        f"GET {path} HTTP/9.9\r\nHost: x\r\n",
        f"GET {path}\x01 HTTP/1.1\r\nHost: x\r\n",
        f"GET {path} HTTP/1.1\r\nHost: x\r\nReferer {path}\r\n",
    ):
        assert (await sent(api, request))[8:11] == b" 40", request

    assert "A request failed." in caplog.text
    told = [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    assert not [line for line in told if token in line]
