"""The course's own store follows ``data/``."""

from pathlib import Path
from typing import Any

import pytest

from labkit.store import course as course_store


@pytest.fixture
def small_course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    data = tmp_path / "data"
    (data / "documents" / "manuals").mkdir(parents=True)
    (data / "tables").mkdir()
    (data / "documents" / "manuals" / "A.md").write_text("# A\n\nThe candle is steel.\n")
    (data / "tables" / "torques.csv").write_text("id,torque_nm\nT-1,340\nT-2,410\n")
    (data / "exam").mkdir()
    (data / "exam" / "test.md").write_text("# Exam\n\nThis must not be found.\n")
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("labkit.settings.data_dir", lambda: data)
    return data


def test_documents_and_tables_are_ingested_and_the_exam_is_not(small_course, fake_embedder: Any):
    store = course_store.open_course_store(fake_embedder)
    found = store.search("candle torque", k=9, mode="vector")
    assert {hit.document_id for hit in found} == {"A", "torques:T-1", "torques:T-2"}


def test_a_changed_document_is_found_at_the_next_opening(small_course, fake_embedder: Any) -> None:
    before = course_store.open_course_store(fake_embedder)
    path = small_course / "documents" / "manuals" / "A.md"
    path.write_text("# A\n\nThe candle is bronze now.\n")
    after = course_store.open_course_store(fake_embedder)
    assert "bronze" in after.search("candle bronze", k=1, mode="text")[0].text
    assert before.count() == after.count() == 3


def test_an_unchanged_course_commits_nothing(small_course, fake_embedder: Any) -> None:
    first = course_store.open_course_store(fake_embedder).versions()
    assert course_store.open_course_store(fake_embedder).versions() == first


def test_two_clones_that_share_a_cache_have_a_database_each(small_course, monkeypatch) -> None:
    first = course_store.database_dir()
    monkeypatch.setattr("labkit.settings.data_dir", lambda: small_course.parent / "other" / "data")
    assert course_store.database_dir() != first
    assert course_store.database_dir().parent == first.parent
