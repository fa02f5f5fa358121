"""Promises 1 to 3 under power cuts, and that the methods notice what they are for."""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.power import ext4, load, recording, replay, run
from tests.power.disk import SECTOR_BYTES, Cut, Disk, File, Folder, Loss
from tests.power.recording import Record

STATES = 600
ALL = Loss("all", 1, 0)
NONE = Loss("none", 0, 0)

Does = Callable[..., None]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recording.build(tmp_path_factory.mktemp("recorder"))


@pytest.mark.needs("cc")
@pytest.mark.timeout(120)
def test_what_was_acknowledged_survives_every_power_cut(tmp_path: Path, library: Path) -> None:
    told = load.record(tmp_path, library, 1, lives=3, acks=40)

    result = replay.replay(told, 1, STATES, served=1)

    print(result.table())  # noqa: T201 - shown with a failure
    assert result.violations == []
    assert run.untried(result) == []


@pytest.mark.needs("cc")
@pytest.mark.timeout(120)
def test_a_store_that_does_not_sync_is_caught(tmp_path: Path, library: Path) -> None:
    told = load.record(tmp_path, library, 1, lives=1, acks=40, synchronous="normal")

    result = replay.replay(told, 1, 100)

    assert any("was acknowledged and is not there" in what for what in result.violations)


@pytest.mark.needs("root", "losetup", "mkfs.ext4", "mount")
def test_what_was_acknowledged_survives_the_end_of_a_file_system(tmp_path: Path) -> None:
    result = ext4.run(tmp_path, 1, 3)

    print(result.table())  # noqa: T201
    assert result.violations == []
    assert result.counts["acknowledged jobs"] > 3


@pytest.mark.needs("cc")
def test_an_artifact_of_a_second_attempt_survives(tmp_path: Path, library: Path) -> None:
    """The first attempt has died without a sync: the folder it made for the job may be lost."""
    root, log = tmp_path / "artifacts", tmp_path / "recording"
    root.mkdir()
    first = "from jobd.sdk.artifacts import Artifacts; from pathlib import Path; import sys\n"
    first += "made = Artifacts(Path(sys.argv[1]), 1000); made.path('a').write_text('x')\n"
    environ = {**os.environ, **recording.recorded(library, root, log)}
    for attempt, program in (("1", first), ("2", f"{first}made.collect()")):
        folder = root / "job" / attempt
        subprocess.run([sys.executable, "-c", program, folder], env=environ, check=True)

    left = cut(disk_of(*recording.read(log, root)), ALL, tmp_path)

    assert (left / "job" / "2" / "a").read_text() == "x"


def disk_of(*records: Record) -> Disk:
    disk = Disk()
    for record in records:
        disk.apply(record)
    return disk


def cut(disk: Disk, loss: Loss, folder: Path) -> Path:
    target = folder / f"left-{loss.name}"
    Cut(disk, loss, random.Random(1)).write(target)  # noqa: S311
    return target


def did(op: str, path: str, number: int = 0, data: bytes = b"", inode: int = 1) -> Record:
    return Record(op, path, 0, inode, number, data)


def test_what_no_sync_has_covered_may_be_there_or_not(tmp_path: Path) -> None:
    disk = disk_of(did("O", "a"), did("W", "a", 0, b"x"))

    assert not (cut(disk, ALL, tmp_path) / "a").exists()
    assert (cut(disk, NONE, tmp_path) / "a").read_bytes() == b"x"


def test_a_synced_file_in_a_folder_that_is_not_is_lost(tmp_path: Path) -> None:
    disk = disk_of(did("O", "a"), did("W", "a", 0, b"x"), did("B", "a", 7), did("S", "a", 7))

    assert list(cut(disk, ALL, tmp_path).iterdir()) == []


def test_what_syncs_have_covered_stays(tmp_path: Path) -> None:
    disk = disk_of(
        did("O", "a"),
        did("W", "a", 0, b"x"),
        did("B", "a", 7),
        did("W", "a", 1, b"y"),
        did("S", "a", 7),
        did("B", "", 8, inode=2),
        did("S", "", 8, inode=2),
    )

    assert (cut(disk, ALL, tmp_path) / "a").read_bytes() == b"x"


def test_a_torn_write_has_whole_sectors(tmp_path: Path) -> None:
    file = File()
    disk = Disk()
    disk.root = Folder(durable={"a": file}, names={"a": file})
    disk.reconcile(written(tmp_path / "real", "a", b"\x01" * 16 * SECTOR_BYTES))

    content = (cut(disk, Loss("torn", 0, 1), tmp_path) / "a").read_bytes()

    parts = {content[at : at + SECTOR_BYTES] for at in range(0, len(content), SECTOR_BYTES)}
    assert parts == {bytes(SECTOR_BYTES), b"\x01" * SECTOR_BYTES}


def written(folder: Path, name: str, content: bytes) -> Path:
    folder.mkdir()
    (folder / name).write_bytes(content)
    return folder
