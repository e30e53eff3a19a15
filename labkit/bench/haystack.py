"""Benchmark of the haystack: the course's corpus among 100,000 foreign passages.

Knows: where real text in quantity lies on any machine (the documentation in the source of the
installed packages), and how to ingest it beside the corpus in a process of its own.
Does not know: how ingestion (``store``) or finding works (``finder``).
Used by ``labkit bench haystack``; the documents go into a scratch folder, nothing is executed.
"""

import ast
import sysconfig
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from labkit import exam, measure, settings
from labkit.bench import runner
from labkit.bench.finding import DEPTHS, every_piece
from labkit.embed import load_embedder
from labkit.finder import open_course_finder, open_finder
from labkit.store import open_store
from labkit.store.course import corpus_dir

NAME = "bench-haystack"
SIZES = (0, 100_000)
LEAST_WORDS = 30


def run(*, sizes: tuple[int, ...] = SIZES, folder: Path | None = None) -> dict:
    """Find the exam's evidence among foreign passages, for each size not recorded yet.

    Parameters
    ----------
    sizes
        Foreign passages, at least; 0 is the corpus alone.
    folder
        Where to record; ``data/results`` unless given.
    """
    config = {"command": "labkit bench haystack", "depths": DEPTHS, "sizes": sizes}
    calls = {str(n): partial(runner.in_own_process, "labkit.bench.haystack:bury", n) for n in sizes}
    return runner.each(NAME, calls, config, folder=folder, asks=False)


def bury(n_foreign: int) -> dict:
    """Ingest the corpus with so many foreign passages and return what that took, and what is found.

    Bytes are those of the database; the peak is this process's, the embedding model included.
    """
    questions = [question for question in exam.load_exam("test") if question.evidence]
    if not n_foreign:
        return {"found": every_piece(questions, open_course_finder())}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        documents, database = Path(scratch) / "documents", Path(scratch) / "db"
        write_foreign(documents, n_foreign)
        store = open_store(database, load_embedder())
        data = settings.data_dir()
        report = store.ingest([data / "documents", data / "tables", documents])
        peak = measure.peak_rss_bytes()
        files = [path.stat().st_size for path in database.rglob("*") if path.is_file()]
        found = every_piece(questions, open_finder(store, folder=corpus_dir()))
        return {
            "n_chunks": report.chunks_embedded, "n_documents": report.added,
            "wall_s": report.wall_s, "peak_rss_bytes": peak, "database_bytes": sum(files),
            "found": found,
        }  # fmt: skip


def write_foreign(folder: Path, n_passages: int) -> int:
    """Write documentation of installed packages until it fills so many passages of 60 words.

    Returns
    -------
    int
        Documents written.
    """
    folder.mkdir(parents=True)
    n_words, n_documents = 0, 0
    for name, sections in documented_modules():
        if n_words >= 60 * n_passages:
            break
        text = "\n\n".join([f"# {name}", *sections])
        (folder / f"{n_documents:06}.txt").write_text(text, encoding="utf-8")
        n_words += len(text.split())
        n_documents += 1
    return n_documents


def documented_modules() -> Iterator[tuple[str, list[str]]]:
    """Yield modules of the installed packages with the docstrings of their parts, by name."""
    root = Path(sysconfig.get_path("purelib"))
    for path in sorted(root.rglob("*.py")):
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError, OSError, RecursionError):
            continue
        parts = [
            (node.name, ast.get_docstring(node) or "")
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef | ast.FunctionDef)
        ]
        sections = [f"{name}: {doc}" for name, doc in parts if len(doc.split()) >= LEAST_WORDS]
        if sections:
            yield ".".join(path.relative_to(root).with_suffix("").parts), sections


def render(figures: dict) -> str:
    """Return percent of questions with all their evidence found, by size and depth."""
    lines = []
    for n, row in figures.items():
        shares = [f"{k}: {100 * row['found']['all'][str(k)]['mean']:.0f} %" for k in DEPTHS]
        lines.append(f"{n:>7} foreign passages; all evidence among {', '.join(shares)}")
        if "wall_s" in row:
            lines.append(
                f"        {row['n_chunks']} chunks in {row['wall_s']:.0f} s, peak "
                f"{row['peak_rss_bytes'] / 2**30:.1f} GiB, database "
                f"{row['database_bytes'] / 2**20:.0f} MiB"
            )
    return "\n".join(lines)
