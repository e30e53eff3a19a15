"""A killed ingestion leaves whole documents behind, the next does the rest; two take turns."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from labkit.corpus import chunk_document, read_documents
from labkit.store import Store, open_store

MAX_WORDS = 4
Contents = dict[str, list[tuple[str, dict[str, Any]]]]
CHILD = """
import sys, time
sys.path[:0] = [{root!r}, {tests!r}]
from conftest import HashEmbedder
from labkit.store import ingest
from labkit.store import open_store

class SlowEmbedder(HashEmbedder):
    def encode_documents(self, texts):
        print("batch", flush=True)
        time.sleep(0.02)
        return super().encode_documents(texts)

def say_and_remove(self, roots, remove=ingest.Ingestion._remove_vanished):
    print("embedded all", flush=True)
    remove(self, roots)

ingest.BATCH_CHUNKS = 16
ingest.Ingestion._remove_vanished = say_and_remove
open_store({db!r}, SlowEmbedder()).ingest({docs!r}, max_words={max_words})
"""

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="SIGKILL is POSIX only")


def start(db: Path, docs: Path) -> subprocess.Popen[bytes]:
    here = Path(__file__).resolve()
    code = CHILD.format(
        root=str(here.parents[2]),
        tests=str(here.parents[1]),
        db=str(db),
        docs=str(docs),
        max_words=MAX_WORDS,
    )
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)


def start_and_kill(db: Path, docs: Path, *, after_batches: int | None, delay_s: float) -> None:
    """Kill an ingestion a moment after its n-th batch began, or (None) after the last one."""
    with start(db, docs) as child:
        assert child.stdout is not None
        if after_batches is None:
            assert b"embedded all\n" in iter(child.stdout.readline, b"")
        for _ in range(after_batches or 0):
            assert child.stdout.readline() == b"batch\n"
        time.sleep(delay_s)
        child.send_signal(signal.SIGKILL)


def write_corpus(docs: Path, *, edition: int) -> None:
    """Write 60 documents of 1 to 9 sentences; edition 2 changes, drops and adds some."""
    docs.mkdir(exist_ok=True)
    for path in docs.glob("*.md"):
        path.unlink()
    for i in range(60 if edition == 1 else 70):
        if edition == 2 and i % 7 == 0:
            continue
        words = "new" if edition == 2 and i % 2 else "old"
        n_sentences = (i * edition) % 9 + 1 if words == "new" else i % 9 + 1
        front = f"---\nturbine: NV-{i % 3}\n" + (f"added_{edition}: {i}\n" if i % 5 == 0 else "")
        text = " ".join(f"Sentence {i} {j} {words}." for j in range(n_sentences))
        (docs / f"{i:02}.md").write_text(f"{front}---\n{text}", encoding="utf-8")


def expected(docs: Path) -> Contents:
    return {
        document.id: [
            (chunk.passage, document.metadata)
            for chunk in chunk_document(document, max_words=MAX_WORDS)
        ]
        for document in read_documents(docs, unreadable=[])
    }


def stored(store: Store) -> Contents:
    """Return passage and metadata of every chunk by document, in order, doubles included."""
    documents: Contents = {}
    rows = store._table.to_arrow().drop(["vector"]).to_pylist()
    for row in sorted(rows, key=lambda row: (row["document_id"], row["position"])):
        facts = (row["passage"], json.loads(row["metadata"]))
        documents.setdefault(row["document_id"], []).append(facts)
    return documents


@pytest.fixture
def two_editions(tmp_path: Path) -> tuple[Path, Contents, Contents]:
    docs = tmp_path / "docs"
    write_corpus(docs, edition=2)
    second = expected(docs)
    write_corpus(docs, edition=1)
    return docs, expected(docs), second


def test_a_killed_ingestion_is_completed_by_the_next_one(
    tmp_path: Path, two_editions: tuple[Path, Contents, Contents], fake_embedder: Any
) -> None:
    docs, first, second = two_editions
    db = tmp_path / "db"
    rng = random.Random(7)
    for after_batches in (0, 4, 7):
        start_and_kill(db, docs, after_batches=after_batches, delay_s=rng.uniform(0, 0.1))
        state = stored(open_store(db, fake_embedder))
        assert all(state[name] == first[name] for name in state), after_batches
    assert 0 < len(state) < len(first)
    complete(db, docs, first, fake_embedder)

    write_corpus(docs, edition=2)
    for after_batches in (1, 4, None):
        start_and_kill(db, docs, after_batches=after_batches, delay_s=rng.uniform(0, 0.1))
        state = stored(open_store(db, fake_embedder))
        for name, chunks in state.items():
            assert chunks in (first.get(name), second.get(name)), (after_batches, name)
    complete(db, docs, second, fake_embedder)


def complete(db: Path, docs: Path, wanted: Contents, fake_embedder: Any) -> None:
    """Ingest once more and check: all there, nothing twice, nothing embedded that was there."""
    store = open_store(db, fake_embedder)
    before = stored(store)
    fake_embedder.embedded.clear()
    report = store.ingest(docs, max_words=MAX_WORDS)
    fresh = [chunks for name, chunks in wanted.items() if before.get(name) != chunks]
    missing = sorted(passage for chunks in fresh for passage, _ in chunks)
    assert stored(store) == wanted
    assert sorted(fake_embedder.embedded) == missing
    assert report.chunks_embedded == len(missing)
    assert store._table.index_stats("passage_idx").num_unindexed_rows == 0
    for mode in ("vector", "text", "hybrid"):
        assert store.search(wanted["02"][0][0], mode=mode)[0].document_id == "02"


def test_a_folder_killed_before_its_first_commit_can_be_opened(
    tmp_path: Path, fake_embedder: Any
) -> None:
    (tmp_path / "db" / "chunks.lance").mkdir(parents=True)
    assert open_store(tmp_path / "db", fake_embedder).count() == 0


@pytest.mark.slow
def test_processes_that_ingest_at_once_take_turns(
    tmp_path: Path, two_editions: tuple[Path, Contents, Contents], fake_embedder: Any
) -> None:
    docs, first, _ = two_editions
    children = [start(tmp_path / "db", docs) for _ in range(3)]
    n_batches = [child.communicate()[0].count(b"batch") for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    assert stored(open_store(tmp_path / "db", fake_embedder)) == first
    assert sorted(n_batches)[:2] == [0, 0]
