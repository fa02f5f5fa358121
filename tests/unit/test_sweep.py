"""What may be swept is found, and removed without being led elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from jobd.files.layout import Layout
from jobd.files.remove import remove_below, remove_jobs, used_bytes
from jobd.files.sweep import Old, part

if TYPE_CHECKING:
    from pathlib import Path

JOB, TOKEN, SHA256 = "job_" + "a" * 32, "b" * 32, "c" * 64
NOW_MS = 2_000_000_000_000
OLD_S, YOUNG_S = NOW_MS / 1000 - 60, NOW_MS / 1000 + 60


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "state")
    layout.make()
    return layout


def put(path: Path, changed_s: float = OLD_S) -> Path:
    """Make a file, and it and its folder look as if they had been changed then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 5000)
    for one in (path, path.parent, path.parent.parent):
        os.utime(one, (changed_s, changed_s))
    return path


def old(layout: Layout) -> Old:
    return Old(layout, NOW_MS)


def test_what_is_old_is_found_by_its_name(layout: Layout) -> None:
    put(layout.artifacts / JOB / TOKEN / "out.csv")
    os.utime(layout.artifacts / JOB, (OLD_S, OLD_S))
    put(layout.logs / JOB / "1.ndjson")
    put(layout.scratch / TOKEN / "tmp")
    put(layout.uploads / SHA256[:2] / SHA256)
    put(layout.incoming / TOKEN)

    found = old(layout)

    assert list(found.jobs()) == [JOB, JOB]
    assert list(found.attempts(JOB)) == [TOKEN]
    assert list(found.scratch()) == [TOKEN]
    assert list(found.uploads()) == [f"file_{SHA256}"]
    assert list(found.incoming()) == [TOKEN]


def test_what_was_changed_lately_is_not_found(layout: Layout) -> None:
    put(layout.artifacts / JOB / TOKEN / "out.csv", YOUNG_S)
    put(layout.logs / JOB / "1.ndjson", YOUNG_S)
    put(layout.uploads / SHA256[:2] / SHA256, YOUNG_S)

    found = old(layout)

    assert [*found.jobs(), *found.attempts(JOB), *found.uploads()] == []


@pytest.mark.parametrize("name", ["lost+found", ".keep", JOB + "x", JOB.upper(), "job_1", TOKEN])
def test_names_that_jobd_does_not_give_are_somebody_elses(layout: Layout, name: str) -> None:
    put(layout.artifacts / name / "x")
    put(layout.uploads / name / SHA256)

    assert [*old(layout).jobs(), *old(layout).uploads()] == []


def test_a_link_is_not_looked_through(layout: Layout, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere" / TOKEN / "x")
    put(tmp_path / "elsewhere" / SHA256)
    (layout.artifacts / JOB).symlink_to(tmp_path / "elsewhere")
    (layout.uploads / SHA256[:2]).symlink_to(tmp_path / "elsewhere")

    assert [*old(layout).attempts(JOB), *old(layout).uploads()] == []


def test_names_come_in_parts(layout: Layout) -> None:
    for n in range(5):
        put(layout.scratch / f"{n:032x}" / "x")
    names = old(layout).scratch()

    parts = [part(names, 2) for _ in range(4)]

    assert [len(one) for one in parts] == [2, 2, 1, 0]


def test_a_folder_is_removed_with_all_in_it(layout: Layout) -> None:
    put(layout.artifacts / JOB / TOKEN / "deep" / "er" / "out.csv")

    remove_below(layout.artifacts, JOB, TOKEN)

    assert list((layout.artifacts / JOB).iterdir()) == []


def test_a_link_is_removed_and_not_what_it_points_to(layout: Layout, tmp_path: Path) -> None:
    kept = put(tmp_path / "elsewhere" / "precious")
    (layout.artifacts / JOB).mkdir()
    (layout.artifacts / JOB / TOKEN).symlink_to(tmp_path / "elsewhere")
    inside = layout.scratch / TOKEN
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "elsewhere")

    remove_below(layout.artifacts, JOB, TOKEN)
    remove_below(layout.scratch, TOKEN)

    assert kept.exists()
    assert list((layout.artifacts / JOB).iterdir()) == []
    assert list(layout.scratch.iterdir()) == []


def test_a_link_on_the_way_leads_nowhere(
    layout: Layout, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = put(tmp_path / "elsewhere" / TOKEN / "precious")
    (layout.artifacts / JOB).symlink_to(tmp_path / "elsewhere")

    remove_below(layout.artifacts, JOB, TOKEN)

    assert kept.exists()
    assert "was not removed" in caplog.text


def test_nothing_there_is_nothing_to_remove(
    layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    remove_below(layout.artifacts, JOB, TOKEN)
    remove_below(layout.artifacts, JOB)

    assert caplog.text == ""


def test_what_jobs_left_is_removed_and_counted(layout: Layout) -> None:
    put(layout.artifacts / JOB / TOKEN / "out.csv")
    put(layout.logs / JOB / "1.ndjson")
    other = put(layout.logs / ("job_" + "e" * 32) / "1.ndjson")

    freed = remove_jobs(layout, [JOB, "job_" + "f" * 32])

    assert freed >= 10_000
    assert list(layout.artifacts.iterdir()) == []
    assert other.exists()


def test_what_a_folder_takes_is_counted_without_links(layout: Layout, tmp_path: Path) -> None:
    inside = put(layout.scratch / TOKEN / "x")
    before = used_bytes(layout.scratch)
    put(tmp_path / "elsewhere").write_bytes(b"x" * 1_000_000)
    inside.with_name("link").symlink_to(tmp_path / "elsewhere")

    assert before >= 5000
    assert used_bytes(layout.scratch) - before < 100_000
    assert used_bytes(layout.scratch / TOKEN, without=frozenset({"x"})) < before
    assert used_bytes(tmp_path / "nowhere") == 0
