"""What is installed, told by a child: the daemon imports no plugin, whatever they do."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobd.domain.catalog import Catalog, HandlerSpec
from jobd.domain.jobs import Claim
from jobd.domain.outcomes import Completed, HandlerUnavailable
from jobd.pool.catalog import CatalogFailed, load_catalog

if TYPE_CHECKING:
    from tests.pool.conftest import StartPool

MakeClaim = Callable[..., Claim]


def install(folder: Path, distribution: str, kind: str, source: str) -> None:
    """Put a distribution of one module beside what is installed."""
    module = distribution.replace("-", "_")
    (folder / f"{module}.py").write_text(source)
    about = folder / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[jobd.handlers]\n{kind} = {module}:run\n")


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose distributions the children see as installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


async def loaded(tmp_path: Path, import_limit_s: float = 30) -> Catalog:
    lock_fd = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    try:
        return await load_catalog(
            f"test{os.getpid()}.catalog:1", lock_fd, import_limit_s=import_limit_s
        )
    finally:
        os.close(lock_fd)


async def test_handlers_are_known_by_what_they_declare(tmp_path: Path) -> None:
    catalog = await loaded(tmp_path)

    sleep = catalog.handlers["test.sleep"]
    assert sleep == HandlerSpec(
        kind="test.sleep",
        lane="cpu",
        distribution="jobd-test-plugin",
        version="1.0",
        target="jobd_test_plugin.plain:sleep",
        queue="slow",
        timeout_s=100,
        max_attempts=2,
        backoff=None,
        args_schema=sleep.args_schema,
    )
    assert sleep.args_schema is not None
    assert sleep.args_schema["$defs"]["Seconds"]["required"] == ["seconds"]
    assert catalog.handlers["test.echo"].description == "Return the args."
    assert catalog.handlers["test.echo"].args_schema is None
    assert catalog.handlers["test.aecho"].lane == "io"


async def test_a_broken_plugin_is_named_and_the_others_load(tmp_path: Path) -> None:
    catalog = await loaded(tmp_path)

    broken = {kind: error.message for kind, error in catalog.errors.items()}
    assert broken["broken.raises"] == "RuntimeError: no licence found"
    assert broken["broken.exits"] == "Importing it ended the process: it exited with code 3."
    assert broken["broken.unmarked"].startswith("TypeError: ")
    assert catalog.errors["broken.exits"].distribution == "jobd-test-broken"
    assert catalog.errors["broken.exits"].target == "jobd_test_broken.exits:run"
    assert {"test.echo", "test.aecho"} <= catalog.handlers.keys()


async def test_no_plugin_is_imported_here(tmp_path: Path) -> None:
    await loaded(tmp_path)

    assert not [name for name in sys.modules if name.startswith("jobd_test_")]


async def test_an_import_that_does_not_come_back_is_given_up(tmp_path: Path, beside: Path) -> None:
    install(beside, "a-hang", "a.hang", "import threading\nthreading.Event().wait()\n")

    catalog = await loaded(tmp_path, import_limit_s=1.5)

    assert catalog.errors["a.hang"].message == "Importing it took longer than 1.5 s."
    assert "test.echo" in catalog.handlers


async def test_a_kind_that_two_claim_runs_in_neither(
    tmp_path: Path, beside: Path, start_pool: "StartPool", claim: MakeClaim
) -> None:
    source = "from jobd.sdk import handler\n@handler\ndef run(ctx, args):\n    pass\n"
    for distribution in ("clash-one", "clash-two"):
        install(beside, distribution, "clash.kind", source)

    catalog = await loaded(tmp_path)
    pool = await start_pool()
    outcome = await pool.run(claim("clash.kind"))

    message = (
        "Claimed by clash-one (clash_one:run) and clash-two (clash_two:run): "
        "neither runs. Uninstall all but one."
    )
    assert "clash.kind" not in catalog.handlers
    assert catalog.errors["clash.kind"].message == message
    assert catalog.errors["clash.kind"].distribution == "clash-one, clash-two"
    assert outcome == HandlerUnavailable(message)


async def test_an_import_takes_nothing_of_an_attempts_own_time_and_is_no_stall(
    beside: Path, start_pool: "StartPool", claim: MakeClaim
) -> None:
    source = (
        "import threading\nfrom jobd.sdk import handler\nthreading.Event().wait(2)\n"
        "@handler\n{}def run(ctx, args):\n    pass\n"
    )
    install(beside, "tardy-one", "tardy.cpu", source.format(""))
    install(beside, "tardy-two", "tardy.io", source.format("async "))
    pool = await start_pool(io_workers=1, loop_stall_s=0.5)

    outcomes = await asyncio.gather(
        pool.run(claim("tardy.cpu", timeout_s=0.5)),
        pool.run(claim("tardy.io", lane="io", timeout_s=0.5)),
    )

    assert [type(outcome) for outcome in outcomes] == [Completed, Completed]


async def test_a_schema_that_cannot_be_made_is_a_load_error(tmp_path: Path, beside: Path) -> None:
    install(
        beside,
        "no-schema",
        "no.schema",
        "import msgspec\nfrom jobd.sdk import handler\n"
        "class Args(msgspec.Struct):\n    value: complex\n"
        "@handler(args=Args)\ndef run(ctx, args):\n    pass\n",
    )

    catalog = await loaded(tmp_path)

    assert catalog.errors["no.schema"].message.startswith("Its args have no JSON Schema: ")


async def test_a_child_that_cannot_begin_blames_no_plugin(tmp_path: Path, beside: Path) -> None:
    (beside / "sitecustomize.py").write_text("import os\nos._exit(1)\n")

    with pytest.raises(CatalogFailed, match="exited with code 1"):
        await loaded(tmp_path)


async def test_a_kind_whose_program_is_missing_names_the_package(
    beside: Path, tmp_path: Path
) -> None:
    source = """
from jobd.sdk import handler

@handler(programs={"sh": "dash", "no-such-program": "no-such", "nor-this": "no-such"})
def run(ctx, args): ...
"""
    install(beside, "jobd-needy", "needy.run", source)

    catalog = await loaded(tmp_path)

    assert catalog.errors["needy.run"].message == (
        "It needs no-such-program and nor-this, not installed here: apt-get install no-such"
    )
