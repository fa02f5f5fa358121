"""An environment of its own for each peer, made once under benchmarks/.venvs.

Not here: which versions (catalog.py).
"""

import os
import subprocess
import sys
from pathlib import Path

from peers import servers
from peers.catalog import Peer
from peers.servers import program

HERE = Path(__file__).parents[1]
CACHE = Path(os.environ.get("BENCH_CACHE", HERE / ".venvs"))


def folder(peer: Peer) -> Path:
    return CACHE / peer.home


def installed(peer: Peer) -> None:
    """Make the environment, unless one with the same versions is there."""
    if peer.server in servers.NEEDED:
        servers.program(servers.NEEDED[peer.server])
    home, stamp = folder(peer), folder(peer) / "installed"
    wanted = "\n".join(peer.needs)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"installing {' '.join(peer.needs)}", file=sys.stderr, flush=True)
    home.mkdir(parents=True, exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    if peer.node:
        npm = [program("npm"), "install", "--silent", "--no-audit", "--no-fund", "--no-save"]
        _run(*npm, "--prefix", str(home), *peer.needs)
    else:
        _run(sys.executable, "-m", "venv", "--clear", str(home))
        _run(str(home / "bin" / "python"), "-m", "pip", "install", "-q", *peer.needs)
    stamp.write_text(wanted)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def environ(peer: Peer) -> dict[str, str]:
    """Return what its programs need in their environment."""
    if peer.node:
        return {"NODE_PATH": str(folder(peer) / "node_modules")}
    return {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}


def command(peer: Peer, text: str, server: str) -> list[str]:
    """Return a command of the catalogue with its folders and addresses filled in."""
    return [part.format(bin=folder(peer) / "bin", server=server) for part in text.split()]
