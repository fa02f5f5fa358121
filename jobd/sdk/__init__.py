"""What a plugin imports to write handlers. Small, and frozen: names are added, never changed.

Not here: `run_handler`, to try a handler in a test (jobd.sdk.testing).
"""

from jobd.sdk.context import AsyncContext, Context
from jobd.sdk.endings import Cancelled, Discard, Partial, Retry, Snooze
from jobd.sdk.handlers import handler
from jobd.sdk.options import Backoff

__all__ = [
    "AsyncContext",
    "Backoff",
    "Cancelled",
    "Context",
    "Discard",
    "Partial",
    "Retry",
    "Snooze",
    "handler",
]
