"""Who is asking: refusals, and that none of them is a way around another."""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING

import pytest

from jobd.api import access
from jobd.domain import tokens
from jobd.domain.principals import Scope

if TYPE_CHECKING:
    from tests.api.conftest import Api

BAD = ["Bearer jdk_x", "Bearer", "Basic eDp5", "", "Bearer a b", "Bearer jdj_x", "bearer jdk_\xff"]


@pytest.mark.parametrize("sent", BAD)
async def test_a_bad_credential_is_refused_and_never_the_peer_instead(api: Api, sent: str) -> None:
    reply = await api.ask("GET", "/v1/jobs", headers={"Authorization": sent})

    reply.problem(401, "invalid_token")
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="jobd", error="invalid_token"'


async def test_a_good_one_beside_a_bad_one_is_refused(api: Api) -> None:
    _, text = await api.tokens.create("alice", (Scope.ADMIN,))
    both = [("Authorization", f"Bearer {text}"), ("Authorization", "Bearer x")]

    for headers in (both, both[::-1]):
        (await api.ask("GET", "/v1/jobs", headers=headers)).problem(401, "invalid_token")
    path = f"/v1/jobs?access_token={text}"
    (await api.ask("GET", path, headers=both[:1])).problem(401, "invalid_token")
    (await api.get(path)).problem(401, "invalid_token")
    (await api.get(path.replace("_t", "%5Ft"))).problem(401, "invalid_token")


async def test_a_403_says_which_scope_is_missing(api: Api) -> None:
    _, text = await api.tokens.create("alice", (Scope.READ,))
    reply = await api.submit(Authorization=f"Bearer {text}")

    assert "`submit`" in reply.problem(403, "forbidden").detail
    assert reply.headers["WWW-Authenticate"] == (
        'Bearer realm="jobd", error="insufficient_scope", scope="submit"'
    )


async def test_who_may_not_is_told_before_the_body_is_read(api: Api) -> None:
    head = (
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nAuthorization: Bearer x\r\n\r\n"
    )

    assert b" 401 " in await api.raw(head)


async def test_what_is_nobodys_route_is_401_first_and_404_then(api: Api) -> None:
    bad = {"Authorization": "Bearer x"}

    (await api.ask("GET", "/none", headers=bad)).problem(401, "invalid_token")
    (await api.get("/none")).problem(404, "not_found")
    assert (await api.ask("GET", "/livez", headers=bad)).status == 200


async def test_every_route_has_its_place_in_the_table(api: Api) -> None:
    assert {path for _, path in api.routes} >= access.OPEN_PATHS
    wanted = {(method, path) for method, path in api.routes if path not in access.OPEN_PATHS}
    assert wanted == access.NEEDS.keys()


def test_tokens_are_compared_in_constant_time() -> None:
    (function,) = ast.parse(inspect.getsource(tokens.is_digest_of)).body
    assert isinstance(function, ast.FunctionDef)

    assert ast.unparse(function.body[-1]) == "return hmac.compare_digest(digest, digest_of(token))"
