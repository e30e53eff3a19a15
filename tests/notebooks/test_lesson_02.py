"""Lesson 02's own code, taken from the lesson's page, agrees with the package it explains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit.authoring.source import Lesson, convert

LESSON = "02_build_a_vector_db"
ALPHABET = "pump tank hose brake rotor blade tower crane lift oil grease filter bolt gear".split()


def defined_in_lesson(root: Path, name: str) -> Callable[..., Any]:
    """Return a function as the solutions' notebook defines it, without running the rest."""
    notebook = convert(Lesson(root, LESSON), "solutions")
    cell = next(c for c in notebook.cells if c.cell_type == "code" and f"def {name}(" in c.source)
    lines = cell.source.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"def {name}("))
    stop = next(
        (i for i, line in enumerate(lines) if i > start and line[:1] not in ("", " ")), len(lines)
    )
    names: dict[str, Any] = {"np": np}
    exec("\n".join(lines[start:stop]), names)
    return names[name]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Return a folder of 60 short notes, each with other words."""
    folder = tmp_path / "notes"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(60):
        text = " ".join(random.choice(ALPHABET, 9))
        (folder / f"note-{number:02}.md").write_text(f"Note {number}: {text}.", encoding="utf-8")
    return folder


@pytest.mark.parametrize("k", [1, 7, 60])
def test_inline_knn_equals_the_stores_exact_search(
    k: int, root: Path, archive: Path, tmp_path: Path, fake_embedder: Any
) -> None:
    from labkit.corpus import chunk_document, read_documents
    from labkit.store import open_store

    store = open_store(tmp_path / "db", fake_embedder)
    store.ingest(archive)
    documents = list(read_documents(archive, unreadable=[]))
    chunks = [chunk for document in documents for chunk in chunk_document(document)]
    matrix = fake_embedder.encode_queries([chunk.passage for chunk in chunks])
    nearest = defined_in_lesson(root, "nearest")
    for question in ("which pump has a tank", "grease the gear of the crane", "oil"):
        rows, scores = nearest(fake_embedder.encode_queries([question])[0], matrix, k)
        hits = store.search(question, k=k, mode="vector")
        by_id = {chunk.id: row for row, chunk in enumerate(chunks)}
        assert [hit.score for hit in hits] == pytest.approx(scores, abs=1e-5)
        # Equal scores may come in any order; each hit must have its own row's score.
        own = matrix[[by_id[hit.chunk_id] for hit in hits]]
        assert own @ fake_embedder.encode_queries([question])[0] == pytest.approx(scores, abs=1e-5)
        assert len(set(rows.tolist())) == min(k, len(chunks))


@pytest.mark.parametrize("name", ["cosine", "filtered_top_k", "sync_plan"])
def test_the_lessons_solution_passes_its_own_check(name: str, root: Path) -> None:
    from labkit.classroom.checks import lesson_02 as checks_02

    verdict = getattr(checks_02, name).judge(defined_in_lesson(root, name))
    assert verdict.state == "passed", verdict.message


def test_the_solutions_sync_plan_says_what_the_store_does(
    root: Path, archive: Path, tmp_path: Path, fake_embedder: Any
) -> None:
    from labkit.corpus import read_documents
    from labkit.store import open_store

    def hashes() -> dict[str, str]:
        return {x.id: x.content_hash for x in read_documents(archive, unreadable=[])}

    store = open_store(tmp_path / "db", fake_embedder)
    store.ingest(archive)
    old = hashes()
    (archive / "note-00.md").unlink()
    (archive / "note-01.md").write_text("Note 1: another pump.", encoding="utf-8")
    (archive / "note-99.md").write_text("Note 99: one more hose.", encoding="utf-8")
    plan = defined_in_lesson(root, "sync_plan")(old, hashes())
    report = store.ingest(archive)
    assert {name: len(ids) for name, ids in plan.items()} == {
        name: getattr(report, name) for name in ("added", "changed", "unchanged", "removed")
    }
