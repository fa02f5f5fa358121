"""`/v1/handlers`: what can be submitted, and the look for what is new."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobd.domain.catalog import Catalog, HandlerSpec, LoadError

if TYPE_CHECKING:
    from tests.api.conftest import Api


async def test_a_reload_answers_what_is_installed_now(api: Api) -> None:
    broken = LoadError("b.a", "dist", "m:g", "SyntaxError: no")
    api.reloaded = Catalog({"a.b": HandlerSpec("a.b", "cpu", "dist", "2", "m:f")}, {"b.a": broken})

    reply = await api.ask("POST", "/v1/handlers/reload")
    after = await api.get("/v1/handlers")

    assert reply.status == 200
    assert [handler["kind"] for handler in reply.json["handlers"]] == ["a.b"]
    assert [error["message"] for error in reply.json["load_errors"]] == ["SyntaxError: no"]
    assert after.json == reply.json


async def test_a_reload_that_is_impossible_changes_nothing(api: Api) -> None:
    api.unloadable = "no process could be started"
    before = await api.get("/v1/handlers")

    reply = await api.ask("POST", "/v1/handlers/reload")

    assert (reply.status, reply.json["code"]) == (503, "handlers_not_loaded")
    assert (await api.get("/v1/handlers")).json == before.json
