"""`/v1/webhook-deliveries`: lists, one with its attempts, and sending it once more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.deliveries import (
    Attempted,
    DeadReason,
    DeliveryAttempt,
    DeliveryStatus,
    Verdict,
)
from jobd.domain.principals import Scope
from jobd.store.deliveries import Deliveries
from tests.support.clock import START_MS

if TYPE_CHECKING:
    from tests.api.conftest import Api, Reply

ROUTE = "/v1/webhook-deliveries"
REDELIVER = f"{ROUTE}/redeliver"
ENDPOINTS = "/v1/webhook-endpoints"
URL = "https://example.com/hook"
NOBODY = f"{ROUTE}/dlv_{'0' * 32}"

REFUSED = DeliveryAttempt(
    attempt=1,
    started_at_ms=START_MS,
    duration_ms=12,
    status_code=503,
    error="http_status",
    response_excerpt="later",
    response_headers={"retry-after": "7"},
)
TAKEN = DeliveryAttempt(attempt=1, started_at_ms=START_MS, duration_ms=3, status_code=204)


async def told(api: Api, url: str = URL) -> str:
    """End a job that calls back; return the id of the delivery."""
    await api.submit({"kind": "test.any", "callback_url": url}, Prefer="respond-async")
    await api.end(await api.claim())
    return await newest(api)


async def newest(api: Api) -> str:
    found: str = (await api.get(f"{ROUTE}?page_size=1")).json["deliveries"][0]["delivery_id"]
    return found


async def attempted(api: Api, delivery_id: str, attempt: DeliveryAttempt, verdict: Verdict) -> None:
    ended = Attempted(delivery_id, attempt, verdict)
    await Deliveries(api.database, api.clock).record([ended])


async def dead(api: Api, delivery_id: str, reason: DeadReason = "exhausted") -> None:
    await attempted(api, delivery_id, REFUSED, Verdict(DeliveryStatus.DEAD, dead_reason=reason))


async def arrived(api: Api, delivery_id: str) -> None:
    await attempted(api, delivery_id, TAKEN, Verdict(DeliveryStatus.SUCCEEDED))


async def endpoint(api: Api, **fields: Any) -> str:
    reply = await api.ask("POST", ENDPOINTS, json={"url": URL, **fields})
    found: str = reply.json["endpoint_id"]
    return found


def ids(reply: Reply) -> list[str]:
    return [one["delivery_id"] for one in reply.json["deliveries"]]


async def test_a_delivery_that_waits(api: Api) -> None:
    delivery_id = await told(api)

    document = (await api.get(f"{ROUTE}/{delivery_id}")).json

    assert document == {
        "delivery_id": delivery_id,
        "message_id": document["message_id"],
        "principal": api.me,
        "endpoint_id": None,
        "url": URL,
        "receiver": "https://example.com",
        "event_type": "job.completed",
        "job_id": document["job_id"],
        "status": "pending",
        "attempt_count": 0,
        "next_attempt_at": "2026-01-01T00:00:00Z",
        "created_at": "2026-01-01T00:00:00Z",
        "last_attempt": None,
        "dead_reason": None,
        "attempts": [],
    }
    assert (await api.get(f"/v1/jobs/{document['job_id']}")).status == 200


async def test_a_dead_letter_has_its_reason_and_all_attempts(api: Api) -> None:
    delivery_id = await told(api)
    await attempted(api, delivery_id, REFUSED, Verdict(DeliveryStatus.RETRYING, delay_s=5.0))
    second = DeliveryAttempt(attempt=2, started_at_ms=START_MS, duration_ms=9, error="timeout")
    await attempted(api, delivery_id, second, Verdict(DeliveryStatus.DEAD, dead_reason="exhausted"))

    document = (await api.get(f"{ROUTE}/{delivery_id}")).json
    listed = (await api.get(f"{ROUTE}?status=dead")).json["deliveries"]

    assert (document["status"], document["dead_reason"]) == ("dead", "exhausted")
    assert (document["attempt_count"], document["next_attempt_at"]) == (2, None)
    assert document["attempts"] == [
        {
            "attempt": 1,
            "started_at": "2026-01-01T00:00:00Z",
            "duration_ms": 12,
            "status_code": 503,
            "error": "http_status",
            "response_excerpt": "later",
            "response_headers": {"retry-after": "7"},
        },
        {
            "attempt": 2,
            "started_at": "2026-01-01T00:00:00Z",
            "duration_ms": 9,
            "status_code": None,
            "error": "timeout",
            "response_excerpt": None,
            "response_headers": {},
        },
    ]
    assert listed == [{name: document[name] for name in document if name != "attempts"}]
    assert listed[0]["last_attempt"] == document["attempts"][1]


async def test_filters_add_up(api: Api) -> None:
    to = await endpoint(api)
    await told(api)
    both = (await api.get(ROUTE)).json["deliveries"]
    (mine,) = (one for one in both if one["endpoint_id"] == to)
    (other,) = (one for one in both if one["endpoint_id"] is None)
    await dead(api, other["delivery_id"])
    job_id = mine["job_id"]

    async def found(query: str) -> set[str]:
        return set(ids(await api.get(f"{ROUTE}?{query}")))

    assert await found(f"endpoint_id={to}") == {mine["delivery_id"]}
    assert await found("status=dead") == {other["delivery_id"]}
    assert await found(f"status=dead&endpoint_id={to}") == set()
    assert await found(f"job_id={job_id}&status=pending") == {mine["delivery_id"]}
    assert await found("job_id=job_x") == set()
    assert len(await found("since=2026-01-01T00:00:00Z")) == 2
    assert await found("since=2026-01-01T00:00:01Z") == set()
    assert len(await found("since=1969-01-01T00:00:00Z")) == 2


async def test_pages_follow_each_other_and_belong_to_their_list(api: Api) -> None:
    made = [await told(api) for _ in range(5)]

    first = await api.get(f"{ROUTE}?page_size=2")
    token = first.json["next_page_token"]
    second = await api.get(f"{ROUTE}?page_size=2&page_token={token}")
    last = await api.get(f"{ROUTE}?page_token={second.json['next_page_token']}")

    assert ids(first) + ids(second) + ids(last) == made[::-1]
    assert last.json["next_page_token"] is None
    assert 'rel="next"' in first.headers["Link"]
    for bad in (f"status=dead&page_token={token}", "page_token=x", "page_token=%C3%A9"):
        (await api.get(f"{ROUTE}?{bad}")).problem(400, "invalid_page_token")


async def test_what_is_over_is_sent_once_more(api: Api) -> None:
    delivery_id = await told(api)
    message_id = (await api.get(f"{ROUTE}/{delivery_id}")).json["message_id"]
    await dead(api, delivery_id)
    api.clock.advance(60)

    reply = await api.ask("POST", f"{ROUTE}/{delivery_id}/redeliver")

    assert reply.status == 202
    assert reply.json["message_id"] == message_id
    assert (reply.json["status"], reply.json["dead_reason"]) == ("pending", None)
    assert reply.json["next_attempt_at"] == "2026-01-01T00:01:00Z"
    assert reply.json["last_attempt"]["status_code"] == 503
    again = await api.ask("POST", f"{ROUTE}/{delivery_id}/redeliver")
    again.problem(409, "delivery_active")


async def test_all_that_fits_is_sent_once_more(api: Api) -> None:
    to = await endpoint(api)
    for _ in range(3):
        await told(api)
    listed = (await api.get(ROUTE)).json["deliveries"]
    for one in listed[:-1]:
        await dead(api, one["delivery_id"])
    await arrived(api, listed[-1]["delivery_id"])

    to_it = await api.ask("POST", REDELIVER, json={"endpoint_id": to})
    rest = await api.ask("POST", REDELIVER, json={})
    nothing = await api.ask("POST", REDELIVER, json={"status": "dead"})
    well = await api.ask(
        "POST", REDELIVER, json={"status": "succeeded", "since": "2026-01-01T00:00:00Z"}
    )

    assert {to_it.status, rest.status, nothing.status} == {202}
    assert to_it.json["redelivered"] + rest.json["redelivered"] == 5
    assert (nothing.json["redelivered"], well.json["redelivered"]) == (0, 1)


async def test_nothing_is_sent_to_what_is_disabled_or_gone(api: Api) -> None:
    to = await endpoint(api)
    await api.ask("POST", f"{ENDPOINTS}/{to}/test")
    delivery_id = await newest(api)
    await dead(api, delivery_id, "endpoint_disabled")

    await api.ask("PATCH", f"{ENDPOINTS}/{to}", json={"enabled": False})
    disabled = await api.ask("POST", f"{ROUTE}/{delivery_id}/redeliver")
    none = await api.ask("POST", REDELIVER, json={})
    await api.ask("DELETE", f"{ENDPOINTS}/{to}")
    gone = await api.ask("POST", f"{ROUTE}/{delivery_id}/redeliver")

    disabled.problem(409, "endpoint_disabled")
    gone.problem(404, "endpoint_not_found")
    assert none.json == {"redelivered": 0}


async def test_anothers_are_as_if_they_never_were(api: Api) -> None:
    delivery_id = await told(api)
    await dead(api, delivery_id)
    to = await endpoint(api)
    await api.ask("POST", f"{ENDPOINTS}/{to}/test")
    other = await api.bearer(Scope.SUBMIT)

    for query in ("", f"?endpoint_id={to}", "?status=dead"):
        assert ids(await api.ask("GET", ROUTE + query, headers=other)) == []
    for url in (f"{ROUTE}/{delivery_id}", NOBODY, f"{ROUTE}/x"):
        seen = await api.ask("GET", url, headers=other)
        seen.problem(404, "delivery_not_found")
        again = await api.ask("POST", f"{url}/redeliver", headers=other)
        again.problem(404, "delivery_not_found")
    none = await api.ask("POST", REDELIVER, json={}, headers=other)
    assert none.json == {"redelivered": 0}


async def test_who_may_read_sees_anothers_and_sends_nothing(api: Api) -> None:
    delivery_id = await told(api)
    await dead(api, delivery_id)
    url, reader = f"{ROUTE}/{delivery_id}", await api.bearer(Scope.READ, Scope.SUBMIT)

    seen = await api.ask("GET", url, headers=reader)
    listed = await api.ask("GET", f"{ROUTE}?all=true&status=dead", headers=reader)
    one = await api.ask("POST", f"{url}/redeliver", headers=reader)
    all_ = await api.ask("POST", REDELIVER, json={"all": True}, headers=reader)

    assert (seen.status, seen.json["principal"], ids(listed)) == (200, api.me, [delivery_id])
    for refused in (one, all_):
        refused.problem(403, "forbidden")
        assert refused.headers["WWW-Authenticate"].endswith('scope="operate"')
    assert ids(await api.get(f"{ROUTE}?status=dead")) == [delivery_id]


async def test_who_may_operate_sends_anothers_once_more(api: Api) -> None:
    operator = await api.bearer(Scope.OPERATE)
    first, second = await told(api), await told(api)
    for delivery_id in (first, second):
        await dead(api, delivery_id)

    one = await api.ask("POST", f"{ROUTE}/{first}/redeliver", headers=operator)
    own = await api.ask("POST", REDELIVER, json={}, headers=operator)
    all_ = await api.ask("POST", REDELIVER, json={"all": True}, headers=operator)

    assert (one.status, one.json["principal"]) == (202, api.me)
    assert (own.json["redelivered"], all_.json["redelivered"]) == (0, 1)


async def test_a_list_of_all_is_for_those_who_may_read(api: Api) -> None:
    await told(api)
    other = await api.bearer(Scope.SUBMIT)
    callback = {"kind": "test.any", "callback_url": URL}
    headers = {**other, "Prefer": "respond-async"}
    await api.ask("POST", "/v1/jobs", json=callback, headers=headers)
    await api.end(await api.claim())

    refused = await api.ask("GET", f"{ROUTE}?all=true", headers=other)
    first = await api.get(f"{ROUTE}?all=true&page_size=1")
    query = f"page_size=1&page_token={first.json['next_page_token']}"
    second = await api.get(f"{ROUTE}?all=true&{query}")

    refused.problem(403, "forbidden")
    owners = [page.json["deliveries"][0]["principal"] for page in (first, second)]
    assert (owners, second.json["next_page_token"]) == (["another", api.me], None)
    (await api.get(f"{ROUTE}?{query}")).problem(400, "invalid_page_token")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("status=ended", "invalid_parameter"),
        ("status=dead&status=pending", "invalid_parameter"),
        ("since=yesterday", "invalid_parameter"),
        ("since=2026-01-01T00:00:00", "invalid_parameter"),
        ("page_size=0", "invalid_parameter"),
        ("reason=gone", "unknown_parameter"),
    ],
)
async def test_parameters_that_make_no_sense(api: Api, query: str, code: str) -> None:
    (await api.get(f"{ROUTE}?{query}")).problem(400, code)


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"status": "pending"}, "#/status"),
        ({"since": "2026-01-01"}, "#/since"),
        ({"job_id": 7}, "#/job_id"),
        ({"all": 1}, "#/all"),
        ({"reason": "gone"}, "#/reason"),
    ],
)
async def test_a_wish_that_breaks_a_rule_changes_nothing(
    api: Api, document: dict[str, Any], pointer: str
) -> None:
    await dead(api, await told(api))

    problem = (await api.ask("POST", REDELIVER, json=document)).problem(422, "validation_error")

    assert [error.pointer for error in problem.errors] == [pointer]
    assert len(ids(await api.get(f"{ROUTE}?status=dead"))) == 1


async def test_redeliver_is_no_delivery(api: Api) -> None:
    reply = await api.get(REDELIVER)

    reply.problem(405, "method_not_allowed")
    assert reply.headers["Allow"] == "POST"
