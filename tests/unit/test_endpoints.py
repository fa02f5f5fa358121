"""Endpoints: what one may be, and which events it is told of."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest

from jobd.domain.deliveries import Policy, receiver_of
from jobd.domain.endpoints import (
    MAX_FILTERS,
    Endpoint,
    EndpointChange,
    Endpoints,
    NewEndpoint,
    check,
    matches,
)
from jobd.domain.errors import Invalid
from jobd.webhooks import egress

SECRET = "whsec_" + base64.b64encode(bytes(24)).decode()
POLICY: Policy = egress.policy(allow_http=False, allow_private=(), allow_unix=("/run/app.sock",))


def new(**fields: Any) -> NewEndpoint:
    plain = {"endpoint_id": "whe_1", "principal": "me", "url": "https://a.b/", "secret": SECRET}
    return NewEndpoint(**plain | fields)


def endpoint(**fields: Any) -> Endpoint:
    given = msgspec.structs.asdict(new(**fields))
    return Endpoint(**given, created_at_ms=1, updated_at_ms=1, version=1)


def word(size: int) -> str:
    return "whsec_" + base64.b64encode(bytes(size)).decode()


@pytest.mark.parametrize(
    ("fields", "about", "told"),
    [
        ({}, ("job.failed", "a", "q"), True),
        ({}, ("job.queued", "a", "q"), False),
        ({}, ("batch.completed", None, None), False),
        ({"events": ("batch.completed",)}, ("batch.completed", None, None), True),
        (
            {"events": ("batch.completed",), "queues": ("q",)},
            ("batch.completed", None, None),
            False,
        ),
        ({"kinds": ("a.*",)}, ("job.failed", "a.b", "q"), True),
        ({"kinds": ("a.*",)}, ("job.failed", "a.b.c", "q"), True),
        ({"kinds": ("a.*",)}, ("job.failed", "a", "q"), False),
        ({"kinds": ("a.*",)}, ("job.failed", "ab.c", "q"), False),
        ({"kinds": ("x", "a.b")}, ("job.failed", "a.b", "q"), True),
        ({"kinds": ("a.b",)}, ("job.failed", "a.b.c", "q"), False),
        ({"queues": ("q", "r")}, ("job.failed", "a", "r"), True),
        ({"queues": ("q",), "kinds": ("b",)}, ("job.failed", "a", "q"), False),
    ],
)
def test_what_is_told(fields: dict[str, Any], about: tuple[str, Any, Any], *, told: bool) -> None:
    assert matches(endpoint(**fields), *about) is told
    found = Endpoints([endpoint(**fields)])
    for _ in range(2):  # the second time from memory
        assert bool(found.told("me", *about)) is told
    assert found.told("another", *about) == []


def test_only_what_is_enabled_is_told_and_looked_for() -> None:
    found = Endpoints([endpoint(enabled=False, events=("job.queued",))])

    assert found.types == frozenset()
    assert found.told("me", "job.queued", "a", "q") == []
    assert [one.endpoint_id for one in found.of("me")] == ["whe_1"]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"events": ("job.queued", "batch.completed"), "kinds": ("a.*", "b"), "queues": ("q",)},
        {"url": "unix:/run/app.sock:/x", "rate_per_s": 0.5, "description": "ü" * 500},
        {"secret": word(64)},
    ],
)
def test_what_an_endpoint_may_be(fields: dict[str, Any]) -> None:
    check(new(**fields), POLICY)


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"events": ("job.queued", "job.exploded")}, "#/events/1"),
        ({"events": ("job.progress",)}, "#/events/0"),
        ({"events": ()}, "#/events"),
        ({"kinds": ("*",)}, "#/kinds/0"),
        ({"kinds": ("a", "a*")}, "#/kinds/1"),
        ({"kinds": ("a",) * (MAX_FILTERS + 1)}, "#/kinds"),
        ({"queues": ("q.*",)}, "#/queues/0"),
        ({"queues": ("q\n",)}, "#/queues/0"),
        ({"rate_per_s": 0.0}, "#/rate_per_second"),
        ({"rate_per_s": float("nan")}, "#/rate_per_second"),
        ({"description": "x" * 501}, "#/description"),
        ({"secret": word(23)}, "#/secret"),
        ({"secret": word(65)}, "#/secret"),
        ({"secret": word(24).removeprefix("whsec_")}, "#/secret"),
        ({"secret": "whsec_not base64"}, "#/secret"),
    ],
)
def test_what_an_endpoint_may_not_be(fields: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as refused:
        check(new(**fields), POLICY)

    assert refused.value.code == "validation_error"
    assert [error.pointer for error in refused.value.errors] == [pointer]


@pytest.mark.parametrize(
    "url", ["http://a.b/", "https://127.0.0.1/", "unix:/run/other.sock:/", "ftp://a.b", ""]
)
def test_where_an_endpoint_may_not_be(url: str) -> None:
    for given in (new(url=url), EndpointChange(endpoint_id="whe_1", principal="me", url=url)):
        with pytest.raises(Invalid) as refused:
            check(given, POLICY)

        assert refused.value.code == "callback_url_forbidden"
        assert [error.pointer for error in refused.value.errors] == ["#/url"]


def test_a_change_is_checked_as_far_as_it_goes() -> None:
    check(EndpointChange(endpoint_id="whe_1", principal="me", kinds=None), POLICY)

    with pytest.raises(Invalid):
        check(EndpointChange(endpoint_id="whe_1", principal="me", queues=("Q",)), POLICY)


@pytest.mark.parametrize(
    ("url", "receiver"),
    [
        ("https://A.b/x?y#z", "https://a.b"),
        ("https://a.b?y=/", "https://a.b"),
        ("http://a.b:8080", "http://a.b:8080"),
        ("HTTPS://a.b:443/x", "https://a.b"),
        ("http://a.b:443/x", "http://a.b:443"),
        ("http://[::1]:8080/x", "http://[::1]:8080"),
        ("unix:/run/App.sock:/x/y", "/run/App.sock"),
    ],
)
def test_who_is_dialled(url: str, receiver: str) -> None:
    assert receiver_of(url) == receiver
