"""The document, made of the table of operations.

Not here: the operations themselves, the schemas of bodies (schemas.py).
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec

from jobd import __version__
from jobd.api.openapi import batches, daemon, jobs, webhooks
from jobd.api.openapi.parameters import HEADERS, OF_PROBLEMS, PARAMETERS
from jobd.api.openapi.schemas import components, example_of, ref
from jobd.api.openapi.shapes import (
    BINARY,
    EVENT_STREAM,
    JSON,
    LINKS,
    NDJSON,
    Answer,
    Content,
    Operation,
)
from jobd.api.problems import PROBLEMS
from jobd.domain.batches import COMPLETED_TYPE as BATCH_COMPLETED
from jobd.domain.events import CALLBACK_TYPES
from jobd.domain.signing import ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER
from jobd.wire.batches import BatchWebhook
from jobd.wire.problems import MEDIA_TYPE, Problem, type_uri
from jobd.wire.webhooks import DAEMON_TYPES, TEST, DaemonWebhook, Webhook

Document = dict[str, Any]

OPERATIONS: tuple[Operation, ...] = (
    *jobs.OPERATIONS,
    *daemon.STREAMS,
    *batches.OPERATIONS,
    *daemon.UPLOADS,
    *webhooks.OPERATIONS,
    *daemon.OTHERS,
)

_ABOUT = (
    "Long-running work for local apps: a job is accepted at once and runs in a worker process."
    " Loop until `done`; ask again after Retry-After. Every refusal is a problem document"
    " (RFC 9457) with a stable `code`. Fields and words that are not known must be ignored."
    " On the unix socket the caller is who the kernel says it is, unless it sends a token; over"
    " TCP it must send one."
)

_TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "The token of a principal, or of the one job that is asked for.",
}
_WEBHOOKS: dict[str, type[msgspec.Struct]] = {
    BATCH_COMPLETED: BatchWebhook,
    **dict.fromkeys((TEST, *DAEMON_TYPES), DaemonWebhook),
}
"""Bodies of those that tell of no job."""

_HEADER = "#/components/headers/"
_ALWAYS = "-always"
"""Behind the name of a header that every such answer has."""

_TAGS = {
    "jobs": "Submit jobs and see what becomes of them.",
    "results": "What jobs leave: a result, and files.",
    "events": "What happens, as it happens.",
    "batches": "Many jobs in one request.",
    "uploads": "Files that jobs read.",
    "webhooks": "What the daemon sends of its own accord.",
    "queues": "Order and limits.",
    "tokens": "What callers may send to say who they are.",
    "daemon": "The daemon itself: what it runs, and how it is.",
}


def build(public_url: str = "") -> Document:
    """Return the whole document; without a public URL its paths are relative."""
    structs = {struct for operation in OPERATIONS for struct in _structs(operation)}
    schemas = components(
        [
            Problem,
            Webhook,
            BatchWebhook,
            DaemonWebhook,
            *sorted(structs, key=lambda one: one.__name__),
        ]
    )
    paths: defaultdict[str, Document] = defaultdict(dict)
    for operation in OPERATIONS:
        paths[operation.path][operation.method.lower()] = _operation(operation, schemas)
    headers = HEADERS | {
        name + _ALWAYS: {**header, "required": True} for name, header in HEADERS.items()
    }
    problems = {code: _problem(code) for code in PROBLEMS}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "jobd",
            "summary": "The job daemon for one machine.",
            "description": _ABOUT,
            "version": __version__,
            "contact": {"name": "The jobd authors"},
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "security": [{"token": []}, {}],
        "servers": [{"url": public_url or "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": dict(paths),
        "webhooks": {
            type_: {"post": _webhook(type_, f"on{_camel(type_)}", schemas)}
            for type_ in (*CALLBACK_TYPES, BATCH_COMPLETED, TEST, *DAEMON_TYPES)
        },
        "components": {
            "schemas": schemas,
            "parameters": PARAMETERS,
            "securitySchemes": {"token": _TOKEN},
            "headers": _referred("headers", headers, paths),
            "examples": _referred("examples", problems, paths),
        },
    }


def _structs(operation: Operation) -> Iterator[type[msgspec.Struct]]:
    bodies = operation.body.contents if operation.body else ()
    for content in (*bodies, *(one for answer in operation.answers for one in answer.contents)):
        if isinstance(content.schema, type):
            yield content.schema
        yield from content.items


def _operation(operation: Operation, schemas: Document) -> Document:
    found: Document = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description or f"{operation.summary}.",
        "parameters": [
            {"$ref": f"#/components/parameters/{name}"}
            for name in (*operation.parameters, "request_id")
        ],
        "responses": dict(sorted(_responses(operation, schemas))),
    }
    body = operation.body
    if body is not None:
        found["requestBody"] = {
            "description": body.description or "What is asked for.",
            "required": body.required,
            "content": _contents(body.contents, schemas),
        }
    back = operation.calls_back
    if back is not None:
        post = _webhook(back.type, f"calledBackBy{_camel(operation.id)}", schemas)
        found["callbacks"] = {back.type.partition(".")[0]: {back.url: {"post": post}}}
    return found


def _responses(operation: Operation, schemas: Document) -> Iterator[tuple[str, Document]]:
    refused: defaultdict[int, list[str]] = defaultdict(list)
    for code in sorted(set(operation.problems)):
        refused[PROBLEMS[code].status].append(code)
    with_body = operation.method != "HEAD"
    for status, codes in refused.items():
        yield str(status), _refusal(status, codes, with_body=with_body)
    for answer in operation.answers:
        found = _answer(answer, schemas)
        if answer.status in refused:
            found["content"].update(_refusal(answer.status, refused[answer.status])["content"])
        yield str(answer.status), found


def _answer(answer: Answer, schemas: Document) -> Document:
    found: Document = {
        "description": answer.description,
        "headers": _headers((*answer.headers, "X-Request-Id")),
    }
    if answer.contents:
        found["content"] = _contents(answer.contents, schemas)
    if answer.links:
        found["links"] = {
            name: {
                "operationId": LINKS[name].operation,
                "parameters": {LINKS[name].parameter: LINKS[name].expression},
            }
            for name in answer.links
        }
    return found


def _refusal(status: int, codes: list[str], *, with_body: bool = True) -> Document:
    found: Document = {
        "description": "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes) + ".",
        "headers": _headers((*OF_PROBLEMS.get(status, ()), "X-Request-Id")),
    }
    if with_body:
        examples = {code: {"$ref": f"#/components/examples/{code}"} for code in codes}
        found["content"] = {MEDIA_TYPE: {"schema": ref(Problem), "examples": examples}}
    return found


def _headers(names: tuple[str, ...]) -> Document:
    """Return references to headers; those that do not end in `?` are always there."""
    return {
        name.removesuffix("?"): {
            "$ref": f"{_HEADER}{name.removesuffix('?')}{'' if name.endswith('?') else _ALWAYS}"
        }
        for name in names
    }


def _referred(kind: str, known: Document, parts: Document) -> Document:
    """Return which components of a kind the other parts of the document refer to."""
    text = msgspec.json.encode(parts).decode()
    return {name: one for name, one in known.items() if f'"#/components/{kind}/{name}"' in text}


def _contents(contents: tuple[Content, ...], schemas: Document) -> Document:
    return {content.media_type: _content(content, schemas) for content in contents}


def _content(content: Content, schemas: Document) -> Document:
    items = [ref(item) for item in content.items]
    if content.media_type == EVENT_STREAM:
        return {"schema": _event(items)}
    if content.media_type == NDJSON:
        return {"schema": {**_schema(content), "x-line": items[0]}}
    schema = _schema(content)
    if not schema and content.media_type != JSON:
        return {}  # any bytes, perhaps a part of a JSON text
    if schema in ({}, BINARY) or content.media_type != JSON:
        return {"schema": schema}
    return {"schema": schema, "example": example_of(schema, schemas)}


def _schema(content: Content) -> Document:
    return ref(content.schema) if isinstance(content.schema, type) else content.schema


def _event(items: list[Document]) -> Document:
    """Return the schema of one event of a stream."""
    return {
        "type": "object",
        "description": "One server-sent event; a line of the log has the id of the event before.",
        "properties": {
            "id": {"type": "string", "pattern": "^[0-9]+$"},
            "event": {"type": "string"},
            "retry": {"type": "integer"},
            "data": {
                "type": "string",
                "contentMediaType": JSON,
                "contentSchema": items[0] if len(items) == 1 else {"anyOf": items},
            },
        },
        "required": ["id", "event", "data"],
    }


def _problem(code: str) -> Document:
    status, title = PROBLEMS[code]
    return {
        "summary": title,
        "value": {
            "type": type_uri(code),
            "title": title,
            "status": status,
            "detail": f"{title}.",
            "instance": "urn:uuid:019b76da-a400-7000-8000-0000000000aa",
            "code": code,
            "request_id": "req_019b76daa400700080000000000000aa",
            "errors": [],
        },
    }


def _webhook(type_: str, id_: str, schemas: Document) -> Document:
    """Return the POST that tells of an event, signed as Standard Webhooks has it."""
    said = {
        ID_HEADER: "Of the message; the same when it is sent again.",
        TIMESTAMP_HEADER: "When it was sent: seconds since the epoch.",
        SIGNATURE_HEADER: "One signature or several, with a space between.",
    }
    body = ref(_WEBHOOKS.get(type_, Webhook))
    example = {**example_of(body, schemas), "type": type_}
    return {
        "operationId": id_,
        "tags": ["webhooks"],
        "summary": f"Tell of {type_}",
        "description": "Sent until it is answered 2xx, by a schedule; 410 ends it.",
        "parameters": [
            {
                "name": name,
                "in": "header",
                "required": True,
                "description": text,
                "schema": {"type": "string"},
            }
            for name, text in said.items()
        ],
        "requestBody": {
            "description": "A notice of how the thing stood right after the event.",
            "required": True,
            "content": {JSON: {"schema": body, "example": example}},
        },
        "responses": {
            "2XX": {"description": "It has arrived."},
            "4XX": {"description": "It has not; it is sent again, but not after 410."},
        },
    }


def _camel(words: str) -> str:
    parts = words.replace(".", "_").split("_")
    return "".join(part[0].upper() + part[1:] for part in parts)
