"""Files to import, and a way to import them as a worker would."""

import csv
import sqlite3
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec

from jobd.sdk import Context
from jobd.sdk.context import JobInfo
from jobd.sdk.execution import ResultLimits, run_sync
from jobd.sdk.outcome import Ended
from jobd.sdk.testing import Outcome, run_handler
from jobd_import.handlers import import_csv, import_ndjson

HANDLERS: dict[str, Any] = {"csv": import_csv, "ndjson": import_ndjson}


class Stopped(BaseException):
    """Stands for the death of the process: nothing may catch it."""


class DyingLink:
    """Dies at the n-th checkpoint or in the progress behind it.

    Or is cancelled then, or does something else (`where` is a function).
    """

    def __init__(self, at: int, where: str | Callable[[], object]) -> None:
        self.left = at
        self.where = where

    def heartbeat(self) -> None:
        """Nobody waits for it."""

    def held(self) -> nullcontext[None]:
        return nullcontext()

    def cancelled(self) -> bool:
        return self.where == "cancel" and self.left == 0

    def checkpoint(self, data: bytes) -> None:
        self.left -= 1
        if self.left == 0 and self.where == "checkpoint":
            raise Stopped
        if self.left == 0 and callable(self.where):
            self.where()

    def progress(self, **known: Any) -> None:
        if self.left == 0 and self.where == "progress":
            raise Stopped


class Bench:
    """A source and a database in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = folder / "source"
        self.database = folder / "target.db"

    def args(self, **args: Any) -> dict[str, Any]:
        return {"source": str(self.source), "database": str(self.database), "table": "t"} | args

    def run(
        self, kind: str, content: bytes | None = None, *, attempt: int = 1, **args: Any
    ) -> Outcome:
        """Import the content, or the source as it is."""
        if content is not None:
            self.source.write_bytes(content)
        return run_handler(HANDLERS[kind], self.args(**args), attempt=attempt)

    def run_and_die(self, kind: str, at: int, where: Any, **args: Any) -> Ended:
        """Run a first attempt of the job that `run` runs, up to its n-th checkpoint."""
        job = JobInfo(
            job_id=f"job_{0:032x}",
            kind="test",
            attempt=1,
            max_attempts=3,
            deadline=0.0,
            metadata={},
            traceparent=None,
            restored_json=None,
            scratch_dir=self.folder / "scratch",
            artifacts_dir=self.folder / "artifacts",
            allow_paths=("/",),
            artifact_bytes=2**30,
        )
        ctx = Context(job, DyingLink(at, where), progress_interval_s=0)
        limits = ResultLimits(inline_result_bytes=2**20, result_bytes=2**20)
        return run_sync(
            HANDLERS[kind], ctx, msgspec.json.encode(self.args(**args)), result_limits=limits
        )

    def sql(self, statement: str) -> list[Any]:
        connection = sqlite3.connect(self.database)
        try:
            with connection:
                return connection.execute(statement).fetchall()
        finally:
            connection.close()

    def rows(self) -> list[Any]:
        """Return the table, in the order in which it was written."""
        return self.sql("SELECT * FROM t ORDER BY rowid")


def rejects_of(outcome: Outcome) -> list[list[str]]:
    """Return line, reason and row of each rejected row."""
    with outcome.artifacts["rejects.csv"].open(newline="") as file:
        return list(csv.reader(file))[1:]
