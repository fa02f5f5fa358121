"""The matrix, run: a test for each credential, on a real socket or over TCP."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from jobd.api.app import build
from jobd.api.server import SERVER_LIMITS
from jobd.config import Auth, Config, Principal
from jobd.domain import job_tokens
from jobd.domain.principals import Scope
from tests.access.matrix import (
    OPERATIONS,
    OTHER,
    Credential,
    Things,
    ask,
    cells,
    expected,
    meant,
)
from tests.access.peers import connected, user
from tests.access.rules import RULES
from tests.api.conftest import Api, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ME = f"uid:{os.getuid()}"
STRANGER, OPERATOR, WATCHER, NAMED, PROXY = range(54_321, 54_326)
OPERATORS, WATCHERS = 54_400, 54_401
AUTH = Auth(
    principals={
        "named": Principal(uids=(NAMED,), groups=(), role=Scope.WORKER),
        "ops": Principal(groups=(OPERATORS,), role=Scope.OPERATE),
        "watch": Principal(groups=(WATCHERS, OPERATORS), role=Scope.READ),
    },
    proxy_uids=(PROXY,),
)
DAY_MS = 86_400_000

asked: Counter[str] = Counter()
"""Cells that were run; the number is told at the end (conftest.py)."""


class Stand:
    """An API that other users reach too, and what credentials are made of."""

    def __init__(self, api: Api, stack: contextlib.ExitStack, port: int) -> None:
        self.api = api
        self.things = Things(api)
        self._stack = stack
        self._port = port

    def here(self) -> socket.socket:
        return connected(self.api.socket)

    def over_tcp(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self._port))

    def user(self, uid: int, *groups: int) -> Callable[[], socket.socket]:
        return self._stack.enter_context(user(self.api.socket, uid, groups[0], groups[1:]))

    async def token(self, *scopes: Scope, life_s: float | None = None) -> str:
        _, text = await self.api.tokens.create("alice", scopes, expires_in_s=life_s)
        return text


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        os.chmod(name, 0o755)  # noqa: PTH101, S103 - others must reach the socket
        async with running(Path(name), Config(auth=AUTH)) as api:
            os.chmod(api.socket, 0o666)  # noqa: PTH101, S103
            runner = web.AppRunner(build(api.services), **SERVER_LIMITS)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            port = runner.addresses[0][1]
            yield Stand(api, stack, port)
            await runner.cleanup()


def bearer(token: str) -> tuple[str, ...]:
    return (f"Authorization: Bearer {token}",)


async def a_scope(stand: Stand, scope: str) -> Credential:
    token = await stand.token(Scope(scope))
    return Credential(stand.here, "alice", scope, headers=bearer(token))


async def a_bad_one(stand: Stand, how: str) -> Credential:
    good = await stand.token(Scope.ADMIN)
    headers = {
        "wrong secret": bearer(good[:-1] + ("A" if good[-1] != "A" else "B")),
        "unknown id": bearer(f"jdk_{'0' * 12}_{good[17:]}"),
        "malformed": bearer(good + "="),
        "not ascii": ("Authorization: Bearer jdk_\xe9",),
        "empty": ("Authorization: ",),
        "basic": ("Authorization: Basic cm9vdDpyb290",),
        "two of them": bearer(good) * 2,
        "job token of another key": bearer(job_tokens.issue("job_" + "0" * 32, b"another")),
    }
    if how in headers:
        return Credential(stand.here, headers=headers[how])
    if how == "principal's in the query":
        return Credential(stand.here, query=f"?access_token={good}", code="invalid_token")
    if how == "revoked":
        await stand.api.tokens.revoke(good[4:16])
        return Credential(stand.here, headers=bearer(good))
    assert how == "expired"
    old = await stand.token(Scope.ADMIN, life_s=1)
    stand.api.clock.jump(1)
    return Credential(stand.here, headers=bearer(old))


async def a_job_token(stand: Stand, where: str) -> Credential:
    job_id = await stand.things.make("job", "alice")
    token = job_tokens.issue(job_id, stand.api.tokens.server_key)
    if where == "query":
        return Credential(stand.here, "alice", of_job=job_id, query=f"?access_token={token}")
    return Credential(stand.here, "alice", of_job=job_id, headers=bearer(token))


async def check(stand: Stand, credential: Credential) -> None:
    """Run all cells of a credential, and show all that are not as the rules say."""
    wrong = []
    for cell in cells():
        what = RULES[cell.name].of
        thing = credential.of_job if cell.own else None
        if what is not None and (thing is None or what == "ended"):
            owner = (credential.principal or "alice") if cell.own else OTHER
            thing = await stand.things.make(what, owner)
        if credential.of_job is not None and cell.own and RULES[cell.name].by_job:
            # a token of this very job; what the query holds is of the first one
            credential = _of(stand, credential, thing)
        answer = await ask(credential, cell, thing or "")
        meaning = meant(expected(credential, cell), cell)
        if answer != meaning:
            wrong.append((*cell, answer, meaning))
        asked[cell.name] += 1
    assert wrong == []


def _of(stand: Stand, credential: Credential, job_id: str | None) -> Credential:
    if job_id is None:
        return credential
    token = job_tokens.issue(job_id, stand.api.tokens.server_key)
    if credential.query:
        return credential._replace(query=f"?access_token={token}", of_job=job_id)
    return credential._replace(headers=bearer(token), of_job=job_id)


def test_the_rules_know_every_operation_of_the_document() -> None:
    assert RULES.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("scope", [scope.value for scope in Scope])
async def test_a_token_with_one_scope(stand: Stand, scope: str) -> None:
    await check(stand, await a_scope(stand, scope))


@pytest.mark.parametrize(
    "how",
    [
        "wrong secret",
        "unknown id",
        "malformed",
        "not ascii",
        "empty",
        "basic",
        "two of them",
        "principal's in the query",
        "job token of another key",
        "revoked",
        "expired",
    ],
)
async def test_a_credential_that_is_not_valid_is_401_whoever_the_peer_is(
    stand: Stand, how: str
) -> None:
    await check(stand, await a_bad_one(stand, how))


@pytest.mark.parametrize("where", ["header", "query"])
async def test_the_token_of_a_job(stand: Stand, where: str) -> None:
    await check(stand, await a_job_token(stand, where))


async def test_nobody_is_known_over_tcp(stand: Stand) -> None:
    await check(stand, Credential(stand.over_tcp, code="unauthenticated"))


async def test_a_token_over_tcp(stand: Stand) -> None:
    token = await stand.token(Scope.SUBMIT)
    await check(stand, Credential(stand.over_tcp, "alice", "submit", headers=bearer(token)))


async def test_the_daemons_own_user_is_an_admin(stand: Stand) -> None:
    await check(stand, Credential(stand.here, ME, "admin"))


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("uid", "groups", "principal", "role"),
    [
        (STRANGER, (STRANGER,), f"uid:{STRANGER}", "submit"),
        (NAMED, (NAMED, OPERATORS), "named", "worker"),
        (OPERATOR, (OPERATOR, 7, OPERATORS), "ops", "operate"),
        (OPERATOR, (OPERATOR, *range(60_000, 60_400), WATCHERS), "watch", "read"),
        (WATCHER, (WATCHERS,), "watch", "read"),
    ],
    ids=["unnamed", "by uid", "by group", "by one of 400 groups", "by primary group"],
)
async def test_another_user(
    stand: Stand, uid: int, groups: tuple[int, ...], principal: str, role: str
) -> None:
    await check(stand, Credential(stand.user(uid, *groups), principal, role))


@pytest.mark.needs("root")
async def test_a_proxy_is_nobody_without_a_token(stand: Stand) -> None:
    connect = stand.user(PROXY, PROXY)

    await check(stand, Credential(connect, code="unauthenticated"))
    token = await stand.token(Scope.READ)
    await check(stand, Credential(connect, "alice", "read", headers=bearer(token)))
