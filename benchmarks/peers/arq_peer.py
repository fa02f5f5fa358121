"""arq on Redis: two processes of 100 jobs each, results not kept, a look every millisecond.

(By default it looks every 0.5 s: its latency would be that, and its speed a tenth.)
"""

import os
from typing import Any

from arq import create_pool  # type: ignore[import-not-found]
from arq.connections import RedisSettings  # type: ignore[import-not-found]

from peers import common

SETTINGS = RedisSettings(unix_socket_path=os.environ["BENCH_SERVER"].removeprefix("unix://"))


async def job(_ctx: dict[str, Any]) -> None:
    common.mark()


class WorkerSettings:
    """What `arq` reads."""

    functions = (job,)
    redis_settings = SETTINGS
    max_jobs = 100
    keep_result = 0
    poll_delay = 0.001


async def make() -> common.AsyncSubmit:
    pool = await create_pool(SETTINGS)
    return lambda: pool.enqueue_job("job")


if __name__ == "__main__":
    common.amain(make)
