"""Benchmark of retrieval variants: all of them on the same exam questions, paired.

Knows: what can be varied, and in which order the pieces work: rewrite, search, fuse, rerank; how
numbers are tuned on training questions, how a variant is scored on test questions, and how a killed
run goes on. Does not know: how a piece works (``store.search``, ``rerank``).
Used by ``python -m labkit bench rag`` and read by lesson 05.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from labkit import corpus, exam, rerank, retrieval_metrics, settings
from labkit.bench import runner
from labkit.chunking import count_words
from labkit.embed import DEFAULT_MODEL, load_embedder
from labkit.measure import bootstrap_mean, paired_difference, sign_flip_p
from labkit.retrieval_metrics import DEPTH, pack, per_question, ranks_of, unpack
from labkit.store import Store, open_store
from labkit.store.search import linear
from labkit.types import Embedder, Hit, Question, Scorer

NAME = "bench-rag-variants"
COMMAND = "python -m labkit bench rag"
K = 5
READING_WORDS = 240
FUSED_DEPTH = 50
# Rerankers see this many candidates.
RERANKED_DEPTH = 20
_TRIED = (0.2, 0.4, 0.5, 0.6, 0.8, 1.0)
_SHARES = (0.4, 0.5, 0.6, 0.75, 1.0)
Search = Literal["hybrid", "vector", "text", "linear"]
Rerank = Literal["none", "lexical", "late interaction"]
# ``search_many`` of a store, remembering: many variants share a search.
SearchMany = Callable[..., list[list[Hit]]]


@dataclass(frozen=True)
class Variant:
    """One way to retrieve; the defaults are the course's own."""

    max_words: int = 60
    overlap: int = 0
    headings: bool = True
    search: Search = "hybrid"
    rerank: Rerank = "none"
    rewrite: bool = False

    @property
    def name(self) -> str:
        """Say how it differs from the default, for tables: ``vector, 120 words, no headings``."""
        parts = {
            "max_words": f"{self.max_words} words",
            "overlap": f"overlap {self.overlap}",
            "headings": "no headings",
            "rerank": f"{self.rerank} rerank",
            "rewrite": "rewriting",
        }
        changed = [parts[key] for key in parts if getattr(self, key) != getattr(DEFAULT, key)]
        return ", ".join([self.search, *changed])

    @property
    def rerank_pair(self) -> str:
        """Name what is reranked by what; each pair has a weight of its own."""
        return f"{self.search} + {self.rerank}"

    @property
    def cut(self) -> dict:
        """Return the keyword arguments of ``Store.ingest``; equal cuts share a store."""
        return {"max_words": self.max_words, "overlap": self.overlap, "headings": self.headings}


DEFAULT = Variant()


@dataclass(frozen=True)
class Tools:
    """What variants need beside a store; every number in it is chosen on training questions.

    ``linear_weight`` is the vector side's share; ``rerank_weights`` has the second score's share
    for each ``rerank_pair``.
    """

    glossary: Mapping[str, str]
    scorers: Mapping[str, Scorer]
    min_share: float = 0.6
    linear_weight: float = 0.5
    rerank_weights: Mapping[str, float] = field(default_factory=dict)


def every_variant() -> list[Variant]:
    """Return the variants of the leaderboard, those of one cut together, the default first."""
    searches = get_args(Search)
    found = [Variant(search=s, rewrite=rewritten) for rewritten in (False, True) for s in searches]
    for reranker in get_args(Rerank)[1:]:
        found += [Variant(search=s, rerank=reranker) for s in ("hybrid", "vector", "linear")]
        found.append(Variant(search="linear", rewrite=True, rerank=reranker))
    for max_words, headings in ((60, False), (30, True), (120, True), (240, True)):
        found += [Variant(max_words, headings=headings, search=s) for s in searches]
    for max_words, overlap in ((30, 15), (60, 15), (60, 30), (120, 60)):
        found += [Variant(max_words, overlap, search=s) for s in searches[:2]]
    for max_words in (30, 120, 240):
        found += [Variant(max_words, headings=False, search=s) for s in searches[:2]]
    return found


