"""What every test shares: the `needs` marker, and signals as a terminal's programs have them."""

import os
import shutil
import signal
from pathlib import Path

import pytest

# a shell's background job ignores these two, and so would all that the tests start
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)


CGROUP2 = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")]
"""Where control groups of the second kind can be mounted, alone or beside those of the first."""


def missing(need: str) -> bool:
    """Whether the machine lacks a program, or (for `root` and `cgroup2`) the privilege."""
    if need == "root":
        return os.geteuid() != 0
    if need == "cgroup2":
        return not any(os.access(root / "cgroup.procs", os.W_OK) for root in CGROUP2)
    return shutil.which(need) is None


@pytest.hookimpl
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose program or privilege is absent; in CI that is a failure."""
    for mark in item.iter_markers("needs"):
        for need in mark.args:
            if missing(need):
                if os.environ.get("JOBD_TEST_REQUIRE_ALL") == "1":
                    pytest.fail(f"needs {need}, which CI must have")
                pytest.skip(f"needs {need}")
