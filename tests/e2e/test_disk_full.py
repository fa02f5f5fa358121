"""A daemon whose disk fills up, fails, or loses its database, seen from outside."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import Daemon
from tests.support.contract import HeldTransport

FREE_BYTES = 2 * 1024 * 1024
BIG = json.dumps({"text": "x" * 100_000})


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that has not been started."""
    daemon = Daemon(tmp_path)
    daemon.config.write_text(
        f'[files]\nallow_paths = ["{tmp_path}"]\nmin_free_bytes = {FREE_BYTES}\n'
        "[pool]\ndrain_s = 5\n"
    )
    yield daemon
    daemon.close()


@pytest.fixture
def on_small_disk(stopped: Daemon) -> Iterator[Daemon]:
    """A running daemon with its state on a file system of 48 MiB."""
    stopped.state_dir.mkdir(mode=0o700)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", stopped.state_dir], check=True
    )
    try:
        stopped.start()
        yield stopped
    finally:
        stopped.close()
        subprocess.run(["umount", stopped.state_dir], check=True)


def fill(daemon: Daemon) -> Path:
    """Take every byte that is left on the daemon's disk."""
    filler = daemon.state_dir / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(48 * 1024 * 1024))
    return filler


@pytest.mark.needs("root", "mount")
def test_on_a_full_disk_what_runs_ends_and_what_is_new_is_refused(on_small_disk: Daemon) -> None:
    daemon = on_small_disk
    fifo = daemon.folder / "gate"
    os.mkfifo(fifo)
    job_id = daemon.jobd("submit", "test.gate", json.dumps({"fifo": str(fifo)})).stdout.strip()
    with fifo.open("wb") as gate:
        filler = fill(daemon)
        refused = daemon.jobd("submit", "test.echo", BIG)
        gate.write(b"go")
    ended = daemon.jobd("wait", job_id)
    deleted = daemon.jobd("rm", job_id)

    filler.unlink()
    # it looks once a second; each look of ours is a whole process
    while (
        again := daemon.jobd("submit", "test.echo", BIG, "--wait")
    ).returncode == refused.returncode:
        pass

    assert refused.returncode == 9
    assert "room on disk" in refused.stderr
    assert (ended.returncode, deleted.returncode, again.returncode) == (0, 0, 0)
    assert daemon.stop() == 0


@pytest.mark.needs("root", "mount")
def test_the_reserve_is_held_on_disk_over_restarts(on_small_disk: Daemon) -> None:
    reserve = on_small_disk.state_dir / "reserve"
    before = reserve.stat()

    on_small_disk.restart()

    assert (reserve.stat().st_ino, before.st_mode & 0o777) == (before.st_ino, 0o600)
    assert before.st_blocks * 512 == 32 * 1024 * 1024


@pytest.mark.parametrize("name", ["jobd.db", "jobd.db-wal"])
def test_a_database_that_is_deleted_under_the_daemon_ends_it_with_78(
    stopped: Daemon, name: str
) -> None:
    stopped.start()

    (stopped.state_dir / name).unlink()

    assert stopped.process.wait(30) == 78
    assert "is gone under jobd" in "".join(stopped.log)


@pytest.mark.needs("strace")
def test_an_io_error_ends_the_daemon_with_74_and_vouches_for_nothing(stopped: Daemon) -> None:
    stopped.start()
    assert stopped.jobd("submit", "test.echo", "{}", "--wait").returncode == 0
    tracing = failing_syncs(stopped)

    transport = HeldTransport(stopped.socket)
    with httpx.Client(transport=transport, base_url="http://localhost") as client:
        body = {"kind": "test.echo", "args": {}}
        refused = client.post("/v1/jobs", json=body, headers={"Idempotency-Key": '"k"'})
    status = stopped.process.wait(30)
    tracing.communicate()
    stopped.restart()
    again = stopped.jobd("submit", "test.echo", "{}", "--idempotency-key", "k", "--wait")

    assert (refused.status_code, refused.json()["code"]) == (503, "outcome_unknown")
    assert status == 74
    assert again.returncode == 0
    assert len(json.loads(stopped.jobd("ls", "-o", "json").stdout)["jobs"]) == 2


def failing_syncs(daemon: Daemon) -> subprocess.Popen[str]:
    """Have every fdatasync of the daemon fail from now on."""
    tracing = subprocess.Popen(
        [
            *("strace", "-f", "-p", str(daemon.pid), "-o", daemon.folder / "trace"),
            *("-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tracing.stderr is not None
    assert "attached" in tracing.stderr.readline()
    return tracing
