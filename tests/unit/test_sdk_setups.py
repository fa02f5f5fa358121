"""`ctx.config` and `ctx.shared`: settings as declared, and what is made once per worker."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any

import msgspec
import pytest

from jobd.sdk import AsyncContext, Cancelled, Context, Retry, handler
from jobd.sdk.async_setups import AsyncSetups
from jobd.sdk.setups import Setups
from jobd.sdk.testing import run_handler


class Settings(msgspec.Struct):
    url: str
    since: date = date(2020, 1, 1)
    tries: int = 3


class Journal:
    """What a setup did."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.fail: BaseException | None = None
        self.go = asyncio.Event()
        self.go.set()

    def _begin(self, config: Any) -> str:
        self.done.append("begun")
        if self.fail is not None:
            raise self.fail
        return f"made of {config}"

    def plain(self) -> Any:
        def setup(config: Any) -> Any:
            return self._begin(config)

        return setup

    def generator(self) -> Any:
        def setup(config: Any) -> Iterator[Any]:
            yield self._begin(config)
            self.done.append("cleaned")

        return setup

    def coroutine(self) -> Any:
        async def setup(config: Any) -> Any:
            await self.go.wait()
            return self._begin(config)

        return setup

    def async_generator(self) -> Any:
        async def setup(config: Any) -> AsyncIterator[Any]:
            task = asyncio.current_task()
            yield self._begin(config)
            assert asyncio.current_task() is task
            self.done.append("cleaned")

        return setup


@pytest.fixture
def journal() -> Journal:
    return Journal()


def test_a_table_is_a_dict_without_a_struct() -> None:
    @handler
    def f(ctx: Context, args: dict[str, Any]) -> Any:
        return ctx.config

    assert run_handler(f, {}, config={"url": "x"}).result == {"url": "x"}
    assert run_handler(f, {}).result == {}


@pytest.mark.parametrize("config", [{"url": "x", "since": date(2026, 1, 2)}, Settings("x")])
def test_a_table_becomes_the_struct(config: Any) -> None:
    @handler(config=Settings)
    def f(ctx: Context, args: dict[str, Any]) -> Any:
        assert isinstance(ctx.config, Settings)
        assert isinstance(ctx.config.since, date)
        return [ctx.config.url, ctx.config.tries]

    assert run_handler(f, {}, config=config).result == ["x", 3]


@pytest.mark.parametrize(
    ("config", "named"), [({}, "url"), ({"url": 1}, "url"), ({"url": "x", "tries": "3"}, "tries")]
)
def test_a_table_that_does_not_fit_is_told(config: Any, named: str) -> None:
    @handler(config=Settings)
    def f(ctx: Context, args: dict[str, Any]) -> None: ...

    with pytest.raises(msgspec.ValidationError, match=named):
        run_handler(f, {}, config=config)


@pytest.mark.parametrize("shape", ["plain", "generator"])
def test_run_handler_sets_up_and_cleans_up(journal: Journal, shape: str) -> None:
    @handler(setup=getattr(journal, shape)())
    def f(ctx: Context, args: dict[str, Any]) -> Any:
        journal.done.append("run")
        return ctx.shared

    assert run_handler(f, {}, config={"a": 1}).result == "made of {'a': 1}"
    assert journal.done[:2] == ["begun", "run"]
    assert journal.done[2:] == (["cleaned"] if shape == "generator" else [])


@pytest.mark.parametrize("shape", ["plain", "generator", "coroutine", "async_generator"])
def test_run_handler_sets_up_an_async_def_too(journal: Journal, shape: str) -> None:
    @handler(setup=getattr(journal, shape)())
    async def f(ctx: AsyncContext, args: dict[str, Any]) -> Any:
        journal.done.append("run")
        return ctx.shared

    assert run_handler(f, {}, config={"a": 1}).result == "made of {'a': 1}"
    assert journal.done[:2] == ["begun", "run"]
    assert journal.done[2:] == (["cleaned"] if "generator" in shape else [])


@pytest.mark.parametrize("shape", ["plain", "generator", "coroutine", "async_generator"])
@pytest.mark.parametrize("fault", [RuntimeError("no network"), SystemExit("no network")])
def test_a_setup_that_fails_fails_the_attempt(
    journal: Journal, shape: str, fault: BaseException
) -> None:
    journal.fail = fault

    @handler(setup=getattr(journal, shape)())
    async def f(ctx: AsyncContext, args: dict[str, Any]) -> None: ...

    error = run_handler(f, {}).error

    assert error is not None
    assert (error.code, error.retryable) == ("setup_failed", True)
    assert error.message.endswith(f"setup failed. {type(fault).__name__}: no network")
    assert "in _begin" in (error.traceback or "")


