"""Callbacks at submit, and `POST /v1/webhook-endpoints/default/rotate-secret`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Api

ROTATE = "/v1/webhook-endpoints/default/rotate-secret"


@pytest.mark.parametrize(
    "fields",
    [
        {"callback_url": "https://example.com/hook"},
        {"callback_url": "unix:/run/app.sock:/hook", "callback_events": ["job.queued"]},
        {"callback_url": "https://example.com/hook", "callback_events": []},
    ],
)
async def test_a_job_may_call_back(api: Api, fields: dict[str, Any]) -> None:
    submitted = await api.submit({"kind": "test.any", **fields})

    assert submitted.status == 202
    assert submitted.job.callback_url == fields["callback_url"]
    assert (await api.get(submitted.job.poll_url)).job.callback_url == fields["callback_url"]


@pytest.mark.parametrize("url", ["http://example.com/", "https://127.0.0.1/", "unix:/x.sock:/", ""])
async def test_where_it_may_not(api: Api, url: str) -> None:
    reply = await api.submit({"kind": "test.any", "callback_url": url})

    problem = reply.problem(422, "callback_url_forbidden")
    assert problem.errors[0].pointer == "#/callback_url"


async def test_of_what_it_cannot(api: Api) -> None:
    document = {"kind": "test.any", "callback_url": "https://example.com/"}
    reply = await api.submit({**document, "callback_events": ["job.failed", "job.progress"]})

    problem = reply.problem(422, "validation_error")
    assert problem.errors[0].pointer == "#/callback_events/1"


async def test_the_secret_is_shown_once(api: Api) -> None:
    first = await api.ask("POST", ROTATE)
    second = await api.ask("POST", ROTATE, json={"overlap_seconds": 60})
    third = await api.ask("POST", ROTATE, json={})

    assert first.headers["Cache-Control"] == "no-store"
    secrets = [reply.json["secret"] for reply in (first, second, third)]
    assert len(set(secrets)) == 3
    assert all(secret.startswith("whsec_") for secret in secrets)
    assert [reply.status for reply in (first, second, third)] == [200, 200, 200]
    assert [reply.json["previous_secret_expires_at"] for reply in (first, second, third)] == [
        None,
        "2026-01-01T00:01:00Z",
        "2026-01-02T00:00:00Z",
    ]


@pytest.mark.parametrize("overlap", [-1, 30 * 86400 + 1, "x", None])
async def test_an_overlap_that_makes_no_sense(api: Api, overlap: object) -> None:
    reply = await api.ask("POST", ROTATE, json={"overlap_seconds": overlap})

    assert reply.problem(422, "validation_error").errors[0].pointer == "#/overlap_seconds"


async def test_what_is_refused(api: Api) -> None:
    (await api.ask("POST", ROTATE, json={"overlap": 1})).problem(422, "validation_error")
    (await api.ask("POST", ROTATE, data=b"{}")).problem(415, "unsupported_media_type")
    (await api.ask("POST", f"{ROTATE}?a=1")).problem(400, "unknown_parameter")
    other = await api.ask("POST", "/v1/webhook-endpoints/other/rotate-secret")
    other.problem(404, "endpoint_not_found")
