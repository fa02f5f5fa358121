"""The servers that peers need: each on a unix socket in a scratch folder, durable.

Each gives the address that the peer's file reads from BENCH_SERVER. Redis appends and syncs
at every write, as does beanstalkd's log; PostgreSQL and SQLite sync at every commit.
"""

import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

LIMIT_S = 30.0
_PACKAGES = {
    "redis-server": "redis-server",
    "beanstalkd": "beanstalkd",
    "initdb": "postgresql",
    "postgres": "postgresql",
    "npm": "nodejs npm",
    "node": "nodejs npm",
}
_LOOK = threading.Event()


def program(name: str) -> str:
    """Return where a program is, or say what would bring it."""
    debian = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))  # noqa: PTH207
    found = debian[-1] if debian else shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is missing: apt-get install {_PACKAGES[name]}")
    return found


@contextlib.contextmanager
def running(
    command: Sequence[str],
    *,
    stop: int = signal.SIGTERM,
    user: str | None = None,
    cwd: Path | None = None,
    environ: Mapping[str, str] | None = None,
    log: Path | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program and its children until the block ends, in a session of its own."""
    output = os.open(log or os.devnull, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    with subprocess.Popen(
        command,
        env=os.environ | dict(environ or {}),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
        user=user,
        extra_groups=None if user is None else [],
        group=None if user is None else pwd.getpwnam(user).pw_gid,
    ) as child:
        os.close(output)
        try:
            yield child
        finally:
            child.send_signal(stop)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(5)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def _listening(path: Path, child: "subprocess.Popen[bytes]") -> None:
    until_s = time.monotonic() + LIMIT_S
    while time.monotonic() < until_s and child.poll() is None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            probe.connect(str(path))
            return
        _LOOK.wait(0.02)
    raise AssertionError(f"nothing listens on {path}")


@contextlib.contextmanager
def sqlite(folder: Path) -> Iterator[str]:
    yield str(folder / "queue.db")


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    path = folder / "redis.sock"
    options = {"port": "0", "unixsocket": str(path), "dir": str(folder), "save": ""}
    options |= {"appendonly": "yes", "appendfsync": "always"}
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    with running([program("redis-server"), *flags]) as child:
        _listening(path, child)
        yield f"unix://{path}"


@contextlib.contextmanager
def beanstalkd(folder: Path) -> Iterator[str]:
    path = folder / "beanstalkd.sock"
    flags = ["-l", f"unix:{path}", "-b", str(folder), "-f0"]
    with running([program("beanstalkd"), *flags]) as child:
        _listening(path, child)
        yield str(path)


@contextlib.contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """PostgreSQL refuses root: then it runs as Debian's user for it."""
    user = "postgres" if os.geteuid() == 0 else None
    data = folder / "pg"
    data.mkdir()
    if user is not None:
        folder.chmod(0o755)
        shutil.chown(data, user)
    initdb = [program("initdb"), "-D", str(data), "-U", "bench", "-A", "trust", "-E", "UTF8"]
    with running(initdb, user=user) as made:
        assert made.wait(60) == 0, "initdb failed"
    flags = ["-D", str(data), "-k", str(data), "-c", "listen_addresses=", "-c", "port=5432"]
    with running([program("postgres"), *flags], stop=signal.SIGINT, user=user) as child:
        _listening(data / ".s.PGSQL.5432", child)
        yield f"host={data} user=bench dbname=postgres"


NEEDED: dict[object, str] = {
    redis: "redis-server",
    beanstalkd: "beanstalkd",
    postgresql: "initdb",
}
"""The program of each server that has one."""
