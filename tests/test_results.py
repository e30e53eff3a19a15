"""Recorded runs: complete, whole, and found again."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from labkit import evaluate, hardware, results


def exam_run(folder: Path, name: str, share: float) -> None:
    figures = {"exact_match": {"mean": share, "low": 0, "high": 1, "n": 9}}
    results.record(name, figures, config={"system": name}, folder=folder)


def test_a_run_is_recorded_with_everything_needed_to_judge_it(tmp_path: Path) -> None:
    path = results.record(
        "bench-1", {"wall_s": 1.5, "name": "Høgås"}, config={"command": "x"}, folder=tmp_path
    )
    run = json.loads(path.read_text(encoding="utf-8"))
    assert path == tmp_path / "bench-1.json"
    assert run["figures"] == {"wall_s": 1.5, "name": "Høgås"}
    assert run["config"] == {"command": "x"}
    assert run["hardware"] == hardware.detect().as_dict()
    assert run["versions"] == hardware.versions()
    day = datetime.fromisoformat(run["date"]).date()
    assert abs((datetime.now(UTC).date() - day).days) <= 1
    assert results.load("bench-1", folder=tmp_path) == run


def test_the_file_ends_with_a_newline_and_keeps_letters_readable(tmp_path: Path) -> None:
    data = results.record("a", {"site": "Sørhaug"}, config={}, folder=tmp_path).read_bytes()
    assert data.endswith(b"}\n")
    assert "Sørhaug".encode() in data
    assert b"\r" not in data


@pytest.mark.parametrize(
    "name", ["../x", "a/b", "a\\b", "", ".hidden", "-x", "Upper", "with space", "x\n", "..", "c:x"]
)
def test_a_name_that_could_leave_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a run"):
        results.record(name, {}, config={}, folder=tmp_path / "inside")
    assert not list(tmp_path.rglob("*"))


def test_the_same_name_replaces_the_earlier_run(tmp_path: Path) -> None:
    results.record("a", {"x": 1}, config={}, folder=tmp_path)
    results.record("a", {"x": 2}, config={}, folder=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert results.load("a", folder=tmp_path)["figures"] == {"x": 2}


def test_a_run_that_was_not_recorded_is_none(tmp_path: Path) -> None:
    assert results.load("nothing", folder=tmp_path) is None


@pytest.mark.parametrize("failing", [(os, "replace"), (Path, "write_text")], ids=str)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    monkeypatch, tmp_path: Path, failing: tuple
) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail(temporary: Path, *args: object, **kwargs: object) -> None:
        temporary.touch()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(*failing, fail)
        with pytest.raises(OSError, match="No space left"):
            results.write_atomically(path, "new")
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]
    assert path.read_text() == "old"


def test_the_old_file_stays_whole_until_the_new_one_is_whole(monkeypatch, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    true_replace = os.replace

    def look_first(source: str, target: Path) -> None:
        assert path.read_text() == "old"
        assert Path(source).read_text() == "new"
        assert Path(source).parent == path.parent
        true_replace(source, target)

    monkeypatch.setattr(os, "replace", look_first)
    results.write_atomically(path, "new")
    assert path.read_text() == "new"


def test_recorded_files_can_be_read_by_others(tmp_path: Path) -> None:
    path = results.record("a", {}, config={}, folder=tmp_path)
    other = tmp_path / "other"
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode


def test_the_leaderboard_holds_exam_runs_only_best_first(tmp_path: Path) -> None:
    for name, share in [("exam-base-x", 0.1), ("exam-rag-x", 0.6), ("exam-lora-x", 0.4)]:
        exam_run(tmp_path, name, share)
    results.record("bench-retrieval", {"wall_s": 1}, config={}, folder=tmp_path)
    names = [run["name"] for run in results.leaderboard(folder=tmp_path)]
    assert names == ["exam-rag-x", "exam-lora-x", "exam-base-x"]
    assert results.leaderboard(folder=tmp_path / "empty") == []


def test_fast_mode_records_in_a_folder_of_its_own_only(monkeypatch, tmp_path: Path) -> None:
    own = tmp_path / "data"
    monkeypatch.setattr(results.settings, "data_dir", lambda: own)
    monkeypatch.setenv("LABKIT_FAST", "1")
    for folder in (None, own / "results", own / "exam" / ".." / "results"):
        with pytest.raises(ValueError, match="unset LABKIT_FAST"):
            results.record("a", {}, config={}, folder=folder)
    assert not own.exists()
    assert results.record("a", {}, config={}, folder=tmp_path / "elsewhere").is_file()
    monkeypatch.setenv("LABKIT_FAST", "0")
    assert results.record("a", {}, config={}).parent == own / "results"


@pytest.fixture
def course(monkeypatch, tmp_path: Path) -> Path:
    """Return a copy of the course's data small enough to change."""
    for name in ("documents/SM-1.md", "tables/tools.csv", "exam/test.jsonl", "exam/train.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"all of {name}")
    monkeypatch.setattr(results.settings, "data_dir", lambda: tmp_path)
    return tmp_path


def test_a_record_is_fresh_until_something_it_rests_on_changes(course: Path) -> None:
    run = json.loads(
        results.record(
            "a", {}, config={}, folder=course / "results", rests_on=evaluate.rests_on()
        ).read_text()
    )
    assert set(run["rests_on"]) == {"corpus", "exam", "prompt", "search"}
    assert all(len(mark) == 12 for mark in run["rests_on"].values())
    (course / "exam" / "train.jsonl").write_text("other training questions")
    assert evaluate.stale_parts(run) == []
    (course / "exam" / "test.jsonl").write_text("other questions")
    assert evaluate.stale_parts(run) == ["exam"]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: (data / "documents" / "SM-1.md").write_text("a new value"),
        lambda data: (data / "documents" / "SM-1.md").rename(data / "documents" / "SM-2.md"),
        lambda data: (data / "tables" / "tools.csv").unlink(),
        lambda data: (data / "documents" / "SM-0.md").write_text(""),
    ],
)
def test_any_change_of_the_documents_changes_the_corpus(course: Path, change) -> None:
    run = {"rests_on": evaluate.rests_on(prompt=False, search=False)}
    assert set(run["rests_on"]) == {"corpus", "exam"}
    change(course)
    assert evaluate.stale_parts(run) == ["corpus"]


def test_a_change_of_prompt_or_search_is_noticed(course: Path, monkeypatch) -> None:
    from labkit import rag
    from labkit.store import search

    run = {"rests_on": evaluate.rests_on()}
    with monkeypatch.context() as patched:
        patched.setattr(rag, "SYSTEM_PROMPT", "Guess.")
        assert evaluate.stale_parts(run) == ["prompt"]
    with monkeypatch.context() as patched:
        patched.setattr(rag, "plain", str.upper)  # the template, not the system prompt
        assert evaluate.stale_parts(run) == ["prompt"]
    monkeypatch.setattr(search, "FUSED_DEPTH", 7)
    assert evaluate.stale_parts(run) == ["search"]


def test_a_record_that_does_not_say_what_it_rests_on_is_not_known_to_be_stale() -> None:
    assert evaluate.stale_parts({}) == []
    assert evaluate.stale_parts({"rests_on": {"the weather": "sunny"}}) == []
