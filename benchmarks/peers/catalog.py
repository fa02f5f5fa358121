"""The peers: what each needs, its server, and how its workers are started.

Versions are pinned, so that a table can be made again. `{bin}` is the folder of the peer's
own programs, `{server}` its server's address. Not here: the jobs (*_peer.py), the servers.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from peers import servers


class Peer(NamedTuple):
    """One contender."""

    name: str
    file: str
    needs: tuple[str, ...]
    server: Callable[[Path], AbstractContextManager[str]]
    worker: str
    """A command; `times` of them together have two processes that run jobs."""
    times: int = 1
    prepare: str = ""
    """Run once against a new server."""

    @property
    def node(self) -> bool:
        """Whether it runs on Node.js."""
        return self.file.endswith(".cjs")

    @property
    def home(self) -> str:
        """Return the name of its environment; two entries may share one."""
        return self.file.partition("_")[0]


_CELERY_ALONE = "--without-gossip --without-mingle --without-heartbeat"
_PROCRASTINATE = "{bin}/procrastinate -a peers.procrastinate_peer.app"
_RQ_NEEDS = ("rq==3.0.0", "redis==8.1.0")

PEERS = (
    Peer(
        "beanstalkd -f0",
        "beanstalkd_peer.py",
        ("greenstalk==2.1.1",),
        servers.beanstalkd,
        "{bin}/python peers/beanstalkd_peer.py worker",
        times=2,
    ),
    Peer(
        "BullMQ on Redis",
        "bullmq_peer.cjs",
        ("bullmq@6.7.0", "ioredis@6.0.0"),
        servers.redis,
        "node peers/bullmq_peer.cjs worker",
        times=2,
    ),
    Peer(
        "Huey on SQLite",
        "huey_peer.py",
        ("huey==3.5.4",),
        servers.sqlite,
        "{bin}/huey_consumer peers.huey_peer.huey -w 2 -k process -n -d 0.001 -m 0.001 -q",
    ),
    Peer(
        "taskiq on Redis",
        "taskiq_peer.py",
        ("taskiq==0.13.0", "taskiq-redis==1.2.4"),
        servers.redis,
        "{bin}/taskiq worker peers.taskiq_peer:broker --workers 2 --log-level WARNING",
    ),
    Peer(
        "dramatiq on Redis",
        "dramatiq_peer.py",
        ("dramatiq[redis]==2.2.1",),
        servers.redis,
        "{bin}/dramatiq peers.dramatiq_peer --processes 2",
    ),
    Peer(
        "Celery on Redis",
        "celery_peer.py",
        ("celery[redis]==5.7.0",),
        servers.redis,
        f"{{bin}}/celery -A peers.celery_peer worker -c 2 -l ERROR {_CELERY_ALONE}",
    ),
    Peer(
        "arq on Redis",
        "arq_peer.py",
        ("arq==0.28.0",),
        servers.redis,
        "{bin}/arq peers.arq_peer.WorkerSettings",
        times=2,
    ),
    Peer(
        "procrastinate on PostgreSQL",
        "procrastinate_peer.py",
        ("procrastinate==3.10.0", "psycopg[binary]==3.3.9"),
        servers.postgresql,
        f"{_PROCRASTINATE} worker --concurrency 20",
        times=2,
        prepare=f"{_PROCRASTINATE} schema --apply",
    ),
    Peer(
        "RQ on Redis, SimpleWorker",
        "rq_peer.py",
        _RQ_NEEDS,
        servers.redis,
        "{bin}/rq worker -q -u {server} --worker-class rq.worker.SimpleWorker",
        times=2,
    ),
    Peer(
        "RQ on Redis, a fork per job",
        "rq_peer.py",
        _RQ_NEEDS,
        servers.redis,
        "{bin}/rq worker -q -u {server}",
        times=2,
    ),
)
