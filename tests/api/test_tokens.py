"""`/v1/tokens`: made, shown once, listed, revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.api.conftest import Api, Reply

ASKED = {"principal": "webapp", "scopes": ["submit", "read"]}


async def create(api: Api, **more: Any) -> Reply:
    return await api.ask("POST", "/v1/tokens", json=ASKED | more)


async def test_a_token_is_shown_once(api: Api) -> None:
    reply = await create(api, description="The shop", expires_in_seconds=60)
    made = reply.json
    listed = await api.get("/v1/tokens")

    assert reply.status == 201
    assert reply.headers["Cache-Control"] == "no-store"
    token = made.pop("token")
    assert token.startswith(f"jdk_{made['token_id']}_")
    assert listed.json == {"tokens": [made], "next_page_token": None}
    assert token[17:] not in listed.body.decode()
    assert (made["principal"], made["scopes"]) == ("webapp", ["submit", "read"])
    assert (made["description"], made["last_used_at"]) == ("The shop", None)
    assert made["expires_at"] is not None


async def test_it_opens_until_it_is_revoked(api: Api) -> None:
    made = (await create(api)).json
    headers = {"Authorization": f"bearer  {made['token']}"}

    assert (await api.ask("GET", "/v1/jobs", headers=headers)).status == 200
    for _ in range(2):
        assert (await api.ask("DELETE", f"/v1/tokens/{made['token_id']}")).status == 204
    (await api.ask("GET", "/v1/jobs", headers=headers)).problem(401, "invalid_token")
    (listed,) = (await api.get("/v1/tokens")).json["tokens"]
    assert listed["revoked_at"] is not None
    assert listed["last_used_at"] is not None


async def test_jobs_by_a_token_are_its_principals(api: Api) -> None:
    first, second = [(await create(api)).json["token"] for _ in range(2)]
    submitted = await api.submit(Authorization=f"Bearer {first}", Prefer="respond-async")

    seen = await api.get(submitted.headers["Location"], Authorization=f"Bearer {second}")
    assert seen.json["principal"] == "webapp"


async def test_the_list_is_paged(api: Api) -> None:
    made = [(await create(api)).json["token_id"] for _ in range(3)]
    first = await api.get("/v1/tokens?page_size=2")
    token = first.json["next_page_token"]
    second = await api.get(f"/v1/tokens?page_size=2&page_token={token}")

    ids = [one["token_id"] for page in (first, second) for one in page.json["tokens"]]
    assert ids == made[::-1]
    assert 'rel="next"' in first.headers["Link"]
    assert second.json["next_page_token"] is None
    for bad in ("x", "_" * 11, token + "A"):
        (await api.get(f"/v1/tokens?page_token={bad}")).problem(400, "invalid_page_token")
    (await api.get("/v1/tokens?page_size=0")).problem(400, "invalid_parameter")


@pytest.mark.parametrize(
    "wrong",
    [
        {"principal": ""},
        {"principal": "a b"},
        {"principal": "uid:x"},
        {"principal": "job:1"},
        {"principal": "a\n"},
        {"scopes": []},
        {"scopes": ["king"]},
        {"description": "a\u0000"},
        {"description": "x" * 201},
        {"expires_in_seconds": 0},
        {"expires_in_seconds": 10**12},
        {"unknown": 1},
    ],
    ids=str,
)
async def test_what_is_no_token_to_make(api: Api, wrong: dict[str, Any]) -> None:
    (await create(api, **wrong)).problem(422, "validation_error")


@pytest.mark.parametrize("token_id", ["0" * 12, "x", "0" * 13, "%0a"])
async def test_a_token_that_is_not_there(api: Api, token_id: str) -> None:
    (await api.ask("DELETE", f"/v1/tokens/{token_id}")).problem(404, "not_found")


async def test_a_request_with_a_token_asks_no_database_for_it(api: Api) -> None:
    text = (await create(api)).json["token"]
    headers = {"Authorization": f"Bearer {text}"}
    await api.ask("GET", "/v1/handlers", headers=headers)
    await api.tokens.close()
    statements = await api.traced()

    assert (await api.ask("GET", "/v1/handlers", headers=headers)).status == 200
    assert statements == []
