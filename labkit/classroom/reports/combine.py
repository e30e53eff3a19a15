"""Reports on RAG and fine-tuning together: recorded runs as tables and series to draw.

Knows: the two-by-two of readers and books, how its cells are compared question by question, and
how the records of ``bench.data_size`` and ``bench.side_effects`` are read; what is not recorded yet
is left out, and ``missing`` says which command records it.
Does not know: how anything was measured, nor how a figure is drawn. Used by lesson 09.
"""

import operator
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from labkit import answer_metrics, exam, results
from labkit.bench.general_ability import completes, load_clozes, load_texts, mean_loss
from labkit.bench.side_effects import CONTEXTS as CONTEXTS
from labkit.claims.records import BASE, BOTH, COMMANDS, DATA_SIZE, LORA, QLORA, RAG, SIDE_EFFECTS
from labkit.claims.verdicts import Records, origin_of
from labkit.classroom.reports import claims_table, judge_all, load_records  # noqa: F401
from labkit.measure import bootstrap_mean, paired_difference
from labkit.models import LanguageModel
from labkit.types import Interval

SIZES, EFFECTS = DATA_SIZE, SIDE_EFFECTS
FOUR = {"base, closed book": BASE, "base, RAG": RAG, "LoRA, closed book": LORA, "LoRA, RAG": BOTH}
CELLS = FOUR | {
    "QLoRA, closed book": "exam-lora-{model}-qlora",
    "QLoRA, RAG": QLORA,
    "base, RAG, k = 3": "exam-rag-{model}-k3",
    "base, RAG, k = 3, reranked": "exam-rag-{model}-k3-reranked",
    "LoRA, RAG, early abstention": "exam-both-{model}-early-refusal",
    "LoRA, RAG, never abstains": "exam-both-{model}-never-refuses",
    "LoRA, RAG, k = 3": "exam-both-{model}-k3",
    "LoRA, RAG, k = 3, reranked": "exam-both-{model}-k3-reranked",
    "LoRA, RAG, k = 3, reranked, never abstains": "exam-both-{model}-k3-reranked-never-refuses",
}
BEHAVIOUR = {
    "exact_match": "right",
    "wrong_but_confident": "wrong but confident",
    "abstention_recall": "abstains on the unanswerable",
    "false_abstention": "abstains on the answerable",
    "house_format": "house format",
    "house_terms": "house terms",
    "citation_precision": "citations right",
}
KEEPS = {"at least": operator.ge, "at most": operator.le}
GOALS: tuple[tuple[str, str, float, dict], ...] = (
    ("right, lookup, held-out documents", "at least", 0.90, dict(kinds=["lookup"], held_out=True)),
    ("abstains on the unanswerable", "at least", 0.80, dict(metric="abstention_recall")),
    ("abstains on the answerable", "at most", 0.10, dict(metric="false_abstention")),
)
CLEAN = "labels as written"
Shares = dict[str, dict[str, Interval | None]]


def cells(records: Records) -> dict[str, str]:
    """Return the recorded cells, each with the pattern of its run's name."""
    return {name: pattern for name, pattern in CELLS.items() if records.matching(pattern)}


def missing(records: Records, *needed: str) -> str:
    """Return a line that names the commands whose records are absent, or nothing.

    Parameters
    ----------
    needed
        Patterns of records; the four cells if none is named.
    """
    absent = [COMMANDS[name] for name in needed or FOUR.values() if not records.matching(name)]
    return "not recorded yet; run: " + "; ".join(dict.fromkeys(absent)) if absent else ""


def run_of(records: Records, pattern: str) -> dict | None:
    """Return the record of a pattern such as ``SIZES`` or ``EFFECTS``, or ``None``."""
    return next(iter(records.matching(pattern)), None)


def origin(records: Records, patterns: Sequence[str] = tuple(FOUR.values())) -> str:
    """Return where and when the runs were recorded, each once."""
    runs = [run for pattern in patterns for run in records.matching(pattern)]
    return "; ".join(dict.fromkeys(origin_of(run) for run in runs)) or "not recorded yet"


