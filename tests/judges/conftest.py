"""The API of tests/api, and one daemon for all tests that only talk to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from jobd.config import Config, Limits
from tests.api.conftest import Api, running
from tests.e2e.conftest import Daemon

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """An API with small limits and a clock that stands still."""
    limits = Limits(body_bytes=8192, args_bytes=1024, inline_result_bytes=64, sync_wait_ms=1000)
    async with running(tmp_path, Config(limits=limits)) as api:
        yield api


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that is ready and warm, and waits for every job longer than that takes."""
    served = Daemon(tmp_path_factory.mktemp("d"))
    with served.config.open("a") as config:
        config.write("[limits]\nsync_wait_ms = 1000\n")
    try:
        served.start()
        transport = httpx.HTTPTransport(uds=served.socket)
        with httpx.Client(transport=transport, base_url="http://localhost", timeout=60) as http:
            for kind in ("test.echo", "test.aecho"):
                answer = http.post("/v1/jobs", json={"kind": kind}, headers={"Prefer": "wait=30"})
                assert answer.json()["status"] == "completed"
        yield served
    finally:
        served.close()
