"""procrastinate on PostgreSQL (fsync and synchronous_commit on): two processes of 20 jobs each."""

import logging
import os

from procrastinate import App, PsycopgConnector  # type: ignore[import-not-found]

from peers import common

logging.getLogger("procrastinate").setLevel(logging.ERROR)  # warns of files like this
connector = PsycopgConnector(conninfo=os.environ["BENCH_SERVER"], max_size=20)
app = App(connector=connector)


async def _mark() -> None:
    common.mark()


job = app.task(name="job")(_mark)


async def make() -> common.AsyncSubmit:
    await app.open_async()
    submit: common.AsyncSubmit = job.defer_async
    return submit


if __name__ == "__main__":
    common.amain(make)
