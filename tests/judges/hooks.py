"""What a schema cannot say: which jobs there are, which kinds are installed, that keys are new.

A value that fits its schema is put in place of one that fits it too; what does not fit stays.
"""

import json
import os
import re
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import schemathesis

from tests.judges.exclusions import ACCEPTED, REFUSED

TAKEN, REJECTED = "ST201", "ST202"
"""Codes of failures: what does not fit the schema was taken, and what does was not."""

KINDS = ("test.echo", "test.aecho", "test.artifact", "test.discard", "test.partial")
KEY = re.compile(r'"[ -!#-~]{1,255}"|[!#-~]{1,255}')
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
ID = re.compile(r"(job|bat|file|whe|dlv)_([0-9a-f]{32,64})")

TOKEN = re.compile(r"jdj_[0-9a-f]{32}_[A-Za-z0-9_-]{32}")
DIGEST = re.compile(r"sha-\d+=:[A-Za-z0-9+/]*=*:")

LONGEST_URL = 2048

known: dict[str, list[str]] = json.loads(os.environ["JOBD_TEST_KNOWN"])
"""The ids that were given out; those under `artifact` are of jobs that leave one, table.csv."""


@schemathesis.hook
def filter_failure(_context: Any, failure: Any, case: Any, response: Any) -> bool:
    operation = case.operation.definition.raw["operationId"]
    if failure.code == REJECTED:
        return (operation, response.json().get("code")) not in REFUSED
    if failure.code == TAKEN and operation in ACCEPTED:
        return not response.json().get("rejected")
    return True


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    location = response.headers.get("location", [""])[0]
    if found := ID.search(location):
        ids = known[found[1]]
        if found[0] not in ids:
            ids.append(found[0])


@schemathesis.serializer("application/x-ndjson")
def ndjson(_context: Any, value: Any) -> Any:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    rows = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    if case.method != "DELETE":
        # the log of a job that goes on may be followed for ever
        finished = case.path.endswith(("/logs", "/artifacts/{name}"))
        name_what_exists(case.path_parameters or {}, "artifact" if finished else None)
    forget_callback(case.query or {})
    if TOKEN.fullmatch(str((case.query or {}).get("access_token"))):
        del case.query["access_token"]  # no schema says which tokens there are
    if case.path.startswith("/v1/webhook-endpoints"):
        call_what_is_allowed(case.body)
    headers = case.headers or {}
    key = headers.get("Idempotency-Key")
    if isinstance(key, str) and KEY.fullmatch(key):
        headers["Idempotency-Key"] = f'"{uuid.uuid4()}"'
    if DIGEST.fullmatch(str(headers.get("Content-Digest"))):
        del headers["Content-Digest"]  # no schema says which digest a body has
    if case.method == "POST" and case.path in {"/v1/jobs", "/v1/batches"}:
        for job in submissions(case.body):
            settle(job)


def name_what_exists(path: dict[str, Any], group: str | None) -> None:
    """Ask for something that was made, of this group of jobs, in place of what never was."""
    if "job_id" in path and "name" in path:
        path["name"] = "table.csv"
    for name, value in path.items():
        if isinstance(value, str) and (asked := ID.fullmatch(value)):
            ids = known[group or asked[1]]
            if ids and value not in ids:
                path[name] = ids[int(asked[2], 16) % len(ids)]


def forget_callback(asked: dict[str, Any]) -> None:
    """Take out a URL: no schema says where the daemon may call."""
    if isinstance(asked.get("callback_url"), str):
        del asked["callback_url"]


def call_what_is_allowed(endpoint: Any) -> None:
    """Put a URL that may be called in place of any other, for the same reason."""
    url = endpoint.get("url") if isinstance(endpoint, dict) else None
    if isinstance(url, str) and len(url) <= LONGEST_URL:
        endpoint["url"] = "https://app.invalid/hooks"


def submissions(body: Any) -> Iterator[dict[str, Any]]:
    """Yield what looks like a submission, alone or in a batch."""
    if isinstance(body, dict):
        yield body
        yield from submissions(body.get("jobs"))
    elif isinstance(body, list):
        for item in body:
            if isinstance(item, dict):
                yield item


def settle(job: dict[str, Any]) -> None:
    kind, retention = job.get("kind"), job.get("retention_seconds")
    if isinstance(kind, str) and NAME.fullmatch(kind):
        job["kind"] = KINDS[len(kind) % len(KINDS)]
    if isinstance(job.get("args"), dict):
        job["args"] = of_64_bits(job["args"])
    if isinstance(retention, int | float) and retention > 604800:
        job["retention_seconds"] = 604800
    for name in ("run_at", "start_before"):
        if is_moment(job.get(name)):
            job[name] = None
    forget_callback(job)
    if isinstance(job.get("idempotency_key"), str) and KEY.fullmatch(job["idempotency_key"]):
        job["idempotency_key"] = str(uuid.uuid4())


def of_64_bits(value: Any) -> Any:
    """Return a value with 0 for integers that the daemon does not take, however deep they lie.

    The schema of arguments is the handler's, and that of all kinds says of no integer how
    large it is.
    """
    if isinstance(value, dict):
        return {name: of_64_bits(part) for name, part in value.items()}
    if isinstance(value, list):
        return [of_64_bits(part) for part in value]
    return 0 if isinstance(value, int) and abs(value) >= 1 << 63 else value


def is_moment(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return datetime.fromisoformat(value.upper()).tzinfo is not None
    except ValueError:
        return False
