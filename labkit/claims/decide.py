"""The decision helper: from a case to an advice whose every reason carries a measurement.

Knows: which recorded runs speak to which trait of a case, and that only a measured reason votes.
Does not know: how anything was measured, nor how an advice is shown (``classroom.widgets``).
Used by lesson 01, and again by lesson 12.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

from labkit import catalogue, results
from labkit.claims import records as runs
from labkit.claims.records import Records
from labkit.hardware import GIB
from labkit.measure import bootstrap_mean
from labkit.types import Interval

Change = Literal["never", "yearly", "monthly", "daily"]
Remedy = Literal["RAG", "fine-tuning"]
Votes = dict[Remedy, bool]  # True speaks for a remedy, False against it
NOT_YET = "not measured yet"


@dataclass(frozen=True, kw_only=True)
class Case:
    """What somebody needs: ``max_seconds`` an answer, ``gpu_gib`` of one card, 0 for none."""

    facts_in_documents: bool = True
    changes: Change = "monthly"
    n_passages: int = 1000
    house_language: bool = True
    traceable: bool = True
    n_examples: int = 0
    max_seconds: float = 10.0
    gpu_gib: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name in ("n_passages", "n_examples", "max_seconds", "gpu_gib"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give 0 or more.")


@dataclass(frozen=True)
class Reason:
    """One trait of the case: the measurement, what it speaks for or against, and its origin."""

    trait: str
    measured: str
    votes: Votes = field(default_factory=dict)
    origin: str = ""

    @property
    def direction(self) -> str:
        """Return what the reason speaks for and against, in words."""
        told = (name if speaks else f"against {name}" for name, speaks in self.votes.items())
        return ", ".join(told) or "–"


@dataclass(frozen=True)
class Advice:
    """What to try first, and why: a remedy, ``RAG plus fine-tuning``, or ``measure first``."""

    choice: str
    reasons: tuple[Reason, ...]


def advise(case: Case, records: Records) -> Advice:
    """Return what the recorded measurements speak for; a reason without one has no vote.

    A remedy is advised if a reason speaks for it and none against it.

    Parameters
    ----------
    case
        What is needed.
    records
        The recorded runs, from ``verdicts.load_records``.
    """
    reasons = tuple(_reasons(case, records))
    votes = {vote for reason in reasons for vote in reason.votes.items()}
    chosen = [one for one in get_args(Remedy) if (one, True) in votes and (one, False) not in votes]
    return Advice(" plus ".join(chosen) or "measure first", reasons)


def table(advice: Advice) -> str:
    """Return the reasons of an advice as markdown."""
    head = ["your case", "speaks for", "measured here", "where and when"]
    return results.table(head, rows(advice))


def rows(advice: Advice) -> list[list[str]]:
    """Return the reasons as rows of text: trait, direction, measurement, origin."""
    return [[one.trait, one.direction, one.measured, one.origin or "–"] for one in advice.reasons]


def _reasons(case: Case, records: Records) -> Iterator[Reason]:
    """Judge each trait that the case has; where a run is missing, name the command in its place."""
    for trait, applies, needs, judge in _traits(case):
        lacking = [pattern for pattern in needs if not records.matching(pattern)]
        if applies and lacking:
            yield Reason(trait, f"{NOT_YET}: {runs.COMMANDS[lacking[0]].split(' && ')[-1]}")
        elif applies:
            machines = [(run["hardware"], run["date"]) for run in records.matching(needs[0])]
            origins = (f"{m['gpu_name'] or m['cpu_name']}, {date}" for m, date in machines)
            yield Reason(trait, *judge(case, records), "; ".join(dict.fromkeys(origins)))


Judge = Callable[[Case, Records], tuple[str, Votes]]


def _traits(case: Case) -> list[tuple[str, bool, tuple[str, ...], Judge]]:
    """Return each trait, whether the case has it, the runs that it needs, and who judges them."""
    n = case.n_examples
    card = f"a GPU of {case.gpu_gib:g} GiB" if case.gpu_gib else "no GPU"
    language = "answers in house format and house words"
    return [
        ("the answers stand in documents", case.facts_in_documents, (runs.RAG, runs.BASE), _facts),
        (f"the facts change {case.changes}", case.changes != "never", (runs.UPDATES,), _changes),
        ("every answer needs a source", case.traceable, (runs.RAG,), _traceable),
        (language, case.house_language, (runs.LORA, runs.RAG), _language),
        (f"{n} examples to train on", n > 0, (runs.BOTH, runs.RAG), _examples),
        (f"at most {case.max_seconds:g} s an answer", True, (runs.RAG, runs.BASE), _latency),
        (f"{case.n_passages:,} passages", True, (runs.SEARCH,), _size),
        (card, True, (runs.GRID,), _hardware),
    ]


def _facts(case: Case, records: Records) -> tuple[str, Votes]:
    gain = records.difference(runs.RAG, runs.BASE)
    told = f"RAG minus closed book, right answers: {gain.in_points()}"
    return told, {"RAG": True} if gain.low > 0 else {}


def _changes(case: Case, records: Records) -> tuple[str, Votes]:
    figures = records.figures(runs.UPDATES)
    states = (figures["states"][name] for name in ("before", "after", "newer wins"))
    before, after, ruled = (Interval.of(state["first_new"]) for state in states)
    tuned = records.matching(runs.SIDE_EFFECTS)
    seconds = f"{tuned[0]['figures']['trained']['retrain_s']:.0f} s" if tuned else NOT_YET
    told = (
        f"{figures['bulletins']['n_documents']} new documents taken in within "
        f"{figures['reingest_s']:.1f} s; new value found first {before} → {after}, with a rule "
        f"that newer wins {ruled}; training again: {seconds}"
    )
    return told, {"RAG": True} if ruled.low > before.high else {}


def _traceable(case: Case, records: Records) -> tuple[str, Votes]:
    figures = records.figures(runs.RAG)
    right, cited = (Interval.of(figures[f"citation_{name}"]) for name in ("precision", "recall"))
    told = f"of its citations {right} are right; of the evidence {cited} is cited"
    return told, {"RAG": True} if right.low > 0.5 else {}


def _language(case: Case, records: Records) -> tuple[str, Votes]:
    gain = records.difference(runs.LORA, runs.RAG, "house_format")
    words = records.difference(runs.LORA, runs.RAG, "house_terms")
    told = f"LoRA minus RAG: format {gain.in_points()}, words {words.in_points()}"
    sure = max(gain.low, words.low) > 0 and min(gain.high, words.high) >= 0
    return told, {"fine-tuning": True} if sure else {}


def _examples(case: Case, records: Records) -> tuple[str, Votes]:
    gain = records.difference(runs.BOTH, runs.RAG)
    told, speaks = f"RAG with LoRA minus RAG alone: {gain.in_points()}", gain.low > 0
    if records.matching(runs.DATA_SIZE):
        sizes = {run["n_examples"] for run in records.figures(runs.DATA_SIZE)["runs"]}
        close = max(n for n in sizes if n <= case.n_examples)
        right = bootstrap_mean(records.cell(f"{runs.DATA_SIZE}/{close}/0")["exact_match"])
        told += f"; a shorter training, on {close} examples: {right} right"
        speaks = speaks and close > 0
    return told, {"fine-tuning": True} if speaks else {}


def _latency(case: Case, records: Records) -> tuple[str, Votes]:
    """Hold each remedy's recorded seconds against the wish; the base stands in for a tuned one."""
    cells = {"closed book": runs.BASE, "RAG": runs.RAG, "fine-tuned, closed book": runs.LORA}
    seconds = {
        name: run["figures"]["wall_s"] / run["config"]["n_questions"]
        for name, pattern in cells.items()
        for run in records.matching(pattern)[:1]
    }
    told = "in batches, " + ", ".join(f"{name} {s:.2f} s an answer" for name, s in seconds.items())
    tuned_s = seconds.get("fine-tuned, closed book", seconds["closed book"])
    remedies: dict[Remedy, float] = {"RAG": seconds["RAG"], "fine-tuning": tuned_s}
    late: Votes = {remedy: False for remedy, s in remedies.items() if s > case.max_seconds}
    return told + ("; neither reaches it" if len(late) == len(remedies) else ""), late


