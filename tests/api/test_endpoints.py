"""`/v1/webhook-endpoints`: register, read, change, remove, test; who sees them, what is refused."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.endpoints import Disabling, NewEndpoint
from jobd.domain.principals import Scope
from jobd.domain.signing import new_secret

if TYPE_CHECKING:
    from tests.api.conftest import Api, Reply

ROUTE = "/v1/webhook-endpoints"
URL = "https://example.com/hook"
NOBODY = f"{ROUTE}/whe_{'0' * 32}"
OWN = "whsec_" + base64.b64encode(bytes(24)).decode()
CHANGES = [("PATCH", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/rotate-secret")]
FULL: dict[str, Any] = {
    "url": "unix:/run/app.sock:/hook",
    "events": ["job.failed", "batch.completed"],
    "kinds": ["test.any", "mail.*"],
    "queues": ["default"],
    "payload": "job",
    "rate_per_second": 2.5,
    "enabled": False,
    "paused": True,
    "description": "Für später",
}


async def add(api: Api, **fields: Any) -> Reply:
    return await api.ask("POST", ROUTE, json={"url": URL, **fields})


async def added(api: Api, **fields: Any) -> str:
    """Register an endpoint and return its URL."""
    url: str = (await add(api, **fields)).headers["Location"]
    return url


async def of_another(api: Api) -> str:
    endpoint_id = "whe_" + "1" * 32
    new = NewEndpoint(endpoint_id=endpoint_id, principal="uid:4711", url=URL, secret=new_secret())
    await api.writer.add_endpoint(new)
    return f"{ROUTE}/{endpoint_id}"


async def test_an_endpoint_is_registered_with_what_is_usual(api: Api) -> None:
    reply = await add(api)

    endpoint_id = reply.json["endpoint_id"]
    assert reply.status == 201
    assert re.fullmatch(r"whe_[0-9a-f]{32}", endpoint_id)
    assert reply.headers["Location"] == f"{ROUTE}/{endpoint_id}"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.json == {
        "endpoint_id": endpoint_id,
        "principal": api.me,
        "url": URL,
        "events": None,
        "kinds": None,
        "queues": None,
        "payload": "notice",
        "rate_per_second": None,
        "enabled": True,
        "paused": False,
        "description": "",
        "secret": reply.json["secret"],
        "secret_hint": f"whsec_…{reply.json['secret'][-4:]}",
        "disabled_reason": None,
        "failing_since": None,
        "created_at": "2026-01-01T00:00:00Z",
        "updated_at": "2026-01-01T00:00:00Z",
    }


async def test_what_is_given_stays(api: Api) -> None:
    url = await added(api, **FULL, secret=OWN)

    assert FULL.items() <= (await api.get(url)).json.items()
    assert (await api.get(url)).json["secret_hint"] == f"whsec_…{OWN[-4:]}"


async def test_a_secret_is_shown_when_it_is_made_and_never_again(api: Api) -> None:
    reply = await add(api, secret=OWN)
    url = reply.headers["Location"]

    assert reply.json["secret"] == OWN
    rotated = await api.ask("POST", f"{url}/rotate-secret", json={"overlap_seconds": 60})
    until = rotated.json["previous_secret_expires_at"]
    assert rotated.json["endpoint_id"] == reply.json["endpoint_id"]
    assert until == "2026-01-01T00:01:00Z"
    for shown in (await api.get(url), await api.get(ROUTE)):
        assert OWN not in shown.body.decode()
        assert rotated.json["secret"] not in shown.body.decode()


async def test_the_list_holds_the_callers_own_oldest_first(api: Api) -> None:
    await of_another(api)
    urls = [await added(api), await added(api)]

    listed = (await api.get(ROUTE)).json

    assert [f"{ROUTE}/{one['endpoint_id']}" for one in listed["endpoints"]] == urls
    assert listed["next_page_token"] is None


async def test_a_patch_changes_what_it_names(api: Api) -> None:
    url = await added(api, **FULL)
    api.clock.advance(5)

    reply = await api.ask(
        "PATCH", url, json={"kinds": None, "paused": False, "rate_per_second": None}
    )

    expected = {**FULL, "kinds": None, "paused": False, "rate_per_second": None}
    assert reply.status == 200
    assert expected.items() <= reply.json.items()
    assert reply.json["updated_at"] == "2026-01-01T00:00:05Z"
    assert (await api.get(url)).json == reply.json


async def test_enabling_forgets_why_it_was_disabled(api: Api) -> None:
    url = await added(api)
    await api.writer.disable_endpoint(Disabling(url.rpartition("/")[2], "gone"))
    disabled = (await api.get(url)).json

    enabled = (await api.ask("PATCH", url, json={"enabled": True})).json

    assert (disabled["enabled"], disabled["disabled_reason"]) == (False, "gone")
    assert (enabled["enabled"], enabled["disabled_reason"]) == (True, None)


async def test_a_version_that_the_caller_has_is_not_sent_again(api: Api) -> None:
    url = await added(api)
    etag = (await api.get(url)).headers["ETag"]

    unchanged = await api.get(url, If_None_Match=etag)
    await api.ask("PATCH", url, json={"paused": True})
    changed = await api.get(url, If_None_Match=etag)

    assert re.fullmatch(r'"[^"]+"', etag)  # strong: If-Match may name it
    assert (unchanged.status, unchanged.body) == (304, b"")
    assert changed.status == 200
    assert changed.headers["ETag"] != etag


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
async def test_a_change_for_another_version_is_refused(api: Api, method: str) -> None:
    url = await added(api)
    old = (await api.get(url)).headers["ETag"]
    await api.ask("PATCH", url, json={"paused": True})
    new = (await api.get(url)).headers["ETag"]

    body: dict[str, Any] = {"json": {}} if method == "PATCH" else {}

    refused = await api.ask(method, url, headers={"If-Match": old}, **body)
    done = await api.ask(method, url, headers={"If-Match": new}, **body)

    refused.problem(412, "precondition_failed")
    assert done.status == (200 if method == "PATCH" else 204)


async def test_any_version_will_do(api: Api) -> None:
    url = await added(api)

    reply = await api.ask("PATCH", url, json={}, headers={"If-Match": "*"})

    assert reply.status == 200


async def test_what_is_removed_is_gone(api: Api) -> None:
    url = await added(api)

    assert (await api.ask("DELETE", url)).status == 204
    (await api.get(url)).problem(404, "endpoint_not_found")
    assert (await api.get(ROUTE)).json["endpoints"] == []


@pytest.mark.parametrize(("method", "rest"), [("GET", ""), *CHANGES])
async def test_anothers_is_as_one_that_never_was(api: Api, method: str, rest: str) -> None:
    submitter = await api.bearer(Scope.SUBMIT)
    for url in (await of_another(api), NOBODY, f"{ROUTE}/default", f"{ROUTE}/x"):
        body: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
        if url.endswith("default") and rest == "/rotate-secret":
            continue
        reply = await api.ask(method, url + rest, headers=submitter, **body)
        reply.problem(404, "endpoint_not_found")


async def test_who_may_read_sees_anothers_and_changes_nothing(api: Api) -> None:
    url, reader = await of_another(api), await api.bearer(Scope.READ, Scope.SUBMIT)

    seen = await api.ask("GET", url, headers=reader)

    assert (seen.status, seen.json["principal"]) == (200, "uid:4711")
    for method, rest in CHANGES:
        body: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
        refused = await api.ask(method, url + rest, headers=reader, **body)
        refused.problem(403, "forbidden")
        assert refused.headers["WWW-Authenticate"].endswith('scope="operate"')
    assert (await api.ask("GET", url, headers=reader)).json == seen.json


async def test_who_may_operate_changes_anothers_and_it_stays_whose_it_was(api: Api) -> None:
    url, operator = await of_another(api), await api.bearer(Scope.OPERATE)

    changed = await api.ask("PATCH", url, json={"description": "x"}, headers=operator)
    tested = await api.ask("POST", f"{url}/test", headers=operator)
    rotated = await api.ask("POST", f"{url}/rotate-secret", headers=operator)
    removed = await api.ask("DELETE", url, headers=operator)

    assert [one.status for one in (changed, tested, rotated, removed)] == [200, 202, 200, 204]
    assert changed.json["principal"] == tested.json["principal"] == "uid:4711"


async def test_pages_follow_each_other_and_belong_to_their_list(api: Api) -> None:
    urls = [await added(api) for _ in range(3)]

    first = await api.get(f"{ROUTE}?page_size=2")
    query = f"page_token={first.json['next_page_token']}"
    last = await api.get(f"{ROUTE}?{query}")

    listed = [*first.json["endpoints"], *last.json["endpoints"]]
    assert [f"{ROUTE}/{one['endpoint_id']}" for one in listed] == urls
    assert last.json["next_page_token"] is None
    assert f'page_size=2&{query}>; rel="next"' in first.headers["Link"]
    for bad in (f"all=true&{query}", "page_token=x", "page_token=%C3%A9"):
        (await api.get(f"{ROUTE}?{bad}")).problem(400, "invalid_page_token")


async def test_a_list_of_all_is_for_those_who_may_read(api: Api) -> None:
    theirs, mine = await of_another(api), await added(api)
    submitter = await api.bearer(Scope.SUBMIT)

    listed = (await api.get(f"{ROUTE}?all=true")).json["endpoints"]
    refused = await api.ask("GET", f"{ROUTE}?all=true", headers=submitter)

    urls = {f"{ROUTE}/{one['endpoint_id']}": one["principal"] for one in listed}
    assert urls == {theirs: "uid:4711", mine: api.me}
    refused.problem(403, "forbidden")
    assert refused.headers["WWW-Authenticate"].endswith('scope="read"')
    (await api.get(f"{ROUTE}?all=maybe")).problem(400, "invalid_parameter")


@pytest.mark.parametrize(
    ("fields", "code", "pointer"),
    [
        ({"url": "http://example.com/"}, "callback_url_forbidden", "#/url"),
        ({"url": "https://127.0.0.1/"}, "callback_url_forbidden", "#/url"),
        ({"url": "https://[::ffff:169.254.169.254]/"}, "callback_url_forbidden", "#/url"),
        ({"url": "unix:/run/other.sock:/"}, "callback_url_forbidden", "#/url"),
        ({"url": "https://a:b@example.com/"}, "callback_url_forbidden", "#/url"),
        ({"url": "javascript:alert(1)"}, "callback_url_forbidden", "#/url"),
        ({"url": "https://example.com/" + "x" * 2048}, "callback_url_forbidden", "#/url"),
        ({"url": None}, "validation_error", "#/url"),
        ({"events": ["job.failed", "job.progress"]}, "validation_error", "#/events/1"),
        ({"events": []}, "validation_error", "#/events"),
        ({"kinds": ["a b"]}, "validation_error", "#/kinds/0"),
        ({"kinds": ["*"]}, "validation_error", "#/kinds/0"),
        ({"kinds": ["a"] * 101}, "validation_error", "#/kinds"),
        ({"queues": ["mail.*"]}, "validation_error", "#/queues/0"),
        ({"payload": "all"}, "validation_error", "#/payload"),
        ({"rate_per_second": 0}, "validation_error", "#/rate_per_second"),
        ({"rate_per_second": 1e9}, "validation_error", "#/rate_per_second"),
        ({"enabled": None}, "validation_error", "#/enabled"),
        ({"description": "x" * 501}, "validation_error", "#/description"),
        ({"colour": "red"}, "validation_error", "#/colour"),
    ],
)
async def test_what_breaks_a_rule_is_refused_and_nothing_is_stored(
    api: Api, fields: dict[str, Any], code: str, pointer: str
) -> None:
    url = await added(api)
    before = (await api.get(ROUTE)).json

    for reply in (await add(api, **fields), await api.ask("PATCH", url, json=fields)):
        problem = reply.problem(422, code)
        assert [error.pointer for error in problem.errors] == [pointer]
    assert (await api.get(ROUTE)).json == before


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "whsec_",
        "secret",
        OWN.removeprefix("whsec_"),
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_" + "é" * 32,
        OWN + "\n",
    ],
)
async def test_a_secret_of_the_wrong_form_is_refused(api: Api, secret: str) -> None:
    problem = (await add(api, secret=secret)).problem(422, "validation_error")

    assert [error.pointer for error in problem.errors] == ["#/secret"]
    assert len(secret) < 10 or secret not in problem.errors[0].detail
    assert (await api.get(ROUTE)).json["endpoints"] == []


async def test_there_is_a_limit(api: Api) -> None:
    for _ in range(100):
        await added(api)

    (await add(api)).problem(429, "endpoint_limit")


async def test_a_test_is_due_at_once(api: Api) -> None:
    url = await added(api)

    reply = await api.ask("POST", f"{url}/test")

    assert reply.status == 202
    assert reply.json["event_type"] == "webhook.test"
    assert reply.json["status"] == "pending"
    assert reply.json["job_id"] is None
    assert (await api.get(reply.headers["Location"])).json == {**reply.json, "attempts": []}


async def test_a_disabled_one_cannot_be_tried(api: Api) -> None:
    url = await added(api, enabled=False)

    (await api.ask("POST", f"{url}/test")).problem(409, "endpoint_disabled")


async def test_the_operators_secret_is_shown_to_an_admin(api: Api) -> None:
    operator = await api.bearer(Scope.OPERATE)
    refused = await api.ask("POST", f"{ROUTE}/ops/rotate-secret", headers=operator)
    reply = await api.ask("POST", f"{ROUTE}/ops/rotate-secret")

    refused.problem(403, "forbidden")

    assert reply.json["endpoint_id"] == "ops"
    assert reply.json["secret"].startswith("whsec_")


async def test_parameters_and_methods_that_are_not_there_are_refused(api: Api) -> None:
    (await api.get(f"{ROUTE}?x=1")).problem(400, "unknown_parameter")
    (await api.ask("PUT", NOBODY)).problem(405, "method_not_allowed")
    (await api.ask("POST", ROUTE, data=b"{}")).problem(415, "unsupported_media_type")