def test_args_that_do_not_fit_need_no_setup(journal: Journal) -> None:
    @handler(args=Settings, setup=journal.plain())
    def f(ctx: Context, args: Settings) -> None: ...

    assert run_handler(f, {}).status == "failed"
    assert journal.done == []


def test_the_time_of_a_setup_is_not_the_attempt_s() -> None:
    def setup(config: Any) -> None:
        threading.Event().wait(0.2)

    deadlines = []

    def run(**options: Any) -> None:
        @handler(**options)
        def f(ctx: Context, args: dict[str, Any]) -> None:
            deadlines.append(ctx.deadline)

        run_handler(f, {})

    run()
    run(setup=setup)

    assert deadlines[1] - deadlines[0] >= 0.2


def test_a_setup_runs_once_for_a_config(journal: Journal) -> None:
    setups, setup, config = Setups(), journal.generator(), {"a": 1}

    first = setups.get(setup, config)

    assert setups.has(setup, config)
    assert setups.get(setup, config) is first
    assert not setups.has(setup, {"a": 1})
    assert not setups.has(journal.generator(), config)
    assert journal.done == ["begun"]


def test_a_setup_that_failed_runs_again(journal: Journal) -> None:
    setups, setup, config = Setups(), journal.generator(), {"a": 1}
    journal.fail = RuntimeError("not yet")
    with pytest.raises(Retry, match="not yet"):
        setups.get(setup, config)
    journal.fail = None

    assert setups.get(setup, config)


def test_a_cancel_in_a_setup_is_a_cancel(journal: Journal) -> None:
    journal.fail = Cancelled()

    with pytest.raises(Cancelled):
        Setups().get(journal.plain(), {})


def test_a_cleanup_that_fails_is_logged_and_the_others_are_done(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(config: Any) -> Iterator[None]:
        yield
        raise RuntimeError("stuck")

    setups = Setups()
    setups.get(journal.generator(), {})
    setups.get(broken, {})

    setups.close()

    assert journal.done == ["begun", "cleaned"]
    assert "RuntimeError: stuck" in caplog.text


async def test_of_many_that_come_together_one_runs_the_setup(journal: Journal) -> None:
    journal.go.clear()
    setups, setup, config = AsyncSetups(), journal.coroutine(), {"a": 1}
    waiting = [asyncio.create_task(setups.get(setup, config)) for _ in range(50)]
    await asyncio.wait(waiting, timeout=0)
    waiting[0].cancel()  # who came first began it, and is not missed
    journal.go.set()

    made = await asyncio.gather(*waiting, return_exceptions=True)

    assert isinstance(made[0], asyncio.CancelledError)
    assert made[1:] == ["made of {'a': 1}"] * 49
    assert journal.done == ["begun"]
    await setups.close()


async def test_all_that_wait_for_a_setup_fail_with_it_and_the_next_tries_again(
    journal: Journal,
) -> None:
    setups, setup, config = AsyncSetups(), journal.async_generator(), {"a": 1}
    journal.fail = RuntimeError("not yet")
    failed = await asyncio.gather(
        *(setups.get(setup, config) for _ in range(3)), return_exceptions=True
    )
    journal.fail = None

    assert [type(failure) for failure in failed] == [Retry] * 3
    assert not setups.has(setup, config)
    assert await setups.get(setup, config) == "made of {'a': 1}"
    assert setups.has(setup, config)
    await setups.close()
    assert journal.done == ["begun", "begun", "cleaned"]


async def test_a_setup_that_still_runs_at_the_end_is_cancelled(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    journal.go.clear()
    setups = AsyncSetups()
    waiting = asyncio.create_task(setups.get(journal.coroutine(), {}))
    await asyncio.wait([waiting], timeout=0)

    await setups.close()

    with pytest.raises(Retry):
        await waiting
    assert caplog.text == ""


async def test_an_async_cleanup_that_fails_is_logged(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(config: Any) -> AsyncIterator[None]:
        yield
        raise RuntimeError("stuck")

    setups = AsyncSetups()
    await setups.get(broken, {})
    await setups.get(journal.async_generator(), {})

    with caplog.at_level(logging.ERROR):
        await setups.close()

    assert journal.done == ["begun", "cleaned"]
    assert "RuntimeError: stuck" in caplog.text
