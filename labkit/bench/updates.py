"""Benchmark of changing facts: the bulletins arrive, and the store and the answers must follow.

Knows: the store without bulletins, with them, and with the rule that newer wins, on the questions
whose answer a bulletin changed. Does not know: how the rule works (``rerank``).
Used by ``python -m labkit bench updates`` and read by lesson 05.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from labkit import answer_metrics, catalogue, exam, rag, retrieval_metrics, settings
from labkit.bench import runner
from labkit.bench.rag import course_folders, hits_at_1
from labkit.embed import load_embedder
from labkit.measure import bootstrap_mean, paired_difference, sign_flip_p
from labkit.models import LanguageModel, load_language_model
from labkit.rerank import newer_wins
from labkit.store import Store, open_store
from labkit.types import Evidence, Hit, Question

COMMAND = "python -m labkit bench updates"
DEPTH = 20
_OVERLAPS = (0.0, 0.1, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 1.01)


def run(*, folder: Path | None = None, model: str = catalogue.SMALL_MODEL) -> dict:
    """Ingest without and with the bulletins, ask both, record and return what changed.

    Parameters
    ----------
    folder
        Where to record; ``data/results`` unless given.
    model
        Who answers.
    """
    embedder, llm = load_embedder(), load_language_model(model)
    train, test = ([q for q in exam.load_exam(s) if q.evidence] for s in ("train", "test"))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        open_store(scratch, embedder).ingest(everything_but_bulletins())
        store = open_store(scratch, embedder)  # what arrives now is embedded for real
        before = _ask(store, test)
        store.tag("before")
        report = store.ingest(course_folders())
        after = _ask(store, test)
        again = _ask(store.at_version("before"), test)
        min_overlap = choose_overlap(train, _ask(store, train))
    ruled = [newer_wins(hits, min_overlap=min_overlap) for hits in after]
    blind = [newer_wins(hits) for hits in after]
    states = {"before": before, "after": after, "newer wins": ruled}
    figures = {
        "bulletins": {"n_documents": report.added, "n_chunks": report.chunks_embedded},
        "reingest_s": report.wall_s,
        "old_version_gives_old_hits": _ids(again) == _ids(before),
        "min_overlap": min_overlap,
        "states": {name: of_updated(test, found, llm) for name, found in states.items()},
        "rule_by_kind": rule_by_kind(test, after, ruled),
        "blind_rule_by_kind": rule_by_kind(test, after, blind),
    }
    config = {"command": COMMAND, "model": model, "k": 1, "mode": "hybrid", "depth": DEPTH}
    runner.record(f"updates-{model.lower()}", figures, config=config, folder=folder)
    return figures


def everything_but_bulletins() -> list[Path]:
    """Return the course's folders of documents and tables, without the bulletins."""
    documents = settings.data_dir() / "documents"
    folders = sorted(f for f in documents.iterdir() if f.is_dir() and f.name != "bulletins")
    return [*folders, settings.data_dir() / "tables"]


def superseded() -> dict[str, Evidence]:
    """Return where the old value stands, by the id of each question that a bulletin changed."""
    return {
        row["id"]: Evidence(row["superseded_document"], row["superseded_quote"])
        for split in ("train", "test")
        for row in exam.exam_dataset(split)
        if row["kind"] == "updated"
    }


def choose_overlap(train: Sequence[Question], found: Sequence[Sequence[Hit]]) -> float:
    """Return the ``min_overlap`` of the rule with the best hit@1 over all training questions."""

    def n_right(min_overlap: float) -> float:
        return sum(hits_at_1(train, [newer_wins(h, min_overlap=min_overlap) for h in found]))

    return max(_OVERLAPS, key=n_right)


def of_updated(
    questions: Sequence[Question], found: Sequence[Sequence[Hit]], llm: LanguageModel
) -> dict:
    """Return what comes first and what is answered, for the questions that a bulletin changed."""
    pairs = [(q, h) for q, h in zip(questions, found, strict=True) if q.kind == "updated"]
    conversations = [rag.build_messages(q.question, hits[:1]) for q, hits in pairs]
    texts = [generation.text for generation in llm.generate_batch(conversations)]
    old = superseded()
    rows = [
        {
            "id": question.id,
            "first": holds(hits[0], question, old[question.id]),
            "text": text,
            "says": says(text, question),
        }
        for (question, hits), text in zip(pairs, texts, strict=True)
    ]
    shares = {
        f"{key}_{value}": asdict(bootstrap_mean([row[key] == value for row in rows]))
        for key in ("first", "says")
        for value in ("new", "old")
    }
    return {**shares, "answers": rows}


def holds(hit: Hit, question: Question, old: Evidence) -> str:
    """Say which value a chunk proves: ``new``, ``old`` or ``neither``."""
    if any(retrieval_metrics.holds_evidence(hit, evidence) for evidence in question.evidence):
        return "new"
    return "old" if retrieval_metrics.holds_evidence(hit, old) else "neither"


def says(text: str, question: Question) -> str:
    """Say which value an answer gives: ``new`` (scored as right), ``old`` or ``neither``."""
    if answer_metrics.score_answer(question, text, citations=[]).exact_match:
        return "new"
    old = question.superseded_value
    return "old" if old and answer_metrics.contains_value(text, old) else "neither"


def rule_by_kind(
    questions: Sequence[Question], after: Sequence[Sequence[Hit]], ruled: Sequence[Sequence[Hit]]
) -> dict[str, dict]:
    """Return the paired difference of hit@1 that a rule makes, for each kind and all."""
    scores = {"rule": hits_at_1(questions, ruled), "plain": hits_at_1(questions, after)}
    kinds = pd.DataFrame(scores).groupby([q.kind for q in questions], sort=False)
    table = {}
    for kind, part in [("all", pd.DataFrame(scores)), *kinds]:
        rule, plain = part["rule"].tolist(), part["plain"].tolist()
        table[kind] = {
            "rule": asdict(bootstrap_mean(rule)),
            "plain": asdict(bootstrap_mean(plain)),
            "difference": asdict(paired_difference(rule, plain)),
            "p": sign_flip_p(rule, plain),
        }
    return table


def render(figures: dict) -> str:
    """Return the figures as lines for a terminal."""
    lines = [f"{figures['bulletins']['n_documents']} bulletins in {figures['reingest_s']:.1f} s"]
    for name, state in figures["states"].items():
        shares = (f"{key}: {state[key]['mean']:.0%}" for key in state if key != "answers")
        lines.append(f"{name:11} {', '.join(shares)}")
    for kind, row in figures["rule_by_kind"].items():
        lines.append(f"{kind:11} rule {row['difference']['mean']:+.1%} hit@1 (p = {row['p']:.3f})")
    return "\n".join(lines)


def _ask(store: Store, questions: Sequence[Question]) -> list[list[Hit]]:
    return store.search_many([q.question for q in questions], k=DEPTH)


def _ids(found: Sequence[Sequence[Hit]]) -> list[list[str]]:
    return [[hit.chunk_id for hit in hits] for hits in found]
