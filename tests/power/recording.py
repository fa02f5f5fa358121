"""The recording of what happened to a folder's files: the recorder's build, and its records.

Not here: the recorder itself (recorder.c), what a disk makes of the records (disk.py).
"""

import dataclasses
import os
import struct
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

_HEAD = struct.Struct("<IIQQqc7x")

SKIPPED = ("reserve", "jobd.lock", "workers.lock", "jobd.db-shm")
"""Names in the state folder that hold nothing: locks, space, what SQLite makes anew."""


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One thing that was done; `op` as in recorder.c."""

    op: str
    path: str
    at_ns: int
    inode: int
    number: int
    data: bytes


def build(folder: Path) -> Path:
    """Compile the recorder and return where it is."""
    library = folder / "recorder.so"
    source = Path(__file__).with_name("recorder.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


def recorded(library: Path, root: Path, log: Path) -> Mapping[str, str]:
    """Return the environment of a process whose doings below `root` go to `log`."""
    return {"LD_PRELOAD": str(library), "RECORD_ROOT": str(root), "RECORD_LOG": str(log)}


def read(log: Path, root: Path, start: int = 0) -> Iterator[Record]:
    """Give the records from byte `start` on, with paths as seen from `root`."""
    with log.open("rb") as file:
        file.seek(start)
        while head := file.read(_HEAD.size):
            path_bytes, data_bytes, at_ns, inode, number, op = _HEAD.unpack(head)
            path = _inside(root, file.read(path_bytes))
            data = file.read(data_bytes)
            if op in b"RL":
                data = _inside(root, data).encode()
            if path.split("/")[0] not in SKIPPED:
                yield Record(op.decode(), path, at_ns, inode, number, data)


def _inside(root: Path, path: bytes) -> str:
    found = os.path.relpath(path.decode(), root)
    return "" if found == "." else found
