"""Registered endpoints: what is changed is in the file and in memory, and the same in both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobd.domain.endpoints import (
    MAX_PER_PRINCIPAL,
    Disabling,
    EndpointChange,
    EndpointRemoval,
    EndpointRotation,
    Health,
)
from jobd.domain.errors import JobdError
from jobd.store.endpoints import read_endpoints

if TYPE_CHECKING:
    from pathlib import Path

    from jobd.domain.endpoints import Endpoint
    from tests.store.conftest import OpenStore, Store

ME = "uid:1000"
FULL: dict[str, Any] = {
    "events": ("job.queued",),
    "kinds": ("a.*", "b"),
    "queues": ("slow",),
    "payload": "job",
    "rate_per_s": 2.5,
    "paused": True,
    "description": "Ünï",
}


async def in_file(store: Store) -> list[Endpoint]:
    return (await store.database.read(read_endpoints)).of(ME)


async def test_an_endpoint_is_there_after_a_restart(path: Path, open_store: OpenStore) -> None:
    async with open_store(path) as store:
        plain, full = await store.endpoint(), await store.endpoint(**FULL)

    async with open_store(path) as store:
        assert store.writer.endpoints.of(ME) == [plain, full]
        assert {name: getattr(full, name) for name in FULL} == FULL


async def test_a_change_leaves_the_rest(store: Store) -> None:
    before = await store.endpoint(**FULL)
    change = EndpointChange(
        endpoint_id=before.endpoint_id, principal=ME, version=1, kinds=None, paused=False
    )

    after = await store.writer.change_endpoint(change)

    assert (after.kinds, after.paused, after.version) == (None, False, 2)
    assert (after.queues, after.secret, after.events) == (
        before.queues,
        before.secret,
        before.events,
    )
    assert store.writer.endpoints.of(ME) == await in_file(store) == [after]
    assert store.seen.receivers == {before.endpoint_id}


@pytest.mark.parametrize("principal", [ME, "another"])
async def test_of_another_version_or_principal_nothing_is_changed(
    store: Store, principal: str
) -> None:
    endpoint = await store.endpoint()
    of = endpoint.endpoint_id
    change = EndpointChange(endpoint_id=of, principal=principal, version=7, url="https://x")
    asked = [
        store.writer.change_endpoint(change),
        store.writer.remove_endpoint(EndpointRemoval(of, principal, 7)),
    ]

    errors = await store.together(*asked)

    code = "precondition_failed" if principal == ME else "endpoint_not_found"
    assert [error.code for error in errors] == [code, code]
    assert store.writer.endpoints.of(ME) == await in_file(store) == [endpoint]


async def test_a_removed_endpoint_is_gone(store: Store) -> None:
    endpoint = await store.endpoint()

    await store.writer.remove_endpoint(EndpointRemoval(endpoint.endpoint_id, ME))

    assert store.writer.endpoints.of(ME) == await in_file(store) == []


async def test_a_principal_has_so_many_endpoints(store: Store) -> None:
    await store.together(*[store.endpoint() for _ in range(MAX_PER_PRINCIPAL)])

    with pytest.raises(JobdError) as refused:
        await store.endpoint()

    assert refused.value.code == "endpoint_limit"
    assert await store.endpoint(principal="another")


async def test_a_rotation_keeps_the_other_secret_for_its_time(store: Store) -> None:
    old = await store.endpoint()

    new = await store.writer.rotate_endpoint(
        EndpointRotation(old.endpoint_id, ME, "whsec_new", 60_000)
    )

    assert new.secrets(store.clock.ms) == ("whsec_new", old.secret)
    assert new.secrets(store.clock.ms + 60_000) == ("whsec_new",)
    assert await in_file(store) == [new]


async def test_health_is_written_when_it_changes(store: Store) -> None:
    endpoint_id = (await store.endpoint()).endpoint_id
    notes = [(True, 1), (False, 2), (False, 3), (True, 4), (False, 5)]

    noted = [await store.writer.note_health(Health(endpoint_id, ok, at)) for ok, at in notes]

    assert [one and one.failing_since_ms for one in noted] == [None, 2, 2, None, 5]
    assert [one and one.version for one in noted] == [1, 2, 2, 3, 4]
    assert await in_file(store) == noted[-1:]


async def test_enabling_forgets_why_it_was_disabled(store: Store) -> None:
    endpoint_id = (await store.endpoint()).endpoint_id
    await store.writer.note_health(Health(endpoint_id, ok=False, at_ms=1))

    off = await store.writer.disable_endpoint(Disabling(endpoint_id, "failing"))
    on = await store.writer.change_endpoint(
        EndpointChange(endpoint_id=endpoint_id, principal=ME, enabled=True)
    )

    assert off is not None
    assert (off.enabled, off.disabled_reason, off.disabled_at_ms) == (
        False,
        "failing",
        store.clock.ms,
    )
    assert (on.enabled, on.disabled_reason, on.failing_since_ms) == (True, None, None)


async def test_nobody_disables_what_is_gone(store: Store) -> None:
    assert await store.writer.disable_endpoint(Disabling("whe_gone", "gone")) is None
    assert await store.writer.note_health(Health("whe_gone", ok=True, at_ms=1)) is None


async def test_memory_has_what_the_file_has_when_one_cannot_be_written(store: Store) -> None:
    broken, good = await store.together(store.endpoint(rate_per_s="no number"), store.endpoint())

    assert isinstance(broken, Exception)
    assert store.writer.endpoints.of(ME) == await in_file(store) == [good]
