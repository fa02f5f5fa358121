"""How soon jobs that wait behind one that overruns start in another worker.

After many short runs of a kind its workers have several jobs at hand. Then one of them,
first in the queue, takes a second, and 64 short ones follow: those at hand behind it have
to be taken back and run elsewhere. Measured in the jobs themselves, by the machine's
monotonic clock: from the start of the long one to the start of the last short one, the
short ones' own time included.
"""

import json
import statistics
import tempfile
from pathlib import Path

import load
from harness import TWO_WORKERS, Row, Size, ask, daemon, drained, order, spread
from submits import QUEUE

KIND = "bench.mixed"
BEHIND = 64
SHORT = 400
"""Short runs before each round, so that the kind counts as short again."""


def _post(path: str, **args: object) -> None:
    body = json.dumps({"kind": KIND, "args": args, "queue": QUEUE}).encode()
    status, _, answer = ask(path, "POST", "/v1/jobs", body)
    assert status == 202, answer


def _late_ms(path: str, marks: Path) -> float:
    """Return how late the last of the short jobs began."""
    short = json.dumps({"kind": KIND, "args": {}, "queue": QUEUE}).encode()
    load.run(path, load.post("/v1/jobs", short, "Prefer: respond-async"), SHORT, 8, b"HTTP/1.1 202")
    drained(path)
    order(path, QUEUE, "pause")
    _post(path, seconds=1, note=str(marks))
    for _ in range(BEHIND):
        _post(path, note=str(marks))
    drained(path, first=lambda: order(path, QUEUE, "resume"))
    starts = [json.loads(line) for line in marks.read_text().splitlines()]
    marks.unlink()
    (head,) = [start["at"] for start in starts if start["seconds"]]
    late: list[int] = [start["at"] - head for start in starts if not start["seconds"]]
    assert len(late) == BEHIND, f"{len(late)} of {BEHIND} jobs ran"
    return max(late) / 1e6


def measured(size: Size) -> list[Row]:
    """Return the row: every round is one head that overruns."""
    with (
        tempfile.TemporaryDirectory(prefix="jobd-bench-") as scratch,
        daemon(Path(scratch), **TWO_WORKERS) as (path, _),
    ):
        late = [_late_ms(path, Path(scratch, "marks")) for _ in range(size.rounds * 2)]
    figures = f"median {statistics.median(late):.0f} ms, worst {max(late):.0f} ms"
    what = f"a head overruns: the last of {BEHIND} jobs behind it starts elsewhere after"
    median = statistics.median(late)
    return [
        Row(
            what,
            figures,
            "≤ 50 ms",
            met=max(late) <= 50,
            value=median,
            spread=spread(late),
            less=True,
        )
    ]
