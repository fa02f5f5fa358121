"""What the clients of a soak submit: each plan a sort of job, its share, and how it has to end.

Not here: who submits and what else is done with it (crowd.py).
"""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tests.soak.house import FLOOD, NARROW

COMPLETED = "completed"


class Chosen(NamedTuple):
    """What args are made of."""

    key: str
    chance: random.Random
    notes: Path
    file_id: str
    """An upload that is there."""


def _nothing(_chosen: Chosen) -> dict[str, Any]:
    return {}


def _text(chosen: Chosen) -> dict[str, Any]:
    return {"text": chosen.key}


def _witnessed(chosen: Chosen) -> dict[str, Any]:
    """Return the args of `test.history`, now and then of one that outlives a restart."""
    chance = chosen.chance
    return {
        "folder": str(chosen.notes),
        "key": chosen.key,
        "seconds": chance.uniform(0.5, 2) if chance.random() < 0.05 else chance.uniform(0, 0.03),
        "failures": int(chance.random() < 0.1),
    }


def _brief(chosen: Chosen, *, dies: bool = False) -> dict[str, Any]:
    about = {"folder": str(chosen.notes), "key": chosen.key}
    return {**about, "seconds": 0, "failures": 0, "dies": dies}


def _file(chosen: Chosen) -> dict[str, Any]:
    return {"source": {"$file": chosen.file_id}}


def _program(_chosen: Chosen) -> dict[str, Any]:
    return {"argv": ["/bin/sh", "-c", "echo one; echo two"]}


class Plan(NamedTuple):
    """One sort of job."""

    name: str
    kind: str
    share: int
    args: Callable[[Chosen], dict[str, Any]] = _nothing
    ends: str = COMPLETED
    """`completed`, or the code of the error with which it fails."""
    more: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it
    told: bool = False
    """Whether its end is called back."""
    in_s: float = 0
    """How far in the future it is to run."""
    witnessed: bool = False
    """Whether its runs are written down: in the name of its key, so it is not to be retried."""


def _limited(seconds: float, attempts: int = 1) -> dict[str, Any]:
    return {"timeout_seconds": seconds, "max_attempts": attempts}


PLANS = (
    Plan("witnessed", "test.history", 30, _witnessed, witnessed=True),
    Plan("async", "test.aecho", 12, _text),
    Plan("artifacts", "test.artifact", 8),
    Plan("upload", "test.read", 8, _file),
    Plan("async upload", "test.aread", 4, _file),
    Plan("logs", "test.say", 6, _text),
    Plan("async logs", "test.asay", 3, lambda chosen: {"name": chosen.key}),
    Plan("called back", "test.echo", 12, _text, told=True),
    Plan("checkpoints", "test.crowd", 3),
    Plan("narrow queue", "test.echo", 6, _text, more={"queue": NARROW}),
    Plan("scheduled", "test.echo", 4, _text, in_s=1),
    Plan("program", "test.program", 3, _program),
    Plan("result of 100 kB", "test.big", 3, lambda _: {"bytes": 100_000}),
    Plan("fails", "test.raise", 3, ends="handler_error", more={"max_attempts": 2}, told=True),
    Plan("segfault", "test.segfault", 2, ends="worker_crashed", more=_limited(30)),
    Plan("async segfault", "test.asegfault", 1, ends="worker_crashed", more=_limited(30)),
    Plan("time limit", "test.spin", 2, ends="timeout", more=_limited(0.5), told=True),
    Plan("time limit in C", "test.gil", 1, ends="timeout", more=_limited(0.5)),
    Plan("memory limit", "test.gorge", 1, ends="memory_limit", more=_limited(30)),
    Plan("process tree", "test.escape", 1, ends="timeout", more=_limited(0.5)),
    Plan("descriptor leak", "test.leak", 1),
    Plan("result that is no JSON", "test.no_json", 1, ends="result_invalid"),
)

BRIEF = Plan("brief", "test.brief", 0, _brief, more={"queue": FLOOD}, witnessed=True)
"""Short enough to be handed over ahead."""
DEADLY = BRIEF._replace(name="brief and deadly", args=lambda chosen: _brief(chosen, dies=True))
"""The same, but its first run takes its worker with it."""


def chosen(chance: random.Random) -> Plan:
    """Return a plan by the shares."""
    return chance.choices(PLANS, [plan.share for plan in PLANS])[0]


def submission(plan: Plan, picked: Chosen, callback_url: str) -> dict[str, Any]:
    """Return the document that submits a job of the plan."""
    body = {
        "kind": plan.kind,
        "args": plan.args(picked),
        "metadata": {"key": picked.key},
        "retention_seconds": 120,
        **plan.more,
    }
    if plan.told:
        body["callback_url"] = callback_url
    if plan.in_s:
        at = datetime.fromtimestamp(time.time(), UTC) + timedelta(seconds=plan.in_s)
        body["run_at"] = at.isoformat()
    return body
