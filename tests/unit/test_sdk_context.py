"""What a handler can ask of its context, tried through run_handler."""

import logging
from pathlib import Path
from typing import Any

import pytest

from jobd.sdk import AsyncContext, Context, handler
from jobd.sdk.artifacts import media_type
from jobd.sdk.meter import Meter
from jobd.sdk.testing import Outcome, Shown, run_handler


def run(body: Any, **options: Any) -> Outcome:
    @handler
    def f(ctx: Context, args: dict[str, Any]) -> Any:
        return body(ctx)

    return run_handler(f, {}, **options)


def test_facts() -> None:
    def body(ctx: Context) -> Any:
        return [ctx.job_id[:4], ctx.kind, ctx.attempt, ctx.max_attempts, dict(ctx.metadata)]

    outcome = run(body, attempt=2, metadata={"team": "a"})

    assert outcome.result == ["job_", "test", 2, 3, {"team": "a"}]


def test_metadata_cannot_be_changed() -> None:
    def body(ctx: Context) -> None:
        ctx.metadata["x"] = "y"  # type: ignore[index]

    assert run(body).status == "failed"


def test_progress_is_clamped_and_never_goes_back() -> None:
    def body(ctx: Context) -> None:
        for pct in (-5, 30, 20, float("nan"), 400, 50):
            ctx.progress(pct)

    assert [shown.pct for shown in run(body).progress] == [0, 30, 30, 30, 100, 100]


def test_progress_is_computed_from_counts_and_kept() -> None:
    def body(ctx: Context) -> None:
        ctx.progress(done=1, total=4, message="go")
        ctx.progress(done=2)
        ctx.progress(done=-1, total=2**70)

    shown = run(body).progress

    assert shown[0] == Shown(pct=25, done=1, total=4, message="go")
    assert shown[1] == Shown(pct=50, done=2, total=4, message="go")
    assert shown[2] == Shown(pct=50, done=0, total=2**63 - 1, message="go")


def test_of_nothing_no_percentage_is_known() -> None:
    (shown,) = run(lambda ctx: ctx.progress(done=0, total=0)).progress

    assert shown.pct is None


def test_frequent_progress_is_left_out_but_for_the_first_and_the_end() -> None:
    shown: list[float] = []
    meter = Meter(lambda **known: shown.append(known["pct"]), interval_s=3600)

    for pct in (1, 2, 3, 100, 100):
        meter.report(pct, None, None, None)

    assert shown == [1, 100]


def test_a_heartbeat_is_sent_unless_something_was_just_now() -> None:
    meter = Meter(lambda **_: None, interval_s=3600)
    eager = Meter(lambda **_: None, interval_s=0)

    assert [meter.silent(), meter.silent()] == [True, False]
    assert [eager.silent(), eager.silent()] == [True, True]


def test_progress_and_steps_are_heartbeats_and_these_hold_up_no_progress() -> None:
    shown: list[float | None] = []
    meter = Meter(lambda **known: shown.append(known["pct"]), interval_s=3600)

    heard_before = meter.silent()
    meter.report(1, None, None, None)

    assert heard_before
    assert shown == [1]
    assert not meter.silent()


def test_steps_show_at_once_and_nest() -> None:
    def body(ctx: Context) -> None:
        with ctx.step("load", 1, 2):
            with ctx.step("parse"):
                pass
            ctx.progress(10)

    places = [(shown.step, shown.step_index, shown.step_count) for shown in run(body).progress]

    assert places == [("load", 1, 2), ("parse", None, None), ("load", 1, 2)]


def test_text_that_is_not_utf8_is_shown_escaped() -> None:
    def body(ctx: Context) -> None:
        with ctx.step("caf\udce9"):
            ctx.progress(message="\udcff" * 9)

    shown = run(body).progress

    assert shown[0].step == "caf\\udce9"
    assert (shown[1].message or "").startswith("\\udcff")


def test_a_step_that_is_over_does_not_come_back() -> None:
    def body(ctx: Context) -> None:
        with ctx.step("render"):
            pass
        with ctx.step("read"):
            pass
        ctx.progress(pct=100)

    assert [shown.step for shown in run(body).progress] == ["render", "read", "read"]


def test_only_so_many_steps_are_timed() -> None:
    def body(ctx: Context) -> None:
        for _ in range(1001):
            with ctx.step("again"):
                pass

    assert len(run(body).steps) == 1000


def test_checkpoint_and_restored_pass_through_json() -> None:
    def body(ctx: Context) -> Any:
        ctx.checkpoint({"at": (ctx.restored or {"at": [0]})["at"]})
        return ctx.restored

    first, second = run(body), run(body, restored={"at": [5]})

    assert (first.result, first.checkpoints) == (None, [{"at": [0]}])
    assert (second.result, second.checkpoints) == ({"at": [5]}, [{"at": [5]}])


def test_a_checkpoint_holds_a_position_not_the_data() -> None:
    outcome = run(lambda ctx: ctx.checkpoint("x" * 1024 * 1024))

    assert outcome.error is not None
    assert "at most 1048576 bytes" in outcome.error.message


