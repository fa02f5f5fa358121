"""What lets a cpu worker's jobs be silent at no cost: whose turn it is, and what was written.

On the page that worker and daemon share stands the number of the job whose turn it is, and
for each pipe how often the daemon has read it and how many bytes it took. From those and
from what is still in the pipe the worker knows whether a job has written anything: only then
is there a sign at its end. From the turn the daemon knows whose bytes come before that.

Plain writes of 8 bytes, each cell written by one side alone. Not here: the page (marker.py),
the signs (inband.py).
"""

import array
import fcntl
import os
import termios

from jobd.pool.marker import Marker

_TURN = 2
_PIPES = 3
_BEGUN, _DONE, _TAKEN, _CELLS = 0, 1, 2, 3
"""Of each pipe: reads that the daemon has begun, those that are over, bytes that they took."""


class Turn:
    """Whose turn it is; it only ever goes on."""

    def __init__(self, marker: Marker) -> None:
        self._cell = marker.cell

    @property
    def at(self) -> int:
        """Tell one turn from every other, and from the times between."""
        return self._cell[_TURN]

    def begin(self, number: int) -> None:
        """Say that a job's turn begins (the worker's side)."""
        self._cell[_TURN] = 2 * number

    def end(self, number: int) -> None:
        """Say that it is over: what it wrote has its sign (the worker's side)."""
        self._cell[_TURN] = 2 * number + 1


def whose(turn: int) -> int:
    """Return the number of the job whose turn that is, 0 between two."""
    return 0 if turn & 1 else turn >> 1


class Count:
    """The bytes that went through one pipe, 0 (stdout) or 1 (stderr)."""

    def __init__(self, marker: Marker, pipe: int) -> None:
        self._cell = marker.cell
        self._at = _PIPES + pipe * _CELLS
        self._waiting = array.array("i", [0])

    def read(self, fd: int, size_bytes: int) -> bytes:
        """Read from the pipe (the daemon's side), as os.read does."""
        cell, at = self._cell, self._at
        cell[at + _BEGUN] = begun = cell[at + _BEGUN] + 1
        try:
            data = os.read(fd, size_bytes)
            cell[at + _TAKEN] += len(data)
        finally:
            cell[at + _DONE] = begun
        return data

    def written(self, fd: int) -> int | None:
        """Return all that was ever written (the worker's side); None: the daemon is reading."""
        cell, at = self._cell, self._at
        done, taken = cell[at + _DONE], cell[at + _TAKEN]
        fcntl.ioctl(fd, termios.FIONREAD, self._waiting)
        return taken + self._waiting[0] if cell[at + _BEGUN] == done else None
