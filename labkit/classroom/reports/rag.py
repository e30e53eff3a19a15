"""Reports on measured RAG: recorded runs, or a live stand-in, as tables and series to draw.

Knows: how the figures of ``bench_rag``, ``bench_updates`` and ``bench_injection`` are read.
Does not know: how anything was measured, nor how a figure is drawn (``plots_rag``).
Used by lesson 05.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from labkit import answer_metrics, results, retrieval_metrics
from labkit.bench import rag as bench_rag
from labkit.measure import bootstrap_mean
from labkit.types import Hit, Interval, Question

Table = dict[str, dict[str, Interval]]


@dataclass(frozen=True)
class Board:
    """The variants of retrieval, each a row as ``bench_rag.score`` gives it."""

    rows: dict[str, dict]
    origin: str
    tuned: dict = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Return the number of questions that every variant met."""
        return self.rows["hybrid"]["metrics"]["hit_at_1"]["n"]

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
    run = results.load(bench_rag.NAME)
    if run:
        figures = run["figures"]
        return Board(figures["variants"], f"recorded {run['date']}", figures["tuned"])
    rows = {mode: bench_rag.score(test, found) for mode, found in hits.items()}
    bench_rag.add_differences(rows)
    return Board(rows, f"measured now; to record all variants: {bench_rag.COMMAND}")


def differences(board: Board, names: Iterable[str]) -> dict[str, Interval]:
    """Return the paired differences of hit@1 to the default, largest first."""
    gaps = {
        name: Interval.of(board.rows[name]["difference"]) for name in names if name in board.rows
    }
    return dict(sorted(gaps.items(), key=lambda item: -item[1].mean))


def choice_table(board: Board, *, places: int = 6, always: str = "hybrid") -> str:
    """Return the best variants by training questions, as markdown, with their test scores."""
    header = ["place", "variant", "hit@1, training", "hit@1", "hit@5", "nDCG@5", "to default"]
    table = []
    for place, name in enumerate(board.by_training, 1):
        if place <= places or name == always:
            row, metrics = board.rows[name], board.rows[name]["metrics"]
            trained = f"{row['train_hit_at_1']:.1%}" if "train_hit_at_1" in row else "–"
            cells = [str(Interval.of(metrics[m])) for m in ("hit_at_1", "hit_at_k", "ndcg_at_k")]
            to_default = Interval.of(row["difference"]).in_points()
            table.append([f"{place}", name, trained, *cells, to_default])
    return results.table(header, table)


def found_by_k(board: Board, names: Iterable[str]) -> dict[str, list[tuple[float, float]]]:
    """Return for each variant and k the percent of questions with evidence among the first k."""
    series = {}
    for name in names:
        first = [min((r for r in rs if r), default=retrieval_metrics.DEPTH + 1)
                 for rs in retrieval_metrics.unpack(board.rows[name]["ranks"])]  # fmt: skip
        series[name] = [
            (float(k), 100 * sum(rank <= k for rank in first) / len(first))
            for k in range(1, retrieval_metrics.DEPTH + 1)
        ]
    return series


def reading_table(board: Board, names: Iterable[str]) -> str:
    """Return hit@1 beside what is found within the same number of words, as markdown."""
    header = ["variant", "words of the first passage", "hit@1"]
    header.append(f"found within {bench_rag.READING_WORDS} words")
    table = []
    for name in names:
        if name in board.rows:
            row = board.rows[name]
            shares = (row["metrics"]["hit_at_1"], row["found_in_reading_words"])
            words = f"{row['words_of_first']:.0f}"
            table.append([name, words, *(str(Interval.of(share)) for share in shares)])
    return results.table(header, table)


def by_kind(board: Board, names: Iterable[str]) -> dict[str, dict[str, float]]:
    """Return hit@1 of each variant by kind of question."""
    return {
        name: {k: share["mean"] for k, share in board.rows[name]["hit_at_1_by_kind"].items()}
        for name in dict.fromkeys(names)
        if name in board.rows
    }


def causes(failed: Iterable[tuple[Question, Hit]], documents: Mapping) -> dict[str, dict[str, int]]:
    """Return for each kind how often which wrong paper stood first."""
    counts: dict[str, dict[str, int]] = {}
    for question, hit in failed:
        of_kind = counts.setdefault(question.kind, {})
        cause = answer_metrics.place_taken_by(question, hit, documents)
        of_kind[cause] = of_kind.get(cause, 0) + 1
    return counts


def update_states(run: dict | None, hits: Sequence[float]) -> Table:
    """Return what came first and what was answered, before and after the bulletins.

    Parameters
    ----------
    run
        The record of ``bench_updates``; without one, ``hits`` stand in: new values first, live.
    """
    if run is None:
        return {"passage: new": {"after": bootstrap_mean(hits)}}
    labels = {"first_new": "passage: new", "first_old": "passage: old"}
    labels |= {"says_new": "answer: new", "says_old": "answer: old"}
    return {
        label: {name: Interval.of(state[key]) for name, state in run["figures"]["states"].items()}
        for key, label in labels.items()
    }


def attack_shares(rates: Mapping[str, dict]) -> Table:
    """Return the rates of ``bench_injection`` as groups of bars, names broken into lines."""
    return {
        name.replace(",", "").replace(" ", "\n"): {
            key: Interval.of(row[key]) for key in ("shown", "obeyed", "backed", "trusted")
        }
        for name, row in rates.items()
    }


def claims_table(board: Board, exams: Mapping[str, dict | None], updates: dict | None) -> str:
    """Return what was measured for claims C1, C4, C5 and C7, as markdown.

    Parameters
    ----------
    exams
        ``{"closed book": run, "RAG": run}``; a missing run is left out.
    updates
        The record of ``bench_updates``, if there is one.
    """
    sat = {name: run for name, run in exams.items() if run}
    origin = ", ".join(dict.fromkeys(f"{run.get('date', 'now')}" for run in sat.values()))
    table = []
    for claim, key in (("C1", "exact_match"), ("C5", "wrong_but_confident")):
        told = "; ".join(f"{who} {Interval.of(run['figures'][key])}" for who, run in sat.items())
        table.append([claim, key.replace("_", " "), told, origin])
    if updates:
        new = updates["figures"]["states"]
        told = " → ".join(f"{state} {row['first_new']['mean']:.0%}" for state, row in new.items())
        seconds = f"{updates['figures']['reingest_s']:.1f} s; new value first: {told}"
        table.append(["C4", "re-index, all bulletins", seconds, updates["date"]])
    for kind in ("jargon", "table"):
        modes = [mode for mode in ("vector", "text", "hybrid") if mode in board.rows]
        shares = (Interval.of(board.rows[mode]["hit_at_1_by_kind"][kind]) for mode in modes)
        told = "; ".join(f"{mode} {share}" for mode, share in zip(modes, shares, strict=True))
        table.append(["C7", f"hit@1, {kind}", told, board.origin])
    header = ["claim", "measure", "result, 95 % interval", "recorded"]
    return results.table(header, table)
