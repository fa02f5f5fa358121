"""Every document as it goes over the wire, byte for byte: one file each, in golden/.

The clock stands still, so times are compared too; ids are numbered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jobd.api.openapi.document import OPERATIONS
from jobd.domain.deliveries import Message
from jobd.domain.jobs import Artifact, JobError, Progress, Result, Summary, Update
from jobd.domain.statuses import Status
from jobd.wire.times import from_ms
from jobd.wire.webhooks import encode_job, encode_notice
from jobd.wire.workers import Worker
from tests.judges import kept, webhooks
from tests.support.clock import START_MS

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from jobd.domain.jobs import Claim
    from tests.api.conftest import Api, Reply

ERROR = JobError(
    "source_not_found", "There is no /a.csv.", retryable=False, failed_step="open", attempt=1
)
EVIDENCE = {
    "outcome": "source_not_found",
    "cpu_seconds": 0.5,
    "peak_rss_bytes": 1048576,
    "handler": "jobd-test 1.0",
    "steps": [{"name": "open", "started_at_ms": START_MS, "duration_s": 0.25}],
    "traceback": "Traceback (most recent call last):\n",
}
SUBMISSION: dict[str, Any] = {
    "kind": "test.strict",
    "args": {"n": 3},
    "priority": 0,
    "start_before": "2026-01-02T00:00:00Z",
    "timeout_seconds": 2.5,
    "queue": "other",
    "max_attempts": 2,
    "retention_seconds": 3600,
    "callback_url": "unix:/run/app.sock:/done",
    "metadata": {"order": "é"},
}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENT_STREAM = {"Accept": "text/event-stream"}

Make = Callable[["Api"], Awaitable[bytes]]
GOLDEN: dict[str, Make] = {**webhooks.GOLDEN}


def golden(name: str) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        GOLDEN[name] = make
        return make

    return add


async def queued(api: Api, document: dict[str, Any] | None = None) -> str:
    url: str = (await api.submit(document, Prefer="respond-async")).headers["Location"]
    return url


async def claimed(api: Api) -> tuple[str, Claim]:
    """A job of which an attempt runs, and a second later."""
    url = await queued(api)
    claim = await api.claim()
    api.clock.advance(1)
    return url, claim


async def failed(api: Api) -> str:
    url, claim = await claimed(api)
    left = Artifact("t.csv", "1/t.csv", "text/csv", 3, hashlib.sha256(b"a,b").hexdigest(), 1)
    await api.end(
        claim,
        Status.FAILED,
        error=ERROR,
        artifacts=(left,),
        failures_delta=1,
        evidence=EVIDENCE,
    )
    return url


@golden("job_submitted.json")
async def submitted(api: Api) -> bytes:
    return (await api.submit(SUBMISSION, Prefer="respond-async", traceparent=TRACE)).body


@golden("job_scheduled.json")
async def scheduled(api: Api) -> bytes:
    url = await queued(api, {"kind": "test.any", "run_at": from_ms(START_MS + 9500).isoformat()})
    return (await api.get(url)).body


@golden("job_queued.json")
async def waiting(api: Api) -> bytes:
    return (await api.get(await queued(api))).body


@golden("job_processing.json")
async def processing(api: Api) -> bytes:
    url, claim = await claimed(api)
    progress = Progress(42.5, 17, 40, "render", 2, 4, "page 17 of 40")
    await api.writer.progress(Update(claim.seq, claim.token, progress))
    return (await api.get(url)).body


@golden("job_retrying.json")
async def retrying(api: Api) -> bytes:
    url, claim = await claimed(api)
    await api.end(claim, Status.RETRYING, delay_ms=2000, error=ERROR, failures_delta=1)
    return (await api.get(url)).body


@golden("job_completed.json")
async def completed(api: Api) -> bytes:
    url, claim = await claimed(api)
    body = b'{"rows":3}'
    result = Result("application/json", len(body), hashlib.sha256(body).hexdigest(), body=body)
    summary = Summary(total=3, succeeded=2, failed=1)
    await api.end(claim, result=result, partial=True, summary=summary)
    return (await api.get(url)).body


@golden("job_failed.json")
async def ended_badly(api: Api) -> bytes:
    return (await api.get(await failed(api))).body


@golden("job_cancelled.json")
async def cancelled(api: Api) -> bytes:
    return (await api.ask("POST", f"{await queued(api)}/cancel")).body


@golden("job_cancel_requested.json")
async def cancel_requested(api: Api) -> bytes:
    url, _ = await claimed(api)
    return (await api.ask("POST", f"{url}/cancel")).body


@golden("job_retried.json")
async def retried(api: Api) -> bytes:
    return (await api.ask("POST", f"{await failed(api)}/retry")).body


@golden("jobs.json")
async def jobs(api: Api) -> bytes:
    await failed(api)
    await queued(api)
    return (await api.get("/v1/jobs")).body


LINES = b"""{"kind":"test.any","metadata":{"n":"1"}}
{"kind":"test.none"}

