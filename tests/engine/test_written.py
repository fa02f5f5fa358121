"""What was written and cannot be read back is told as an outcome that nobody knows."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jobd.config import Config
from jobd.domain.errors import Invalid, NotFound, OutcomeUnknown, Unavailable
from jobd.domain.jobs import JobError
from jobd.domain.outcomes import Failed
from jobd.domain.queues import QueueChange
from jobd.engine.commands import Commands
from jobd.engine.written import reading_back
from jobd.store.database import Database
from jobd.store.readers import Readers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.engine.conftest import Engine

FAILED = Failed(JobError("handler_error", "no", retryable=False))

_OVERWRITE = """
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(4096)
    file.write(b"nonsense" * 100_000)
"""


def damage(path: Path) -> None:
    """Overwrite it from another process: closing the file in this one would drop the locks."""
    subprocess.run([sys.executable, "-c", _OVERWRITE, path], check=True)


@pytest.fixture
async def unreadable(tmp_path: Path) -> AsyncIterator[Readers]:
    """Readers of a database that is damaged on disk."""
    folder = tmp_path / "damaged"
    folder.mkdir()
    database = await Database.open(folder / "jobd.db")
    await database.checkpoint()
    damage(folder / "jobd.db")
    yield Readers(database)
    await database.close()


@pytest.fixture
def half_blind(engine: Engine, unreadable: Readers) -> Commands:
    """The commands of an engine whose writes arrive and whose reads fail."""
    return Commands(
        Config(),
        engine.clock,
        kinds=engine.kinds,
        writer=engine.writer,
        readers=unreadable,
        running=engine.dispatcher,
        layout=engine.layout,
        check_callback=lambda _: None,
    )


async def test_a_read_that_is_refused_says_that_it_does_not_know(unreadable: Readers) -> None:
    with pytest.raises(Unavailable, match="cannot be read"):
        await unreadable.get("job_1")
    with pytest.raises(OutcomeUnknown, match="It is written") as unknown, reading_back():
        await unreadable.get("job_1")

    assert isinstance(unknown.value.__cause__, Unavailable)
    assert unknown.value.retryable


async def test_a_retry_that_cannot_be_shown_is_made(engine: Engine, half_blind: Commands) -> None:
    job = await engine.ended(FAILED)

    with pytest.raises(OutcomeUnknown):
        await half_blind.retry(job.job_id)

    assert await engine.query("SELECT count(*) FROM jobs WHERE retry_of = ?", job.job_id) == [(1,)]


async def test_a_cancel_that_cannot_be_shown_is_made(engine: Engine, half_blind: Commands) -> None:
    job = await engine.submit()

    with pytest.raises(OutcomeUnknown):
        await half_blind.cancel(job.job_id)

    assert (await engine.job(job.job_id)).status == "cancelled"


async def test_a_pause_that_cannot_be_shown_is_made(engine: Engine, half_blind: Commands) -> None:
    with pytest.raises(OutcomeUnknown):
        await half_blind.queues.change(QueueChange("default", paused=True))

    assert await engine.query("SELECT name, paused FROM queues") == [("default", 1)]


@pytest.mark.parametrize("error", [NotFound("none", "none"), Invalid("bad", "bad")])
def test_what_a_read_finds_is_passed_on(error: Exception) -> None:
    with pytest.raises(type(error)), reading_back():
        raise error
