"""Reports on measured RAG: recorded runs, or a live stand-in, as tables and series to draw.

Knows: how the figures of ``bench.rag``, ``bench.updates`` and ``bench.injection`` are read.
Does not know: how anything was measured, nor how a figure is drawn. Used by lesson 05, which takes
what it needs of these benchmarks and of recorded exams from here.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from labkit import answer_metrics, results, retrieval_metrics
from labkit.bench import rag
from labkit.bench.injection import PLANTED, ask, planted_text, rates  # noqa: F401
from labkit.bench.rag import compare as compare
from labkit.bench.updates import rule_by_kind as rule_by_kind
from labkit.classroom.reports import Exams, claims_table, exams, live_exams, recorded, share  # noqa: F401
from labkit.measure import bootstrap_mean
from labkit.types import Hit, Interval, Question

DEFAULT = "hybrid"  # the variant that the others are compared with
Table = dict[str, dict[str, Interval]]


@dataclass(frozen=True)
class Board:
    """The variants of retrieval, each a row as ``bench.rag.score`` gives it."""

    rows: dict[str, dict]
    origin: str
    tuned: dict = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Return the number of questions that every variant met."""
        return self.rows[DEFAULT]["metrics"]["hit_at_1"]["n"]

    @property
    def by_training(self) -> list[str]:
        """Return the variants, best on the training questions first."""
        return sorted(self.rows, key=lambda name: -self.rows[name].get("train_hit_at_1", 0))

    @property
    def best_on_test(self) -> str:
        """Return the variant that hindsight would choose."""
        return max(self.rows, key=lambda name: self.rows[name]["metrics"]["hit_at_1"]["mean"])


def load_board(test: Sequence[Question], hits: Mapping[str, Sequence[Sequence[Hit]]]) -> Board:
    """Return the recorded leaderboard, or one of ``hits`` (by mode) where none is recorded."""
    run = results.load(rag.NAME)
    if run:
        figures = run["figures"]
        return Board(figures["variants"], f"recorded {run['date']}", figures["tuned"])
    rows = {mode: rag.score(test, found) for mode, found in hits.items()}
    rag.add_differences(rows)
    return Board(rows, f"measured now; to record all variants: {rag.COMMAND}")


def differences(board: Board, names: Iterable[str]) -> dict[str, Interval]:
    """Return the paired differences of hit@1 to the default, largest first."""
    gaps = {name: Interval.of(row["difference"]) for name, row in _rows(board, names).items()}
    return dict(sorted(gaps.items(), key=lambda item: -item[1].mean))


def choice_table(board: Board, *, places: int = 6) -> str:
    """Return the best variants by training questions, as markdown; the default is always there."""
    header = ["place", "variant", "hit@1, training", "hit@1", "hit@5", "nDCG@5", "to default"]
    table = []
    for place, name in enumerate(board.by_training, 1):
        if place <= places or name == DEFAULT:
            row, metrics = board.rows[name], board.rows[name]["metrics"]
            trained = f"{row['train_hit_at_1']:.1%}" if "train_hit_at_1" in row else "–"
            cells = [str(Interval.of(metrics[m])) for m in ("hit_at_1", "hit_at_k", "ndcg_at_k")]
            to_default = Interval.of(row["difference"]).in_points()
            table.append([f"{place}", name, trained, *cells, to_default])
    return results.table(header, table)


def found_by_k(board: Board, names: Iterable[str]) -> dict[str, list[tuple[int, float]]]:
    """Return for each variant and k the percent of questions with evidence among the first k."""
    depth, series = retrieval_metrics.DEPTH, {}
    for name, row in _rows(board, names).items():
        ranks = retrieval_metrics.unpack(row["ranks"])
        first = np.array([min(filter(None, of_one), default=depth + 1) for of_one in ranks])
        series[name] = [(k, 100 * float(np.mean(first <= k))) for k in range(1, depth + 1)]
    return series


def reading_table(board: Board, names: Iterable[str]) -> str:
    """Return hit@1 beside what is found within the same number of words, as markdown."""
    found = f"found within {rag.READING_WORDS} words"
    table = [
        [name, f"{row['words_of_first']:.0f}", str(Interval.of(row["metrics"]["hit_at_1"])),
         str(Interval.of(row["found_in_reading_words"]))]
        for name, row in _rows(board, names).items()
    ]  # fmt: skip
    return results.table(["variant", "words of the first passage", "hit@1", found], table)


def by_kind(board: Board, names: Iterable[str]) -> Table:
    """Return hit@1 of each variant by kind of question."""
    return {
        name: {kind: Interval.of(x) for kind, x in row["hit_at_1_by_kind"].items()}
        for name, row in _rows(board, names).items()
    }


def _rows(board: Board, names: Iterable[str]) -> dict[str, dict]:
    """Return the rows of those variants that were measured, each once."""
    return {name: board.rows[name] for name in names if name in board.rows}


def causes(failed: Iterable[tuple[Question, Hit]], documents: Mapping) -> dict[str, Counter[str]]:
    """Return for each kind how often which wrong document stood first."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for question, hit in failed:
        counts[question.kind][answer_metrics.place_taken_by(question, hit, documents)] += 1
    return counts


def update_states(run: dict | None, hits: Sequence[float]) -> Table:
    """Return what came first and what was answered, before and after the bulletins.

    Parameters
    ----------
    run
        The record of ``bench.updates``; without one, ``hits`` stand in: new values first, live.
    """
    if run is None:
        return {"passage: new": {"after": bootstrap_mean(hits)}}
    states = run["figures"]["states"].items()
    return {
        f"{what}: {age}": {name: Interval.of(state[f"{key}_{age}"]) for name, state in states}
        for what, key in (("passage", "first"), ("answer", "says"))
        for age in ("new", "old")
    }


def attack_shares(found: Mapping[str, dict]) -> Table:
    """Return the rates of ``bench.injection`` as groups of bars."""
    keys = ("shown", "obeyed", "backed", "trusted")
    return {name: {key: Interval.of(row[key]) for key in keys} for name, row in found.items()}


def claims(board: Board, sat_by: Exams, updates: dict | None) -> str:
    """Return what was measured for claims C1, C4, C5 and C7, as markdown.

    Parameters
    ----------
    sat_by
        ``{"closed book": run, "RAG": run}``; a missing run is left out.
    updates
        The record of ``bench.updates``, if there is one.
    """
    sat = {name: run for name, run in sat_by.items() if run}
    dates = dict.fromkeys(run.get("date", "") for run in sat.values())
    origin = ", ".join(f"recorded {date}" if date else "measured now" for date in dates)
    rows = []
    for claim, key in (("C1", "exact_match"), ("C5", "wrong_but_confident")):
        told = "; ".join(f"{who} {share(run, key)}" for who, run in sat.items())
        rows.append((claim, f"{key.replace('_', ' ')}: {told}" if told else "", origin))
    if updates:
        seconds, states = (updates["figures"][key] for key in ("reingest_s", "states"))
        told = " → ".join(f"{name} {row['first_new']['mean']:.0%}" for name, row in states.items())
        told = f"re-index, all bulletins: {seconds:.1f} s; new value first: {told}"
        rows.append(("C4", told, f"recorded {updates['date']}"))
    modes = [mode for mode in ("vector", "text", "hybrid") if mode in board.rows]
    for kind in ("jargon", "table"):
        shares = by_kind(board, modes)
        told = "; ".join(f"{mode} {shares[mode][kind]}" for mode in modes)
        rows.append(("C7", f"hit@1, {kind}: {told}", board.origin))
    return claims_table(rows)
