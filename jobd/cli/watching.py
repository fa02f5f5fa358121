"""Which folders changed: the kernel says it (inotify(7)), nothing is looked at again and again.

Not here: which folders they are (dev_folders.py), what is done about it (dev.py).
"""

import ctypes
import os
import select
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Self

_CLOSE_WRITE, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE = 0x8, 0x40, 0x80, 0x100, 0x200
_ONLYDIR = 0x01000000
_ISDIR = 0x40000000
_ASKED = _CLOSE_WRITE | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE | _ONLYDIR
_EVENT = struct.Struct("iIII")
_BUFFER_BYTES = 64 * 1024

_QUIET_MS = 100
"""An editor, or a checkout, writes several files one after the other."""
_IGNORED_ENDS = (".pyc", ".pyo", ".swp", ".swx", "~")


class Watch:
    """Watches folders. A context manager; OSError if there can be no watch."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self._folders: dict[int, Path] = {}
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._fd)

    def add(self, folders: Iterable[Path], *, below: bool = True) -> None:
        """Watch these too; one that is watched already, or not there, changes nothing."""
        for top in folders:
            for folder, subfolders, _ in os.walk(top):
                kept = subfolders if below else []
                subfolders[:] = [name for name in kept if not _is_ignored(name)]
                self._add(Path(folder))

    def changed(self) -> list[Path]:
        """Wait for a change, and until it is quiet again; return what changed, each path once."""
        paths: dict[Path, None] = {}
        while not paths:
            self._poll.poll()
            while self._poll.poll(_QUIET_MS):
                paths |= dict.fromkeys(self._read())
        return list(paths)

    def _read(self) -> list[Path]:
        data, at, found = os.read(self._fd, _BUFFER_BYTES), 0, []
        while at < len(data):
            number, mask, _cookie, length = _EVENT.unpack_from(data, at)
            name = os.fsdecode(data[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0"))
            at += _EVENT.size + length
            folder = self._folders.get(number)
            if folder is None or not name or _is_ignored(name):
                continue
            if mask & _ISDIR:
                self.add([folder / name])
            elif mask & _CREATE:
                continue  # it is not written yet
            found.append(folder / name)
        return found

    def _add(self, folder: Path) -> None:
        number = self._libc.inotify_add_watch(self._fd, os.fsencode(folder), _ASKED)
        if number < 0 and ctypes.get_errno() in (2, 20):  # gone, or no folder any more
            return
        self._folders[self._checked(number)] = folder

    def _checked(self, answer: int) -> int:
        if answer < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"inotify: {os.strerror(number)}")
        return int(answer)


def _is_ignored(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__" or name.endswith(_IGNORED_ENDS)