{"kind":"test.any","priority":10}
"""


async def batched(api: Api) -> Reply:
    """Two bad lines and an empty one behind a good one."""
    headers = {"Content-Type": "application/x-ndjson", "X-Request-Id": "golden"}
    return await api.ask("POST", "/v1/batches", data=LINES, headers=headers)


@golden("batch_submitted.json")
async def batch_submitted(api: Api) -> bytes:
    return (await batched(api)).body


@golden("batch_completed.json")
async def batch_completed(api: Api) -> bytes:
    url = (await batched(api)).headers["Location"]
    await api.end(await api.claim())
    return (await api.get(url)).body


@golden("batches.json")
async def batches(api: Api) -> bytes:
    await batched(api)
    return (await api.get("/v1/batches")).body


@golden("batch_job.json")
async def job_of_a_batch(api: Api) -> bytes:
    (job_id, *_) = (await batched(api)).json["job_ids"]
    return (await api.get(f"/v1/jobs/{job_id}")).body


@golden("problem_batch_rejected.json")
async def batch_rejected(api: Api) -> bytes:
    headers = {"Content-Type": "application/json", "X-Request-Id": "golden"}
    body = b'{"jobs":[{"kind":"test.none"},{"priority":0}]}'
    return await refused(await api.ask("POST", "/v1/batches", data=body, headers=headers))


@golden("events.txt")
async def event_stream(api: Api) -> bytes:
    url, claim = await claimed(api)
    last_id = (await api.get(f"{url}/events", Accept="application/json")).json["events"][0]["id"]
    await api.end(claim)
    return (await api.get(f"{url}/events?last_event_id={last_id}")).body


@golden("events.json")
async def history(api: Api) -> bytes:
    return (await api.get(f"{await failed(api)}/events", Accept="application/json")).body


@golden("attempts.json")
async def attempts(api: Api) -> bytes:
    return (await api.get(f"{await failed(api)}/attempts")).body


@golden("artifacts.json")
async def artifacts(api: Api) -> bytes:
    return (await api.get(f"{await failed(api)}/artifacts")).body


async def logged(api: Api) -> str:
    url, claim = await claimed(api)
    with api.attempt_log(claim) as log:
        log.append(START_MS + 500, "stdout", "one", "zwei ü")
    return url


@golden("logs.txt")
async def log_text(api: Api) -> bytes:
    return (await api.get(f"{await logged(api)}/logs")).body


@golden("logs.ndjson")
async def log_lines(api: Api) -> bytes:
    return (await api.get(f"{await logged(api)}/logs", Accept="application/x-ndjson")).body


@golden("upload.json")
async def upload(api: Api) -> bytes:
    return (await api.ask("POST", "/v1/uploads", data=b"a,b\n1,2\n")).body


@golden("queues.json")
async def queues(api: Api) -> bytes:
    await queued(api)
    return (await api.get("/v1/queues")).body


@golden("queue.json")
async def queue(api: Api) -> bytes:
    changes = {"concurrency": 3, "paused": True}
    return (await api.ask("PATCH", "/v1/queues/slow", json=changes)).body


@golden("handlers.json")
async def handlers(api: Api) -> bytes:
    return (await api.get("/v1/handlers")).body


@golden("workers.json")
async def workers(api: Api) -> bytes:
    api.workers = [
        Worker(
            worker_id="1",
            lane="cpu",
            pid=42,
            state="ready",
            job_ids=[],
            jobs_done=7,
            rss_bytes=None,
            started_at=from_ms(START_MS),
        )
    ]
    return (await api.get("/v1/workers")).body


@golden("status.json")
async def status(api: Api) -> bytes:
    return (await api.get("/v1/status")).body


@golden("livez.json")
async def livez(api: Api) -> bytes:
    return (await api.get("/livez")).body


@golden("readyz.json")
async def readyz(api: Api) -> bytes:
    return (await api.get("/readyz")).body


@golden("endpoint_rotated.json")
async def rotated(api: Api) -> bytes:
    return (await api.ask("POST", "/v1/webhook-endpoints/default/rotate-secret")).body


@golden("token_created.json")
async def token_created(api: Api) -> bytes:
    asked = {"principal": "webapp", "scopes": ["submit", "read"], "expires_in_seconds": 86400}
    return (await api.ask("POST", "/v1/tokens", json=asked)).body


@golden("tokens.json")
async def tokens(api: Api) -> bytes:
    await token_created(api)
    return (await api.get("/v1/tokens")).body


@golden("webhook_of_job.json")
async def webhook_of_job(api: Api) -> bytes:
    job_id = (await failed(api)).rpartition("/")[2]
    job = await api.readers.get(job_id)
    assert job is not None
    return encode_job(Message("msg_1", 1, job.event_id, "job.failed", START_MS, 1), job)


@golden("webhook.json")
async def webhook(api: Api) -> bytes:
    job_id = (await failed(api)).rpartition("/")[2]
    job = await api.readers.get(job_id, detail=True)
    assert job is not None
    error = {"code": "source_not_found", "retryable": False, "failed_step": "open"}
    return encode_notice(Message("msg_1", 1, 3, "job.failed", START_MS, 1, {"error": error}), job)


async def refused(reply: Reply) -> bytes:
    assert reply.headers["Content-Type"] == "application/problem+json"
    return reply.body


@golden("problem_validation_error.json")
async def validation_error(api: Api) -> bytes:
    document = {"kind": "Test", "priority": 10, "colour": "red"}
    return await refused(await api.submit(document, X_Request_Id="golden"))


@golden("problem_unknown_parameter.json")
async def unknown_parameter(api: Api) -> bytes:
    return await refused(await api.get("/v1/jobs?colour=red", X_Request_Id="golden"))


@golden("problem_invalid_idempotency_key.json")
async def invalid_key(api: Api) -> bytes:
    return await refused(await api.submit(Idempotency_Key="a b", X_Request_Id="golden"))


@golden("problem_job_failed.json")
async def no_result(api: Api) -> bytes:
    return await refused(await api.get(f"{await failed(api)}/result", X_Request_Id="golden"))


@golden("problem_not_found.json")
async def not_found(api: Api) -> bytes:
    return await refused(await api.get("/none", X_Request_Id="golden"))


@golden("problem_method_not_allowed.json")
async def method_not_allowed(api: Api) -> bytes:
    return await refused(await api.ask("PUT", "/v1/jobs", headers={"X-Request-Id": "golden"}))


@pytest.mark.parametrize("name", GOLDEN)
async def test_a_document_is_written_as_it_was(api: Api, name: str) -> None:
    kept.check("golden", name, kept.masked(await GOLDEN[name](api)))


def test_every_file_has_its_document() -> None:
    assert kept.names("golden") == set(GOLDEN)


def test_every_document_that_is_answered_has_its_file() -> None:
    kept_as = [
        msgspec.json.decode((kept.FOLDER / "golden" / name).read_bytes()).keys()
        for name in GOLDEN
        if name.endswith(".json")
    ]
    answered = {
        content.schema
        for operation in OPERATIONS
        for answer in operation.answers
        for content in answer.contents
        if isinstance(content.schema, type)
    }

    def shows(fields: AbstractSet[str], struct: type[msgspec.Struct]) -> bool:
        known = msgspec.structs.fields(struct)
        needed = {field.encode_name for field in known if field.required}
        return needed <= fields <= {field.encode_name for field in known}

    assert answered
    assert [one for one in answered if not any(shows(keys, one) for keys in kept_as)] == []
