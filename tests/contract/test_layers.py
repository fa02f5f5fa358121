"""Who may import whom: the table of the house, walked over every import there is."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "jobd"

OPEN = {"config", "logs", "metrics", "resources"}
"""May be imported by all but sdk, domain and wire; import domain only."""

MAY_IMPORT: dict[str, set[str]] = {
    "sdk": set(),
    "domain": set(),
    "wire": {"domain"},
    "bus": {"domain"},
    "store": {"domain"} | OPEN,
    "files": {"domain"} | OPEN,
    "pool": {"domain", "sdk"} | OPEN,
    "engine": {"domain", "wire", "bus", "store", "files", "pool"} | OPEN,
    "webhooks": {"domain", "wire", "bus", "store"} | OPEN,
    "api": {
        "domain",
        "wire",
        "bus",
        "store",
        "files",
        "engine.commands",
        "engine.endings",
        "engine.endpoints",
    }
    | OPEN,
    "client": {"wire"} | OPEN,
    "scratch": set(),
    "cli": {"wire", "client", "domain.signing", "scratch"} | OPEN,
    "daemon": {
        "domain",
        "wire",
        "bus",
        "store",
        "files",
        "pool",
        "engine",
        "webhooks",
        "api",
        "systemd",
        "clock",
    }
    | OPEN,
    "systemd": OPEN,
    "clock": {"domain"} | OPEN,
    "__main__": {"cli"},
    # for tests of plugins: it has a pool, or a daemon, of its own
    "testing": {"domain", "pool", "daemon", "client", "wire", "clock", "scratch"} | OPEN,
    **{name: {"domain"} for name in OPEN},
}

CHILD = {
    f"pool.child{part}"
    for part in ("", "_catalog", "_channel", "_cpu", "_io", "_job", "_output", "_setup")
}
SHARED = {
    f"pool.{name}" for name in ("protocol", "plugins", "linux", "marker", "turns", "inband")
} | {"domain.catalog"}

EXCEPTIONS = {
    # the worker: nothing of the daemon's may come into a plugin's process
    **dict.fromkeys(CHILD, CHILD | SHARED | {"sdk"}),
    # the daemon runs in the same program, and is imported by this command alone
    "cli.serve": {"cli", "daemon", "wire", "client"} | OPEN,
    # what works without a daemon
    "cli.offline": {"wire", "pool", "store", "files", "domain", "clock", "engine.recovery"} | OPEN,
    "cli.dev_folders": {"pool"},
    # a worker whose step a test watches
    "testing.child": {"testing", "pool.child", "sdk"},
}

MODULES = sorted(path for path in ROOT.rglob("*.py") if "_data" not in path.parts)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(path: Path) -> set[str]:
    """Every module of jobd that the file imports, inside functions and for typing too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("jobd.") for name in found if name.startswith("jobd.")}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    name = name_of(path)
    layer = name.split(".")[0]
    allowed = EXCEPTIONS.get(name, MAY_IMPORT.get(layer, set()) | {layer})

    strangers = {
        target
        for target in imports_of(path) - {"__version__"}
        if not any(target == ok or target.startswith(f"{ok}.") for ok in allowed)
    }

    assert strangers == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_small_and_says_what_it_is(path: Path) -> None:
    tree = ast.parse(path.read_text())

    long = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= 60
    }

    assert ast.get_docstring(tree)
    assert len(path.read_text().splitlines()) <= 400
    assert long == set()


def test_only_the_store_speaks_sql_and_only_it_knows_the_drivers() -> None:
    strangers = {
        name_of(path)
        for path in MODULES
        # the demo counts the rows of the database that a plugin wrote
        if name_of(path).split(".")[0] not in {"store", "daemon"}
        and name_of(path) != "cli.demo_report"
        and any(word in path.read_text() for word in ("import sqlite3", "aiosqlite."))
    }

    assert strangers == set()


def test_data_is_never_code() -> None:
    users = {name_of(path) for path in MODULES if "pickle" in path.read_text()}

    assert users == set()
