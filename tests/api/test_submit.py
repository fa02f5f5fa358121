"""`POST /v1/jobs`: what is answered, when it waits, and what it refuses."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from jobd.config import Config, Limits
from jobd.domain.ids import JOB_ID
from jobd.domain.jobs import JobError, Result
from jobd.domain.statuses import Status

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.api.conftest import Api

ASYNC = {"Prefer": "respond-async"}


async def test_a_submission_is_accepted(api: Api) -> None:
    reply = await api.submit({"kind": "test.any", "args": {"a": [1, 2.5, None]}}, **ASYNC)

    job = reply.job
    assert reply.status == 202
    assert JOB_ID.fullmatch(job.job_id)
    assert (job.status, job.done, bytes(job.args)) == ("queued", False, b'{"a":[1,2.5,null]}')
    assert (job.principal, job.attempt, job.queue) == (api.me, 0, "default")
    assert reply.headers["Location"] == job.poll_url == f"/v1/jobs/{job.job_id}"
    assert reply.headers["Retry-After"] == "1"
    assert reply.headers["Preference-Applied"] == "respond-async"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["Vary"] == "Prefer"
    assert "Idempotent-Replayed" not in reply.headers


async def test_the_answer_is_what_a_reading_finds(api: Api) -> None:
    document: dict[str, Any] = {
        "kind": "test.strict",
        "args": {"n": 3.0},
        "priority": 0,
        "timeout_seconds": 2.5,
        "queue": "other",
        "max_attempts": 2,
        "retention_seconds": 60,
        "metadata": {"é": "\x01"},
        "run_at": "2026-01-01T01:00:00+01:00",
        "start_before": "2026-01-02T00:00:00Z",
    }
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    submitted = await api.submit(document, traceparent=parent, **ASYNC)

    read = await api.get(submitted.headers["Location"])
    assert submitted.json["queue_position"] is None  # nobody has looked
    assert {**submitted.json, "queue_position": 0} == {
        **read.json,
        "job_token": submitted.json["job_token"],
    }
    assert submitted.headers["ETag"] == read.headers["ETag"]
    job = submitted.job
    assert bytes(job.args) == b'{"n":3}'
    assert (job.priority, job.queue, job.max_attempts) == (0, "other", 2)
    assert (job.timeout_seconds, job.retention_seconds) == (2.5, 60)
    assert job.metadata == {"é": "\x01"}
    assert job.trace_id == "0af7651916cd43dd8448eb211c80319c"


async def test_a_run_at_ahead_is_scheduled(api: Api) -> None:
    reply = await api.submit({"kind": "test.any", "run_at": "2026-01-01T00:00:09.5Z"})

    assert (reply.status, reply.job.status, reply.job.waiting_for) == (202, "scheduled", "run_at")
    assert reply.headers["Retry-After"] == "10"
    assert reply.json["suggested_next_poll_time"] == "2026-01-01T00:00:10Z"


@pytest.mark.parametrize(
    "times",
    [
        {"start_before": "2026-01-01T00:00:00Z"},
        {"start_before": "2026-01-01T00:00:05Z", "run_at": "2026-01-01T00:00:05Z"},
    ],
    ids=["now", "at run_at"],
)
async def test_a_start_that_cannot_be_in_time_is_refused(api: Api, times: dict[str, str]) -> None:
    reply = await api.submit({"kind": "test.any", **times})

    (error,) = reply.problem(422, "validation_error").errors
    assert error.pointer == "#/start_before"


async def test_a_replay_finds_a_job_that_had_to_start_by_now(api: Api) -> None:
    document = {"kind": "test.any", "start_before": "2026-01-01T00:00:05Z"}
    first = await api.submit(document, Idempotency_Key="k", **ASYNC)
    api.clock.advance(5)

    again = await api.submit(document, Idempotency_Key="k", **ASYNC)
    another = await api.submit(document, Idempotency_Key="l", **ASYNC)

    assert (again.status, again.job.job_id) == (202, first.job.job_id)
    another.problem(422, "validation_error")


async def test_a_run_at_behind_the_end_of_the_jobs_age_is_refused(api: Api) -> None:
    last = await api.submit({"kind": "test.any", "run_at": "2026-01-30T23:59:59.999Z"})
    reply = await api.submit({"kind": "test.any", "run_at": "2026-01-31T00:00:00Z"})

    (error,) = reply.problem(422, "validation_error").errors
    assert last.job.status == "scheduled"
    assert error.pointer == "#/run_at"
    assert "jobs.max_age_s" in error.detail


async def test_a_job_that_was_not_started_in_time_says_so(api: Api) -> None:
    document = {"kind": "test.any", "start_before": "2026-01-01T00:00:05Z"}
    asking = asyncio.create_task(api.submit(document, Prefer="wait=9"))
    await api.next_watch()
    api.clock.advance(5)
    await api.writer.expire()

    job = (await asking).job

    assert (job.status, job.attempt, job.charged_attempts) == ("failed", 0, 0)
    assert job.error is not None
    assert (job.error.code, job.error.retryable) == ("start_deadline", True)


async def test_defaults_come_from_the_handler(api: Api) -> None:
    job = (await api.submit({"kind": "test.strict", "args": {"n": 1}}, **ASYNC)).job

    assert (job.queue, job.timeout_seconds, job.max_attempts) == ("slow", 10.0, 7)
    assert job.retention_seconds == 604800


async def test_without_an_idle_slot_nobody_waits(api: Api) -> None:
    reply = await api.submit()

    assert (reply.status, reply.job.status) == (202, "queued")
    assert api.bus.watches.empty()


async def test_with_an_idle_slot_a_short_job_is_answered_done(api: Api) -> None:
    api.pool.free["cpu"] = 1
    asking = asyncio.create_task(api.submit())
    claim = await api.pool.claims.get()
    await api.end(claim, result=Result("application/json", 2, "00" * 32, body=b"42"))

    reply = await asking

    assert (reply.status, reply.job.status) == (200, "completed")
    assert bytes(reply.job.result) == b"42"
    assert reply.headers["Location"] == reply.job.poll_url
    assert "Retry-After" not in reply.headers
    assert "Preference-Applied" not in reply.headers


async def test_a_job_that_outlasts_the_wait_is_answered_as_it_is(hasty_api: Api) -> None:
    hasty_api.pool.free["cpu"] = 1

    reply = await hasty_api.submit()

    assert (reply.status, reply.job.status, reply.job.attempt) == (202, "processing", 1)


async def test_a_caller_may_ask_to_wait(api: Api) -> None:
    asking = asyncio.create_task(api.submit(Prefer="wait=99"))
    await api.end(await api.claim())

    reply = await asking

    assert (reply.status, reply.job.status) == (200, "completed")
    assert reply.headers["Preference-Applied"] == "wait=50"


async def test_a_caller_may_ask_not_to_wait(api: Api) -> None:
    api.pool.free["cpu"] = 1

    reply = await api.submit(Prefer="wait=0")

    assert (reply.status, reply.headers["Preference-Applied"]) == (202, "wait=0")


async def test_a_wait_sees_past_a_retry_to_the_end(api: Api) -> None:
    asking = asyncio.create_task(api.submit(Prefer="wait=50"))
    error = JobError("handler_error", "boom", retryable=False)
    await api.end(await api.claim(), Status.RETRYING, delay_ms=0, error=error, failures_delta=1)
    await api.writer.promote()
    await api.end(await api.claim(), Status.FAILED, error=error, failures_delta=1)

    reply = await asking

    assert (reply.status, reply.job.status, reply.job.attempt) == (200, "failed", 2)
    assert reply.job.error is not None
    assert reply.job.error.code == "handler_error"


async def test_a_drain_ends_the_wait(api: Api) -> None:
    asking = asyncio.create_task(api.submit(Prefer="wait=50"))
    await api.next_watch()

    api.draining.set()

    assert (await asking).status == 202
    assert (await api.submit(Prefer="wait=50")).status == 202


async def test_the_same_key_gives_the_same_job(api: Api) -> None:
    first = await api.submit({"kind": "test.any", "args": {"a": 1, "b": 2}}, Idempotency_Key="k")

    again = await api.submit({"args": {"b": 2, "a": 1}, "kind": "test.any"}, Idempotency_Key='"k"')

    assert (again.status, again.headers["Idempotent-Replayed"]) == (202, "true")
    assert again.json == {**first.json, "queue_position": 0}
    assert "Idempotent-Replayed" not in first.headers


async def test_there_is_a_limit_on_what_waits(
    serve: Callable[..., AbstractAsyncContextManager[Api]],
) -> None:
    limits = Limits(queued_jobs=2, queued_jobs_per_principal=1)
    async with serve(Config(limits=limits)) as api:
        await api.submit(Idempotency_Key="k", Prefer="respond-async")

        refused = await api.submit(Prefer="respond-async")
        replayed = await api.submit(Idempotency_Key="k", Prefer="respond-async")

    assert refused.problem(429, "quota_exceeded").retryable
    assert int(refused.headers["Retry-After"]) >= 1
    assert replayed.status == 202


async def test_a_replay_of_a_finished_job_is_answered_done(api: Api) -> None:
    first = await api.submit(Idempotency_Key="k")
    await api.end(await api.claim())

    again = await api.submit(Idempotency_Key="k", Prefer="wait=50")

    assert (again.status, again.headers["Idempotent-Replayed"]) == (200, "true")
    assert (again.job.job_id, again.job.status) == (first.job.job_id, "completed")


async def test_a_replay_waits_like_the_first(api: Api) -> None:
    await api.submit(Idempotency_Key="k")
    asking = asyncio.create_task(api.submit(Idempotency_Key="k", Prefer="wait=50"))
    await api.next_watch()
    await api.end(await api.claim())

    assert (await asking).job.status == "completed"


async def test_a_replay_of_an_expired_job_is_gone(api: Api) -> None:
    document = {"kind": "test.any", "retention_seconds": 60}
    job = (await api.submit(document, Idempotency_Key="k")).job
    await api.end(await api.claim())
    api.clock.ms += 60_000

    gone = await api.submit(document, Idempotency_Key="k")

    assert job.job_id in gone.problem(410, "job_expired").detail


async def test_a_key_cannot_be_used_for_another_request(api: Api) -> None:
    await api.submit(Idempotency_Key="k")

    reused = await api.submit({"kind": "test.any", "priority": 1}, Idempotency_Key="k")

    reused.problem(422, "idempotency_key_reused")


async def test_a_key_that_is_not_one(api: Api) -> None:
    problem = (await api.submit(Idempotency_Key="a b")).problem(400, "invalid_idempotency_key")

    assert [error.header for error in problem.errors] == ["Idempotency-Key"]


async def test_an_unknown_kind_names_the_nearest(api: Api) -> None:
    problem = (await api.submit({"kind": "test.eny"})).problem(422, "unknown_kind")

    assert "test.any" in problem.detail
    assert [error.pointer for error in problem.errors] == ["#/kind"]
    assert problem.retryable is False


async def test_a_kind_that_did_not_load(api: Api) -> None:
    reply = await api.submit({"kind": "test.broken"})

    problem = reply.problem(503, "handler_unavailable")
    assert "No module named 'x'" in problem.detail
    assert problem.retryable
    assert 30 <= int(reply.headers["Retry-After"]) <= 38


async def test_before_the_catalogue_is_known(api: Api) -> None:
    api.kinds.catalog = None

    reply = await api.submit()

    reply.problem(503, "starting")
    assert 1 <= int(reply.headers["Retry-After"]) <= 3


async def test_args_that_break_the_schema(api: Api) -> None:
    reply = await api.submit({"kind": "test.strict", "args": {"n": "x", "m": 1}})

    pointers = {error.pointer for error in reply.problem(422, "validation_error").errors}
    assert pointers == {"#/args/n", "#/args/m"}


async def test_a_body_that_breaks_the_schema(api: Api) -> None:
    reply = await api.submit({"priority": 10, "callback": "http://x/"})

    pointers = {error.pointer for error in reply.problem(422, "validation_error").errors}
    assert pointers == {"#/kind", "#/priority", "#/callback"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run_at", "0001-01-01T00:00:00+10:00"),
        ("start_before", "9999-12-31T23:59:59-10:00"),
        ("retention_seconds", 604801),
        ("timeout_seconds", -1),
        ("metadata", {"a": "\x00"}),
    ],
)
async def test_a_value_out_of_range(api: Api, field: str, value: object) -> None:
    reply = await api.submit({"kind": "test.any", field: value})

    (error,) = reply.problem(422, "validation_error").errors
    assert (error.pointer or "").startswith(f"#/{field}")


async def test_a_timeout_without_bound_is_the_longest_that_is_allowed(api: Api) -> None:
    document = {"kind": "test.strict", "args": {"n": 1}, "timeout_seconds": 1e308}

    longest_s = api.services.config.jobs.max_timeout_s
    assert (await api.submit(document, **ASYNC)).job.timeout_seconds == longest_s


async def test_args_over_their_limit(api: Api) -> None:
    reply = await api.submit({"kind": "test.any", "args": {"a": "x" * 1024}})

    reply.problem(413, "args_too_large")


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_over_the_limit(api: Api, chunked: bool) -> None:
    async def pieces() -> Any:
        yield b" " * 8193

    data = pieces() if chunked else b" " * 8193
    headers = {"Content-Type": "application/json"}

    (await api.ask("POST", "/v1/jobs", data=data, headers=headers)).problem(413, "body_too_large")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"kind":"a","args":{"a":' + b"[" * 8000])
async def test_a_body_that_is_not_json(api: Api, body: bytes) -> None:
    headers = {"Content-Type": "application/json; charset=UTF-8", "Idempotency-Key": "k"}

    reply = await api.ask("POST", "/v1/jobs", data=body, headers=headers)

    reply.problem(400, "malformed_json")


async def test_a_body_nested_as_deep_as_it_can_be_parsed(api: Api) -> None:
    deep = b'{"kind":"test.any","args":{"a":' + b"[" * 900 + b"]" * 900 + b"}}"
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}

    assert (await api.ask("POST", "/v1/jobs", data=deep, headers=headers)).status in {400, 422}


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": ""},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_a_body_that_is_not_plain_json(api: Api, headers: dict[str, str]) -> None:
    reply = await api.ask("POST", "/v1/jobs", data=b'{"kind":"test.any"}', headers=headers)

    reply.problem(415, "unsupported_media_type")
    assert reply.headers["Accept"] == "application/json"


async def test_a_parameter_is_refused(api: Api) -> None:
    reply = await api.ask("POST", "/v1/jobs?wait=5", json={"kind": "test.any"})

    problem = reply.problem(400, "unknown_parameter")
    assert [error.parameter for error in problem.errors] == ["wait"]


async def test_a_refused_submission_leaves_its_key_free(api: Api) -> None:
    await api.submit({"kind": "test.none"}, Idempotency_Key="k")

    assert (await api.submit(Idempotency_Key="k")).status == 202
