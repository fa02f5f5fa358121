"""One run of `jobd serve`: locks, the loop, and what a failure means as an exit status.

Not here: what runs inside (run.py).
"""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import uvloop

from jobd import logs
from jobd.api.server import ParserUnusable, SocketUnusable, check_parser
from jobd.clock import SystemClock
from jobd.config import Config, ConfigError
from jobd.daemon.confines import confine
from jobd.daemon.run import EXIT_CONFIG, EXIT_IO_ERROR, Daemon
from jobd.domain.clock import Clock
from jobd.engine import recovery
from jobd.files.layout import Layout
from jobd.files.uploads import sweep_incoming
from jobd.store.database import DatabaseUnusable

EXIT_ALREADY_RUNNING = 75

_UNUSABLE = (
    ConfigError,
    DatabaseUnusable,
    ParserUnusable,
    recovery.WorkersRemain,
    PermissionError,
)
"""What trying again would not change."""

_TURN_S = 0.0005
"""How long one thread may keep the interpreter from another: a tenth of what Python lets it.

The database's thread asks for it back behind every statement, with the lock on the file held.
"""

_NO_THREAD = "can't start new thread"
"""What Python says, with a RuntimeError, when the system has none left: it may pass."""


def serve(config: Config, environ: Mapping[str, str], clock: Clock | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT; return the exit status. `clock`: not the machine's.

    0 after a drain, 74 when the database could not be written or the system has no thread
    left, 75 when another program holds the state folder, the socket or the port, 78 when
    configuration, database or the installation are unusable.
    """
    logs.configure(config.log.level, config.log.format)
    layout = Layout(Path(config.server.state_dir))
    try:
        check_parser()
        confine(config)
        layout.make()
        lock = recovery.take_lock(layout.lock)
        try:
            sweep_incoming(layout)
            sys.setswitchinterval(_TURN_S)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(Daemon(config, environ, layout, clock or SystemClock()).run())
        finally:
            os.close(lock)
    except recovery.AlreadyRunning as error:
        return _refuse(EXIT_ALREADY_RUNNING, error)
    except SocketUnusable as error:
        return _refuse(EXIT_ALREADY_RUNNING, error)
    except _UNUSABLE as error:
        return _refuse(EXIT_CONFIG, error)
    except OSError as error:
        return _refuse(EXIT_IO_ERROR, error)
    except RuntimeError as error:
        if str(error) != _NO_THREAD:
            raise
        return _refuse(EXIT_IO_ERROR, error)


def _refuse(status: int, error: Exception) -> int:
    sys.stderr.write(f"jobd: {error}\n")
    return status
