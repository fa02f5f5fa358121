"""`GET /v1/jobs`: filters, pages, and parameters that are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Api, Reply


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
        "queue=none%00": [],
        "kind=%FF%ED%A0%80": [],
        "idempotency_key=my-key": [other],
        "idempotency_key=%27": [],
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
