"""What waits to be written, in the order in which it came, and how much of it there may be.

Only submissions are bounded: all else is about jobs that are there already, and refusing
it would leave them undone.

Not here: when it is taken (group_commit.py), what is done with it (batch.py).
"""

from collections import deque
from collections.abc import Callable, Sequence

from jobd.domain.errors import Unavailable
from jobd.store.batch import ADDS, CAN_WAIT, Item

MAX_SUBMITS_AT_ONCE = 1000
"""New jobs in one transaction; the writer must not be held much longer by one batch."""

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Of args of submissions."""


class Waiting:
    """Requests to the writer that it has not taken."""

    def __init__(self, max_submits: int) -> None:
        self._max_submits = max_submits
        self._submits: deque[Item] = deque()
        self._others: list[Item] = []
        self._bytes = 0

    def put(self, item: Item) -> None:
        """Add a request; raises Unavailable if too many submissions wait."""
        if item.verb != "submit":
            self._others.append(item)
            return
        if len(self._submits) >= self._max_submits or self._bytes >= MAX_WAITING_BYTES:
            raise Unavailable(
                "queue_full", "Too many submissions wait.", retryable=True, retry_after_s=1
            )
        self._submits.append(item)
        self._bytes += len(item.request.args)

    def take(self) -> list[Item]:
        """Take out all that one transaction may have."""
        items, self._others = self._others, []
        while self._submits and len(items) < MAX_SUBMITS_AT_ONCE:
            item = self._submits.popleft()
            self._bytes -= len(item.request.args)
            items.append(item)
        return items

    def take_ends(self, at_most: int | None) -> list[Item]:
        """Take out what is written though the disk is full, the oldest first."""
        ends = [item for item in self._others if _ends(item)]
        kept = [item for item in self._others if not _ends(item)]
        self._others = kept + ends[len(ends) if at_most is None else at_most :]
        return ends[:at_most]

    def put_back(self, items: Sequence[Item]) -> None:
        """Put in front what was taken and could not be written."""
        submits = [item for item in items if item.verb == "submit"]
        self._others[:0] = [item for item in items if item.verb != "submit"]
        self._submits.extendleft(reversed(submits))
        self._bytes += sum(len(item.request.args) for item in submits)

    def drop(self, unwanted: Callable[[Item], bool] = lambda _: True) -> list[Item]:
        """Take out what is not wanted, and return it."""
        every = [*self._others, *self._submits]
        self._others, self._submits, self._bytes = [], deque(), 0
        self.put_back([item for item in every if not unwanted(item)])
        return [item for item in every if unwanted(item)]


def _ends(item: Item) -> bool:
    return item.verb not in ADDS and item.verb not in CAN_WAIT
