"""A long mixed load with faults, as one command: `python tests/soak/run.py --minutes 30`.

Prints what was sampled, how each quantity grew over the second half, and how often what was
done; exits 1 on a violation. Short runs judge less: files and the size of the database once
retention has caught up (10 minutes and more), the sweep from 16 minutes on. The seed decides
who does what in which order, not when the machine lets them.

Not here: the soak itself (soak.py).
"""

# ruff: noqa: T201 - printing is what it is for
import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.soak import samples
from tests.soak.soak import Result, Soak


def shown(result: Result) -> str:
    """Return a result as it is printed."""
    report = result.report
    lines = [samples.table(result.samples), ""]
    lines += [
        "| over the second half | median | highest | grew | allowed |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.name} | {one.median:.0f} | {one.highest:.0f} "
        f"| {one.grew:+.1f} | {one.allowed:.0f} |"
        for one in result.growths
    ]
    lines += ["", "| what | count |", "|---|---|"]
    lines += [f"| {what} | {count} |" for what, count in sorted(result.counts.items())]
    lines += [
        f"| acknowledged jobs | {report.acknowledged} |",
        f"| witnessed attempts, cut short | {report.attempts}, {report.cut} |",
        f"| seconds | {result.seconds:.0f} |",
        f"| violations | {len(result.violations)} |",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Use jobd for long, harm it, and measure.")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=None)
    asked = parser.parse_args()
    seed = random.SystemRandom().randrange(2**32) if asked.seed is None else asked.seed
    folder = Path(tempfile.mkdtemp(prefix="jobd-soak-"))
    print(f"seed {seed}, in {folder}", flush=True)
    result = Soak(folder, asked.minutes * 60, seed).run()
    print(shown(result))
    for violation in result.violations:
        print(f"VIOLATION: {violation}")
    if result.violations:
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
