"""Which jobs a list is of.

Not here: the list itself (calls.py).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

import msgspec


class Filters(TypedDict, total=False):
    """What jobs must be to be listed; what is left out, or None, does not matter."""

    statuses: Sequence[str]
    """Any of these."""
    kind: str | None
    queue: str | None
    batch_id: str | None
    idempotency_key: str | None
    """The key with which the job was submitted."""
    created_after: datetime | None
    created_before: datetime | None
    all: bool
    """Everybody's, not only one's own: that takes the scope `read`."""


def query_of(filters: Filters) -> list[tuple[str, str]]:
    """Return the parameters that ask for such jobs. ValueError for a time without a zone."""
    query = [("status", status) for status in filters.get("statuses", ())]
    for name, value in filters.items():
        if name == "statuses" or value is None or value is False:
            continue
        if isinstance(value, datetime) and value.tzinfo is None:
            raise ValueError(f"{name} has no zone")
        text = "true" if value is True else str(msgspec.to_builtins(value))
        query.append((name, text))
    return query
