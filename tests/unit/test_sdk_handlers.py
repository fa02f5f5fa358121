"""@handler: options are checked at import, and the function stays what it was."""

import math
from typing import Any

import msgspec
import pytest

from jobd.sdk import AsyncContext, Backoff, Context, handler
from jobd.sdk.handlers import is_async, options_of
from jobd.sdk.options import Options


class Args(msgspec.Struct):
    n: int


def test_bare_decorator_gives_the_defaults() -> None:
    @handler
    def f(ctx: Context, args: dict[str, Any]) -> int:
        return 1

    assert options_of(f) == Options()
    assert not is_async(f)


def test_options_are_kept_and_the_function_is_given_back() -> None:
    async def f(ctx: AsyncContext, args: Args) -> int:
        return args.n

    backoff = Backoff(base_s=2, cap_s=60)
    marked = handler(args=Args, queue="slow", timeout_s=5, max_attempts=7, backoff=backoff)(f)

    assert marked is f
    assert is_async(marked)
    assert options_of(marked) == Options(Args, "slow", 5, 7, backoff)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"args": dict}, TypeError),
        ({"args": Args(1)}, TypeError),
        ({"queue": "Not A Queue"}, ValueError),
        ({"queue": "newline\n"}, ValueError),
        ({"timeout_s": 0}, ValueError),
        ({"timeout_s": math.inf}, ValueError),
        ({"timeout_s": math.nan}, ValueError),
        ({"max_attempts": 0}, ValueError),
        ({"max_attempts": 101}, ValueError),
        ({"backoff": 3}, TypeError),
        ({"heartbeat_timeout_s": 0.9}, ValueError),
        ({"heartbeat_timeout_s": math.inf}, ValueError),
        ({"memory_mb": 63}, ValueError),
        ({"memory_mb": 100.0}, TypeError),
        ({"memory_mb": True}, TypeError),
        ({"config": dict}, TypeError),
        ({"setup_timeout_s": 0}, ValueError),
        ({"programs": "tesseract"}, TypeError),
        ({"programs": {"/usr/bin/x": "x"}}, ValueError),
        ({"programs": {"x": "x; reboot"}}, ValueError),
        ({"programs": {"x": 1}}, ValueError),
    ],
)
def test_a_wrong_option_is_refused_at_once(options: dict[str, Any], error: type) -> None:
    with pytest.raises(error):
        handler(**options)


@pytest.mark.parametrize(("base_s", "cap_s"), [(0, 1), (-1, 1), (2, 1), (1, math.inf)])
def test_a_backoff_that_cannot_be_is_refused(base_s: float, cap_s: float) -> None:
    with pytest.raises(ValueError, match="base_s"):
        Backoff(base_s, cap_s)


def _generator(ctx: Context, args: Any) -> Any:
    yield 1


async def _async_generator(ctx: AsyncContext, args: Any) -> Any:
    yield 1


def _one_argument(ctx: Context) -> None:
    """Takes no args."""


@pytest.mark.parametrize("function", [_generator, _async_generator, _one_argument, Args, 3])
def test_what_cannot_be_called_as_a_handler_is_refused(function: Any) -> None:
    with pytest.raises(TypeError):
        handler(function)


def test_options_of_a_plain_function_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="not a handler"):
        options_of(_one_argument)


def test_an_option_that_is_not_given_is_left_to_the_daemons_settings() -> None:
    @handler
    def f(ctx: Context, args: dict[str, Any]) -> None: ...

    options = options_of(f)

    assert (options.timeout_s, options.max_attempts, options.backoff) == (None, None, None)


def test_a_limit_of_memory_is_refused_where_memory_is_shared() -> None:
    async def f(ctx: AsyncContext, args: dict[str, Any]) -> None: ...

    with pytest.raises(ValueError, match="shares its worker"):
        handler(memory_mb=100)(f)


def test_all_that_can_be_declared_is_kept() -> None:
    def setup(config: Args) -> int:
        return config.n

    def f(ctx: Context, args: dict[str, Any]) -> None: ...

    marked = handler(
        heartbeat_timeout_s=30, memory_mb=500, config=Args, setup=setup, setup_timeout_s=5
    )(f)

    assert options_of(marked) == Options(
        heartbeat_timeout_s=30, memory_mb=500, config=Args, setup=setup, setup_timeout_s=5
    )


async def _async_setup(config: Any) -> None: ...


async def _async_generator_setup(config: Any) -> Any:
    yield 1


def _setup_of_nothing() -> None: ...


@pytest.mark.parametrize(
    "setup", [_async_setup, _async_generator_setup, _setup_of_nothing, Args, 3]
)
def test_what_cannot_be_the_setup_of_a_def_is_refused(setup: Any) -> None:
    def f(ctx: Context, args: dict[str, Any]) -> None: ...

    with pytest.raises(TypeError, match="setup"):
        handler(setup=setup)(f)


@pytest.mark.parametrize("setup", [_async_setup, _async_generator_setup, lambda config: 1])
def test_an_async_def_takes_every_kind_of_setup(setup: Any) -> None:
    async def f(ctx: AsyncContext, args: dict[str, Any]) -> None: ...

    assert options_of(handler(setup=setup)(f)).setup is setup
