"""Benchmark of finding: how often every piece of evidence is among the first passages.

Knows: which searches are compared, on training and on test questions, and on rows named by code.
Does not know: how any of them works (``finder``, ``rerank``, ``store``).
Used by ``labkit bench finding``. The finder's numbers were chosen on the training questions, so
that its share there is too good; the one on test questions counts.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from labkit import corpus, exam, settings
from labkit.bench import runner
from labkit.finder import FinderConfig, open_finder
from labkit.measure import bootstrap_mean
from labkit.rerank import Reranked, course_scorer
from labkit.retrieval_metrics import all_found_at
from labkit.store import open_course_store
from labkit.store.course import corpus_dir
from labkit.types import BatchSearcher, Document, Question, Split

NAME = "bench-finding"
DEPTHS = (1, 3, 5, 8)
N_ROWS = 40
SPLITS: tuple[Split, ...] = ("train", "test")


def run(*, folder: Path | None = None) -> dict:
    """Measure every search that is not recorded yet, and return the figures."""
    store = open_course_store()
    reranked = Reranked(store, course_scorer())
    searches: dict[str, BatchSearcher] = {"hybrid": store, "hybrid, reranked": reranked}
    searches["finder"] = open_finder(store, folder=corpus_dir())
    config = {"command": "labkit bench finding", "depths": DEPTHS, "rows": N_ROWS}
    config |= {"finder": asdict(FinderConfig())}
    calls = {name: partial(measure, search) for name, search in searches.items()}
    return runner.each(NAME, calls, config, folder=folder, asks=False)


def measure(search: BatchSearcher) -> dict[str, Any]:
    """Return shares by split, kind and depth, and how often a row named by its code comes first."""
    figures: dict[str, Any] = {}
    for split in SPLITS:
        questions = [q for q in exam.load_exam(split) if q.evidence]
        figures[split] = every_piece(questions, search)
    rows = some_rows()
    asked = [f"What is written down for {code_of(row)}?" for row in rows]
    found = search.search_many(asked, k=1)
    first = [float(hits[0].document_id == row.id) for row, hits in zip(rows, found, strict=True)]
    return figures | {"row_first": asdict(bootstrap_mean(first))}


def every_piece(questions: Sequence[Question], search: BatchSearcher) -> dict[str, dict]:
    """Return by kind, and over all, the share whose every evidence is among the first passages."""
    found = search.search_many([q.question for q in questions], k=max(DEPTHS))
    at = [all_found_at(q, hits) or math.inf for q, hits in zip(questions, found, strict=True)]
    shares = {}
    for kind in ("all", *dict.fromkeys(q.kind for q in questions)):
        ranks = [rank for q, rank in zip(questions, at, strict=True) if kind in ("all", q.kind)]
        shares[kind] = {
            str(k): asdict(bootstrap_mean([float(rank <= k) for rank in ranks])) for k in DEPTHS
        }
    return shares


def some_rows() -> list[Document]:
    """Return rows of the course's tables, spread evenly over them."""
    rows = list(corpus.read_documents(settings.data_dir() / "tables", unreadable=[]))
    return rows[:: len(rows) // N_ROWS][:N_ROWS]


def code_of(row: Document) -> str:
    """Return the code in a row's id: ``TQ-90-05`` of ``torques:TQ-90-05``."""
    return row.id.partition(":")[2]


def render(figures: dict) -> str:
    """Return percent of questions with all their evidence found, by search, kind and depth."""
    import pandas as pd

    rows = {
        (split, name, f"{k} passages"): {
            kind: round(100 * shares[str(k)]["mean"]) for kind, shares in found[split].items()
        }
        for split in ("train", "test")
        for name, found in figures.items()
        for k in DEPTHS
    }
    lines = [f"{name}: a row named by its code comes first in {found['row_first']['mean']:.0%}"
             for name, found in figures.items()]  # fmt: skip
    return "\n".join([pd.DataFrame.from_dict(rows, orient="index").to_string(), *lines])
