"""Benchmark of retrieval variants: all of them on the same exam questions, paired.

Knows: how numbers are tuned on training questions, how a variant is scored on test questions, and
how a killed run goes on. Does not know: what a variant does (``rag_variants``).
Used by ``python -m labkit bench rag`` and read by lesson 05.
"""

import dataclasses
import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from labkit import corpus, exam, results, retrieval_metrics, settings
from labkit.bench import rag_variants
from labkit.bench.rag_variants import DEFAULT, Tools, Variant
from labkit.bench.runner import recorded
from labkit.chunking import count_words
from labkit.embed import load_embedder
from labkit.measure import bootstrap_mean, paired_difference, sign_flip_p
from labkit.rerank import TokenEmbedder, late_interaction, lexical, load_glossary, remembering
from labkit.retrieval_metrics import DEPTH, METRICS, pack, per_question, ranks_of, unpack
from labkit.store import Store, open_store
from labkit.types import Embedder, Hit, Mode

NAME = "bench-rag-variants"
COMMAND = "python -m labkit bench rag"
K = 5
READING_WORDS = 240
_TRIED = (0.2, 0.4, 0.5, 0.6, 0.8, 1.0)
_SHARES = (0.4, 0.5, 0.6, 0.75, 1.0)


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
    variants = rag_variants.every_variant()
    config = {"command": COMMAND, "k": K, "n_variants": len(variants), "data": data_mark()}
    figures = {"variants": {}} | recorded(NAME, config, folder=folder)
    figures |= {"questions": [q.id for q in test], "kinds": [q.kind for q in test]}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        tools = make_tools(embedder)
        if "tuned" not in figures:
            figures["tuned"] = tune(fill(Path(scratch) / "tuning", embedder, DEFAULT), train, tools)
        tools = dataclasses.replace(tools, **figures["tuned"])
        for number, group in enumerate(_by_cut(variants)):
            missing = [v for v in group if v.name not in figures["variants"]]
            if missing:
                store = fill(Path(scratch) / str(number), embedder, missing[0])
            for variant in missing:
                figures["variants"][variant.name] = measure(variant, store, train, test, tools)
                add_differences(figures["variants"])
                results.record(NAME, figures, config=config, folder=folder)
    return figures


def data_mark() -> str:
    """Return a hash of documents, tables and exam: other data make another benchmark."""
    digest = hashlib.sha256()
    for name in ("documents", "tables", "exam"):
        for path in sorted((settings.data_dir() / name).rglob("*")):
            if path.is_file():
                digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def fill(folder: Path, embedder: Embedder, variant: Variant) -> "Remembering":
    """Return a store of the course's corpus, cut as the variant says."""
    store = open_store(folder, embedder)
    store.ingest([settings.data_dir() / name for name in ("documents", "tables")], **variant.cut)
    return Remembering(store)


class Remembering:
    """A store that answers the same questions from memory: many variants share a search."""

    def __init__(self, store: Store) -> None:
        self.n_chunks = store.count()
        self._store = store
        self._found: dict[tuple, list[list[Hit]]] = {}

    def search_many(
        self, queries: Sequence[str], *, k: int = 5, mode: Mode = "hybrid"
    ) -> list[list[Hit]]:
        """Return the best ``k`` hits of each query."""
        key = (tuple(queries), k, mode)
        if key not in self._found:
            self._found[key] = self._store.search_many(queries, k=k, mode=mode)
        return self._found[key]


def make_tools(model: TokenEmbedder) -> Tools:
    """Return glossary and scorers of the course's corpus, with numbers that are not tuned yet."""
    folders = [settings.data_dir() / name for name in ("documents", "tables")]
    documents = list(corpus.read_documents(folders, unreadable=[]))
    passages = [chunk.passage for d in documents for chunk in corpus.chunk_document(d)]
    scorers = {
        "lexical": remembering(lexical(passages)),
        "late interaction": remembering(late_interaction(model)),
    }
    return Tools(load_glossary(documents), scorers)


