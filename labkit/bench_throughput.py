"""Benchmark of ingestion against the plain way: encode with defaults, then add to a table.

Knows: how both are run on the same chunks in one process, in turns, and compared pair by pair.
Does not know: why ours is faster (``embed``) or what memory it takes (``bench_ingest``).
Used by ``python -m labkit bench throughput``; the result is recorded.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labkit import corpus, results, settings
from labkit.embed import DEFAULT_MODEL, Embedder, load_embedder
from labkit.fetch import model_dir

REPEATS = 5


def run(
    *, documents: Path | None = None, repeats: int = REPEATS, folder: Path | None = None
) -> dict[str, Any]:
    """Embed and store the same chunks both ways, record and return chunks a second of each.

    The plain way is handed its chunks ready made and keeps text and vector alone. Ours begins with
    the files: it reads, cuts, compares with what is stored, embeds, commits and indexes the words.
    Both models are loaded and warm. Pairs run one after the other in changing order, so that a
    busy machine slows both sides of a pair.

    Parameters
    ----------
    documents
        What to ingest; the course's own documents unless given.
    folder
        Where to record; ``data/results`` unless given.
    """
    documents = documents or settings.data_dir() / "documents"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        texts = _passages(documents)
        plain, embedder = _plain_model(), load_embedder()
        cosine = _smallest_cosine(plain, embedder, texts[:64])
        runs: dict[str, list[dict[str, float]]] = {"plain": [], "ours": []}
        for repeat in range(repeats + 1):
            ways: dict[str, Callable[[Path], None]] = {
                "plain": lambda db: _plainly(plain, texts, db),
                "ours": lambda db: _ours(embedder, documents, db, len(texts)),
            }
            for name in sorted(ways, reverse=repeat % 2 == 0):
                runs[name].append(_timed(ways[name], Path(scratch) / f"{name}-{repeat}"))
    # The first pair pays for imports and first touches of memory.
    runs = {name: timings[1:] for name, timings in runs.items()}
    words = [len(text.split()) for text in texts]
    figures = _figures(runs, len(texts)) | {
        "smallest_cosine": cosine,
        "words_a_chunk": statistics.mean(words),
    }
    config = {
        "command": "python -m labkit bench throughput",
        "documents": documents.name,
        "repeats": repeats,
        "model": DEFAULT_MODEL,
    }
    results.record("bench-ingest-throughput", figures, config=config, folder=folder)
    return figures


def render(figures: dict[str, Any]) -> str:
    """Return the figures as lines for a terminal."""
    lines = [
        f"{name:5} {figures[name]['chunks_per_s']:6.1f} chunks/s, "
        f"{figures[name]['chunks_per_cpu_s']:6.1f} a CPU-second"
        for name in ("plain", "ours")
    ]
    ratios = ", ".join(f"{ratio:.2f}" for ratio in figures["wall_ratios"])
    return "\n".join(
        [*lines, f"ours is {figures['wall_ratio']:.2f} times as fast (median of {ratios})"]
    )


def _passages(documents: Path) -> list[str]:
    return [
        chunk.passage
        for document in corpus.read_documents(documents, unreadable=[])
        for chunk in corpus.chunk_document(document)
    ]


def _plain_model() -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(model_dir(DEFAULT_MODEL)), local_files_only=True)


def _plainly(model: Any, texts: list[str], db: Path) -> None:
    import lancedb
    import pyarrow as pa

    vectors = model.encode(texts, show_progress_bar=False)
    width = vectors.shape[1]
    schema = pa.schema([("text", pa.string()), ("vector", pa.list_(pa.float32(), width))])
    table = lancedb.connect(str(db)).create_table("chunks", schema=schema)
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width)
    table.add(pa.table({"text": texts, "vector": column}, schema=schema))


def _ours(embedder: Embedder, documents: Path, db: Path, n_chunks: int) -> None:
    from labkit.store import open_store

    report = open_store(db, embedder).ingest(documents)
    if report.chunks_embedded != n_chunks:
        raise ValueError(f"{report.chunks_embedded} chunks were embedded, {n_chunks} were due.")


def _timed(work: Callable[[Path], None], db: Path) -> dict[str, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work(db)
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def _smallest_cosine(model: Any, embedder: Embedder, texts: list[str]) -> float:
    """Return how far our vectors are from the plain ones; this warms both models up, too."""
    ours, plain = embedder.encode_documents(texts), model.encode(texts, show_progress_bar=False)
    return float((ours * plain).sum(axis=1).min())


def _figures(runs: dict[str, list[dict[str, float]]], n_chunks: int) -> dict[str, Any]:
    """Return medians of each way, and of the ratios of wall and CPU time within each pair."""
    figures: dict[str, Any] = {"n_chunks": n_chunks}
    for name, timings in runs.items():
        figures[name] = {
            "chunks_per_s": n_chunks / statistics.median(run["wall_s"] for run in timings),
            "chunks_per_cpu_s": n_chunks / statistics.median(run["cpu_s"] for run in timings),
            "runs": timings,
        }
    for unit in ("wall", "cpu"):
        pairs = zip(runs["plain"], runs["ours"], strict=True)
        ratios = [plain[f"{unit}_s"] / ours[f"{unit}_s"] for plain, ours in pairs]
        figures |= {f"{unit}_ratio": statistics.median(ratios), f"{unit}_ratios": ratios}
    return figures