def share(
    records: Records, cell: str, metric: str = "exact_match", *,
    kinds: Sequence[str] = exam.KINDS, held_out: bool | None = None,
) -> Interval | None:  # fmt: skip
    """Return a metric of one cell over a part of the exam.

    ``None`` where nothing has a say, or the cell is not recorded.

    Parameters
    ----------
    cell
        A key of ``CELLS``.
    metric
        A key of ``answer_metrics.METRICS``.
    kinds, held_out
        Which kinds count, and whether only questions of held-out (or of the other) documents do.
    """
    scores = records.scores(CELLS[cell]) if records.matching(CELLS[cell]) else {}
    part = [q for q in records.questions if q.kind in kinds and held_out in (None, q.held_out)]
    ids = sorted(question.id for question in part if question.id in scores)
    return answer_metrics.average([scores[name] for name in ids], metric)


def _shares(records: Records, some: Iterable[str], parts: Mapping[str, dict]) -> Shares:
    """Return the share of some cells in named parts of the exam; a part is options of ``share``."""
    return {cell: {name: share(records, cell, **part) for name, part in parts.items()}
            for cell in some}  # fmt: skip


def by_kind(records: Records) -> Shares:
    """Return the right answers of each cell by kind of question, and over all.

    *No answer* are the unanswerable ones, where right means abstained.
    """
    groups = {kind.replace("unanswerable", "no answer"): {"kinds": [kind]} for kind in exam.KINDS}
    return _shares(records, cells(records), groups | {"all": {}})


def by_place(records: Records) -> Shares:
    """Return right answers on answerable questions, by cell, for seen and held-out documents.

    Tables are not held out, so their questions are left out on both sides.
    """
    kinds = [kind for kind in exam.KINDS if kind not in ("unanswerable", "table")]
    places = {"seen documents": False, "held-out documents": True}
    parts = {name: {"kinds": kinds, "held_out": on} for name, on in places.items()}
    return _shares(records, [cell for cell in cells(records) if cell in FOUR], parts)


def effects(records: Records) -> dict[str, Interval]:
    """Return what RAG, LoRA and both add to the base model, and what is left over.

    The last entry answers whether they add up: both, minus RAG, minus LoRA, plus base, question by
    question. At zero the gains just add; above, each helps the other.
    """
    if missing(records):
        return {}
    scores = [records.scores(pattern) for pattern in FOUR.values()]
    shared = sorted(set.intersection(*map(set, scores)))
    base, rag, lora, both = np.array([[row[n].exact_match for n in shared] for row in scores])
    pairs = {
        "RAG alone − base": (rag, base),
        "LoRA alone − base": (lora, base),
        "both − RAG": (both, rag),
        "both − LoRA": (both, lora),
        "both − sum of the gains": (both - lora, rag - base),
    }
    return {name: paired_difference(*pair) for name, pair in pairs.items()}


def sums_up(gains: Mapping[str, Interval]) -> str:
    """Say in words whether the gains add up, from the output of ``effects``."""
    if not gains:
        return "not known yet"
    rest = gains["both − sum of the gains"]
    if not rest.excludes_zero:
        return "no more than a sum"
    return f"together {'more' if rest.low > 0 else 'less'} than the sum of their gains"


def behaviour_table(records: Records) -> str:
    """Return how the answers of each cell behave, as markdown."""
    found = _shares(records, cells(records), {metric: {"metric": metric} for metric in BEHAVIOUR})
    rows = [[cell, *(str(x or "–") for x in row.values())] for cell, row in found.items()]
    return results.table(["cell", *BEHAVIOUR.values()], rows)


def goals(records: Records) -> str:
    """Return the goals of the course beside what each combination reached, as markdown.

    What is reached is bold.
    """
    combined = [cell for cell in cells(records) if cell.startswith("LoRA, RAG")]
    if not combined:
        return missing(records, BOTH)
    rows = []
    for what, bound, line, part in GOALS:
        found = [share(records, cell, **part) for cell in combined]
        told = [f"**{x}**" if x and KEEPS[bound](x.mean, line) else str(x or "–") for x in found]
        rows.append([what, f"{bound} {100 * line:.0f} %", *told])
    return results.table(["", "goal", *combined], rows)


