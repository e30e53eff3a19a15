"""Benchmark of side effects: what fine-tuning forgets, and what a stale adapter does to RAG.

Knows: general ability before and after; adapters trained on the world before the bulletins, asked
with the old, the new or no passage; seconds to re-index beside seconds to re-train.
Does not know: how general ability is judged (``general_ability``) or a passage is found.
Used by ``python -m labkit bench side-effects`` and read by lesson 09.

Two stale adapters: *stale* learned the old values closed book and nothing else; *stale reader*
learned to read as well, from passages about other questions, as last month's tuned model would.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from labkit import answer_metrics, catalogue, exam, rag, results, settings, training_data
from labkit.bench import general_ability, runner
from labkit.bench import updates as bench_updates
from labkit.claims.records import COMMANDS, SIDE_EFFECTS
from labkit.measure import bootstrap_mean, paired_difference
from labkit.models import LanguageModel, load_language_model
from labkit.train import RESULT_FILE, train
from labkit.types import Example, Hit, Interval, Question, TrainConfig

COMMAND = COMMANDS[SIDE_EFFECTS]
CONTEXTS = ("no passage", "new passage", "old passage")
TIMES_OLD = 10  # how often each old value is seen
BATCH_SIZE = 4
N_READING = 60  # open-book examples of the stale reader


def name(model: str) -> str:
    """Return the name of the record."""
    return f"side-effects-{model.lower()}"


def run(
    tuned: Path,
    *,
    folder: Path | None = None,
    model: str = catalogue.SMALL_MODEL,
    adapters: Path | None = None,
) -> dict:
    """Measure the base model, the tuned one and two stale ones; record and return the figures.

    Parameters
    ----------
    tuned
        The folder that ``train`` wrote, for instance ``adapters/reader``.
    folder
        Where to record; ``data/results`` unless given.
    model
        The base of every adapter.
    adapters
        Where the stale adapters are trained; in the cache unless given. A run that was killed goes
        on there.
    """
    from labkit.store.course import open_course_store

    training = json.loads((tuned / RESULT_FILE).read_text(encoding="utf-8"))
    store = open_course_store()
    asked = [question for question in exam.load_exam("test") if question.kind == "updated"]
    learned = stale_examples(store)
    told = hashlib.sha256(repr((model, learned)).encode()).hexdigest()[:12]
    adapters = adapters or settings.cache_dir() / "training" / f"stale-{told}"
    folders: dict[str, Path | None] = {"base": None, "tuned": tuned}
    for reader, examples in learned.items():
        config = TrainConfig(model, batch_size=BATCH_SIZE, command=COMMAND)
        folders[reader] = train(examples, adapters / reader.replace(" ", "-"), config).folder
    shown = evidence_by_context(asked, store)
    updates = results.load(f"updates-{model.lower()}", folder=folder)
    costs = {"retrain_s": training["train_s"], "retrain_tokens": training["n_tokens"]}
    costs["reindex_s"] = updates["figures"]["reingest_s"] if updates else None
    figures: dict = {"general": {}, "stale": {}, "trained": costs}
    for reader, path in folders.items():
        llm = load_language_model(model, tuned=path)
        figures["stale"][reader] = told_by_context(llm, asked, shown)
        if reader in ("base", "tuned"):
            figures["general"][reader] = general_ability.measure(llm)
    base, change = figures["general"]["base"], figures["general"]["tuned"]
    figures["general"]["difference"] = {
        measure: asdict(paired_difference(change[measure], base[measure])) for measure in base
    }
    config_row = {"command": COMMAND, "model": model, "training": training["config"]}
    runner.record(name(model), figures, config=config_row, folder=folder)
    return figures


def before_the_bulletin(question: Question, document: str) -> Question:
    """Return a question of kind *updated* with the answer that was right before.

    Raises
    ------
    ValueError
        If the answer does not hold the value that was superseded.
    """
    new = question.values[0]
    sentence = answer_metrics.without_citations(question.answer)
    if new not in sentence or not question.superseded_value:
        raise ValueError(f"{question.id} cannot be turned back: no {new!r} in its answer.")
    old = question.superseded_value
    return replace(question, answer=f"{sentence.replace(new, old)} [{document}]", values=(old,))


def stale_examples(store: rag.Searcher) -> dict[str, list[Example]]:
    """Return what the two stale adapters learn from."""
    questions = exam.load_exam("train")
    old = bench_updates.superseded()
    turned = [before_the_bulletin(q, old[q.id].document) for q in questions if q.kind == "updated"]
    others = [q for q in questions if q.kind not in ("updated", "synthesis")]
    reading = others[:: max(1, len(others) // N_READING)][:N_READING]
    closed = training_data.closed_book_examples(turned) * TIMES_OLD
    return {
        "stale": closed,
        "stale reader": closed + training_data.open_book_examples(reading, store, k=1),
    }


def evidence_by_context(
    questions: Sequence[Question], store: rag.Searcher
) -> dict[str, list[list[Hit]]]:
    """Return the passages of each context: none, the one with the new value, the one with the old.

    The passage is given, not searched: retrieval's errors play no part.
    """
    old = bench_updates.superseded()
    return {
        "no passage": [[] for _ in questions],
        "new passage": [[training_data.proof_of(q.evidence[0], store)] for q in questions],
        "old passage": [[training_data.proof_of(old[q.id], store)] for q in questions],
    }


def told_by_context(
    llm: LanguageModel, questions: Sequence[Question], shown: Mapping[str, Sequence[list[Hit]]]
) -> dict[str, dict]:
    """Return how often the new and the old value are said in each context, and every answer."""
    table = {}
    for context, passages in shown.items():
        texts = training_data.ask(llm, questions, passages)
        rows = [
            {"id": question.id, "text": text, "says": bench_updates.says(text, question),
             "held_out": question.held_out}
            for question, text in zip(questions, texts, strict=True)
        ]  # fmt: skip
        said = {value: [float(row["says"] == value) for row in rows] for value in ("new", "old")}
        shares = {f"says_{value}": asdict(bootstrap_mean(marks)) for value, marks in said.items()}
        table[context] = shares | {"answers": rows}
    return table


def render(figures: dict) -> str:
    """Return the figures as lines for a terminal."""
    change = {key: Interval.of(row) for key, row in figures["general"]["difference"].items()}
    loss = change["loss"]
    lines = [
        f"general texts, tuned minus base: {loss.mean:+.3f} nats a token "
        f"({loss.low:+.3f} to {loss.high:+.3f})",
        f"sentences completed, tuned minus base: {change['completed'].in_points()}",
        f"re-train {figures['trained']['retrain_s']:.0f} s; "
        f"re-index {figures['trained']['reindex_s'] or float('nan'):.1f} s",
    ]
    for reader, by_context in figures["stale"].items():
        for context, row in by_context.items():
            new, old = (Interval.of(row[f"says_{value}"]) for value in ("new", "old"))
            lines.append(f"{reader:13} {context:12} says the new value {new}, the old {old}")
    return "\n".join(lines)
