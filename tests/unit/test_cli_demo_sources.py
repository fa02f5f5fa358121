"""What the demo imports, before any daemon is asked."""

from pathlib import Path

from jobd.cli.demo_sources import installed, named


def test_installed_packages_have_records() -> None:
    sources = installed()

    assert "click" in {source.name.split("-")[0] for source in sources}
    assert all(source.path.name == "RECORD" for source in sources)


def test_files_of_one_name_get_tables_of_their_own(tmp_path: Path) -> None:
    sources = named([tmp_path / "Ümläut 1.csv", tmp_path / "mläut-1.txt", Path("9")])

    assert [source.table for source in sources] == ["t_ml_ut_1", "t_ml_ut_1_2", "t_9"]
    assert all(source.path.is_absolute() for source in sources)
