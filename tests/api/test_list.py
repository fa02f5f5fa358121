"""`GET /v1/jobs`: filters, pages, and parameters that are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobd.config import Config, Server
from jobd.domain.jobs import Artifact
from jobd.domain.statuses import Status
from jobd.store import listing

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.api.conftest import Api, Reply

ARTIFACT = Artifact("out.csv", "1/out.csv", "text/csv", 3, "ab" * 32, 1)


def ids(reply: Reply) -> list[str]:
    return [job["job_id"] for job in reply.json["jobs"]]


async def submitted(api: Api, count: int) -> list[str]:
    return [(await api.submit()).job.job_id for _ in range(count)]


async def test_jobs_are_listed_newest_first(api: Api) -> None:
    made = await submitted(api, 3)

    reply = await api.get("/v1/jobs")

    assert (reply.status, ids(reply)) == (200, made[::-1])
    assert reply.json["next_page_token"] is None
    assert reply.headers["Link"] == '</v1/jobs>; rel="first"'
    assert reply.headers["Cache-Control"] == "private, no-cache"


async def test_an_entry_is_the_plain_document(api: Api) -> None:
    url = (await api.submit()).headers["Location"]

    (entry,) = (await api.get("/v1/jobs")).json["jobs"]

    whole = (await api.get(url)).json
    assert whole["queue_position"] == 0  # a list does not look for it
    assert {**entry, "queue_position": 0} == {name: whole[name] for name in entry}
    assert "args" not in entry


async def test_pages_follow_one_another_to_the_end(api: Api) -> None:
    made = await submitted(api, 5)
    seen, path = [], "/v1/jobs?page_size=2&status=queued"

    for _ in range(3):
        reply = await api.get(path)
        seen += ids(reply)
        token = reply.json["next_page_token"]
        path = f"/v1/jobs?page_size=2&status=queued&page_token={token}"

    assert (seen, token) == (made[::-1], None)


async def test_the_link_header_leads_to_the_next_page(api: Api) -> None:
    made = await submitted(api, 2)

    first, following = (
        (await api.get("/v1/jobs?page_size=1&queue=default")).headers["Link"].split(", ")
    )

    assert first == '</v1/jobs?page_size=1&queue=default>; rel="first"'
    url, relation = following.split("; ")
    assert relation == 'rel="next"'
    assert ids(await api.get(url[1:-1])) == [made[0]]


async def test_the_page_size_may_change_between_pages(api: Api) -> None:
    made = await submitted(api, 3)
    token = (await api.get("/v1/jobs?page_size=1")).json["next_page_token"]

    assert ids(await api.get(f"/v1/jobs?page_size=7&page_token={token}")) == [made[1], made[0]]


async def test_filters(api: Api) -> None:
    done = (await api.ended()).removeprefix("/v1/jobs/")
    api.clock.ms += 5000
    strict = {"kind": "test.strict", "args": {"n": 1}}
    other = (await api.submit(strict, Idempotency_Key="my key".replace(" ", "-"))).job.job_id

    expected = {
        "status=completed": [done],
        "status=completed&status=queued": [other, done],
        "status=failed": [],
        "kind=test.strict": [other],
        "queue=slow": [other],
        "kind=%FF%ED%A0%80": [],
        "idempotency_key=my-key": [other],
        "idempotency_key=%27": [],
        "batch_id=bat_none": [],
        "batch_id=": [],
        "created_after=2026-01-01T00:00:03Z": [other],
        "created_before=2026-01-01T00:00:03.5Z": [done],
        "created_after=2026-01-01T01:00:00%2B01:00&created_before=2027-01-01T00:00:00Z": None,
        "page_token=&page_size=": [other, done],
    }
    for query, wanted in expected.items():
        reply = await api.get(f"/v1/jobs?{query}")
        assert reply.status == 200, query
        assert wanted is None or ids(reply) == wanted, query


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("page_size=0", "page_size"),
        ("page_size=-1", "page_size"),
        ("queue=none%00", "queue"),
        ("page_size=1001", "page_size"),
        ("page_size=x", "page_size"),
        ("page_size=%D9%A5", "page_size"),
        ("page_size=" + "9" * 5000, "page_size"),
        ("page_size=1&page_size=2", "page_size"),
        ("kind=a&kind=a", "kind"),
        ("status=done", "status"),
        ("status=queued&status=", "status"),
        ("created_after=yesterday", "created_after"),
        ("created_before=2026-01-01T00:00:00", "created_before"),
        ("created_before=2026-01-01T00:00:00+01:00", "created_before"),
    ],
)
async def test_a_parameter_that_is_not_valid(api: Api, query: str, parameter: str) -> None:
    problem = (await api.get(f"/v1/jobs?{query}")).problem(400, "invalid_parameter")

    assert [error.parameter for error in problem.errors] == [parameter]


async def test_a_parameter_that_does_not_exist(api: Api) -> None:
    problem = (await api.get("/v1/jobs?status=queued&colour=red")).problem(400, "unknown_parameter")

    assert [error.parameter for error in problem.errors] == ["colour"]


@pytest.mark.parametrize("token", ["x", "AAAA", "é", "=", "A" * 4000, "_" * 22])
async def test_a_page_token_that_is_not_one(api: Api, token: str) -> None:
    (await api.get(f"/v1/jobs?page_token={token}")).problem(400, "invalid_page_token")


async def test_a_page_token_of_another_list(api: Api) -> None:
    await submitted(api, 2)
    token = (await api.get("/v1/jobs?page_size=1")).json["next_page_token"]

    reply = await api.get(f"/v1/jobs?status=queued&page_token={token}")

    reply.problem(400, "invalid_page_token")


async def test_the_jobs_of_a_batch(api: Api) -> None:
    await api.submit()
    strict = {"kind": "test.strict", "args": {"n": 1}, "idempotency_key": "k"}
    document = {"jobs": [{"kind": "test.any"}, strict, {"kind": "test.any"}]}
    batch = (await api.ask("POST", "/v1/batches", json=document)).json
    jobs = batch["job_ids"][::-1]
    await api.ask("POST", f"/v1/jobs/{jobs[0]}/cancel")

    path = batch["jobs_url"]
    assert ids(await api.get(path)) == jobs
    first = await api.get(f"{path}&page_size=2")
    token = first.json["next_page_token"]
    rest = await api.get(f"{path}&page_size=2&page_token={token}")
    assert ids(first) + ids(rest) == jobs
    assert ids(await api.get(f"{path}&status=cancelled")) == jobs[:1]
    assert ids(await api.get(f"{path}&kind=test.strict&status=queued")) == jobs[1:2]
    assert ids(await api.get(f"{path}&idempotency_key=k")) == jobs[1:2]
    assert ids(await api.get("/v1/jobs?batch_id=bat_other&idempotency_key=k")) == []
    query = f"batch_id={batch['batch_id']}&last_event_id=1"
    async with api.stream(f"/v1/events?{query}") as events:
        told = [await events.next() for _ in range(4)]
    assert [frame.data["data"]["job_id"] for frame in told if frame] == [*jobs[::-1], jobs[0]]


async def test_a_page_may_be_empty_and_not_the_last(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST_VISITED", 2)
    made, *over = await submitted(api, 5)
    for job_id in over:
        await api.ask("POST", f"/v1/jobs/{job_id}/cancel")
    for _ in range(4):
        await api.submit({"kind": "test.strict", "args": {"n": 1}, "queue": "default"})
    found, path, pages = [], "/v1/jobs?status=queued&kind=test.any", 0

    while path:
        reply = await api.get(path)
        found += ids(reply)
        pages += 1
        *_, last = reply.headers["Link"].split(", ")
        path = last.split(">")[0][1:] if 'rel="next"' in last else ""

    assert found == [made]
    assert pages > 1


async def test_with_a_public_url_every_url_is_absolute(
    serve: Callable[..., AbstractAsyncContextManager[Api]],
) -> None:
    config = Config(server=Server(public_url="https://jobs.example/base/"))
    async with serve(config) as api:
        posted = await api.submit(Prefer="respond-async")
        await api.submit()
        listed = await api.get("/v1/jobs?page_size=1")
        job = posted.job
        url = f"https://jobs.example/base/v1/jobs/{job.job_id}"
        path = f"/v1/jobs/{job.job_id}"
        await api.end(await api.claim(), Status.FAILED, artifacts=(ARTIFACT,))
        async with api.stream(f"{path}/events") as events:
            (told,) = await events.rest()
        history = (await api.get(f"{path}/events", Accept="application/json")).json["events"]
        read = (await api.get(path)).json
        (file,) = (await api.get(f"{path}/artifacts")).json["artifacts"]
        retried = (await api.ask("POST", f"{path}/retry")).headers["Location"]

    assert (posted.headers["Location"], job.poll_url, job.logs_url) == (url, url, f"{url}/logs")
    assert listed.json["jobs"][0]["poll_url"].startswith("https://jobs.example/base/v1/jobs/job_")
    assert listed.headers["Link"].count("<https://jobs.example/base/v1/jobs?page_size=1") == 2
    assert {told.data["data"]["poll_url"], history[0]["data"]["poll_url"], read["poll_url"]} == {
        url
    }
    assert read["retry_url"] == f"{url}/retry"
    assert file["url"] == f"{url}/artifacts/out.csv"
    assert retried.startswith("https://jobs.example/base/v1/jobs/job_")
