"""A store with a vector index finds the same, stays current, and can be without one again."""

from pathlib import Path
from typing import Any

import pytest

from labkit.store import Store, open_store

WORDS = "pump tank hose brake rotor blade tower crane lift oil grease filter bolt gear".split()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of 120 short notes, each with other words."""
    docs = tmp_path / "docs"
    docs.mkdir()
    for number in range(120):
        said = " ".join(WORDS[(number * step) % len(WORDS)] for step in range(1, 8))
        (docs / f"note-{number:03}.md").write_text(f"Note {number}: {said}.", encoding="utf-8")
    return docs


@pytest.fixture
def store(folder: Path, tmp_path: Path, fake_embedder: Any) -> Store:
    store = open_store(tmp_path / "db", fake_embedder)
    store.ingest(folder)
    return store


def test_an_index_changes_neither_hits_nor_scores_where_all_partitions_are_probed(
    store: Store,
) -> None:
    questions = ["which pump has a tank", "grease the gear of the crane"]
    before = store.search_many(questions, k=5, mode="vector")
    store.build_index()
    after = store.search_many(questions, k=5, mode="vector")
    assert [i.index_type for i in store._table.list_indices()].count("IvfFlat") == 1
    for one, other in zip(before, after, strict=True):
        assert [hit.score for hit in one] == pytest.approx([hit.score for hit in other], abs=1e-5)
    filtered = store.search("pump", k=3, mode="vector", where={"document_id": "note-007"})
    assert [hit.document_id for hit in filtered] == ["note-007"]


def test_an_ingestion_takes_new_chunks_into_the_index(store: Store, folder: Path) -> None:
    store.build_index()
    (folder / "note-900.md").write_text("Note 900: a sheepfold with a lantern.", encoding="utf-8")
    (folder / "note-000.md").unlink()
    store.ingest(folder)
    assert store._table.index_stats("vector_idx").num_unindexed_rows == 0
    found = store.search("sheepfold with a lantern", k=1, mode="vector")
    assert found[0].document_id == "note-900"
    assert "note-000" not in {hit.document_id for hit in store.search("Note 0", k=50)}


def test_an_index_can_be_replaced_and_is_part_of_the_version(store: Store) -> None:
    plain = store.versions()[-1].version
    store.build_index()
    store.build_index("IVF_SQ")
    kinds = [i.index_type for i in store._table.list_indices()]
    assert "IvfSq" in kinds and "IvfFlat" not in kinds
    store.restore(plain)
    assert "IvfSq" not in [i.index_type for i in store._table.list_indices()]


def test_what_cannot_be_indexed_is_refused_in_words(
    store: Store, tmp_path: Path, fake_embedder: Any
) -> None:
    with pytest.raises(ValueError, match="ingest some documents first"):
        open_store(tmp_path / "empty", fake_embedder).build_index()
    with pytest.raises(ValueError, match="no kind 'HNSW'"):
        store.build_index("HNSW")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="earlier version"):
        store.at_version(store.versions()[-1].version).build_index()
