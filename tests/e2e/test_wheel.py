"""What is published: the wheel, installed elsewhere, runs a job from submit to result."""

import os
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("JOBD_", "XDG_", "PYTHON"))}


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=CLEAN | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(300)
def test_the_wheel_runs_a_job_from_another_directory(tmp_path: Path) -> None:
    for project in (ROOT, ROOT / "plugins" / "jobd-import"):
        build = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", tmp_path)
        run(*build, project, cwd=tmp_path)
    home = tmp_path / "home"
    home.mkdir()
    venv.create(home / "venv", with_pip=True)
    installed = home / "venv" / "bin"
    wheels = sorted(tmp_path.glob("*.whl"))
    run(installed / "pip", "install", "-q", *wheels, cwd=home)
    (home / "rows.csv").write_text("name\nada\nalan\n")
    where = {"HOME": str(home), "JOBD_SOCKET": str(tmp_path / "s"), "JOBD_STATE_DIR": "state"}
    serve = subprocess.Popen(
        [str(installed / "jobd"), "serve"],
        cwd=home,
        env=CLEAN | where | {"JOBD_FILES_ALLOW_PATHS": str(home)},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert serve.stderr is not None

    with serve, serve.stderr:
        said = next((line for line in serve.stderr if "jobd is ready" in line), "never ready")
        args = f'{{"source": "{home}/rows.csv", "database": "{home}/t.db", "table": "t"}}'
        submit = (installed / "jobd", "submit", "import.csv", args, "--wait")
        result = run(*submit, cwd=tmp_path, **where)
        shipped = run(
            installed / "python",
            "-c",
            "from jobd.resources import path; print(path('systemd/jobd.service').read_text())",
            cwd=tmp_path,
        )
        serve.send_signal(signal.SIGTERM)
        serve.stderr.read()

    assert "jobd is ready" in said
    assert '"rows_imported":2' in result
    assert "ExecStart=" in shipped
    assert serve.returncode == 0
