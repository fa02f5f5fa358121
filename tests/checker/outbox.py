"""The lines of promise 9 that a state folder's database shows. Imports nothing of jobd.

Only the ends of jobs are owed: their callbacks are told of no more unless they ask for it.

Not here: what the lines mean (history.py), who writes what was received (tests/kill/hooks.py).
"""

import sqlite3
from collections.abc import Iterator
from typing import Any

_OWED = """
SELECT events.id, callback_url FROM events
JOIN job_inputs USING (seq) JOIN jobs USING (seq)
WHERE type IN ('job.completed', 'job.failed', 'job.cancelled') AND type = 'job.' || status
"""
_MESSAGES = "SELECT event_id AS event, message_id AS message FROM messages WHERE seq > 0"
_DELIVERIES = """
SELECT message_id AS message, receiver, status, attempt_count AS attempts, dead_reason AS reason,
  next_attempt_at IS NOT NULL AS due
FROM deliveries WHERE seq > 0
"""


def lines_of(connection: sqlite3.Connection, at: int) -> Iterator[dict[str, Any]]:
    """Give the lines, as of this time; rows must be `sqlite3.Row`."""
    about = {"who": "state", "at": at}
    for event, url in connection.execute(_OWED):
        yield {**about, "op": "owed", "event": event, "to": [] if url is None else [dialled(url)]}
    for op, sql in (("message", _MESSAGES), ("delivery", _DELIVERIES)):
        for row in connection.execute(sql):
            yield {**about, "op": op, **dict(row)}


def dialled(url: str) -> str:
    """Return the socket that a `unix:` URL names."""
    return url.split(":")[1]
