"""`/v1/queues`: the list, limits, pause and resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobd.config import Config, Queue

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.api.conftest import Api

EMPTY = {
    "concurrency": None,
    "paused": False,
    "queued": 0,
    "processing": 0,
    "oldest_queued_seconds": None,
}


async def patch(api: Api, name: str, document: Any) -> Any:
    return await api.ask("PATCH", f"/v1/queues/{name}", json=document)


async def test_every_known_queue_is_listed_by_name(api: Api) -> None:
    await api.submit(Prefer="respond-async")
    await api.submit({"kind": "test.any", "queue": "used"}, Prefer="respond-async")
    await patch(api, "kept", {"concurrency": 2})
    api.clock.advance(1.5)

    reply = await api.get("/v1/queues")

    waiting = {"queued": 1, "oldest_queued_seconds": 1.5}
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.json == {
        "queues": [
            {"name": "default", **EMPTY, **waiting},
            {"name": "kept", **EMPTY, "concurrency": 2},
            {"name": "slow", **EMPTY},
            {"name": "used", **EMPTY, **waiting},
        ],
        "next_page_token": None,
    }


async def test_a_paused_queue_starts_nothing_until_it_is_resumed(api: Api) -> None:
    paused = await api.ask("POST", "/v1/queues/default/pause")
    api.pool.free["cpu"] = 1
    await api.submit(Prefer="respond-async")

    assert (paused.status, paused.json) == (200, {"name": "default", **EMPTY, "paused": True})
    assert api.pool.paused_queues == ["default"]
    assert api.pool.claims.empty()
    # else the default wait of a submission would be in vain
    assert api.writer.is_aside("default")

    resumed = await api.ask("POST", "/v1/queues/default/resume")
    await api.pool.claims.get()

    assert (resumed.status, resumed.json["paused"]) == (200, False)
    assert api.pool.paused_queues == ["default"]


async def test_a_patch_changes_what_it_names(api: Api) -> None:
    await patch(api, "q", {"concurrency": 3, "paused": True})
    await patch(api, "q", {"paused": False})
    await patch(api, "q", {})

    reply = await patch(api, "q", {"concurrency": 4.0})

    assert reply.json == {"name": "q", **EMPTY, "concurrency": 4}


async def test_null_takes_the_limit_of_the_settings_away(
    serve: Callable[..., AbstractAsyncContextManager[Api]],
) -> None:
    async with serve(Config(queues={"q": Queue(concurrency=2)})) as api:
        before = (await api.get("/v1/queues")).json["queues"]
        await patch(api, "q", {"concurrency": None})

    async with serve(Config(queues={"q": Queue(concurrency=2)})) as api:
        after = (await api.get("/v1/queues")).json["queues"]

    assert {"name": "q", **EMPTY, "concurrency": 2} in before
    assert {"name": "q", **EMPTY} in after


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"concurrency": 0}, "#/concurrency"),
        ({"concurrency": 1 << 40}, "#/concurrency"),
        ({"concurrency": "2"}, "#/concurrency"),
        ({"paused": None}, "#/paused"),
        ({"name": "x"}, "#/name"),
        ([], "#"),
    ],
)
async def test_a_patch_that_breaks_a_rule_changes_nothing(
    api: Api, document: Any, pointer: str
) -> None:
    reply = await patch(api, "new", document)

    assert [error.pointer for error in reply.problem(422, "validation_error").errors] == [pointer]
    assert "new" not in (await api.get("/v1/queues")).body.decode()


@pytest.mark.parametrize("name", ["A", ".x", "a%20b", "x" * 101, "a%0A"])
@pytest.mark.parametrize("verb", ["/pause", "/resume", ""])
async def test_a_name_that_no_queue_can_have_is_not_found(api: Api, name: str, verb: str) -> None:
    method = "POST" if verb else "PATCH"

    reply = await api.ask(method, f"/v1/queues/{name}{verb}", json={})

    reply.problem(404, "not_found")


async def test_parameters_and_methods_that_are_not_there_are_refused(api: Api) -> None:
    (await api.get("/v1/queues?x=1")).problem(400, "unknown_parameter")
    (await api.ask("DELETE", "/v1/queues/q")).problem(405, "method_not_allowed")
    (await api.ask("POST", "/v1/queues/q/pause?x=1")).problem(400, "unknown_parameter")
