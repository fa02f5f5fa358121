"""The installed command against the installed daemon."""

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.clock import TOMORROW

LATER = ("--run-at", TOMORROW)


def csv_file(folder: Path, rows: int) -> Path:
    path = folder / "in.csv"
    lines = (f"name-{n},{n}\n" for n in range(rows))
    path.write_text("name,size\n" + "".join(lines) + "broken,not-a-number\n")
    return path


def import_args(daemon: Any, source: Path) -> str:
    return json.dumps(
        {
            "source": str(source),
            "database": str(daemon.folder / "out.db"),
            "table": "t",
            "columns": {"name": "text", "size": "integer"},
            "header": True,
        }
    )


def test_submit_and_wait_prints_the_result_and_the_job_can_be_read_back(daemon: Any) -> None:
    args = import_args(daemon, csv_file(daemon.folder, 10))

    done = daemon.jobd("submit", "import.csv", "-", "--wait", stdin=args)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["rows_imported"], result["rows_rejected"]) == (10, 1)
    job_id = daemon.jobd("ls", "-o", "name").stdout.strip()
    shown = json.loads(daemon.jobd("show", job_id, "-o", "json").stdout)
    assert (shown["status"], shown["partial"], shown["result"]) == ("completed", True, result)
    assert json.loads(daemon.jobd("result", job_id).stdout) == result
    assert "broken" in daemon.jobd("result", job_id, "--artifact", result["rejects"]).stdout
    assert result["rejects"] in daemon.jobd("show", job_id).stdout


def test_a_failed_job_says_code_and_step_and_exits_7(daemon: Any) -> None:
    args = import_args(daemon, daemon.folder / "absent.csv")

    done = daemon.jobd("submit", "import.csv", args, "--wait")

    assert (done.returncode, done.stdout) == (7, "")
    assert re.search(r"code: +[a-z_]+", done.stderr)
    assert "failed step:" in done.stderr


def test_an_unknown_kind_names_the_nearest(daemon: Any) -> None:
    done = daemon.jobd("submit", "import.cvs", "{}")

    assert done.returncode == 2
    assert "import.csv" in done.stderr


def test_broken_args_are_named_by_their_pointers(daemon: Any) -> None:
    done = daemon.jobd("submit", "import.csv", "--arg", "source=relative.csv", "--arg", "extra=1")

    assert done.returncode == 2
    for pointer in ("#/args/database", "#/args/extra", "#/args/source"):
        assert pointer in done.stderr


def test_the_same_key_is_the_same_job(daemon: Any) -> None:
    args = import_args(daemon, csv_file(daemon.folder, 1))
    command = ("submit", "import.csv", args, *LATER, "--idempotency-key", "order 17")

    ids = {daemon.jobd(*command).stdout for _ in range(2)}

    assert len(ids) == 1
    assert (
        daemon.jobd("submit", "import.csv", args, "--idempotency-key", "order 17").returncode == 2
    )


def test_a_waiting_job_is_cancelled_once_and_for_all(daemon: Any) -> None:
    args = import_args(daemon, csv_file(daemon.folder, 1))
    job_id = daemon.jobd("submit", "import.csv", args, *LATER).stdout.strip()

    assert daemon.jobd("wait", job_id, "--timeout", "0").returncode == 8
    assert daemon.jobd("result", job_id).returncode == 6
    assert daemon.jobd("cancel", job_id).stdout == f"{job_id}: cancelled\n"
    assert daemon.jobd("wait", job_id).returncode == 7
    assert daemon.jobd("ls", "--status", "cancelled", "-o", "name").stdout == f"{job_id}\n"


def test_plugins_and_version_come_from_the_daemon(daemon: Any) -> None:
    kinds = daemon.jobd("plugins", "ls", "-o", "name").stdout.split()

    assert "import.csv" in kinds
    assert f"at {daemon.socket}" in daemon.jobd("version").stdout


def wait_for_submission(command: subprocess.Popen[str]) -> str:
    """Read the line with the job's id; from then on the command waits."""
    assert command.stderr is not None
    return command.stderr.readline().split()[-1]


def test_ctrl_c_leaves_the_job_and_says_so(daemon: Any) -> None:
    args = import_args(daemon, csv_file(daemon.folder, 1))
    command = daemon.begin("submit", "import.csv", args, "--wait", *LATER)
    job_id = wait_for_submission(command)

    command.send_signal(signal.SIGINT)
    _, stderr = command.communicate()

    assert command.returncode == 130
    assert f"jobd cancel {job_id}" in stderr
    assert json.loads(daemon.jobd("show", job_id, "-o", "json").stdout)["status"] == "scheduled"


def test_a_wait_goes_on_over_a_kill_of_the_daemon(daemon: Any) -> None:
    args = import_args(daemon, csv_file(daemon.folder, 1))
    command = daemon.begin("submit", "import.csv", args, "--wait", *LATER)
    job_id = wait_for_submission(command)

    daemon.kill()
    daemon.start()
    cancelled = daemon.jobd("cancel", job_id)
    _, stderr = command.communicate()

    assert cancelled.returncode == 0
    assert command.returncode == 7
    assert f"job {job_id} ended cancelled" in stderr


def test_a_second_daemon_leaves_the_first_alone(daemon: Any) -> None:
    second = daemon.jobd("serve", "--config", daemon.config, "--state-dir", daemon.state_dir)

    assert second.returncode == 75
    assert daemon.jobd("ls").returncode == 0


@pytest.mark.parametrize("command", [["ls"], ["plugins", "ls"], ["wait", "job_x"]], ids=" ".join)
def test_without_a_daemon_commands_exit_3(daemon: Any, command: list[str]) -> None:
    daemon.stop()

    done = daemon.jobd(*command)

    assert done.returncode == 3
    assert "jobd serve" in done.stderr
