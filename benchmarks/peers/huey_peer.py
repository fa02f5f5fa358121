"""Huey on SQLite, `fsync=True`: the one peer that needs no server either.

`huey_consumer` with two worker processes; its polling is told to look every millisecond
(its default of 0.1 s would make its latency, not its speed, worse).
"""

import os

from huey import SqliteHuey  # type: ignore[import-not-found]

from peers import common

huey = SqliteHuey(filename=os.environ["BENCH_SERVER"], fsync=True)
job = huey.task(name="job")(common.mark)

if __name__ == "__main__":
    common.main(lambda: job)