def size_series(run: Mapping) -> dict[str, list[tuple[float, Interval]]]:
    """Return ``(examples, right answers)`` of a recorded ``data-size``, by kind of labels."""
    series: dict[str, list[tuple[float, Interval]]] = {}
    for row in sorted(run["figures"]["runs"], key=lambda row: (row["noise"], row["n_examples"])):
        name = f"{row['noise']:.0%} wrong labels" if row["noise"] else CLEAN
        right = bootstrap_mean([answer["exact_match"] for answer in row["answers"]])
        beside = 1.08 if row["noise"] else 1  # its clean twin: drawn beside it, not on it
        series.setdefault(name, []).append((row["n_examples"] * beside, right))
    return series


def stale_shares(run: Mapping, *, context: str) -> dict[str, dict[str, Interval]]:
    """Return which value each reader of a recorded ``side-effects`` says in one context."""
    told = {reader: row[context] for reader, row in run["figures"]["stale"].items()}
    return {
        reader: {f"says the {age} value": Interval.of(row[f"says_{age}"]) for age in ("new", "old")}
        for reader, row in told.items()
    }


def general_now(llm: LanguageModel, n_clozes: int, n_texts: int) -> tuple[Interval, Interval]:
    """Return how often a model completes sentences rightly, and its loss on general texts, now."""
    done = bootstrap_mean([completes(llm, cloze) for cloze in load_clozes()[:n_clozes]])
    return done, bootstrap_mean([mean_loss(llm, text) for text in load_texts()[:n_texts]])


def general_table(run: Mapping) -> str:
    """Return general ability before and after a recorded fine-tuning, as markdown."""
    figures = run["figures"]["general"]
    loss, completed = (Interval.of(figures["difference"][key]) for key in ("loss", "completed"))
    readers = figures["base"], figures["tuned"]
    before, after = (bootstrap_mean(reader["loss"]) for reader in readers)
    done = (bootstrap_mean(reader["completed"]) for reader in readers)
    rows = [
        ["loss on general texts, nats a token", f"{before.mean:.3f}", f"{after.mean:.3f}",
         f"{loss.mean:+.3f} ({loss.low:+.3f} to {loss.high:+.3f})"],
        ["sentences completed rightly", *map(str, done), completed.in_points()],
    ]  # fmt: skip
    return results.table(["", "base", "tuned", "tuned minus base"], rows)


def four(records: Records) -> Shares:
    """Return right answers by reader and book; ``None`` where a cell is not recorded."""
    books = ("closed book", "RAG")
    return {who: {book: share(records, f"{who}, {book}") for book in books}
            for who in ("base", "LoRA")}  # fmt: skip


def four_finding(rows: Mapping[str, Mapping[str, Interval | None]]) -> str:
    """Return the two-by-two in a sentence, for a title."""
    known = [part.mean for row in rows.values() for part in row.values() if part]
    if len(known) < len(FOUR):
        return f"{len(known)} of the four cells are recorded"
    base, rag, lora, both = known
    return f"RAG alone {rag:.0%}, LoRA alone {lora:.0%}, both {both:.0%} (neither {base:.0%})"


def size_finding(series: Mapping[str, Sequence[tuple[float, Interval]]]) -> str:
    """Return the data-size curve in a sentence, for a title."""
    clean = {n: part.mean for n, part in series[CLEAN]}
    few, most = min(n for n in clean if n), max(clean)
    told = f"{few} examples: {clean[few]:.0%} right, {most}: {clean[most]:.0%}"
    spoiled = [(name, *point) for name in series if name != CLEAN for point in series[name]]
    for name, n, part in spoiled:
        twin = min(clean, key=lambda size: abs(size - n))
        told += f"; {name} change {100 * (part.mean - clean[twin]):+.0f} points"
    return told


def stale_finding(shares: Mapping[str, Mapping[str, Interval]]) -> str:
    """Return how often each stale adapter overrules the passage, for a title."""
    old = {name: row["says the old value"].mean for name, row in shares.items() if "stale" in name}
    told = ", ".join(f"{name} {mean:.0%}" for name, mean in old.items())
    return f"Shown the new value, they say the old one: {told}"
