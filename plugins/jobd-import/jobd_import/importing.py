"""The import itself: batch after batch, and after a crash on from where the target stands.

Invariant: the target alone says how far the import is. The job's checkpoint is written after
each commit, so it may be one batch behind, and is only a hint for people and logs.
"""

import csv
from contextlib import ExitStack
from pathlib import Path

import msgspec

from jobd.sdk import Context, Discard, Partial
from jobd_import.args import ImportArgs, Upload
from jobd_import.rows import Chunk, Rows
from jobd_import.source import Lines, Source, Stamp
from jobd_import.target import Position, Target

REJECTS_NAME = "rejects.csv"

_STEPS = 3


class Result(msgspec.Struct, frozen=True):
    """What the job returns."""

    table: str
    rows_imported: int
    rows_rejected: int
    bytes_total: int
    bytes_read: int
    """What this attempt read, so less than bytes_total after a crash."""
    resumed_at_bytes: int
    attempt: int
    rejects: str | None
    """Name of the artifact with the rejected rows."""


class Import:
    """One attempt of one job."""

    def __init__(self, ctx: Context, args: ImportArgs, rows: Rows) -> None:
        self._ctx = ctx
        self._args = args
        self._rows = rows
        self._source: Source | None = None
        self._lines: Lines | None = None
        self._stamp = Stamp(0, 0, 0)
        self._position = Position(0, 0)
        self._resumed_at_bytes = 0

    def run(self) -> Result | Partial:
        """Import what is not yet imported; return the same whichever attempt comes to the end.

        A cancel takes effect between two batches and leaves what was committed.
        """
        with ExitStack() as stack:
            with self._ctx.step("open", 1, _STEPS):
                target = self._open(stack)
            with self._ctx.step("import", 2, _STEPS):
                self._load(target)
            with self._ctx.step("report", 3, _STEPS):
                return self._report(target)

    def _source_path(self) -> Path:
        source = self._args.source
        return (
            self._ctx.file(source.file_id) if isinstance(source, Upload) else self._ctx.path(source)
        )

    def _open(self, stack: ExitStack) -> Target:
        args, rows = self._args, self._rows
        source_path = self._source_path()
        target = stack.enter_context(
            Target(self._ctx.path(args.database), args.table, self._ctx.job_id)
        )
        saved = target.saved()
        if saved is not None:
            self._stamp, self._position = saved.stamp, saved.position
            self._resumed_at_bytes = saved.position.at_bytes
            if saved.done:
                self._ctx.log.info("an earlier attempt has finished this import")
                return target
        source = self._source = stack.enter_context(Source(source_path))
        if saved is None:
            if self._ctx.restored is not None:
                self._ctx.log.warning("the target has no record of this import: starting over")
            self._stamp = source.stamp
            self._lines = rows.begin(source)
            self._position = Position(self._lines.at_bytes, self._lines.next_line - 1)
            target.begin(source_path, source.stamp, rows.header, rows.columns, self._position)
        else:
            self._refuse_change(source.stamp)
            rows.resume(saved.header)
            self._lines = source.lines(self._position.at_bytes, self._position.at_line, rows.code)
            self._ctx.log.info("resuming at byte %d", self._position.at_bytes)
        target.prepare(rows.columns)
        return target

    def _load(self, target: Target) -> None:
        if self._source is None or self._lines is None:  # done before
            return
        for chunk in self._rows.chunks(self._lines, self._args.batch_rows):
            self._refuse_too_many(target)
            self._ctx.check_cancelled()
            self._position = self._commit(target, chunk)
            self._ctx.checkpoint(self._position)
            self._show_progress()
        self._refuse_too_many(target)
        self._refuse_change(self._source.current_stamp())
        target.finish()

    def _commit(self, target: Target, chunk: Chunk) -> Position:
        before, at = self._position, Position(chunk.end_bytes, chunk.end_line)
        rows = self._rows.all(chunk)
        after = None if rows is None else target.all_rows(rows, before, at)
        return after or target.each_row(list(self._rows.each(chunk)), before, at)

    def _show_progress(self) -> None:
        position = self._position
        message = f"{position.imported:,} rows"
        if position.rejected:
            message += f", {position.rejected:,} rejected"
        self._ctx.progress(done=position.at_bytes, total=self._stamp.size_bytes, message=message)

    def _report(self, target: Target) -> Result | Partial:
        position = self._position
        if position.rejected:
            self._write_rejects(target)
        self._ctx.log.info(
            "%s: %d rows imported, %d rejected",
            self._args.table,
            position.imported,
            position.rejected,
        )
        result = Result(
            table=self._args.table,
            rows_imported=position.imported,
            rows_rejected=position.rejected,
            bytes_total=self._stamp.size_bytes,
            bytes_read=0 if self._source is None else self._source.read_bytes,
            resumed_at_bytes=self._resumed_at_bytes,
            attempt=self._ctx.attempt,
            rejects=REJECTS_NAME if position.rejected else None,
        )
        total = position.imported + position.rejected
        return Partial(result, total, succeeded=position.imported, failed=position.rejected)

    def _write_rejects(self, target: Target) -> None:
        path = self._ctx.artifact(REJECTS_NAME)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("line", "reason", "row"))
            writer.writerows(target.rejects())

    def _refuse_too_many(self, target: Target) -> None:
        most, rejected = self._args.max_rejects, self._position.rejected
        if most is not None and rejected > most:
            self._write_rejects(target)
            raise Discard(
                code="too_many_rejects",
                message=f"{rejected} rows were rejected, more than {most}; see {REJECTS_NAME}.",
            )

    def _refuse_change(self, stamp: Stamp) -> None:
        if stamp != self._stamp:
            raise Discard(
                code="source_changed",
                message="The source has changed since the import began.",
            )
