"""Benchmark of ingestion: whether memory grows with the number of documents.

Knows: how to make folders of documents out of the corpus' own sentences, and how to ingest each in
a process of its own, since the peak of a process's memory never goes down again.
Does not know: how ingestion works (``ingest``).
Used by ``python -m labkit bench ingest``; the result is recorded.
"""

import random
import tempfile
from pathlib import Path

from labkit import corpus, measure, results, settings
from labkit.bench.runner import in_own_process
from labkit.embed import load_embedder
from labkit.store import open_store

CHUNKS_A_DOCUMENT = 10
SIZES = (1_000, 10_000)


def run(*, sizes: tuple[int, ...] = SIZES, folder: Path | None = None) -> dict:
    """Ingest folders of several sizes, record and return peak memory and seconds of each.

    Parameters
    ----------
    sizes
        Chunks of each folder.
    folder
        Where to record; ``data/results`` unless given.
    """
    runs = []
    for n_chunks in sizes:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            write_documents(Path(scratch) / "documents", n_chunks)
            runs.append(in_own_process("labkit.bench.ingest:ingest_once", scratch))
    config = {"command": "python -m labkit bench ingest", "sizes": list(sizes)}
    figures = {"runs": runs, "peak_ratio": runs[-1]["peak_rss_bytes"] / runs[0]["peak_rss_bytes"]}
    results.record("bench-ingest", figures, config=config, folder=folder)
    return figures


def write_documents(folder: Path, n_chunks: int) -> None:
    """Write ``n_chunks / 10`` documents of ten one-sentence sections; the same on every machine."""
    sentences = corpus_sentences()
    pick = random.Random(0)
    folder.mkdir(parents=True)
    for number in range(n_chunks // CHUNKS_A_DOCUMENT):
        found = [f"## Finding {i}\n{pick.choice(sentences)}" for i in range(CHUNKS_A_DOCUMENT)]
        text = "\n\n".join([f"# Report {number}", *found])
        (folder / f"report-{number:05}.md").write_text(text, encoding="utf-8")


def ingest_once(scratch: str) -> dict:
    """Ingest ``scratch/documents`` and return what it took, this process's peak memory included."""
    embedder = load_embedder()
    embedder.encode_documents(["warm up"])
    loaded_bytes = measure.peak_rss_bytes()
    report = open_store(f"{scratch}/db", embedder).ingest(f"{scratch}/documents")
    return {
        "n_documents": report.added,
        "n_chunks": report.chunks_embedded,
        "wall_s": report.wall_s,
        "model_loaded_rss_bytes": loaded_bytes,
        "peak_rss_bytes": measure.peak_rss_bytes(),
    }


def render(figures: dict) -> str:
    """Return the figures as lines for a terminal."""
    lines = [
        f"{run['n_chunks']:6} chunks: peak {run['peak_rss_bytes'] / 2**20:.0f} MiB "
        f"({run['model_loaded_rss_bytes'] / 2**20:.0f} MiB with the model loaded), "
        f"{run['n_chunks'] / run['wall_s']:.0f} chunks/s"
        for run in figures["runs"]
    ]
    return "\n".join([*lines, f"peak memory grew {figures['peak_ratio']:.2f}×"])


def corpus_sentences() -> list[str]:
    """Return the sentences of the corpus that a chunk can be made of."""
    documents = corpus.read_documents(settings.data_dir() / "documents", unreadable=[])
    texts = [document.text for document in documents]
    found = [" ".join(s.split()) for text in texts for s in corpus.split_sentences(text)]
    return [sentence for sentence in found if 8 <= len(sentence.split()) <= 40]
