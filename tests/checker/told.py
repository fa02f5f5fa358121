"""What a history shows of promise 9: webhooks arrive or are dead-lettered, each at its receiver.

Not here: what the lines mean (history.py).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

NEEDS_NO_ATTEMPT = frozenset(
    {"endpoint_disabled", "endpoint_deleted", "callback_not_allowed", "blocked_address"}
)
"""Why a delivery may be dead though nobody was asked; beside them: `too_old`."""

_WAITS = frozenset({"pending", "retrying"})

Line = dict[str, Any]


def untold(lines: Sequence[Line]) -> Iterator[str]:
    """Give what is wrong with the messages of a history."""
    told = _Told(lines)
    for owed in told.owed:
        yield from _badly_told(told, owed["event"], sorted(owed["to"]))
    for message, some in told.deliveries.items():
        for one in some:
            yield from _badly_ended(one, arrived=(message, one["receiver"]) in told.received)
    for (message, receiver), bodies in told.received.items():
        if len(bodies) > 1:
            yield f"{message} came to {receiver} as {len(bodies)} different bodies"
        if message in told.deliveries and receiver not in told.receivers(message):
            yield f"{message} came to {receiver}, and was not for it"


class _Told:
    """The lines, by what they are about."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.owed = [line for line in lines if line["op"] == "owed"]
        self.messages = defaultdict[Any, set[str]](set)
        self.deliveries = defaultdict[str, list[Line]](list)
        self.received = defaultdict[tuple[str, str], set[Any]](set)
        for line in lines:
            if line["op"] == "message":
                self.messages[line["event"]].add(line["message"])
            elif line["op"] == "delivery":
                self.deliveries[line["message"]].append(line)
            elif line["op"] == "received":
                self.received[line["message"], line["receiver"]].add(line["body"])

    def receivers(self, message: str) -> list[str]:
        """Return whom a message is for."""
        return sorted(one["receiver"] for one in self.deliveries.get(message, ()))


def _badly_told(told: _Told, event: Any, to: list[str]) -> Iterator[str]:
    """Say what is wrong with the messages of an event: there is one, to those who are owed it."""
    messages = told.messages.get(event, set())
    if len(messages) != bool(to):
        yield f"{event} has {len(messages)} messages, for {len(to)} receivers"
    for message in messages:
        if to and told.receivers(message) != to:
            yield f"{event} is told to {told.receivers(message)}, and should be to {to}"


def _badly_ended(delivery: Line, *, arrived: bool) -> Iterator[str]:
    """Say what is wrong with a delivery: it has arrived, is dead for a reason, or is due."""
    name = f"{delivery['message']} to {delivery['receiver']}"
    status, reason = delivery["status"], delivery.get("reason")
    if status == "succeeded":
        if not arrived:
            yield f"{name} succeeded and has not arrived"
    elif status == "dead":
        if reason is None:
            yield f"{name} is dead without a reason"
        excused = reason in NEEDS_NO_ATTEMPT or delivery.get("too_old", False)
        if not delivery["attempts"] and not excused:
            yield f"{name} is dead as {reason} and was never tried"
    elif status not in _WAITS or not delivery["due"]:
        yield f"{name} is {status} and will not be tried again"
