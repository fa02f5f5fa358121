"""RQ on Redis: `rq worker`, once forking a process for each job, once as SimpleWorker."""

import os

from redis import Redis  # type: ignore[import-not-found]
from rq import Queue  # type: ignore[import-not-found]

from peers import common


def make() -> common.Submit:
    queue = Queue(connection=Redis.from_url(os.environ["BENCH_SERVER"]))
    return lambda: queue.enqueue("peers.common.mark", result_ttl=0)


if __name__ == "__main__":
    common.main(make)
