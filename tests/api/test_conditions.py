"""Headers that a submission or a deletion depends on, and those that a job keeps."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Api

BODY = b'{"kind":"test.any"}'


def stated(algorithm: str, body: bytes = BODY) -> str:
    digest = hashlib.new(algorithm.replace("-", ""), body).digest()
    return f"{algorithm}=:{base64.b64encode(digest).decode()}:"


async def test_no_version_of_a_job_is_strong(api: Api) -> None:
    url = await api.ended()
    etag = (await api.get(url)).headers["ETag"]

    for if_match in (etag, etag.removeprefix("W/"), '"x"'):
        reply = await api.ask("DELETE", url, headers={"If-Match": if_match})
        assert reply.problem(412, "precondition_failed").retryable is False
    assert (await api.ask("DELETE", url, headers={"If-Match": "*"})).status == 204
    gone = await api.ask("DELETE", url, headers={"If-Match": etag})
    gone.problem(404, "job_not_found")
    active = (await api.submit()).headers["Location"]
    refused = await api.ask("DELETE", active, headers={"If-Match": "*, 1"})
    refused.problem(409, "job_active")


@pytest.mark.parametrize(
    "digest",
    [
        stated("sha-256"),
        stated("sha-512"),
        f"{stated('sha-256')}, {stated('sha-512')}",
        "md5=:AAAA:",
        f"unixsum=:AAAA:,\t{stated('sha-256')}",
        "sha-256",
        "sha-256=1",
        "",
    ],
)
async def test_a_body_is_what_its_digest_says(api: Api, digest: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Digest": digest}

    reply = await api.ask("POST", "/v1/jobs", data=BODY, headers=headers)

    assert reply.status == 202


@pytest.mark.parametrize(
    "digest",
    [
        stated("sha-256", b"other"),
        stated("sha-512", b"other"),
        f"{stated('sha-256')}, {stated('sha-512', b'other')}",
        "sha-256=:AAAA:",
        "sha-256=:?:",
        "sha-256=::",
    ],
)
async def test_a_body_is_not_what_its_digest_says(api: Api, digest: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Digest": digest}

    reply = await api.ask("POST", "/v1/jobs", data=BODY, headers=headers)

    (error,) = reply.problem(400, "digest_mismatch").errors
    assert error.header == "Content-Digest"
    assert (await api.get("/v1/jobs")).json["jobs"] == []


async def test_a_job_that_is_gone_has_a_name(api: Api) -> None:
    submitted = await api.submit(Idempotency_Key="k", Prefer="respond-async")
    await api.end(await api.claim())
    url, job_id = submitted.headers["Location"], submitted.job.job_id
    await api.ask("DELETE", url)

    replayed = await api.submit(Idempotency_Key="k")

    assert replayed.problem(410, "job_expired").job_id == job_id
    assert "job_id" not in (await api.get(url)).json


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0"])
async def test_a_job_knows_what_its_request_was_called(api: Api, prefer: str) -> None:
    named = await api.submit(X_Request_Id="order-7", Prefer=prefer)
    unnamed = await api.submit(Prefer=prefer)
    read = [(await api.get(one.headers["Location"])).job for one in (named, unnamed)]

    assert named.headers["X-Request-Id"] == named.job.request_id == read[0].request_id == "order-7"
    assert unnamed.job.request_id is read[1].request_id is None


async def test_two_traces_are_none(api: Api) -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    headers = [("traceparent", trace), ("Prefer", "respond-async")]

    one = await api.ask("POST", "/v1/jobs", json={"kind": "test.any"}, headers=headers)
    headers.append(("traceparent", trace))
    two = await api.ask("POST", "/v1/jobs", json={"kind": "test.any"}, headers=headers)

    assert (one.job.trace_id, two.job.trace_id) == ("a" * 32, None)
