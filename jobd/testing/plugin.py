"""The fixtures `jobd_worker` and `jobd_daemon`, for every test where jobd-server is installed.

`@pytest.mark.jobd(...)` sets them up: `allow_paths=[…]` for what handlers may open,
`plugins={"dist": {…}}` for the settings of plugins, and for a daemon any other section of the
settings file, such as `jobs={"max_attempts": 5}`.

Imports nothing of jobd before a fixture is asked for: most tests here need none.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobd.testing import JobdDaemon, JobdWorker


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "jobd(allow_paths=…, plugins=…, SECTION=…): settings of jobd's fixtures."
    )


@pytest.fixture
def jobd_worker(request: pytest.FixtureRequest) -> Iterator[JobdWorker]:
    """Give a worker process that runs attempts of installed kinds as a daemon's workers do."""
    from jobd.testing.worker import JobdWorker  # noqa: PLC0415 - see above

    wanted = _wanted(request)
    known = {name: wanted[name] for name in ("allow_paths", "plugins") if name in wanted}
    with _short_folder() as folder:
        worker = JobdWorker(Path(folder), **known)
        try:
            yield worker
        finally:
            worker.close()


@pytest.fixture
def jobd_daemon(request: pytest.FixtureRequest) -> Iterator[JobdDaemon]:
    """Give a daemon on a socket of its own, with a clock that the test moves."""
    from jobd.testing.daemon import JobdDaemon  # noqa: PLC0415 - see above

    wanted = _wanted(request)
    if "allow_paths" in wanted:
        wanted["files"] = {"allow_paths": list(wanted.pop("allow_paths"))}
    with _short_folder() as folder:
        daemon = JobdDaemon(Path(folder), wanted)
        try:
            yield daemon
        finally:
            daemon.close()


def _wanted(request: pytest.FixtureRequest) -> dict[str, Any]:
    marker = request.node.get_closest_marker("jobd")
    return dict(marker.kwargs) if marker else {}


def _short_folder() -> tempfile.TemporaryDirectory[str]:
    # the path of a socket may have 107 bytes, and pytest's own folders are deep
    return tempfile.TemporaryDirectory(prefix="jobd.", ignore_cleanup_errors=True)
