"""`jobd plugins new` and `check`: what they write, and what they advise."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobd.cli import plugins_check
from jobd.cli.main import run
from jobd.wire.handlers import LoadError

Capture = pytest.CaptureFixture[str]


def test_a_new_plugin_is_named_after_its_name(tmp_path: Path, capsys: Capture) -> None:
    code = run(["plugins", "new", "word-count", "--into", str(tmp_path)], {})

    folder = tmp_path / "jobd-word-count"
    assert code == 0
    assert (
        '"word-count.lines" = "jobd_word_count.handlers:count_lines"'
        in (folder / "pyproject.toml").read_text()
    )
    assert "word-count.lines" in capsys.readouterr().out
    assert (folder / ".ci" / "run").stat().st_mode & 0o111
    assert "{" not in (folder / "README.md").read_text().replace('{"', "")


def test_a_new_plugin_passes_this_project_s_own_rules(tmp_path: Path) -> None:
    run(["plugins", "new", "greet", "--into", str(tmp_path)], {})
    folder = tmp_path / "jobd-greet"

    for command in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]):
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "code"), [("Greet", 2), ("a_b", 2), ("../x", 2), ("server", 2), ("jobd-import", 2)]
)
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str, code: int) -> None:
    assert run(["plugins", "new", name, "--into", str(tmp_path)], {}) == code
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "jobd-greet").mkdir()

    assert run(["plugins", "new", "greet", "--into", str(tmp_path)], {}) == 6
    assert list((tmp_path / "jobd-greet").iterdir()) == []


@pytest.mark.parametrize(
    ("message", "fix"),
    [
        ("It needs x, not installed here: apt-get install x-bin", "apt-get install x-bin"),
        ("ModuleNotFoundError: No module named 'numpy'", "the module numpy"),
        ("ImportError: libGL.so.1: cannot open shared object file", "apt-file search libGL.so.1"),
        ("AttributeError: module 'm' has no attribute 'g'", "the entry point says m:f"),
        ("TypeError: <function f> is not a handler: decorate it", "decorate m:f with @handler"),
        ("Claimed by a (m:f) and b (n:f): neither runs. Uninstall all but one.", "uninstall"),
        ("The settings in [plugins.dist] do not fit C: x", "correct [plugins.dist]"),
        ("Importing it ended the process: it was killed by SIGSEGV.", "faulthandler -c 'import m'"),
        ("SyntaxError: invalid syntax", "py_compile"),
        ("KeyError: 'HOME'", "python -c 'import m'"),
    ],
)
def test_what_is_wrong_comes_with_how_to_mend_it(message: str, fix: str) -> None:
    assert fix in plugins_check.fix(LoadError("k", "dist", "m:f", message))


def test_a_check_loads_what_is_named_and_says_what_fails(capsys: Capture) -> None:
    good = run(["plugins", "check", "jobd-import"], {})
    good_text = capsys.readouterr().out
    bad = run(["plugins", "check", "broken.raises"], {})
    bad_text = capsys.readouterr().out
    unknown = run(["plugins", "check", "import.cvs"], {})

    assert (good, bad, unknown) == (0, 1, 4)
    assert good_text.splitlines() == [
        "ok    import.csv  (jobd-import)",
        "ok    import.ndjson  (jobd-import)",
    ]
    assert "RuntimeError: no licence found" in bad_text
    assert "to mend it: python -c 'import jobd_test_broken.raises'" in bad_text
    assert "Did you mean import.csv" in capsys.readouterr().err