def find(
    variant: Variant, search: SearchMany, questions: Sequence[str], tools: Tools
) -> list[list[Hit]]:
    """Return ``RERANKED_DEPTH`` hits of each question, retrieved as the variant says.

    Parameters
    ----------
    search
        ``search_many`` of a store that was ingested with ``variant.cut``.
    questions
        In plain words.
    """
    asked = tuple(questions)
    if variant.rewrite:
        share = tools.min_share
        asked = tuple(rerank.rewrite(q, tools.glossary, min_share=share) for q in questions)
    if variant.search == "linear":
        near, worded = (search(asked, k=FUSED_DEPTH, mode=mode) for mode in ("vector", "text"))
        fuse = partial(linear, weight=tools.linear_weight, k=RERANKED_DEPTH)
        found = list(map(fuse, near, worded))
    else:
        found = search(asked, k=RERANKED_DEPTH, mode=variant.search)
    if variant.rerank == "none":
        return found
    scorer = tools.scorers[variant.rerank]
    weight = tools.rerank_weights.get(variant.rerank_pair, 1.0)
    order = partial(rerank.rerank, scorer=scorer, k=RERANKED_DEPTH, weight=weight)
    return list(map(order, asked, found))


def run(*, folder: Path | None = None) -> dict:
    """Measure every variant, record each, and return the figures.

    A killed run goes on where it stopped; delete the record to start anew.

    Parameters
    ----------
    folder
        Where to record; ``data/results`` unless given.
    """
    embedder = load_embedder()
    train, test = ([q for q in exam.load_exam(s) if q.evidence] for s in ("train", "test"))
    variants = every_variant()
    config = {"command": COMMAND, "k": K, "n_variants": len(variants), "data": data_mark()}
    figures = {"variants": {}} | runner.recorded(NAME, config, folder=folder)
    figures |= {"questions": [q.id for q in test], "kinds": [q.kind for q in test]}
    tools = make_tools(embedder)
    missing = [v for v in variants if v.name not in figures["variants"]]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        if "tuned" not in figures:
            store = fill(Path(scratch) / "tuning", embedder)
            figures["tuned"] = tune(cache(store.search_many), train, tools)
        tools = replace(tools, **figures["tuned"])
        for number, (cut, group) in enumerate(groupby(missing, lambda variant: variant.cut)):
            store = fill(Path(scratch) / str(number), embedder, **cut)
            search = cache(store.search_many)
            for variant in group:
                row = {"n_chunks": store.count(), **measure(variant, search, train, test, tools)}
                figures["variants"][variant.name] = row
                add_differences(figures["variants"])
                runner.record(NAME, figures, config=config, folder=folder, asks=False)
    return figures


def data_mark() -> str:
    """Return a hash of documents, tables and exam: other data make another benchmark."""
    digest = hashlib.sha256()
    for folder in (*course_folders(), settings.data_dir() / "exam"):
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def course_folders() -> list[Path]:
    """Return the folders that the course's corpus is made of."""
    return [settings.data_dir() / name for name in ("documents", "tables")]


def fill(folder: Path, embedder: Embedder, *more: Path, **cut: Any) -> Store:
    """Return a store of the course's corpus and ``more``, cut as ``Store.ingest`` is told."""
    store = open_store(folder, embedder)
    store.ingest([*course_folders(), *more], **cut)
    return store


def make_tools(model: rerank.TokenEmbedder) -> Tools:
    """Return glossary and scorers of the course's corpus, with numbers that are not tuned yet."""
    documents = list(corpus.read_documents(course_folders(), unreadable=[]))
    passages = [chunk.passage for d in documents for chunk in corpus.chunk_document(d)]
    scorers = {
        "lexical": rerank.remembering(rerank.lexical(passages)),
        "late interaction": rerank.remembering(rerank.late_interaction(model)),
    }
    return Tools(rerank.load_glossary(documents), scorers)


