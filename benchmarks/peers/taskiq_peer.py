"""taskiq on Redis: the stream broker (the one that acknowledges), two processes, no results."""

import os

from taskiq_redis import RedisStreamBroker  # type: ignore[import-not-found]

from peers import common

broker = RedisStreamBroker(url=os.environ["BENCH_SERVER"])


async def _mark() -> None:
    common.mark()


job = broker.task(task_name="job")(_mark)


async def make() -> common.AsyncSubmit:
    await broker.startup()
    submit: common.AsyncSubmit = job.kiq
    return submit


if __name__ == "__main__":
    common.amain(make)
