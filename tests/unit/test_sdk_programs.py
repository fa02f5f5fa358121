"""`ctx.subprocess`: a program's lines, its end, and that nothing of it is left."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobd.sdk import AsyncContext, Context, handler
from jobd.sdk.lines import MAX_LINE_CHARS, Lines
from jobd.sdk.testing import Outcome, run_handler

SH = "/bin/sh"


def run_sync(*argv: str, **options: Any) -> Outcome:
    @handler
    def f(ctx: Context, args: dict[str, Any]) -> int:
        return ctx.subprocess(argv, **options)

    return run_handler(f, {})


def run_async(*argv: str, **options: Any) -> Outcome:
    @handler
    async def f(ctx: AsyncContext, args: dict[str, Any]) -> int:
        return await ctx.subprocess(argv, **options)

    return run_handler(f, {})


both = pytest.mark.parametrize("run", [run_sync, run_async])


def gone(pid: int) -> bool:
    """Whether no process has this id; one that is dead and not collected has."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@both
def test_its_lines_are_the_job_s_and_its_code_is_returned(
    run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run(SH, "-c", "echo one; echo ü >&2; printf 'no end'; exit 3", check=False)

    assert outcome.result == 3
    assert capsys.readouterr() == ("one\nno end\n", "ü\n")


@both
def test_each_line_is_told_and_may_be_kept_from_the_log(
    run: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[tuple[str, str]] = []

    def on_line(stream: str, line: str) -> bool:
        told.append((stream, line))
        return line.endswith("%")

    outcome = run(SH, "-c", r"printf '1%%\r50%%\r99%%\r\nend\n'; echo bad >&2", on_line=on_line)

    assert outcome.result == 0
    assert [line for stream, line in told if stream == "stdout"] == ["1%", "50%", "99%", "end"]
    assert ("stderr", "bad") in told
    assert capsys.readouterr() == ("end\n", "bad\n")


@both
@pytest.mark.parametrize("data", ["räksmörgås", b"\0" * 300_000])
def test_it_reads_its_input(run: Any, data: str | bytes) -> None:
    told: list[str] = []

    run("wc", "-c", input=data, on_line=lambda _, line: told.append(line))

    assert told == [str(len(data.encode() if isinstance(data, str) else data))]


@both
def test_without_input_it_reads_nothing_and_runs_in_workdir(run: Any) -> None:
    told: list[str] = []

    run(SH, "-c", "cat; pwd", on_line=lambda _, line: told.append(line))

    (folder,) = told
    assert folder.endswith("/scratch")


@both
def test_folder_and_environment_are_as_given(run: Any, tmp_path: Path) -> None:
    told: list[str] = []
    (tmp_path / "hello").write_text("#!/bin/sh\necho $PWD $COLOUR $HOME\n")
    (tmp_path / "hello").chmod(0o700)

    run(
        "./hello",
        cwd=tmp_path,
        env={"COLOUR": "blue"},
        on_line=lambda _, line: told.append(line),
    )

    assert told == [f"{tmp_path} blue"]


@both
def test_a_failure_shows_its_last_lines(run: Any) -> None:
    outcome = run(SH, "-c", "seq 100; echo first >&2; echo last words >&2; exit 4")

    assert outcome.error.code == "handler_error"
    assert outcome.error.message == f"ProgramFailed: {SH} exited with code 4: last words"


def test_a_failure_is_that_of_subprocess() -> None:
    failures: list[subprocess.CalledProcessError] = []

    @handler
    def f(ctx: Context, args: dict[str, Any]) -> None:
        try:
            ctx.subprocess([SH, "-c", "seq 100; echo bad >&2; kill -9 $$"])
        except subprocess.CalledProcessError as exc:
            failures.append(exc)

    run_handler(f, {})

    (failure,) = failures
    assert failure.returncode == -signal.SIGKILL
    assert failure.stdout.splitlines() == [str(n) for n in range(81, 101)]
    assert failure.stderr == "bad"


@both
@pytest.mark.parametrize("name", ["no-such-program", "./neither", "/etc/passwd"])
def test_a_program_that_is_not_there_ends_the_job(run: Any, name: str) -> None:
    outcome = run(name)

    assert (outcome.error.code, outcome.error.retryable) == ("program_missing", False)
    assert repr(name) in outcome.error.message


@both
def test_argv_must_name_a_program(run: Any) -> None:
    assert run().error.message == "ValueError: argv must name a program"


@both
def test_what_it_left_running_dies_with_it(run: Any) -> None:
    left: list[int] = []

    def on_line(_stream: str, line: str) -> None:
        left.append(os.pidfd_open(int(line)))

    outcome = run(
        SH, "-c", "sleep 1000 & echo $!; read line", input="", on_line=on_line, check=False
    )

    assert outcome.result == 1
    assert select.select(left, [], [], 10)[0] == left
    os.close(left[0])


@both
def test_an_exception_of_on_line_ends_it_and_its_group(run: Any) -> None:
    pids: list[int] = []

    def on_line(_stream: str, line: str) -> None:
        pids.extend(map(int, line.split()))
        raise RuntimeError("enough")

    outcome = run(SH, "-c", "sleep 1000 & echo $$ $!; wait", on_line=on_line)

    assert outcome.error.message == "RuntimeError: enough"
    assert gone(pids[0])


@both
def test_it_leads_a_group_and_ignores_no_signal(run: Any) -> None:
    told: list[str] = []
    script = "cut -d' ' -f1,5 /proc/$$/stat; grep SigIgn /proc/self/status"

    run(SH, "-c", script, on_line=lambda _, line: told.append(line))

    pid, group = told[0].split()
    assert pid == group
    assert int(told[1].split()[1], 16) == 0


def test_it_dies_with_the_process_that_runs_it() -> None:
    script = (
        "from jobd.sdk import handler\nfrom jobd.sdk.testing import run_handler\n"
        "@handler\ndef f(ctx, args):\n"
        "    ctx.subprocess(['/bin/sh', '-c', 'echo $$; exec sleep 1000'],"
        " on_line=lambda _, line: print(line, flush=True))\n"
        "run_handler(f, {})\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        program = os.pidfd_open(int(host.stdout.readline()))
        host.kill()

    assert select.select([program], [], [], 10)[0] == [program]
    os.close(program)


def test_a_pipe_that_breaks_ends_what_writes_into_it() -> None:
    assert run_sync(SH, "-c", "yes | head -1").result == 0


async def test_a_cancel_ends_it_and_its_group_and_other_tasks_go_on(tmp_path: Path) -> None:
    from jobd.sdk import async_running, program  # noqa: PLC0415 - as a context does

    pids: asyncio.Queue[list[int]] = asyncio.Queue()
    script = "trap 'echo dying; exit' TERM; sleep 1000 & echo $$ $!; wait"

    def on_line(_stream: str, line: str) -> None:
        pids.put_nowait([int(pid) for pid in line.split()])

    call = program.Call([SH, "-c", script], tmp_path, None, None, on_line)
    task = asyncio.create_task(async_running.run(call))
    shell, _ = await pids.get()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert gone(shell)


async def test_who_ignores_sigterm_is_killed_and_a_second_cancel_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jobd.sdk import async_running, program, running  # noqa: PLC0415 - as a context does

    monkeypatch.setattr(running, "GRACE_S", 0.2)
    pids: asyncio.Queue[int] = asyncio.Queue()

    def on_line(_stream: str, line: str) -> None:
        pids.put_nowait(int(line))

    script = "trap '' TERM; echo $$; while :; do sleep 1000; done"
    call = program.Call([SH, "-c", script], tmp_path, None, None, on_line)
    task = asyncio.create_task(async_running.run(call))
    shell = await pids.get()
    task.cancel()
    await asyncio.wait([task], timeout=0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert gone(shell)


def test_lines_are_cut_wherever_the_pieces_end() -> None:
    lines = Lines()

    pieces = [lines.feed(piece) for piece in (b"a", b"b\r", b"\nc\xc3", b"\xa4\rd\xff", b"\n\n")]

    assert [line for piece in pieces for line in piece] == ["ab", "cä", "d\\xff", ""]
    assert lines.finish() == []


def test_a_long_line_comes_in_pieces_and_the_last_one_needs_no_end() -> None:
    lines = Lines()

    assert [len(line) for line in lines.feed(b"x" * (MAX_LINE_CHARS + 1))] == [MAX_LINE_CHARS + 1]
    assert lines.feed(b"rest") == []
    assert lines.finish() == ["rest"]
