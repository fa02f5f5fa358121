"""`jobd serve`, which on SIGUSR1 writes down how much its objects hold, into the file named first.

Only at rest is that worth a look: what there is more of than before all work is kept of jobs,
requests and workers that are gone. Not here: the comparison (house.py, soak.py).
"""

import gc
import json
import os
import signal
import sys
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from jobd.cli.main import run

_CONTAINERS = (dict, list, set, deque)
_COUNTED = ("Task", "coroutine", "generator", "TimerHandle")


def _attributes(one: object) -> Iterator[tuple[str, Any]]:
    names = [*getattr(one, "__dict__", ())]
    for kind in type(one).__mro__:
        slots = getattr(kind, "__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    for name in names:
        yield name, getattr(one, name, None)


def held() -> Counter[str]:
    """Return how many objects of which class there are, and how much is in their containers."""
    gc.unfreeze()  # what was there at the start would be left out
    gc.collect()
    found: Counter[str] = Counter()
    for one in gc.get_objects():
        kind = type(one)
        if kind.__name__ in _COUNTED:
            found[kind.__name__] += 1
        if not str(kind.__module__).startswith("jobd."):
            continue
        name = f"{kind.__module__}.{kind.__name__}"
        found[name] += 1
        for attribute, value in _attributes(one):
            if isinstance(value, _CONTAINERS):
                found[f"{name}.{attribute}"] += len(value)
    gc.freeze()
    return found


def _write_down(_number: int, _frame: FrameType | None) -> None:
    path = Path(sys.argv[1])
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(held()))
    fresh.rename(path)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _write_down)
    sys.exit(run(sys.argv[2:], os.environ))
