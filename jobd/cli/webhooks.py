"""`jobd webhooks`: who is told of what, whether it has arrived, and a receiver to try.

Not here: the commands (endpoints.py, deliveries.py, receive.py).
"""

import click

from jobd.cli import deliveries, endpoints, receive


@click.group()
def webhooks() -> None:
    """Tell other programs of what happens, and see whether it has arrived."""


for _command in (
    endpoints.ls,
    endpoints.add,
    endpoints.show,
    endpoints.set_,
    endpoints.rm,
    endpoints.rotate_secret,
    deliveries.test,
    deliveries.ls,
    deliveries.dead,
    deliveries.redeliver,
    receive.verify_message,
    receive.listen,
):
    webhooks.add_command(_command)
