"""The catalogue child: `python -P -m jobd.pool.child_catalog <daemon pid> <stream> <skip>`.

It is told the settings of the plugins, imports what is installed, kind by kind in sorted
order behind the first <skip>, and says what it found. Each import is announced, so that a
plugin that takes the process down, or never comes back, has been named.
"""

import socket
import sys

from jobd.pool import plugins
from jobd.pool.child_channel import Channel
from jobd.pool.child_setup import settle_in
from jobd.pool.plugins import Claimant
from jobd.pool.protocol import CatalogDone, Down, Importing, Loaded, NotLoaded, Tables, Up


def main(arguments: list[str]) -> None:
    """Send the catalogue."""
    daemon_pid, stream, skip = map(int, arguments)
    settle_in(daemon_pid)
    channel = Channel(socket.socket(fileno=stream))
    configs = plugins.Configs(_tables(channel).config)
    for kind, claimants in list(plugins.installed().items())[skip:]:
        channel.send(_announced(kind, claimants))
        channel.send(_loaded(kind, claimants, configs))
    channel.send(CatalogDone())


def _tables(channel: Channel) -> Tables:
    heard: list[Down] = []
    channel.wait(heard.append, lambda: bool(heard))
    (tables,) = heard
    if not isinstance(tables, Tables):
        raise TypeError(f"expected Tables, got {tables!r}")
    return tables


def _announced(kind: str, claimants: tuple[Claimant, ...]) -> Importing:
    distributions = ", ".join(claimant.distribution for claimant in claimants)
    targets = ", ".join(claimant.target for claimant in claimants)
    return Importing(kind, distributions, targets)


def _loaded(kind: str, claimants: tuple[Claimant, ...], configs: plugins.Configs) -> Up:
    try:
        handler = plugins.imported(plugins.sole(claimants))
        configs.of(handler)
        return Loaded(plugins.spec(handler))
    except plugins.Unavailable as exc:
        at = _announced(kind, claimants)
        return NotLoaded(kind, at.distribution, at.target, str(exc))


if __name__ == "__main__":
    main(sys.argv[1:])
