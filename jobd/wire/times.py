"""Milliseconds since the epoch, and the timestamps that stand for them on the wire."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from msgspec import Meta

Timestamp = Annotated[datetime, Meta(tz=True)]
"""RFC 3339 with a zone; what jobd writes is UTC and ends in Z."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def from_ms(ms: int) -> datetime:
    """Return the moment `ms` milliseconds after the epoch, in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC)


def from_ms_or_none(ms: int | None) -> datetime | None:
    """Return the moment `ms` milliseconds after the epoch; None stays None."""
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)


def to_ms(moment: datetime) -> int:
    """Return the whole milliseconds from the epoch to `moment`, rounded down."""
    return (moment - _EPOCH) // _MS


MAX_MS = to_ms(datetime.max.replace(tzinfo=UTC))
"""The last moment that RFC 3339 can write: year 9999."""
