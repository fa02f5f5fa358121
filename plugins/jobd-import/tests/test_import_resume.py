"""Exactly once: an attempt that dies anywhere, and the next one, make one whole import."""

import os
from pathlib import Path
from typing import Any

import pytest

from jobd_import.columns import Column
from jobd_import.rows import Row
from jobd_import.source import Stamp
from jobd_import.target import Position, Target

from .import_bench import Bench, rejects_of

CSV = b'id,name\n1,a\nx,b\n3,"c\nc"\n4,d\n5,e\n6,f\ny,g\n'
NDJSON = b'{"id":1}\nx\n{"id":3}\n\n{"id":4}\n{"id":5}\n{"id":6}\ny\n'
CASES = {
    "csv": (CSV, {"id": "integer", "name": "text"}, ["3", "9"]),
    "ndjson": (NDJSON, {"id": "integer"}, ["2", "8"]),
}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("where", ["checkpoint", "progress"])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["csv", "ndjson"])
def test_a_death_between_two_commits_loses_and_doubles_nothing(
    bench: Bench, kind: str, at: int, where: str
) -> None:
    content, columns, bad_lines = CASES[kind]
    bench.source.write_bytes(content)
    died = bench.run_and_die(kind, at, where, columns=columns, batch_rows=2)

    outcome = bench.run(kind, attempt=2, columns=columns, batch_rows=2)

    assert died.status == "failed"
    assert [row[0] for row in bench.rows()] == [1, 3, 4, 5, 6]
    assert [line for line, _, _ in rejects_of(outcome)] == bad_lines
    assert outcome.summary == (7, 5, 2)
    assert outcome.result["resumed_at_bytes"] > 0
    assert outcome.result["bytes_read"] == len(content) - outcome.result["resumed_at_bytes"]
    assert outcome.result["attempt"] == 2


def test_a_finished_import_is_not_done_again(bench: Bench) -> None:
    first = bench.run("csv", CSV, columns=CASES["csv"][1])
    bench.source.unlink()

    again = bench.run("csv", attempt=2, columns=CASES["csv"][1])

    assert len(bench.rows()) == 5
    assert again.summary == first.summary
    assert rejects_of(again) == rejects_of(first)
    ours = ("bytes_read", "resumed_at_bytes", "attempt")
    assert {k: v for k, v in again.result.items() if k not in ours} == {
        k: v for k, v in first.result.items() if k not in ours
    }
    assert again.result["bytes_read"] == 0


@pytest.mark.parametrize("change", ["append", "touch", "replace"])
def test_a_source_that_changed_between_attempts_is_refused(bench: Bench, change: str) -> None:
    bench.source.write_bytes(CSV)
    bench.run_and_die("csv", 2, "checkpoint", columns=CASES["csv"][1], batch_rows=2)
    before = bench.rows()
    if change == "append":
        bench.source.write_bytes(CSV + b"7,h\n")
    elif change == "touch":
        os.utime(bench.source, ns=(1, 1))
    else:
        found = bench.source.stat()
        (bench.folder / "new").write_bytes(CSV)
        os.utime(bench.folder / "new", ns=(found.st_atime_ns, found.st_mtime_ns))
        (bench.folder / "new").rename(bench.source)

    outcome = bench.run("csv", attempt=2, columns=CASES["csv"][1], batch_rows=2)

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.failed_step) == ("source_changed", "open")
    assert bench.rows() == before


def test_a_source_that_changes_while_it_is_read_is_refused(bench: Bench) -> None:
    bench.source.write_bytes(CSV)

    ended = bench.run_and_die(
        "csv",
        1,
        lambda: bench.source.write_bytes(CSV + b"7,h\n"),
        columns=CASES["csv"][1],
        batch_rows=2,
    )

    assert ended.error is not None
    assert (ended.error.code, ended.error.failed_step) == ("source_changed", "import")


def test_a_cancel_takes_effect_between_two_batches(bench: Bench) -> None:
    bench.source.write_bytes(CSV)

    ended = bench.run_and_die("csv", 2, "cancel", columns=CASES["csv"][1], batch_rows=2)

    assert ended.status == "cancelled"
    assert [row[0] for row in bench.rows()] == [1, 3, 4]


def test_two_jobs_are_two_imports(bench: Bench) -> None:
    columns = CASES["csv"][1]
    bench.run("csv", CSV, columns=columns)
    bench.sql("UPDATE _jobd_import SET job_id = 'another'")
    bench.sql("UPDATE _jobd_import_rejects SET job_id = 'another'")

    bench.run("csv", columns=columns)

    assert len(bench.rows()) == 10


def test_rejects_of_long_finished_imports_are_dropped(bench: Bench) -> None:
    columns = CASES["csv"][1]
    bench.run("csv", CSV, columns=columns)
    bench.sql("UPDATE _jobd_import SET job_id = 'old', touched_at = 0")
    bench.sql("UPDATE _jobd_import_rejects SET job_id = 'old'")

    bench.run("csv", columns=columns)

    assert len(bench.sql("SELECT * FROM _jobd_import")) == 2
    assert bench.sql("SELECT DISTINCT job_id FROM _jobd_import_rejects") == [(f"job_{0:032x}",)]


@pytest.fixture
def target(tmp_path: Path) -> Any:
    columns = [Column("id", "integer", nullable=False)]
    with Target(tmp_path / "target.db", "t", "job_1") as target:
        target.begin(tmp_path / "s", Stamp(9, 9, 9), ["id"], columns, Position(3, 1))
        target.prepare(columns)
        yield target


def _failing() -> Any:
    yield (1,)
    raise KeyboardInterrupt


def test_a_batch_that_is_cut_short_leaves_nothing(target: Any, bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        target.all_rows(_failing(), Position(3, 1), Position(5, 2))

    assert bench.rows() == []
    assert target.saved().position == Position(3, 1)


@pytest.mark.parametrize("before", [Position(0, 0), Position(5, 2)])
def test_a_position_moves_only_from_where_it_is(
    target: Any, bench: Bench, before: Position
) -> None:
    with pytest.raises(Exception, match="moved it on"):
        target.all_rows([(1,)], before, Position(9, 9))
    with pytest.raises(Exception, match="moved it on"):
        target.each_row([Row(1, b"x", reason="bad")], before, Position(9, 9))

    assert bench.rows() == []
    assert list(target.rejects()) == []


def test_a_finished_import_moves_no_more(target: Any) -> None:
    target.finish()

    with pytest.raises(Exception, match="moved it on"):
        target.all_rows([(1,)], Position(3, 1), Position(5, 2))
    assert target.saved().done
