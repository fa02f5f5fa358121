"""Where files are, and that opening one never leads out of its folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from jobd.files.layout import Layout
from jobd.files.open import open_below


def test_everything_is_below_the_state_folder(tmp_path: Path) -> None:
    layout = Layout(tmp_path)

    assert layout.database == tmp_path / "jobd.db"
    assert layout.lock != layout.workers_lock
    assert layout.attempt_artifacts("job_1", "t") == layout.artifacts / "job_1" / "t"
    assert layout.attempt_scratch("t") == layout.scratch / "t"


def test_folders_are_made_for_their_owner_alone(tmp_path: Path) -> None:
    state_dir = tmp_path / "a" / "b"

    Layout(state_dir).make()

    folders = [tmp_path / "a", state_dir, state_dir / "artifacts", state_dir / "scratch"]
    assert [folder.stat().st_mode & 0o777 for folder in folders] == [0o700] * 4


def test_folders_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    Layout(tmp_path).make()

    Layout(tmp_path).make()

    assert tmp_path.stat().st_mode & 0o777 == 0o750


def test_a_file_below_the_folder_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "out.csv").write_bytes(b"x,y")

    with open_below(tmp_path, "a/b/out.csv") as file:
        assert file.read() == b"x,y"


def test_the_folder_itself_may_be_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "f").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with open_below(tmp_path / "link", "f") as file:
        assert file.read() == b"1"


@pytest.mark.parametrize(
    "relative",
    ["", "/etc/passwd", "..", "../x", "a/../../x", "a//x", "./x", "a/", "x\N{NULL}y"],
    ids=ascii,
)
def test_a_path_that_is_not_plain_is_refused(tmp_path: Path, relative: str) -> None:
    with pytest.raises(ValueError, match="not a plain relative path"):
        open_below(tmp_path, relative)


@pytest.mark.parametrize("relative", ["file", "folder/secret"])
def test_no_link_is_followed(tmp_path: Path, relative: str) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    for folder in (outside, inside):
        folder.mkdir()
    (outside / "secret").write_bytes(b"s")
    (inside / "file").symlink_to(outside / "secret")
    (inside / "folder").symlink_to(outside)

    with pytest.raises(OSError, match=r"symbolic links|Not a directory"):
        open_below(inside, relative)


def test_only_a_regular_file_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()

    for name in ("pipe", "folder"):
        with pytest.raises(OSError, match="not a regular file"):
            open_below(tmp_path, name)
    with pytest.raises(FileNotFoundError):
        open_below(tmp_path, "none")


def open_descriptors() -> set[str]:
    return {descriptor.name for descriptor in Path("/proc/self/fd").iterdir()}


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "f").write_bytes(b"")
    before = open_descriptors()

    open_below(tmp_path, "a/f").close()
    for name in ("a", "a/none", "none/f", "a/f/g"):
        with pytest.raises(OSError, match=r"not a regular|No such file|Not a directory"):
            open_below(tmp_path, name)

    assert len(open_descriptors()) == len(before)
