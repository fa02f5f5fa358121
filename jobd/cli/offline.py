"""What works without a daemon. Each function imports the rooms that it needs, and only then.

Not here: how it is printed (plugins_check.py).
"""

import os
import tempfile
from collections.abc import Mapping
from typing import Any

from jobd.wire.handlers import HandlerList, render_catalog


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
