"""Every operation of the OpenAPI document, asked for by every credential, of own and others'.

Not here: what is expected (rules.py), who connects (peers.py).
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from jobd.api.openapi.document import build
from jobd.domain.principals import Scope
from tests.access import rules
from tests.access.rules import RULES, Expected
from tests.api.conftest import Api

OTHER = "bob"
"""Whose things the others' are."""

DOCUMENT = build()
OPERATIONS: dict[str, tuple[str, str]] = {
    operation["operationId"]: (method.upper(), path)
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}

_JSON = {"Content-Type": "application/json"}
_SUBMITTED = b'{"kind":"test.any"}'
_SENT: dict[str, tuple[dict[str, str], bytes]] = {
    "submitJob": ({**_JSON, "Prefer": "respond-async"}, _SUBMITTED),
    "createBatch": ({"Content-Type": "application/x-ndjson"}, _SUBMITTED + b"\n"),
    "createUpload": ({"Content-Type": "application/octet-stream"}, b"content"),
    "changeQueue": (_JSON, b'{"concurrency":2}'),
    "createEndpoint": (_JSON, b'{"url":"https://example.com/hook"}'),
    "changeEndpoint": (_JSON, b'{"description":"changed"}'),
    "redeliverAll": (_JSON, b"{}"),
    "createToken": (_JSON, b'{"principal":"carol","scopes":["submit"]}'),
    "getJobEvents": ({"Accept": "application/json"}, b""),
    "openWebSocket": (
        {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
            "Sec-WebSocket-Protocol": "jobd.v1",
        },
        b"",
    ),
}


class Credential(NamedTuple):
    """How a caller shows who they are, and what that should be worth."""

    connect: Callable[[], socket.socket]
    principal: str | None = None
    """None: it is nobody's."""
    role: str = ""
    code: str = "invalid_token"
    """What nobody is told."""
    headers: tuple[str, ...] = ()
    of_job: str | None = None
    """The job whose token it is."""
    query: str = ""


class Cell(NamedTuple):
    """One request of the matrix."""

    name: str
    own: bool


def cells() -> list[Cell]:
    """Return all cells of a credential: twice where there is something that has an owner."""
    return [
        Cell(name, own)
        for name in OPERATIONS
        for own in ((True, False) if RULES[name].of is not None else (True,))
    ]


def expected(credential: Credential, cell: Cell) -> Expected:
    """Return what the rules say of a cell."""
    if credential.of_job is not None:
        if credential.query and OPERATIONS[cell.name][0] not in {"GET", "HEAD"}:
            return rules.of_nobody(cell.name, "invalid_token")
        return rules.of_job_token(cell.name, own=cell.own)
    if credential.principal is None:
        return rules.of_nobody(cell.name, credential.code)
    return rules.of_principal(cell.name, {credential.role}, own=cell.own)


class Things:
    """What the cells are about, fresh for each that would use it up."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._keys: dict[str, str] = {}

    async def key_of(self, principal: str) -> str:
        """Return a token with which a principal does anything."""
        if principal not in self._keys:
            _, self._keys[principal] = await self._api.tokens.create(principal, (Scope.ADMIN,))
        return self._keys[principal]

    async def make(self, what: str, principal: str) -> str:
        """Return the id of a new thing of a principal's."""
        if what == "token":
            token, _ = await self._api.tokens.create(principal, (Scope.SUBMIT,))
            return token.token_id
        if what == "upload":
            # of its own content, or it would be that of another cell as well
            content = principal.encode()
            return str((await self._post(principal, "/v1/uploads", content))["file_id"])
        if what == "batch":
            made = await self._post(principal, "/v1/batches", _SUBMITTED, "application/x-ndjson")
            return str(made["batch_id"])
        if what in {"endpoint", "delivery"}:
            return await self._endpoint(principal, tested=what == "delivery")
        job = await self._post(principal, "/v1/jobs", _SUBMITTED, "application/json")
        if what == "ended":
            await self._post(principal, f"/v1/jobs/{job['job_id']}/cancel")
        return str(job["job_id"])

    async def _endpoint(self, principal: str, *, tested: bool) -> str:
        """Return the id of a new endpoint, or of what a test sends it, which is due."""
        body = b'{"url":"https://example.com/hook"}'
        made = await self._post(principal, "/v1/webhook-endpoints", body, "application/json")
        path = f"/v1/webhook-endpoints/{made['endpoint_id']}"
        if not tested:
            return str(made["endpoint_id"])
        return str((await self._post(principal, f"{path}/test"))["delivery_id"])

    async def _post(
        self, principal: str, path: str, body: bytes = b"", media_type: str = "text/plain"
    ) -> Any:
        key = await self.key_of(principal)
        headers = {"Authorization": f"Bearer {key}", "Prefer": "respond-async"}
        if body:
            headers["Content-Type"] = media_type
        reply = await self._api.ask("POST", path, data=body or None, headers=headers)
        assert reply.status < 300, reply.body
        return reply.json


async def ask(credential: Credential, cell: Cell, thing: str) -> Expected:
    """Send the request of a cell and return what it is answered."""
    method, path = OPERATIONS[cell.name]
    for variable in ("job_id", "batch_id", "file_id", "token_id", "endpoint_id", "delivery_id"):
        path = path.replace(f"{{{variable}}}", thing)
    path = path.replace("/queues/{name}", "/queues/default").replace("{name}", "none.txt")
    headers, body = _SENT.get(cell.name, ({}, b""))
    lines = [f"{name}: {value}" for name, value in {"Connection": "close", **headers}.items()]
    sent = "\r\n".join(
        [
            f"{method} {path}{credential.query} HTTP/1.1",
            "Host: localhost",
            f"Content-Length: {len(body)}",
            *lines,
            *credential.headers,
            "\r\n",
        ]
    )
    reader, writer = await asyncio.open_connection(sock=credential.connect())
    try:
        writer.write(sent.encode() + body)
        return await _answer(reader, method)
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader, method: str) -> Expected:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    status = int(head.split(" ", 2)[1])
    if status < 400 or method == "HEAD":
        return Expected(status)
    assert "application/problem+json" in head
    if status == 401:
        assert "\r\nwww-authenticate: bearer realm=" in head.lower()
    length = int(head.lower().partition("\r\ncontent-length: ")[2].partition("\r\n")[0])
    return Expected(status, msgspec.json.decode(await reader.readexactly(length))["code"])


def meant(expectation: Expected, cell: Cell) -> Expected:
    """Return an expectation as it can be seen: a HEAD has no body, and so no code."""
    return Expected(expectation.status) if OPERATIONS[cell.name][0] == "HEAD" else expectation
