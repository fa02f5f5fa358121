"""`jobd webhooks`: the secret that callbacks are signed with."""

import click

from jobd.cli.errors import say
from jobd.cli.options import Environ, connect, socket_option


@click.group()
def webhooks() -> None:
    """Look after what is sent to callback URLs."""


@webhooks.command("rotate-secret", epilog="Example: jobd webhooks rotate-secret > /etc/app/secret")
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", help="How to print it."
)
@socket_option
@click.pass_obj
def rotate_secret(environ: Environ, *, output: str, socket: str | None) -> None:
    """Make a new secret for your callbacks and print it: this is the only time it is shown.

    The secret before it signs as well for a while, so that receivers can change over.
    """
    with connect(environ, socket) as client:
        rotated = client.rotate_secret()
    if output == "json":
        click.echo(rotated.body)
        return
    click.echo(rotated.value.secret)
    until = rotated.value.previous_secret_expires_at
    if until is not None:
        say(f"jobd: the secret before it signs as well until {until:%Y-%m-%dT%H:%M:%SZ}")
