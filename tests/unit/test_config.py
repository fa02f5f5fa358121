"""Settings: where a value comes from, what is refused, and that the shipped file is the truth."""

from pathlib import Path

import pytest

from jobd import config, resources


def load(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> config.Config:
    path = tmp_path / "jobd.toml"
    path.write_text(text)
    return config.load(path, environ or {}, {})


def test_flags_win_over_environment_over_file_over_default(tmp_path: Path) -> None:
    path = tmp_path / "jobd.toml"
    path.write_text("[pool]\ncpu_workers = 2\nio_workers = 2\nio_concurrency = 2\n")
    environ = {"JOBD_POOL_CPU_WORKERS": "3", "JOBD_POOL_IO_WORKERS": "3"}

    pool = config.load(path, environ, {"pool.cpu_workers": "4"}).pool

    assert (pool.cpu_workers, pool.io_workers, pool.io_concurrency) == (4, 3, 2)
    assert pool.kill_grace_s == config.PoolSection().kill_grace_s


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[pol]\n", "unknown section [pol]; did you mean pool?"),
        ("[pool]\ncpu_worker = 1\n", "pool.cpu_worker; did you mean cpu_workers?"),
        ("[pool]\ncpu_workers = 'x'\n", "pool.cpu_workers: Expected `int`, got `str`"),
        ("[pool]\ncpu_workers = -1\n", "pool.cpu_workers: Expected `int` >= 0"),
        ("pool = 1\n", "pool must be a section"),
        ("[jobs]\ntimeout_s = 9e9\n", "jobs.timeout_s is greater than jobs.max_timeout_s"),
        ("[server]\nsocket_mode = '777'\n", "server.socket_mode"),
        ("[server]\npublic_url = 'jobs.example'\n", "server.public_url"),
        ("[server]\npublic_url = 'https://jobs.example/?a'\n", "server.public_url"),
        ("x =\n", "Invalid value"),
    ],
)
def test_a_bad_setting_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        load(tmp_path, text)

    assert message in str(caught.value)


def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="there is no such file"):
        config.load(tmp_path / "none.toml", {}, {})


def test_a_socket_path_that_no_kernel_takes_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="107"):
        load(tmp_path, f"[server]\nsocket = '/{'x' * 107}'\n")


def test_the_short_environment_names_say_where(tmp_path: Path) -> None:
    environ = {"JOBD_STATE_DIR": "/s", "JOBD_SOCKET": "/k"}

    server = load(tmp_path, "[server]\nsocket = '/other'\n", environ).server

    assert (server.state_dir, server.socket) == ("/s", "/k")


@pytest.mark.parametrize("text", ["/a:/b", '["/a", "/b"]'])
def test_a_list_may_be_given_like_path_or_as_json(tmp_path: Path, text: str) -> None:
    files = load(tmp_path, "", {"JOBD_FILES_ALLOW_PATHS": text}).files

    assert files.allow_paths == ("/a", "/b")


def test_the_shipped_file_documents_every_setting_with_its_default() -> None:
    shipped = resources.path("config/jobd.toml")

    assert shipped.read_text() == config.document()


def test_the_shipped_file_is_valid_when_every_line_is_uncommented(tmp_path: Path) -> None:
    lines = config.document().splitlines()
    text = "\n".join(line.removeprefix("# ") if " = " in line else line for line in lines)

    loaded = load(tmp_path, text)

    assert loaded.pool == config.PoolSection()
    assert loaded.files.allow_paths == ()


@pytest.mark.parametrize(
    ("uid", "environ", "allowed"),
    [
        (1000, {"HOME": "/home/ada"}, ("/home/ada",)),
        (1000, {}, ()),
        (0, {"HOME": "/root"}, ()),
        (997, {"HOME": "/var/lib/jobd", "STATE_DIRECTORY": "/var/lib/jobd"}, ()),
    ],
    ids=["a user's", "a user's without a home", "root's", "a service's"],
)
def test_only_a_users_daemon_may_open_what_is_in_its_home(
    monkeypatch: pytest.MonkeyPatch, uid: int, environ: dict[str, str], allowed: tuple[str, ...]
) -> None:
    monkeypatch.setattr("os.getuid", lambda: uid)

    assert config.allowed_paths(config.Config(), environ) == allowed


def test_a_service_of_systemd_uses_the_systems_paths_whoever_it_runs_as(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.getuid", lambda: 997)
    environ = {"STATE_DIRECTORY": "/srv/jobd", "HOME": "/srv/jobd"}

    server = config.load(None, environ, {}).server

    assert (server.state_dir, server.socket) == ("/srv/jobd", "/run/jobd/jobd.sock")
    assert str(config.default_config(environ)) == "/etc/jobd/jobd.toml"


def test_a_queue_has_a_section_and_an_environment_name_of_its_own(tmp_path: Path) -> None:
    environ = {"JOBD_QUEUES_VIDEO_CONCURRENCY": "2", "JOBD_QUEUES_MAIL_CONCURRENCY": "3"}

    queues = load(tmp_path, "[queues.video]\nconcurrency = 1\n[queues.a-b]\n", environ).queues

    assert {name: queue.concurrency for name, queue in queues.items()} == {
        "video": 2,
        "a-b": 0,
        "mail": 3,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[queues.video]\nconcurency = 1\n", "queues.video.concurency; did you mean concurrency?"),
        ("[queues.video]\nconcurrency = -1\n", "queues[...].concurrency: Expected `int` >= 0"),
        ("[queues.VIDEO]\n", "queues"),
        ("[queues]\nvideo = 1\n", "queues.video must be a section, [queues.video]"),
    ],
)
def test_a_bad_setting_of_a_queue_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(config.ConfigError) as caught:
        load(tmp_path, text)

    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[server]\nlisten = "8080"\n', "server.listen: the value is not of the form that is"),
        ('[server]\nlisten = "8080"\n', " HOST:PORT to listen on"),
        ('[server]\nallow_origins = ["x"]\n', " Web sites, as https://HOST"),
        ('[auth.principals]\n"a b" = {}\n', "auth.principals: a name is not of the form that is"),
        ("[queues.VIDEO]\n", "queues: a name is not of the form that is taken."),
    ],
)
def test_what_is_not_of_its_form_is_told_with_the_help(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(config.ConfigError) as caught:
        load(tmp_path, text)

    assert message in str(caught.value)
    assert "regex" not in str(caught.value)


def test_a_plugin_says_itself_what_its_table_may_hold(tmp_path: Path) -> None:
    text = "[plugins.jobd-ocr]\nlanguages = ['deu']\n[plugins.jobd-ocr.limits]\npages = 3\n"

    plugins = load(tmp_path, text).plugins

    assert plugins == {"jobd-ocr": {"languages": ["deu"], "limits": {"pages": 3}}}