def test_workdir_is_private_and_gone_afterwards() -> None:
    def body(ctx: Context) -> list[Any]:
        (ctx.workdir / "a").write_bytes(b"")
        return [str(ctx.workdir), ctx.workdir.stat().st_mode & 0o777]

    folder, mode = run(body).result

    assert mode == 0o700
    assert not Path(folder).exists()


def test_log_records_say_whose_they_are(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "jobd.job"):
        outcome = run(lambda ctx: ctx.log.info("row %d skipped", 7), attempt=2)

    assert outcome.logs == ["row 7 skipped"]
    assert vars(caplog.records[0])["attempt"] == 2
    assert vars(caplog.records[0])["kind"] == "test"


@pytest.fixture
def allowed(tmp_path: Path) -> Path:
    (tmp_path / "allowed").mkdir()
    (tmp_path / "secret").write_text("s")
    (tmp_path / "allowed" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "allowed" / "loop").symlink_to(tmp_path / "allowed" / "loop")
    (tmp_path / "alias").symlink_to(tmp_path / "allowed")
    return tmp_path / "allowed"


@pytest.mark.parametrize("name", ["allowed/a.csv", "allowed/x/../a.csv", "alias/a.csv"])
def test_path_gives_the_real_path_below_an_allowed_folder(allowed: Path, name: str) -> None:
    given = str(allowed.parent / name)

    outcome = run(lambda ctx: str(ctx.path(given)), allow_paths=[str(allowed.parent / "alias")])

    assert outcome.result == str(allowed / "a.csv")


@pytest.mark.parametrize(
    "given",
    [
        "{0}/secret",
        "{0}/allowed/out",
        "{0}/allowed/../secret",
        "{0}/allowedness",
        "a",
        "",
        "{0}/allowed/\0",
    ],
)
def test_any_other_path_is_refused_for_good(allowed: Path, given: str) -> None:
    outcome = run(lambda ctx: ctx.path(given.format(allowed.parent)), allow_paths=[str(allowed)])

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.retryable) == ("path_not_allowed", False)


def test_a_link_to_itself_is_a_path_that_cannot_be_opened(allowed: Path) -> None:
    outcome = run(lambda ctx: ctx.path(f"{allowed}/loop").open(), allow_paths=[str(allowed)])

    assert outcome.status == "failed"


def test_artifacts_live_as_long_as_the_outcome() -> None:
    def body(ctx: Context) -> Path:
        path = ctx.artifact("a.txt")
        path.write_text("hi")
        return path

    outcome = run(body)
    path = outcome.artifacts["a.txt"]

    assert outcome.result == path
    assert path.read_text() == "hi"
    del outcome
    assert not path.exists()


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a\n", "é", "x" * 129])
def test_an_artifact_s_name_is_one_plain_segment(name: str) -> None:
    outcome = run(lambda ctx: ctx.artifact(name))

    assert outcome.error is not None
    assert "artifact's name" in outcome.error.message


def test_a_long_result_is_read_back() -> None:
    outcome = run(lambda ctx: "x" * 100_000)

    assert outcome.result == "x" * 100_000
    assert outcome.artifacts == {}


def test_run_handler_runs_async_handlers() -> None:
    @handler
    async def f(ctx: AsyncContext, args: dict[str, Any]) -> Any:
        ctx.progress(50)
        await ctx.checkpoint(args)
        ctx.check_cancelled()
        return ctx.cancelled

    outcome = run_handler(f, {"a": 1})

    assert (outcome.status, outcome.result, outcome.checkpoints) == ("completed", False, [{"a": 1}])


def test_an_upload_that_the_args_name_is_a_file(tmp_path: Path) -> None:
    picture = tmp_path / "picture"
    picture.write_text("pixels")
    files = {"file_1": picture, "file_2": picture}

    @handler
    def by_reference(ctx: Context, args: dict[str, Any]) -> Any:
        return ctx.file(args["pictures"][0]).read_text()

    @handler
    async def by_id(ctx: AsyncContext, args: dict[str, Any]) -> Any:
        return (await ctx.file("file_1")).read_text()

    @handler
    def unnamed(ctx: Context, args: dict[str, Any]) -> Any:
        return ctx.file("file_2").read_text()

    args = {"pictures": [{"$file": "file_1"}]}
    first, second, third = (
        run_handler(f, args, files=files) for f in (by_reference, by_id, unnamed)
    )

    assert (first.result, second.result) == ("pixels", "pixels")
    assert third.error is not None
    assert (third.error.code, third.error.retryable) == ("file_not_named", False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.webp", "image/webp"),
        ("a.ndjson", "application/x-ndjson"),
        ("a.csv.gz", "application/gzip"),
        ("a", "application/octet-stream"),
    ],
)
def test_a_media_type_does_not_depend_on_the_host(name: str, expected: str) -> None:
    assert media_type(name) == expected
