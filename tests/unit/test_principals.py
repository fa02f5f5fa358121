"""Scopes, the forms of tokens, and who is who by the configuration."""

from __future__ import annotations

import grp
import os
import socket
from typing import TYPE_CHECKING

import pytest

from jobd.api.peers import Peers
from jobd.config import Auth, Config, ConfigError, Principal, load
from jobd.domain.errors import JobdError
from jobd.domain.principals import Caller, Scope, closed
from jobd.domain.tokens import digest_of, id_of, is_digest_of, new_token

if TYPE_CHECKING:
    from pathlib import Path

ME = os.geteuid()


@pytest.mark.parametrize(
    ("scope", "gives"),
    [
        ("submit", {"submit"}),
        ("read", {"read"}),
        ("operate", {"submit", "read", "operate"}),
        ("worker", {"worker"}),
        ("admin", set(Scope)),
    ],
)
def test_a_scope_stands_for_those_below_it(scope: str, gives: set[str]) -> None:
    assert closed({Scope(scope)}) == gives
    assert Caller("a", closed({Scope(scope)})).may(Scope.READ) == ("read" in gives)


def test_a_token_is_told_by_its_form_and_its_digest() -> None:
    text, token_id = new_token()

    assert id_of(text) == token_id
    assert is_digest_of(digest_of(text), text)
    assert not is_digest_of(digest_of(text), new_token()[0])
    for bad in ("", text + "A", text[:-1], text + "\n", text.upper(), text.replace("jdk", "jdj")):
        assert id_of(bad) is None
    assert len({new_token() for _ in range(100)}) == 100


def caller_of_me(auth: Auth) -> Caller:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        return Peers(auth).of(ours)


def test_the_daemons_user_is_an_admin_unless_a_uid_names_it() -> None:
    mine = os.getgid()
    by_group = Auth(principals={"staff": Principal(groups=(mine,))})
    by_uid = Auth(principals={"me": Principal(uids=(ME,), role=Scope.READ)})

    assert caller_of_me(Auth()) == Caller(f"uid:{ME}", frozenset(Scope))
    assert caller_of_me(by_group) == Caller(f"uid:{ME}", frozenset(Scope))
    assert caller_of_me(by_uid) == Caller("me", frozenset({Scope.READ}))


def test_a_proxy_has_no_identity_of_its_own() -> None:
    with pytest.raises(JobdError) as refused:
        caller_of_me(Auth(proxy_uids=(ME,)))

    assert refused.value.code == "unauthenticated"


def read(tmp_path: Path, text: str, **environ: str) -> Config:
    file = tmp_path / "jobd.toml"
    file.write_text(text)
    return load(file, {"HOME": str(tmp_path), **environ}, {})


def test_groups_are_looked_up_when_the_configuration_is_read(tmp_path: Path) -> None:
    group = grp.getgrgid(0)
    auth = read(
        tmp_path,
        f"""
        [auth]
        proxy_uids = [33]
        [auth.principals]
        ops = {{groups = ["{group.gr_name}", 27], role = "operate"}}
        webapp = {{uids = [1001]}}
        """,
    ).auth

    assert auth.principals == {
        "ops": Principal(groups=(0, 27), role=Scope.OPERATE),
        "webapp": Principal(uids=(1001,), role=Scope.SUBMIT),
    }
    assert list(auth.principals) == ["ops", "webapp"]
    assert auth.proxy_uids == (33,)


@pytest.mark.parametrize(
    ("principals", "told"),
    [
        ('{a = {groups = ["no-such-group"]}}', "auth.principals.a.groups"),
        ("{a = {uids = [7]}, b = {uids = [7]}}", "auth.principals.b.uids: 7"),
        ("{a = {uids = [33]}}", "auth.principals.a.uids: 33"),
        ('{a = {role = "king"}}', "king"),
        ("{a = {uid = [1]}}", "uid"),
        ('{"uid:0" = {uids = [1]}}', "auth.principals"),
    ],
)
def test_what_names_nobody_is_refused(tmp_path: Path, principals: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read(tmp_path, f"[auth]\nproxy_uids = [33]\nprincipals = {principals}\n")


def test_the_environment_names_principals_too(tmp_path: Path) -> None:
    auth = read(
        tmp_path,
        "",
        JOBD_AUTH_PRINCIPALS='{"ops": {"uids": [5], "role": "admin"}}',
        JOBD_AUTH_PROXY_UIDS="33:34",
    ).auth

    assert auth.principals["ops"].role is Scope.ADMIN
    assert auth.proxy_uids == (33, 34)
