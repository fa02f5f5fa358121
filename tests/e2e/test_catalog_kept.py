"""A catalogue child that cannot work takes nothing from a daemon that knows its kinds."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.conftest import Daemon

DIES = """
import os, sys
if "jobd.pool.child_catalog" in sys.orig_argv:
    os._exit(3)
"""


def test_the_kinds_of_the_last_start_stay_known(daemon: "Daemon") -> None:
    before = daemon.jobd("submit", "test.echo", '{"n": 1}', "--wait")
    (daemon.folder / "sitecustomize.py").write_text(DIES)
    daemon.environ["PYTHONPATH"] = str(daemon.folder)

    daemon.restart()
    after = daemon.jobd("submit", "test.echo", '{"n": 2}', "--wait")
    daemon.stop()

    assert (before.returncode, after.returncode) == (0, 0), after.stderr
    assert any("could not be looked up" in line for line in daemon.log)
