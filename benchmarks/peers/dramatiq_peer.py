"""dramatiq on Redis: two processes with its default of eight threads each."""

import os

import dramatiq  # type: ignore[import-not-found]
from dramatiq.brokers.redis import RedisBroker  # type: ignore[import-not-found]

from peers import common

dramatiq.set_broker(RedisBroker(url=os.environ["BENCH_SERVER"]))
job = dramatiq.actor(common.mark)

if __name__ == "__main__":
    common.main(lambda: job.send)
