"""Where things live, and the two switches."""

from pathlib import Path

import pytest

from labkit import settings


@pytest.mark.parametrize("switch", [settings.fast, settings.static])
@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", True), ("true", True), (" ON ", True), ("0", False), ("", False), ("No", False)],
)
def test_switches_read_the_usual_words(monkeypatch, switch, value: str, expected: bool) -> None:
    monkeypatch.setenv(f"LABKIT_{switch.__name__.upper()}", value)
    assert switch() is expected


def test_switches_are_off_when_unset(monkeypatch) -> None:
    monkeypatch.delenv("LABKIT_FAST", raising=False)
    monkeypatch.delenv("LABKIT_STATIC", raising=False)
    assert not settings.fast()
    assert not settings.static()


def test_a_switch_with_a_typing_error_is_refused_by_name(monkeypatch) -> None:
    monkeypatch.setenv("LABKIT_FAST", "ture")
    with pytest.raises(ValueError, match="LABKIT_FAST='ture'.*1 or 0"):
        settings.fast()


def test_cache_dir_is_made_where_the_variable_says(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "deep" / "cache"))
    assert settings.cache_dir() == tmp_path / "deep" / "cache"
    assert settings.cache_dir().is_dir()


def test_an_empty_cache_variable_means_the_usual_folder(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LABKIT_CACHE", "")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *a, **k: str(tmp_path / "usual"))
    assert settings.cache_dir() == tmp_path / "usual"


def test_data_lies_beside_the_package(root: Path) -> None:
    assert settings.course_dir() == root
    assert settings.data_dir() == root / "data"


def test_a_package_without_the_course_says_what_to_clone(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "__file__", str(tmp_path / "site" / "labkit" / "settings.py"))
    with pytest.raises(FileNotFoundError, match="Clone https://"):
        settings.course_dir()


def test_a_record_shows_no_folder_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings.shown("build/both") == "build/both"
    assert settings.shown(tmp_path / "build" / "both") == "build/both"
    assert settings.shown(tmp_path.parent / "elsewhere") == "elsewhere"
