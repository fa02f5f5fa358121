"""Holds answers against the OpenAPI document: one that it lacks fails the test that got it.

What is checked of an answer: its operation, status, media type, headers, every field and
every known word of its body, and the code of a refusal; of a request that was taken: its
parameters and its body.
"""

import copy
import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import aiohttp
import httpx
import jsonschema_rs
import msgspec
from aiohttp.connector import Connection

from jobd.api.openapi.document import build

JSON, PROBLEM = "application/json", "application/problem+json"

UNTOLD = {
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "referrer-policy",
    "server",
    "transfer-encoding",
    "vary",
}
"""Headers that HTTP itself explains."""

UNROUTED = {401, 404, 405}
"""What is answered where there is no operation."""


class Seen(NamedTuple):
    """One kind of answer that a test got."""

    operation: str
    status: int
    media_type: str


SEEN: set[Seen] = set()


@functools.cache
def document() -> dict[str, Any]:
    """The document, with every object closed and every list of known words complete."""
    found: dict[str, Any] = copy.deepcopy(build())
    for schema in found["components"]["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for field in schema.get("properties", {}).values():
            for branch in (field, *field.get("anyOf", ())):
                if "x-extensible-enum" in branch:
                    branch["enum"] = branch["x-extensible-enum"]
    return found


@functools.cache
def _routes() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    return [
        (re.compile(re.sub(r"\{[a-z_]+\}", "[^/]+", path)), operations)
        for path, operations in document()["paths"].items()
    ]


def operation_of(method: str, path: str) -> dict[str, Any] | None:
    """Return the operation of a method and a path; one without variables stands alone."""
    found = [operations for pattern, operations in _routes() if pattern.fullmatch(path)]
    exact = document()["paths"].get(path)
    for operations in [exact] if exact else found:
        if method.lower() in operations:
            operation: dict[str, Any] = operations[method.lower()]
            return operation
    return None


@functools.cache
def _validator(schema: bytes) -> Any:
    whole = {**msgspec.json.decode(schema), "components": document()["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def misfits(schema: Mapping[str, Any], value: Any) -> list[str]:
    """Return what of `value` does not fit a schema of the document."""
    errors = _validator(msgspec.json.encode(schema)).iter_errors(value)
    return [f"{list(error.instance_path)}: {error.message}"[:500] for error in errors]


def check_head(method: str, url: str, status: int, headers: Mapping[str, str]) -> None:
    """Hold an answer's status, media type and headers against the document."""
    operation = operation_of(method, urlsplit(url).path)
    if operation is None:
        assert status in UNROUTED, f"{method} {url}: {status}, and no such operation"
        return
    said = f"{operation['operationId']}: {status}"
    answer = operation["responses"].get(str(status))
    assert answer is not None, f"{said} is not in the document"
    media_type = _media_type(headers)
    SEEN.add(Seen(operation["operationId"], status, media_type))
    if method != "HEAD" and "content" in answer:
        offer = _offer(answer, media_type)
        assert offer is not None, f"{said} is {media_type}, and so not in the document"
    _check_headers(said, answer.get("headers", {}), headers)
    if status < 300:
        _check_parameters(operation, url)


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("Content-Type", "").partition(";")[0]


def _offer(answer: Mapping[str, Any], media_type: str) -> dict[str, Any] | None:
    content = answer.get("content", {})
    offer: dict[str, Any] | None = content.get(media_type, content.get("*/*"))
    return offer


def _check_headers(
    said: str, told: Mapping[str, Mapping[str, Any]], headers: Mapping[str, str]
) -> None:
    given = {name.lower(): value for name, value in headers.items()}
    untold = given.keys() - UNTOLD - {name.lower() for name in told}
    assert untold == set(), f"{said}: headers that are not in the document"
    for name, one in told.items():
        header = document()["components"]["headers"][one["$ref"].rpartition("/")[2]]
        value = given.get(name.lower())
        if value is None:
            assert not header.get("required"), f"{said}: no {name}"
            continue
        whole = header["schema"].get("type") == "integer"
        assert misfits(header["schema"], int(value) if whole else value) == [], f"{said}: {name}"


def _check_parameters(operation: Mapping[str, Any], url: str) -> None:
    known = document()["components"]["parameters"]
    told = [known[one["$ref"].rpartition("/")[2]] for one in operation["parameters"]]
    names = {one["name"] for one in told if one["in"] == "query"}
    given = {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}
    assert given <= names, f"{operation['operationId']} took what is not in the document"


def check_body(method: str, url: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Hold a whole body against the document."""
    operation = operation_of(method, urlsplit(url).path)
    if operation is None or method == "HEAD":
        return
    said = f"{operation['operationId']}: {status}"
    answer, media_type = operation["responses"][str(status)], _media_type(headers)
    offer = _offer(answer, media_type)
    if offer is None:
        assert body == b"", f"{said} has a body"
    elif media_type in {JSON, PROBLEM} and status != 206:
        document = msgspec.json.decode(body)
        assert misfits(offer.get("schema", {}), document) == [], said
        if media_type == PROBLEM:
            assert document["code"] in offer["examples"], f"{said} with {document['code']}"
    elif "x-line" in offer.get("schema", {}):
        for line in body.splitlines():
            assert misfits(offer["schema"]["x-line"], msgspec.json.decode(line)) == [], said


def check_event(url: str, fields: Mapping[str, Any]) -> None:
    """Hold one server-sent event, its data decoded, against the document."""
    operation = operation_of("GET", urlsplit(url).path)
    assert operation is not None
    event = operation["responses"]["200"]["content"]["text/event-stream"]["schema"]["properties"]
    assert misfits(event["data"]["contentSchema"], fields["data"]) == [], url
    assert fields.keys() <= event.keys()
    assert fields["data"]["type"] == fields["event"]


def check_taken(method: str, path: str, status: int, body: Any) -> None:
    """Hold the JSON of a request that was taken against the document."""
    operation = operation_of(method, urlsplit(path).path)
    if operation is not None and body is not None and status < 300:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert misfits(schema, body) == [], f"{operation['operationId']} took it"


class Held(aiohttp.ClientResponse):
    """An answer that is held against the document as it comes in."""

    async def start(self, connection: Connection) -> "Held":
        await super().start(connection)
        check_head(self.method, str(self.url), self.status, self.headers)
        return self

    async def read(self) -> bytes:
        body = await super().read()
        check_body(self.method, str(self.url), self.status, self.headers, body)
        return body


class HeldTransport(httpx.HTTPTransport):
    """The same for clients of httpx on a unix socket; of a stream only the head."""

    def __init__(self, socket: str) -> None:
        super().__init__(uds=socket)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        response = super().handle_request(request)
        method, url = request.method, str(request.url)
        check_head(method, url, response.status_code, response.headers)
        if "Content-Length" in response.headers:
            check_body(method, url, response.status_code, response.headers, response.read())
        return response


def unseen() -> set[tuple[str, str]]:
    """Return which answers of the document, refusals left out, no test has got."""
    told = {
        (operation["operationId"], status)
        for methods in document()["paths"].values()
        for operation in methods.values()
        for status in operation["responses"]
        if int(status) < 400
    }
    return told - {(seen.operation, str(seen.status)) for seen in SEEN}
