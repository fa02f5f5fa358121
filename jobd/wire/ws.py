"""What is said on a WebSocket besides events: commands of the client, and what they are answered.

An event there is the document of a history's (events.py). Not here: who is let in, and what
comes of a command (api/ws.py).
"""

from typing import Literal

import msgspec


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message of a client's."""

    op: Literal["auth", "subscribe", "unsubscribe", "cancel"]
    job_id: str | None = None
    """Of all the caller's jobs when it is null; only `cancel` must name one."""
    after: str | int | None = None
    """With `subscribe`: the id of the last event that was seen."""
    token: str | None = None
    """With `auth`."""


class Answer(msgspec.Struct, frozen=True):
    """A command that was obeyed."""

    op: Literal["authenticated", "subscribed", "unsubscribed", "cancelled"]
    job_id: str | None = None
    done: bool = False
    """Whether the job has ended, so that no more of it comes than what is under way."""


class Refusal(msgspec.Struct, frozen=True):
    """A command that was not; the connection stays."""

    of: str | None
    """Its `op`, if that could be read."""
    job_id: str | None
    code: str
    """As that of a problem document."""
    detail: str
    op: Literal["error"] = "error"