def _size(case: Case, records: Records) -> tuple[str, Votes]:
    sizes = {run["config"]["n"]: run["figures"]["runs"] for run in records.matching(runs.SEARCH)}
    n = min((n for n in sizes if n >= case.n_passages), default=max(sizes))
    slowest_s = max(one["p50_s"] for one in sizes[n]["LanceDB flat"]["searches"])
    more = f"; more passages: {NOT_YET}" if case.n_passages > n else ""
    return f"exact search among {n:,}: {1000 * slowest_s:.0f} ms a query{more}", {}


def _hardware(case: Case, records: Records) -> tuple[str, Votes]:
    step = {"method": "qlora", "seq": 2048, "checkpointing": True}.items()
    peaks = sorted(
        (point["rehearsed_peak_bytes"] / GIB, point["model"])
        for point in records.figures(runs.GRID)["points"]
        if step <= point["step"].items()
    )
    fits = [one for one in peaks if one[0] <= case.gpu_gib]
    if not fits:
        least, small = peaks[0][0], catalogue.SMALL_MODEL
        return f"QLoRA needs {least:.1f} GiB or more beyond {small}, which trains on a CPU", {}
    gib, largest = fits[-1]
    return f"QLoRA of {largest} fits: {gib:.1f} GiB rehearsed, 1 × 2048 tokens", {}
