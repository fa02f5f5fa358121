"""`/v1/batches`: taken line by line, written whole or in part, counted, cancelled, retried."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from jobd.config import Config, Limits
from jobd.domain.jobs import JobError
from jobd.domain.statuses import Status
from jobd.wire.batches import BatchDetail

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tests.api.conftest import Api, Reply

    Serve = Callable[..., AbstractAsyncContextManager[Api]]

NDJSON = {"Content-Type": "application/x-ndjson"}
ANY = {"kind": "test.any"}
UNKNOWN = {"kind": "test.unknown"}
COUNT = {
    "jobs": "SELECT count(*) FROM jobs",
    "batches": "SELECT count(*) FROM batches",
    "messages": "SELECT count(*) FROM messages",
}
NONE = dict.fromkeys(
    ["scheduled", "queued", "processing", "retrying", "completed", "failed", "cancelled"], 0
)


def lines(*documents: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in documents)


async def send(
    api: Api, body: bytes | AsyncIterator[bytes], query: str = "", **headers: str
) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.ask("POST", f"/v1/batches{query}", data=body, headers=NDJSON | named)


async def count(api: Api, table: str = "jobs") -> int:
    rows = await api.database.read(lambda c: c.execute(COUNT[table]).fetchall())
    return int(rows[0][0])


async def failed_job(api: Api) -> None:
    error = JobError("broken", "It broke.", retryable=False)
    await api.end(await api.claim(), Status.FAILED, error=error)


async def test_lines_become_jobs_of_a_batch(api: Api) -> None:
    late = {**ANY, "run_at": "2026-01-05T00:00:00Z"}

    reply = await send(api, lines({**ANY, "args": {"n": 1}}, late))

    batch = reply.json
    url = f"/v1/batches/{batch['batch_id']}"
    assert (reply.status, reply.headers["Location"]) == (202, url)
    assert (reply.headers["Retry-After"], reply.headers["Cache-Control"]) == ("1", "no-store")
    assert batch == {
        "batch_id": batch["batch_id"],
        "status": "processing",
        "done": False,
        "partial": False,
        "poll_url": url,
        "cancel_url": f"{url}/cancel",
        "retry_url": f"{url}/retry",
        "jobs_url": f"/v1/jobs?batch_id={batch['batch_id']}",
        "callback_url": None,
        "created_at": "2026-01-01T00:00:00Z",
        "completed_at": None,
        "expires_at": None,
        "total": 2,
        "accepted": 2,
        "rejected": 0,
        "replayed": 0,
        "jobs": NONE | {"queued": 1, "scheduled": 1},
        "retry_of": None,
        "job_ids": batch["job_ids"],
        "errors": [],
        "errors_truncated": False,
    }
    jobs = [(await api.get(f"/v1/jobs/{job_id}")).job for job_id in batch["job_ids"]]
    assert [(job.batch_id, job.batch_index) for job in jobs] == [
        (batch["batch_id"], 0),
        (batch["batch_id"], 1),
    ]


async def test_the_same_as_one_json_document(api: Api) -> None:
    reply = await api.ask("POST", "/v1/batches", json={"jobs": [ANY, UNKNOWN, ANY]})

    assert (reply.status, reply.json["accepted"], reply.json["rejected"]) == (202, 2, 1)
    assert [error["line"] for error in reply.json["errors"]] == [2]


async def test_what_is_wrong_with_a_line_is_said_and_the_others_are_queued(api: Api) -> None:
    body = lines(ANY, UNKNOWN) + b'{"kind": \n\n \r\n' + lines({**ANY, "priority": 10})
    body += lines({"kind": "test.strict"}) + b'{"kind": "test.any"}'

    reply = await send(api, body)

    batch = reply.json
    assert (batch["total"], batch["accepted"], batch["rejected"]) == (6, 2, 4)
    assert [(e["line"], e["code"], e["pointer"]) for e in batch["errors"]] == [
        (2, "unknown_kind", "#/kind"),
        (3, "malformed_json", None),
        (6, "validation_error", "#/priority"),
        (7, "validation_error", "#/args/n"),
    ]
    assert [job_id is not None for job_id in batch["job_ids"]] == [
        True, False, False, False, False, True,
    ]  # fmt: skip


async def test_the_first_hundred_errors_are_kept(api: Api) -> None:
    batch = (await send(api, lines(ANY, *[UNKNOWN] * 101))).json

    assert (len(batch["errors"]), batch["errors_truncated"], batch["rejected"]) == (100, True, 101)


@pytest.mark.parametrize("query", ["", "?atomic=true"])
async def test_a_batch_without_a_good_line_is_refused(api: Api, query: str) -> None:
    refused = await send(api, lines(UNKNOWN, {**ANY, "priority": -1}), query)

    problem = refused.problem(422, "batch_rejected")
    assert [(error.line, error.code) for error in problem.errors] == [
        (1, "unknown_kind"),
        (2, "validation_error"),
    ]
    assert await count(api) == await count(api, "batches") == 0


async def test_an_empty_batch_is_refused(api: Api) -> None:
    (await send(api, b"\n\n")).problem(422, "batch_rejected")


async def test_atomic_queues_nothing_if_a_line_is_wrong(api: Api) -> None:
    (await send(api, lines(ANY, UNKNOWN), "?atomic=true")).problem(422, "batch_rejected")

    assert await count(api) == 0


async def test_atomic_queues_nothing_if_the_store_refuses_a_line(api: Api) -> None:
    missing = {**ANY, "args": {"source": {"$file": f"file_{'0' * 64}"}}}

    refused = await send(api, lines(ANY, missing, ANY), "?atomic=true")

    problem = refused.problem(422, "batch_rejected")
    assert [error.line for error in problem.errors] == [2]
    assert await count(api) == await count(api, "batches") == 0
    assert api.writer.tally.all_waiting == 0


async def test_atomic_takes_a_thousand_lines(api: Api) -> None:
    full = await send(api, lines(ANY) * 1000, "?atomic=true")
    refused = await send(api, lines(ANY) * 1001, "?atomic=true")

    assert (full.status, full.json["accepted"]) == (202, 1000)
    refused.problem(422, "batch_rejected")


async def test_a_long_batch_is_written_in_parts(api: Api) -> None:
    traced = await api.traced()

    reply = await send(api, lines(ANY) * 1200)

    assert (reply.json["accepted"], len(reply.json["job_ids"])) == (1200, 1000)
    assert reply.json["jobs"]["queued"] == api.writer.tally.all_waiting == 1200
    # the row, three parts, the report
    assert traced.count("BEGIN IMMEDIATE") == 5


async def test_caps(serve: Serve) -> None:
    limits = Limits(batch_lines=3, batch_bytes=1000, body_bytes=200)
    async with serve(Config(limits=limits)) as api:
        long_line = lines({**ANY, "metadata": {"note": "x" * 200}})

        too_many = await send(api, lines(*[ANY] * 4))
        too_long = await send(api, long_line)
        too_large = await send(api, b"\n" * 1001)
        in_pieces = await send(api, pieces(b"\n" * 1001))
        document = await api.ask("POST", "/v1/batches", json={"jobs": [ANY] * 4})
        long_document = await api.ask("POST", "/v1/batches", json={"jobs": ["x" * 200]})

        for reply in (too_many, too_long, too_large, in_pieces, document, long_document):
            reply.problem(413, "body_too_large")
        assert await count(api) == 0


async def pieces(body: bytes, size: int = 7) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def test_a_body_in_pieces_is_put_together_at_the_ends_of_lines(api: Api) -> None:
    body = lines({**ANY, "metadata": {"note": "é"}}, ANY)

    reply = await send(api, pieces(body, 1))

    assert reply.json["accepted"] == 2


async def test_a_connection_that_is_lost_before_the_last_line_queues_nothing(api: Api) -> None:
    reader, writer = await asyncio.open_unix_connection(api.socket)
    writer.write(
        b"POST /v1/batches HTTP/1.1\r\nHost: j\r\nContent-Type: application/x-ndjson\r\n"
        b"Idempotency-Key: k\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n" + lines(ANY) + b"\r\n"
    )
    while (await send(api, b"", Idempotency_Key="k")).status != 409:
        pass  # until the first one is being read
    writer.close()
    await writer.wait_closed()

    while (again := await send(api, lines(UNKNOWN), Idempotency_Key="k")).status == 409:
        pass  # until it is known to be lost
    again.problem(422, "batch_rejected")
    assert await count(api) == await count(api, "batches") == 0
    assert await reader.read() == b""


async def test_a_key_that_is_under_way_is_refused(api: Api) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield lines(ANY)
        begun.set()
        await go_on.wait()
        yield lines(ANY)

    first = asyncio.create_task(send(api, slowly(), Idempotency_Key="k"))
    await begun.wait()
    while (second := await send(api, b"", Idempotency_Key="k")).status != 409:
        second.problem(422, "batch_rejected")  # it came before the first
    second.problem(409, "idempotency_in_progress")
    assert second.headers["Retry-After"] == "1"
    go_on.set()

    assert (await first).json["accepted"] == 2


async def test_the_same_key_again_gives_the_same_batch(api: Api) -> None:
    first = await send(api, lines(ANY, UNKNOWN), Idempotency_Key="k")
    again = await send(api, lines(ANY, UNKNOWN).rstrip(b"\n"), Idempotency_Key='"k"')
    other = await send(api, lines(ANY), Idempotency_Key="k")
    other_query = await send(api, lines(ANY, UNKNOWN), "?atomic=true", Idempotency_Key="k")

    assert (again.status, again.headers["Idempotent-Replayed"]) == (202, "true")
    assert (again.json, await count(api)) == (first.json, 1)
    assert "Idempotent-Replayed" not in first.headers
    other.problem(422, "idempotency_key_reused")
    other_query.problem(422, "idempotency_key_reused")


async def test_the_key_of_a_line_names_the_job_that_a_submission_with_it_would(api: Api) -> None:
    document = {**ANY, "args": {"b": 1, "a": 2}, "run_at": "2026-01-05T00:00:00Z"}
    single = await api.submit(document, Idempotency_Key="a", Prefer="respond-async")
    keyed = [{**document, "idempotency_key": key} for key in "abb"]

    batch = (await send(api, lines(*keyed, {**ANY, "idempotency_key": "a"}))).json

    job_ids = batch["job_ids"]
    assert (batch["accepted"], batch["replayed"], batch["jobs"]["scheduled"]) == (3, 2, 1)
    assert (job_ids[0], job_ids[1], job_ids[3]) == (single.job.job_id, job_ids[2], None)
    assert [(e["line"], e["code"]) for e in batch["errors"]] == [(4, "idempotency_key_reused")]


async def test_what_was_broken_off_goes_on_with_the_same_key(api: Api) -> None:
    documents: list[Any] = [{**ANY, "args": {"note": "x" * 600, "n": n}} for n in range(1500)]
    documents[3], documents[4] = UNKNOWN, {**ANY, "idempotency_key": "line"}
    await may_grow(api, 200)

    broken = await send(api, lines(*documents), Idempotency_Key="k")
    await may_grow(api, 10_000)
    while (again := await send(api, lines(*documents), Idempotency_Key="k")).status == 507:
        pass  # until it is seen that there is room again

    assert "500 jobs are queued" in broken.problem(507, "storage_full").detail
    assert (again.status, again.json["total"], again.json["accepted"]) == (202, 1500, 1499)
    assert [error["line"] for error in again.json["errors"]] == [4]
    assert [index for index, job_id in enumerate(again.json["job_ids"]) if not job_id] == [3]
    assert await count(api) == again.json["jobs"]["queued"] == 1499


async def test_what_was_broken_off_without_a_key_is_all_there_is(api: Api) -> None:
    documents = [{**ANY, "args": {"note": "x" * 600}}] * 1500
    await may_grow(api, 200)

    (await send(api, lines(*documents))).problem(507, "storage_full")
    await may_grow(api, 10_000)
    while not (batch := (await api.get("/v1/batches")).json["batches"][0])["accepted"]:
        pass  # until it is seen that there is room again

    assert batch["jobs"]["queued"] == batch["accepted"] == 500


async def may_grow(api: Api, pages: int) -> None:
    """Let the database have so many pages more than it has now."""

    def limit(connection: Any) -> None:
        (size,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {size + pages}")

    await api.database.run(limit)


async def test_the_limit_on_waiting_jobs_refuses_the_batch_or_some_of_it(serve: Serve) -> None:
    async with serve(Config(limits=Limits(queued_jobs_per_principal=2))) as api:
        some = await send(api, lines(ANY, ANY, ANY))
        none = await send(api, lines(ANY, ANY))

        assert (some.json["accepted"], some.json["errors"][0]["code"]) == (2, "quota_exceeded")
        none.problem(429, "quota_exceeded")
        assert await count(api, "batches") == 1


async def test_a_batch_is_done_with_its_last_job(api: Api) -> None:
    url = (await send(api, lines(ANY, ANY))).headers["Location"]

    await api.end(await api.claim())
    half = (await api.get(url)).json
    await failed_job(api)
    api.clock.advance(1)
    done = await api.get(url)

    assert (half["jobs"], half["done"]) == (NONE | {"queued": 1, "completed": 1}, False)
    assert done.json["jobs"] == NONE | {"completed": 1, "failed": 1}
    assert (done.json["status"], done.json["done"], done.json["partial"]) == (
        "completed",
        True,
        True,
    )
    assert done.json["completed_at"] == "2026-01-01T00:00:00Z"
    assert done.json["expires_at"] == "2026-01-08T00:00:00Z"
    assert "Retry-After" not in done.headers


async def test_a_deleted_job_is_still_counted(api: Api) -> None:
    reply = await send(api, lines(ANY))
    await api.end(await api.claim())
    await api.ask("DELETE", f"/v1/jobs/{reply.json['job_ids'][0]}")

    batch = (await api.get(reply.headers["Location"])).json

    assert (batch["jobs"]["completed"], batch["partial"], batch["done"]) == (1, False, True)


async def test_a_batch_that_the_caller_has_is_not_sent_again(api: Api) -> None:
    url = (await send(api, lines(ANY))).headers["Location"]
    first = await api.get(url)

    same = await api.get(url, If_None_Match=first.headers["ETag"])
    await api.claim()
    other = await api.get(url, If_None_Match=first.headers["ETag"])

    assert (same.status, same.body, same.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert other.json["jobs"]["processing"] == 1


async def test_batches_are_listed_newest_first(api: Api) -> None:
    made = [(await send(api, lines(ANY))).json for _ in range(3)]

    first = await api.get("/v1/batches?page_size=2")
    token = first.json["next_page_token"]
    last = await api.get(f"/v1/batches?page_token={token}")

    listed = [one["batch_id"] for one in first.json["batches"] + last.json["batches"]]
    assert listed == [one["batch_id"] for one in reversed(made)]
    assert "job_ids" not in first.json["batches"][0]
    assert last.json["next_page_token"] is None
    assert first.headers["Link"] == (
        '</v1/batches?page_size=2>; rel="first", '
        f'</v1/batches?page_size=2&page_token={token}>; rel="next"'
    )
    (await api.get("/v1/batches?page_token=x")).problem(400, "invalid_page_token")
    (await api.get("/v1/batches?page_size=0")).problem(400, "invalid_parameter")


async def test_the_jobs_of_a_batch_are_listed(api: Api) -> None:
    batch = (await send(api, lines(ANY, ANY))).json
    await send(api, lines(ANY))

    listed = (await api.get(batch["jobs_url"])).json["jobs"]

    assert [job["job_id"] for job in listed] == list(reversed(batch["job_ids"]))


async def test_cancel_ends_what_waits_and_asks_what_runs(api: Api) -> None:
    url = (await send(api, lines(ANY, ANY, {**ANY, "run_at": "2026-01-05T00:00:00Z"}))).json
    claim = await api.claim()

    cancelled = await api.ask("POST", url["cancel_url"])
    await api.end(claim, Status.CANCELLED)
    again = await api.ask("POST", url["cancel_url"])

    assert (cancelled.status, cancelled.json["jobs"]) == (
        202,
        NONE | {"processing": 1, "cancelled": 2},
    )
    assert api.pool.cancelled == [claim.token]
    assert (again.status, again.json["jobs"]["cancelled"], again.json["done"]) == (200, 3, True)


async def test_retry_makes_a_new_batch_of_what_failed(api: Api) -> None:
    old = (await send(api, lines(ANY, ANY, ANY))).json
    await failed_job(api)
    await api.end(await api.claim())
    await api.end(await api.claim(), Status.CANCELLED)

    made = await api.ask("POST", f"{old['retry_url']}?status=failed")
    again = await api.ask("POST", old["retry_url"])
    rest = await api.ask("POST", f"{old['retry_url']}?status=cancelled&status=failed")

    (job_id,) = made.json["job_ids"]
    job = (await api.get(f"/v1/jobs/{job_id}")).job
    assert (made.status, made.json["retry_of"]) == (202, old["batch_id"])
    assert made.json["jobs"] == NONE | {"queued": 1}
    assert (job.retry_of, job.batch_id, job.batch_index) == (
        old["job_ids"][0],
        made.json["batch_id"],
        0,
    )
    again.problem(409, "nothing_to_retry")
    assert (rest.json["accepted"], rest.json["total"]) == (1, 2)
    completed = await api.ask("POST", f"{old['retry_url']}?status=completed")
    completed.problem(400, "invalid_parameter")


async def test_a_batch_that_is_not_there_or_no_more(api: Api) -> None:
    unknown = f"bat_{(await send(api, lines(ANY))).json['batch_id'][4:-4]}ffff"
    url = (await send(api, lines(ANY))).headers["Location"]
    await api.end(await api.claim())
    await api.end(await api.claim())

    (await api.get(f"/v1/batches/{unknown}")).problem(404, "batch_not_found")
    (await api.get("/v1/batches/x")).problem(404, "batch_not_found")
    api.clock.advance(8 * 86400)
    (await api.get(url)).problem(410, "batch_expired")
    (await api.ask("POST", f"{url}/cancel")).problem(410, "batch_expired")


async def test_the_callback_of_a_batch_is_told_once(api: Api) -> None:
    query = "?callback_url=unix:/run/app.sock:/done"

    batch = (await send(api, lines(ANY, ANY), query)).json
    await api.end(await api.claim())
    before = await count(api, "messages")
    await api.end(await api.claim())

    rows = await api.database.read(lambda c: c.execute("SELECT type, seq FROM messages").fetchall())
    assert (batch["callback_url"], before) == ("unix:/run/app.sock:/done", 0)
    assert [tuple(row) for row in rows] == [("batch.completed", -1)]
    refused = await send(api, lines(ANY), "?callback_url=https://127.0.0.1/")
    refused.problem(422, "callback_url_forbidden")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b'{"jobs": ' + b"[" * 4000, 400, "malformed_json"),
        (b"[]", 422, "validation_error"),
        (b'{"jobs": 1}', 422, "validation_error"),
        (b'{"jobs": [], "more": 1}', 422, "validation_error"),
        (b'{"jobs": []}', 422, "batch_rejected"),
        (b'{"jobs": [1]}', 422, "batch_rejected"),
    ],
)
async def test_a_json_document_that_is_none_of_jobs(
    api: Api, body: bytes, status: int, code: str
) -> None:
    headers = {"Content-Type": "application/json"}

    reply = await api.ask("POST", "/v1/batches", data=body, headers=headers)

    reply.problem(status, code)


async def test_jobs_that_come_twice_are_refused(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    body = b'{"jobs":[],"jobs":[{"kind":"test.any","args":{"a":":"}}]}'

    reply = await api.ask("POST", "/v1/batches", data=body, headers=headers)

    assert "'jobs' comes twice" in reply.problem(400, "malformed_json").detail


async def test_what_is_no_batch(api: Api) -> None:
    as_text = await api.ask("POST", "/v1/batches", data=b"x", headers={"Content-Type": "text/csv"})
    zipped = await send(api, b"x", Content_Encoding="gzip")

    for reply in (as_text, zipped):
        reply.problem(415, "unsupported_media_type")
        assert reply.headers["Accept"] == "application/x-ndjson, application/json"
    (await send(api, b"", "?atomic=maybe")).problem(400, "invalid_parameter")
    (await send(api, b"", "?more=1")).problem(400, "unknown_parameter")


async def test_a_body_that_stalls_is_given_up(serve: Serve) -> None:
    async with serve(Config(), stall_timeout_s=0.05) as api:

        async def stalling() -> AsyncIterator[bytes]:
            yield lines(ANY)
            await asyncio.Event().wait()

        (await send(api, stalling())).problem(408, "body_timeout")
        assert await count(api) == 0


async def test_every_line_deep_or_long_is_judged_by_itself(api: Api) -> None:
    deep = b'{"kind": "test.any", "args": {"a": ' + b"[" * 4000
    nested = b'{"kind": "test.any", "args": {"a": ' + b"[" * 100 + b"]" * 100 + b"}}\n"
    large = lines({**ANY, "args": {"a": "x" * 2000}})

    reply = await send(api, deep + b"\n" + nested + large + lines(ANY))

    assert [error["code"] for error in reply.json["errors"]] == [
        "malformed_json",
        "malformed_json",
        "args_too_large",
    ]
    assert reply.json["accepted"] == 1


async def test_lines_that_differ_in_more_than_their_args_are_what_they_say(api: Api) -> None:
    documents: list[Any] = [
        {**ANY, "priority": 1},
        {**ANY, "priority": 2, "args": {"n": 1.0}, "metadata": {"a": "b"}},
        {**ANY, "priority": 2, "args": {"n": 2}, "metadata": {"a": "c"}},
        {"kind": "test.strict", "args": {"n": 3}},
        {"kind": "test.strict", "args": {"n": 4}, "max_attempts": 2, "timeout_seconds": 5},
        {"kind": "test.strict", "args": {"n": 5}},
        {"kind": "test.strict", "args": {"n": "x"}},
    ]

    batch = (await send(api, lines(*documents))).json

    singles = [(await api.submit(one)).json for one in documents[:-1]]
    made = [(await api.get(f"/v1/jobs/{job_id}")).json for job_id in batch["job_ids"][:-1]]
    options = ["kind", "args", "priority", "queue", "metadata", "max_attempts", "timeout_seconds"]
    assert [[job[o] for o in options] for job in made] == [
        [job[o] for o in options] for job in singles
    ]
    assert batch["rejected"] == 1


async def test_other_requests_are_answered_while_a_batch_is_taken(serve: Serve) -> None:
    limits = Limits(batch_lines=5000)
    async with serve(Config(limits=limits)) as api:
        body = pieces(lines(*({"kind": f"unknown.k{n}"} for n in range(5000))), 65536)
        taking = asyncio.create_task(send(api, body))
        answered = 0
        while not taking.done():
            answered += (await api.get("/livez")).status == 200

        (await taking).problem(422, "batch_rejected")
        assert answered > 2


async def test_after_a_restart_what_was_broken_off_is_all_there_is(serve: Serve) -> None:
    async with serve(Config()) as api:
        url = (await send(api, lines(ANY, ANY))).headers["Location"]

        def unload(connection: Any) -> None:
            connection.execute("UPDATE batches SET loaded = 0, total = 0, accepted = 0")

        await api.database.run(unload)
        await api.writer.recover()

        batch = (await api.get(url)).json
        assert (batch["total"], batch["accepted"], batch["rejected"]) == (2, 2, 0)


async def test_the_document_is_what_its_struct_says(api: Api) -> None:
    reply = await send(api, lines(ANY))

    assert set(reply.json) == set(BatchDetail.__struct_fields__)
