"""A handler that the catalogue finds and no worker can import."""

import os
from typing import Any

from jobd.sdk import Context, handler

if not os.environ.get("JOBD_WORKER", "").endswith(":catalog"):
    raise ImportError("a library of this plugin was uninstalled")


@handler
def gone(ctx: Context, args: dict[str, Any]) -> None:
    """Never run."""
