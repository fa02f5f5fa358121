"""How single rooms are built from the settings.

Not here: when they are built, and in which order they end (run.py).
"""

from jobd.config import ConfigError, Webhooks
from jobd.webhooks import egress


def egress_policy(webhooks: Webhooks) -> egress.Policy:
    """Return where webhooks may go; ConfigError when the settings cannot be read as that."""
    try:
        return egress.policy(
            allow_http=webhooks.allow_http,
            allow_private=webhooks.allow_private,
            allow_unix=webhooks.allow_unix,
        )
    except ValueError as error:
        raise ConfigError(str(error)) from error
