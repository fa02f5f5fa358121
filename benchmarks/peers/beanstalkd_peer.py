"""beanstalkd with a log, `-f0`: fsync at each write. Two processes, each a loop of reserve, delete.

It has no worker of its own: `worker` is what its clients' manuals show.
"""

import os
import sys

from greenstalk import Client  # type: ignore[import-not-found]

from peers import common


def make() -> common.Submit:
    client = Client(os.environ["BENCH_SERVER"])
    return lambda: client.put("{}")


def work() -> None:
    with Client(os.environ["BENCH_SERVER"]) as client:
        while True:
            job = client.reserve()
            common.mark()
            client.delete(job)


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        work()
    else:
        common.main(make)