def tune(store: Remembering, train: Sequence[exam.Question], tools: Tools) -> dict:
    """Return the numbers that give the best hit@1 on the training questions."""

    def best(variant: Variant, candidates: Iterable[Tools]) -> Tools:
        asked = [question.question for question in train]
        return max(
            candidates,
            key=lambda t: mean_hit_at_1(train, rag_variants.find(variant, store, asked, t)),
        )

    tried = [dataclasses.replace(tools, linear_weight=w) for w in _TRIED]
    tools = best(Variant(search="linear"), tried)
    tried = [dataclasses.replace(tools, min_share=share) for share in _SHARES]
    tools = best(Variant(rewrite=True), tried)
    for variant in rag_variants.every_variant():
        if variant.rerank != "none" and not variant.rewrite:
            mixes = [{**tools.rerank_weights, variant.rerank_pair: w} for w in _TRIED]
            tools = best(variant, [dataclasses.replace(tools, rerank_weights=m) for m in mixes])
    return {
        "linear_weight": tools.linear_weight,
        "min_share": tools.min_share,
        "rerank_weights": dict(tools.rerank_weights),
    }


def mean_hit_at_1(questions: Sequence[exam.Question], found: Sequence[Sequence[Hit]]) -> float:
    """Return the share of questions whose first hit holds evidence."""
    firsts = [retrieval_metrics.relevance(q, h[:1]) for q, h in zip(questions, found, strict=True)]
    return sum(retrieval_metrics.hit_at_k(first, 1) for first in firsts) / len(firsts)


def measure(
    variant: Variant,
    store: Remembering,
    train: Sequence[exam.Question],
    test: Sequence[exam.Question],
    tools: Tools,
) -> dict:
    """Return one variant's scores on the test questions, and its hit@1 on the training ones."""
    chosen_by = rag_variants.find(variant, store, [q.question for q in train], tools)
    found = rag_variants.find(variant, store, [q.question for q in test], tools)
    return {
        "config": asdict(variant),
        "n_chunks": store.n_chunks,
        "train_hit_at_1": mean_hit_at_1(train, chosen_by),
        **score(test, found),
    }


def score(questions: Sequence[exam.Question], found: Sequence[Sequence[Hit]]) -> dict:
    """Return the scores of some hits, overall and by kind, with the ranks of their evidence.

    ``found_in_reading_words`` is the share of questions whose evidence stands within the first
    ``READING_WORDS`` words of passages: a fair score for chunks of different sizes.
    """
    ranks = [ranks_of(q, hits[:DEPTH]) for q, hits in zip(questions, found, strict=True)]
    scores = per_question(ranks, k=K)
    of_kind: dict[str, list[float]] = {}
    for question, hit in zip(questions, scores["hit_at_1"], strict=True):
        of_kind.setdefault(question.kind, []).append(hit)
    reading = [
        float(any(rank is not None and rank <= len(_readable(hits)) for rank in of_question))
        for of_question, hits in zip(ranks, found, strict=True)
    ]
    return {
        "words_of_first": bootstrap_mean([count_words(h[0].passage) for h in found if h]).mean,
        "metrics": {name: asdict(bootstrap_mean(scores[name])) for name in METRICS},
        "found_in_reading_words": asdict(bootstrap_mean(reading)),
        "hit_at_1_by_kind": {kind: asdict(bootstrap_mean(v)) for kind, v in of_kind.items()},
        "ranks": pack(ranks),
    }


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

    def hit_at_1(row: tuple[str, dict]) -> float:
        return row[1]["metrics"]["hit_at_1"]["mean"]

    rows = sorted(figures["variants"].items(), key=hit_at_1, reverse=True)
    lines = [f"{'hit@1':>6} {'nDCG@5':>7} {'difference of hit@1 to default':>32}  variant"]
    for name, row in rows:
        mean, low, high = (100 * row["difference"][key] for key in ("mean", "low", "high"))
        lines.append(
            f"{100 * hit_at_1((name, row)):6.1f} {100 * row['metrics']['ndcg_at_k']['mean']:7.1f} "
            f"{mean:+14.1f} ({low:+.1f} to {high:+.1f})  {name}"
        )
    return "\n".join(lines)


def _readable(hits: Sequence[Hit]) -> list[Hit]:
    """Return the first hits that together stay within ``READING_WORDS``, at least one."""
    kept: list[Hit] = []
    n_words = 0
    for hit in hits[:DEPTH]:
        n_words += count_words(hit.text)
        if kept and n_words > READING_WORDS:
            break
        kept.append(hit)
    return kept


def _by_cut(variants: Sequence[Variant]) -> list[list[Variant]]:
    groups: dict[str, list[Variant]] = {}
    for variant in variants:
        groups.setdefault(str(variant.cut), []).append(variant)
    return list(groups.values())
