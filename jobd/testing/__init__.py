"""For the tests of plugins: a real worker and a real daemon, as fixtures of pytest.

`jobd_worker` and `jobd_daemon` are there wherever jobd-server and pytest are installed; what
they are is `JobdWorker` and `JobdDaemon`. To run a handler in the test's own process there is
jobd.sdk.testing.

    plugin.py   the fixtures
    worker.py   the test's side of a worker; host.py its process; messages.py between the two
    child.py    the worker's own program, that dies or waits where a test says
    daemon.py   the test's side of a daemon; serve.py its program; clock.py its clock
"""

from jobd.testing.daemon import JobdDaemon
from jobd.testing.messages import Run, Shown
from jobd.testing.worker import JobdWorker

__all__ = ["JobdDaemon", "JobdWorker", "Run", "Shown"]
