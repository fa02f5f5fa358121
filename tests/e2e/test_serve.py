"""`jobd serve` itself: one at a time, what it refuses, what it leaves, what survives it."""

import json
import os
import socket
import sqlite3
import stat
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import JOBD, Daemon
from tests.support.clock import TOMORROW
from tests.support.contract import HeldTransport


def serve(daemon: Daemon, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a daemon that is expected to refuse."""
    return subprocess.run(
        [JOBD, "serve", *arguments],
        env=daemon.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def submit(daemon: Daemon, kind: str, args: str = "{}") -> str:
    done = daemon.jobd("submit", kind, args)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def stopped(tmp_path: Path) -> Daemon:
    """A daemon that has not been started."""
    return Daemon(tmp_path)


def test_a_second_daemon_exits_75_and_leaves_the_first_its_socket(daemon: Daemon) -> None:
    second = serve(daemon, "--state-dir", str(daemon.state_dir))

    assert second.returncode == 75
    assert "another daemon holds" in second.stderr
    assert daemon.jobd("ls").returncode == 0


def test_a_socket_that_somebody_serves_is_not_stolen(daemon: Daemon) -> None:
    other = serve(daemon, "--state-dir", str(daemon.folder / "other"))

    assert other.returncode == 75
    assert daemon.jobd("ls").returncode == 0


def test_the_socket_is_for_its_owner_alone_and_goes_with_the_daemon(daemon: Daemon) -> None:
    mode = stat.S_IMODE(Path(daemon.socket).stat().st_mode)

    status = daemon.stop()

    assert (mode, status) == (0o600, 0)
    assert not Path(daemon.socket).exists()


def test_a_socket_left_by_a_kill_is_replaced(daemon: Daemon) -> None:
    daemon.kill()
    assert Path(daemon.socket).exists()

    daemon.start()

    assert daemon.jobd("ls").returncode == 0


def test_a_burst_of_connects_is_not_refused(daemon: Daemon) -> None:
    """The default backlog of 128 refused part of 256 while the loop was busy."""
    os.kill(daemon.pid, 19)
    clients = [socket.socket(socket.AF_UNIX) for _ in range(512)]

    for client in clients:
        client.setblocking(False)  # a full backlog says EAGAIN
        client.connect(daemon.socket)

    os.kill(daemon.pid, 18)
    for client in clients:
        client.close()


def write_config(daemon: Daemon, text: str) -> None:
    daemon.config.write_text(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [("[pol]\n", "did you mean pool?"), ("[webhooks]\nallow_private = ['x']\n", "allow_private")],
)
def test_a_bad_setting_exits_78_and_is_named(stopped: Daemon, text: str, said: str) -> None:
    write_config(stopped, text)

    refused = serve(stopped, "--config", str(stopped.config))

    assert refused.returncode == 78
    assert said in refused.stderr


def test_a_foreign_database_exits_78(stopped: Daemon) -> None:
    stopped.state_dir.mkdir(mode=0o700)
    with sqlite3.connect(stopped.state_dir / "jobd.db") as foreign:
        foreign.execute("CREATE TABLE theirs (x)")
    foreign.close()

    refused = serve(stopped, "--state-dir", str(stopped.state_dir))

    assert refused.returncode == 78
    assert "jobd.db" in refused.stderr


def test_what_was_accepted_is_there_after_kill_9(daemon: Daemon) -> None:
    done = submit(daemon, "test.echo", '{"n": 1}')
    assert daemon.jobd("wait", done).returncode == 0
    later = daemon.jobd("submit", "test.echo", '{"n": 2}', "--run-at", TOMORROW)

    daemon.kill()
    daemon.start()

    listed = json.loads(daemon.jobd("ls", "-o", "json").stdout)["jobs"]
    assert {job["job_id"]: job["status"] for job in listed} == {
        done: "completed",
        later.stdout.strip(): "scheduled",
    }
    assert json.loads(daemon.jobd("result", done).stdout) == {"n": 1}


def test_a_stop_waits_for_what_runs(daemon: Daemon) -> None:
    fifo = daemon.folder / "gate"
    os.mkfifo(fifo)
    job_id = submit(daemon, "test.gate", json.dumps({"fifo": str(fifo)}))
    with fifo.open("wb") as gate:  # the handler has begun: it holds the other end
        daemon.process.terminate()
        gate.write(b"go")

    assert daemon.process.wait(30) == 0
    daemon.restart()
    job = json.loads(daemon.jobd("show", job_id, "-o", "json").stdout)
    assert (job["status"], job["attempt"]) == ("completed", 1)


def test_what_outlasts_the_drain_runs_again_uncharged(daemon: Daemon) -> None:
    daemon.close()
    write_config(daemon, "[pool]\ndrain_s = 0\nkill_grace_s = 0.5\n")
    daemon.start()
    fifo = daemon.folder / "gate"
    os.mkfifo(fifo)
    job_id = submit(daemon, "test.gate", json.dumps({"fifo": str(fifo)}))

    with fifo.open("wb"):
        assert daemon.stop() == 0
    daemon.start()
    with fifo.open("wb") as gate:
        gate.write(b"go")

    assert daemon.jobd("wait", job_id).returncode == 0
    job = json.loads(daemon.jobd("show", job_id, "-o", "json").stdout)
    assert (job["attempt"], job["charged_attempts"]) == (2, 0)


def test_the_service_manager_is_told_and_its_watchdog_fed(stopped: Daemon) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(stopped.folder / "n"))
        manager.settimeout(20)
        stopped.environ |= {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "300000"}
        stopped.start()

        said = [manager.recv(100).split(b"\n")[0] for _ in range(3)]
        status = stopped.stop()
        while (last := manager.recv(100).split(b"\n")[0]) == b"WATCHDOG=1":
            pass

    assert sorted(said) == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
    assert last == b"STOPPING=1"
    assert status == 0


def test_the_attempts_of_a_job_tell_how_each_ended(daemon: Daemon) -> None:
    job_id = submit(daemon, "test.segfault")
    assert daemon.jobd("wait", job_id).returncode == 7

    transport = HeldTransport(daemon.socket)
    with httpx.Client(transport=transport, base_url="http://localhost") as client:
        attempts = client.get(f"/v1/jobs/{job_id}/attempts").json()["attempts"]

    assert [(a["attempt"], a["outcome"], a["signal"], a["charged"]) for a in attempts] == [
        (n, "worker_crashed", "SIGSEGV", True) for n in (1, 2, 3)
    ]
