"""What a busy lane takes beyond its free slots: short jobs, to be at hand when others end.

Pure. Not here: how long a kind takes (pool/paces.py), the claim (store/claims.py), the
hand-over (pool/worker.py).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import msgspec

ALONE_FROM_RELEASED = 3
"""A job that has lost its worker to others so often shares none."""

ROUNDING = 1e-9
"""What sums of shares may be off by."""

_NO_SHARES: Mapping[str, float] = MappingProxyType({})


class Ahead(msgspec.Struct, frozen=True):
    """How much the cpu lane takes ahead; a worker that has nothing to do has a room of 1."""

    room: float = 0.0
    """Of all its workers together, the idle ones too."""
    shares: Mapping[str, float] = _NO_SHARES
    """By kind: how much of a worker's room one job takes. Jobs of other kinds want an idle one."""

    @property
    def places(self) -> int:
        """How many jobs there may be room for; 0 if nothing is to be claimed ahead."""
        return int((self.room + ROUNDING) / min(self.shares.values())) if self.shares else 0


NOTHING = Ahead()


class History(Protocol):
    """What is known of a job's earlier attempts."""

    @property
    def crashes(self) -> int:
        """Attempts that took their worker down."""

    @property
    def interrupted(self) -> int:
        """Attempts that the daemon ended, or that ended with it."""

    @property
    def released(self) -> int:
        """Attempts that lost their worker to a neighbour."""


def stands_alone(job: History) -> bool:
    """Whether nothing may wait before or behind a job in its worker: it may do harm."""
    return bool(job.interrupted or job.crashes) or job.released >= ALONE_FROM_RELEASED
