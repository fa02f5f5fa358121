"""Celery on Redis: prefork, two processes, no results kept.

The prefetch multiplier is what its guide recommends for many short tasks; gossip, mingle
and heartbeats, which a single machine does not need, are off.
"""

import os

from celery import Celery  # type: ignore[import-not-found]

from peers import common

app = Celery("bench", broker="redis+socket://" + os.environ["BENCH_SERVER"].removeprefix("unix://"))
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)
job = app.task(name="job")(common.mark)

if __name__ == "__main__":
    common.main(lambda: job.delay)
