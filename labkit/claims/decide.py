"""The decision helper: from a case to an advice whose every reason carries a measurement.

Knows: which recorded runs speak to which trait of a case, and that only a measured reason votes.
Does not know: how anything was measured, nor how an advice is shown (``widgets_decide``).
Used by lesson 01, and again by lesson 12.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from labkit import catalogue, results
from labkit.claims.records import BASE, BOTH, COMMANDS, DATA_SIZE, LORA, RAG, SIDE_EFFECTS
from labkit.claims.verdicts import Records
from labkit.hardware import GIB
from labkit.measure import bootstrap_mean
from labkit.types import Interval

Change = Literal["never", "yearly", "monthly", "daily"]
Remedy = Literal["RAG", "fine-tuning"]
Choice = Literal["RAG", "fine-tuning", "RAG plus fine-tuning", "measure first"]
UPDATES, SEARCH, GRID = "updates-{model}", "bench-retrieval-*", "rehearsal-grid"
HOW = COMMANDS | {SEARCH: "python -m labkit bench retrieval", GRID: "python -m labkit bench memory"}
NOT_YET = "not measured yet"


@dataclass(frozen=True)
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
    """One trait of the case: what it speaks for, if measured, and the measurement."""

    trait: str
    measured: str
    speaks_for: Remedy | None = None
    speaks_against: Remedy | None = None
    origin: str = ""


@dataclass(frozen=True)
class Advice:
    """What to try first, and why."""

    choice: Choice
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
    chosen = {reason.speaks_for for reason in reasons} - {
        reason.speaks_against for reason in reasons
    }
    choices: dict[tuple[bool, bool], Choice] = {
        (True, True): "RAG plus fine-tuning",
        (True, False): "RAG",
        (False, True): "fine-tuning",
        (False, False): "measure first",
    }
    return Advice(choices["RAG" in chosen, "fine-tuning" in chosen], reasons)


def table(advice: Advice) -> str:
    """Return the reasons of an advice as markdown."""
    head = ["your case", "speaks for", "measured here", "where and when"]
    return results.table(head, rows(advice))


def rows(advice: Advice) -> list[list[str]]:
    """Return the reasons as rows of text: trait, direction, measurement, origin."""
    return [
        [reason.trait, _direction(reason), reason.measured, reason.origin or "–"]
        for reason in advice.reasons
    ]


def _direction(reason: Reason) -> str:
    if reason.speaks_against:
        return f"against {reason.speaks_against}"
    return reason.speaks_for or "–"


def _reasons(case: Case, records: Records) -> Iterator[Reason]:
    if case.facts_in_documents:
        yield _facts(records)
    if case.changes != "never":
        yield _changes(case, records)
    if case.traceable:
        yield _traceable(records)
    if case.house_language:
        yield _language(records)
    if case.n_examples:
        yield _examples(case, records)
    yield _latency(case, records)
    yield _size(case, records)
    yield _hardware(case, records)


def _waiting(trait: str, records: Records, *patterns: str) -> Reason | None:
    """Return a reason without a vote if one of the runs is missing."""
    for pattern in patterns:
        if not records.matching(pattern):
            return Reason(trait, f"{NOT_YET}: {HOW[pattern].split(' && ')[-1]}")
    return None


def _origin(records: Records, pattern: str) -> str:
    return _origin_of(records.matching(pattern)[0])


def _origin_of(run: dict) -> str:
    machine = run["hardware"]
    return f"{machine['gpu_name'] or machine['cpu_name']}, {run['date']}"


def _facts(records: Records) -> Reason:
    trait = "the answers stand in documents"
    if waiting := _waiting(trait, records, RAG, BASE):
        return waiting
    gain = records.difference(RAG, BASE, "exact_match")
    told = f"RAG minus closed book, right answers: {gain.in_points()}"
    return Reason(trait, told, "RAG" if gain.low > 0 else None, origin=_origin(records, RAG))


def _changes(case: Case, records: Records) -> Reason:
    trait = f"the facts change {case.changes}"
    if waiting := _waiting(trait, records, UPDATES):
        return waiting
    figures = records.matching(UPDATES)[0]["figures"]
    states = figures["states"]
    first = [Interval.of(states[name]["first_new"]) for name in ("before", "after", "newer wins")]
    told = (
        f"{figures['bulletins']['n_documents']} new documents taken in within "
        f"{figures['reingest_s']:.1f} s; new value found first {first[0]} → {first[1]}, "
        f"with a rule that newer wins {first[2]}; "
    )
    tuned = records.matching(SIDE_EFFECTS)
    seconds = f"{tuned[0]['figures']['trained']['retrain_s']:.0f} s" if tuned else NOT_YET
    follows = first[2].low > first[0].high
    return Reason(
        trait,
        f"{told}training again: {seconds}",
        "RAG" if follows else None,
        origin=_origin(records, UPDATES),
    )


def _traceable(records: Records) -> Reason:
    trait = "every answer needs a source"
    if waiting := _waiting(trait, records, RAG):
        return waiting
    figures = records.matching(RAG)[0]["figures"]
    precision, recall = (
        Interval.of(figures[f"citation_{name}"]) for name in ("precision", "recall")
    )
    told = f"of its citations {precision} are right; of the proofs {recall} are cited"
    sure = precision.low > 0.5
    return Reason(trait, told, "RAG" if sure else None, origin=_origin(records, RAG))


def _language(records: Records) -> Reason:
    trait = "answers in house format and house words"
    if waiting := _waiting(trait, records, RAG, LORA):
        return waiting
    gain = records.difference(LORA, RAG, "house_format")
    words = records.difference(LORA, RAG, "house_terms")
    told = f"LoRA minus RAG: format {gain.in_points()}, words {words.in_points()}"
    sure = max(gain.low, words.low) > 0 and min(gain.high, words.high) >= 0
    return Reason(trait, told, "fine-tuning" if sure else None, origin=_origin(records, LORA))


def _examples(case: Case, records: Records) -> Reason:
    trait = f"{case.n_examples} examples to train on"
    if waiting := _waiting(trait, records, RAG, BOTH):
        return waiting
    gain = records.difference(BOTH, RAG, "exact_match")
    told = f"RAG with LoRA minus RAG alone: {gain.in_points()}"
    speaks = gain.low > 0
    if sizes := records.matching(DATA_SIZE):
        clean = [run for run in sizes[0]["figures"]["runs"] if not run["noise"]]
        close = max((run for run in clean if run["n_examples"] <= case.n_examples),
                    key=lambda run: run["n_examples"])  # fmt: skip
        right = bootstrap_mean([row["exact_match"] for row in close["answers"]])
        told += f"; a shorter training, on {close['n_examples']} examples: {right} right"
        speaks = speaks and close["n_examples"] > 0
    return Reason(trait, told, "fine-tuning" if speaks else None, origin=_origin(records, BOTH))


def _latency(case: Case, records: Records) -> Reason:
    trait = f"at most {case.max_seconds:g} s an answer"
    if waiting := _waiting(trait, records, RAG, BASE):
        return waiting
    seconds = [
        run["figures"]["wall_s"] / run["config"]["n_questions"]
        for pattern in (BASE, RAG)
        for run in records.matching(pattern)[:1]
    ]
    told = f"in batches, closed book {seconds[0]:.2f} s an answer, RAG {seconds[1]:.2f} s"
    slow = seconds[1] > case.max_seconds
    against: Remedy | None = "RAG" if slow else None
    return Reason(trait, told, speaks_against=against, origin=_origin(records, RAG))


def _size(case: Case, records: Records) -> Reason:
    trait = f"{case.n_passages:,} passages"
    if waiting := _waiting(trait, records, SEARCH):
        return waiting
    runs = sorted(records.matching(SEARCH), key=lambda run: run["config"]["n"])
    run = next((run for run in runs if run["config"]["n"] >= case.n_passages), runs[-1])
    slowest = run["figures"]["runs"]["LanceDB flat"]["searches"][0]
    told = f"exact search among {run['config']['n']:,}: {1000 * slowest['p50_s']:.0f} ms a query"
    if case.n_passages > run["config"]["n"]:
        told += f"; more passages: {NOT_YET}"
    return Reason(trait, told, origin=_origin_of(run))


def _hardware(case: Case, records: Records) -> Reason:
    trait = f"a GPU of {case.gpu_gib:g} GiB" if case.gpu_gib else "no GPU"
    if waiting := _waiting(trait, records, GRID):
        return waiting
    whole = [
        point
        for point in records.matching(GRID)[0]["figures"]["points"]
        if point["step"]["method"] == "qlora"
        and point["step"]["seq"] == 2048
        and point["step"]["checkpointing"]
    ]
    fits = [point for point in whole if point["rehearsed_peak_bytes"] <= case.gpu_gib * GIB]
    if not fits:
        small = catalogue.SMALL_MODEL
        least = min(point["rehearsed_peak_bytes"] for point in whole) / GIB
        told = f"QLoRA needs {least:.1f} GiB or more beyond {small}, which trains on a CPU"
        return Reason(trait, told, origin=_origin(records, GRID))
    largest = max(fits, key=lambda point: point["rehearsed_peak_bytes"])
    told = (
        f"QLoRA of {largest['model']} fits: {largest['rehearsed_peak_bytes'] / GIB:.1f} GiB "
        "rehearsed, 1 × 2048 tokens"
    )
    return Reason(trait, told, origin=_origin(records, GRID))
