"""The document beside what is served: the same operations, the same parameters.

That every answer fits it is checked wherever a test of the API gets one (support/contract.py).
"""

from typing import Any

import msgspec
import pytest

from jobd.api.auth import IN_QUERY
from jobd.api.openapi.document import OPERATIONS
from jobd.api.openapi.parameters import PARAMETERS
from jobd.api.openapi.shapes import Operation
from tests.api.conftest import Api
from tests.support import contract

PROBES = {"/livez", "/readyz"}


def path_of(operation: Operation) -> str:
    """The operation's path with the examples of its parameters in it."""
    path = operation.path
    for name in operation.parameters:
        parameter = PARAMETERS[name]
        path = path.replace(f"{{{parameter['name']}}}", str(parameter.get("example")))
    return path


async def test_every_route_is_in_the_document_and_nothing_else(api: Api) -> None:
    told = {(operation.method, operation.path) for operation in OPERATIONS}

    assert len(told) == len(OPERATIONS)
    assert told == api.routes


async def test_the_document_is_served_with_its_version(api: Api) -> None:
    reply = await api.get("/openapi.json")
    again = await api.get("/openapi.json", If_None_Match=reply.headers["ETag"])

    assert reply.status == 200
    assert reply.json["openapi"] == "3.1.0"
    assert reply.headers["ETag"].startswith('"')
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
async def test_an_operation_takes_the_parameters_that_it_has_and_no_other(
    api: Api, operation: Operation
) -> None:
    if operation.path in PROBES:
        return
    queries = [PARAMETERS[name] for name in operation.parameters]
    names = [query["name"] for query in queries if query["in"] == "query"]
    names = [name for name in names if name != IN_QUERY]  # a credential is looked at before all
    asked = [*((name, "1") for name in names), ("colour", "red")]

    reply = await api.ask(operation.method, path_of(operation), params=asked)

    assert reply.status == 400
    if operation.method != "HEAD":
        (error,) = reply.problem(400, "unknown_parameter").errors
        assert error.parameter == "colour"


async def test_a_body_that_the_document_lacks_fails_the_test_that_got_it() -> None:
    url, json = "http://jobd/v1/workers", {"Content-Type": "application/json"}
    good: dict[str, Any] = {"workers": [], "next_page_token": None}
    bad: dict[str, Any]

    contract.check_body("GET", url, 200, json, msgspec.json.encode(good))
    for bad in ({"workers": []}, {**good, "colour": "red"}, {**good, "workers": [{}]}):
        with pytest.raises(AssertionError):
            contract.check_body("GET", url, 200, json, msgspec.json.encode(bad))


@pytest.mark.parametrize(
    ("method", "url", "status", "headers"),
    [
        ("GET", "/v1/workers", 204, {}),
        ("GET", "/v1/workers", 200, {"Content-Type": "text/html"}),
        ("GET", "/v1/workers", 200, {"X-Colour": "red"}),
        ("GET", "/v1/workers", 200, {"X-Request-Id": "§"}),
        ("GET", "/v1/workers?colour=red", 200, {}),
        ("GET", "/v1/colours", 200, {}),
        ("POST", "/v1/workers", 202, {}),
    ],
)
def test_an_answer_that_the_document_lacks_fails_the_test_that_got_it(
    method: str, url: str, status: int, headers: dict[str, str]
) -> None:
    good = {"Content-Type": "application/json", "X-Request-Id": "a"}

    contract.check_head("GET", "/v1/workers", 200, good)
    with pytest.raises(AssertionError):
        contract.check_head(method, url, status, good | headers)
