"""What works without a daemon. Each function imports the rooms that it needs, and only then.

Not here: how it is printed (plugins_check.py, token.py).
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobd.wire.handlers import HandlerList, render_catalog
from jobd.wire.tokens import NewToken, TokenRequest, render_new_token


class CannotLook(Exception):  # noqa: N818 - named for what is so
    """No child could be started to import the plugins."""


def installed_handlers(tables: Mapping[str, dict[str, Any]]) -> HandlerList:
    """Import each installed plugin in a child, as a daemon would, and return what it found.

    `tables` are the settings of plugins. Leaves no process behind. Raises CannotLook.
    """
    import asyncio  # noqa: PLC0415 - not for clients either

    from jobd.pool.catalog import CatalogFailed, load_catalog  # noqa: PLC0415 - not for clients

    with tempfile.TemporaryFile() as stands_for_the_lock:
        looking = load_catalog(
            f"check.{os.getpid()}:1", stands_for_the_lock.fileno(), config=tables
        )
        try:
            return render_catalog(asyncio.run(looking))
        except (CatalogFailed, OSError) as error:
            raise CannotLook(str(error)) from error


class CannotMake(Exception):  # noqa: N818 - named for what is so
    """The token could not be written; says why."""


def make_token(state_dir: Path, request: TokenRequest) -> NewToken:
    """Make a token in the database of a daemon that does not run. Raises CannotMake."""
    import asyncio  # noqa: PLC0415 - not for clients either

    from jobd.domain.errors import JobdError  # noqa: PLC0415
    from jobd.engine import recovery  # noqa: PLC0415
    from jobd.files.layout import Layout  # noqa: PLC0415
    from jobd.store.database import DatabaseUnusable  # noqa: PLC0415

    layout = Layout(state_dir)
    try:
        _refuse_anothers(state_dir)
        layout.make()
        lock = recovery.take_lock(layout.lock)
        try:
            return asyncio.run(_make_token(layout.database, request))
        finally:
            os.close(lock)
    except recovery.AlreadyRunning:
        detail = "the daemon runs: make the token with it, without --offline"
        raise CannotMake(detail) from None
    except (JobdError, DatabaseUnusable, OSError) as error:
        raise CannotMake(str(error)) from error


def _refuse_anothers(state_dir: Path) -> None:
    """Leave no file behind that the daemon's user could not open."""
    if state_dir.exists() and (owner := state_dir.stat().st_uid) != os.geteuid():
        raise CannotMake(f"{state_dir} is of the user with the uid {owner}: run this as that user")


async def _make_token(path: Path, request: TokenRequest) -> NewToken:
    from jobd.clock import SystemClock  # noqa: PLC0415
    from jobd.store.database import Database  # noqa: PLC0415
    from jobd.store.tokens import Tokens  # noqa: PLC0415

    database = await Database.open(path)
    try:
        tokens = Tokens(database, SystemClock())
        await tokens.load()
        token, text = await tokens.create(
            request.principal,
            request.scopes,
            description=request.description,
            expires_in_s=request.expires_in_seconds,
        )
    finally:
        await database.close()
    return render_new_token(token, text)
