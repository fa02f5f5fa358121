"""The distribution: its name, what it exports, what it ships."""

import tomllib
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path

import pytest

import jobd
from jobd import sdk

ROOT = Path(__file__).parents[2]


def test_the_distribution_is_this_checkout_and_nobody_elses() -> None:
    """The name `jobd` on the index belongs to somebody else's program."""
    with pytest.raises(PackageNotFoundError):
        distribution("jobd")

    assert distribution("jobd-server").version == jobd.__version__
    assert Path(jobd.__file__).is_relative_to(ROOT)


def test_no_plugin_depends_on_the_stranger() -> None:
    needs = [
        need
        for path in ROOT.glob("plugins/*/pyproject.toml")
        for need in tomllib.loads(path.read_text())["project"]["dependencies"]
    ]

    assert any(need.startswith("jobd-server") for need in needs)
    assert [need for need in needs if need.split(">")[0].strip() == "jobd"] == []


def test_the_sdk_exports_what_plugin_authors_were_promised() -> None:
    promised = "AsyncContext Backoff Cancelled Context Discard Partial Retry Snooze handler"

    assert sorted(sdk.__all__) == promised.split()


def test_no_text_tells_anybody_to_install_the_stranger() -> None:
    texts = [*ROOT.glob("*.md"), *ROOT.glob("plugins/*/*.md"), *ROOT.glob("jobd/**/*.py")]

    assert [path for path in texts if "pip install jobd\n" in path.read_text()] == []
    assert [path for path in texts if "pip install jobd " in path.read_text()] == []


def test_every_plugin_of_the_repository_is_installed() -> None:
    """Else its tests would pass by not running."""
    installed = {dist.metadata["Name"] for dist in distributions()}

    assert {path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")} <= installed