def tune(search: SearchMany, train: Sequence[Question], tools: Tools) -> dict:
    """Return the numbers that give the best hit@1 on the training questions."""
    asked = [question.question for question in train]

    def best(variant: Variant, number: str, values: Iterable) -> Tools:
        return max(
            (replace(tools, **{number: value}) for value in values),
            key=lambda tried: sum(hits_at_1(train, find(variant, search, asked, tried))),
        )

    tools = best(Variant(search="linear"), "linear_weight", _TRIED)
    tools = best(Variant(rewrite=True), "min_share", _SHARES)
    for variant in every_variant():
        if variant.rerank != "none" and not variant.rewrite:
            mixes = [{**tools.rerank_weights, variant.rerank_pair: w} for w in _TRIED]
            tools = best(variant, "rerank_weights", mixes)
    tuned = ("linear_weight", "min_share", "rerank_weights")
    return {number: getattr(tools, number) for number in tuned}


def hits_at_1(questions: Sequence[Question], found: Sequence[Sequence[Hit]]) -> list[float]:
    """Return for each question 1 if its first hit holds evidence, else 0."""
    pairs = zip(questions, found, strict=True)
    return [float(any(retrieval_metrics.relevance(q, hits[:1]))) for q, hits in pairs]


def measure(
    variant: Variant,
    search: SearchMany,
    train: Sequence[Question],
    test: Sequence[Question],
    tools: Tools,
) -> dict:
    """Return one variant's scores on the test questions, and its hit@1 on the training ones."""
    trained, found = (
        find(variant, search, [question.question for question in questions], tools)
        for questions in (train, test)
    )
    on_train = float(np.mean(hits_at_1(train, trained)))
    config = asdict(variant) | {"embedder": DEFAULT_MODEL}
    return {"config": config, "train_hit_at_1": on_train, **score(test, found)}


def score(questions: Sequence[Question], found: Sequence[Sequence[Hit]]) -> dict:
    """Return the scores of some hits, overall and by kind, with the ranks of their evidence.

    ``found_in_reading_words`` is the share of questions whose evidence stands within the first
    ``READING_WORDS`` words of passages: a fair score for chunks of different sizes.
    """
    ranks = [ranks_of(q, hits[:DEPTH]) for q, hits in zip(questions, found, strict=True)]
    by_kind = retrieval_metrics.summarise_retrieval(questions, found, k=K)
    overall = by_kind.pop("all")
    reading = [
        float(any(rank and rank <= _n_readable(hits) for rank in of_question))
        for of_question, hits in zip(ranks, found, strict=True)
    ]
    return {
        "words_of_first": float(np.mean([count_words(h[0].passage) for h in found if h])),
        "metrics": {name: asdict(share) for name, share in overall.items()},
        "found_in_reading_words": asdict(bootstrap_mean(reading)),
        "hit_at_1_by_kind": {kind: asdict(row["hit_at_1"]) for kind, row in by_kind.items()},
        "ranks": pack(ranks),
    }


def _n_readable(hits: Sequence[Hit]) -> int:
    """Return how many hits together stay within ``READING_WORDS``, at least one."""
    n_words = np.cumsum([count_words(hit.text) for hit in hits[:DEPTH]])
    return max(1, int((n_words <= READING_WORDS).sum()))


def add_differences(rows: dict[str, dict]) -> None:
    """Write into each row its paired difference of hit@1 to the default's row."""
    for row in rows.values():
        row["difference"] = compare(row, rows[DEFAULT.name])


def compare(row: dict, other: dict) -> dict:
    """Return the paired difference of hit@1 of two rows, ``row`` minus ``other``, and its p."""
    a, b = (per_question(unpack(r["ranks"]))["hit_at_1"] for r in (row, other))
    return asdict(paired_difference(a, b)) | {"p": sign_flip_p(a, b)}


def render(figures: dict) -> str:
    """Return the leaderboard for a terminal, best first."""
    rows = figures["variants"].items()
    lines = [f"{'hit@1':>6} {'nDCG@5':>7} {'difference of hit@1 to default':>32}  variant"]
    for name, row in sorted(rows, key=lambda row: -row[1]["metrics"]["hit_at_1"]["mean"]):
        hit, ndcg = (100 * row["metrics"][key]["mean"] for key in ("hit_at_1", "ndcg_at_k"))
        mean, low, high = (100 * row["difference"][key] for key in ("mean", "low", "high"))
        to_default = f"{mean:+14.1f} ({low:+.1f} to {high:+.1f})"
        lines.append(f"{hit:6.1f} {ndcg:7.1f} {to_default}  {name}")
    return "\n".join(lines)
