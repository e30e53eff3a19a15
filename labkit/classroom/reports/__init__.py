"""Reports: recorded runs as tables and series that a lesson shows; one module a topic.

Knows: the recorded exams of a model, how shares are read off them, and the one form of a table of
claims. Does not know: how anything was measured, nor how a claim is judged.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from labkit import evaluate, hardware, results
from labkit.claims.leaderboard import in_words, name_of  # noqa: F401
from labkit.claims.verdicts import judge_all, load_records  # noqa: F401
from labkit.results import leaderboard as leaderboard
from labkit.types import Interval

SYSTEMS = {"closed book": "base", "RAG": "rag"}
Exams = dict[str, dict | None]


def recorded(what: str, model: str) -> dict | None:
    """Return a model's record of that name, for example ``updates``, or ``None``."""
    return results.load(f"{what}-{model.lower()}")


def exams(model: str, systems: Mapping[str, str] = SYSTEMS) -> Exams:
    """Return the recorded exam of each system, or ``None``, by what the lesson calls them."""
    return {name: recorded(f"exam-{system}", model) for name, system in systems.items()}


def live_exams(limit: int, systems: Mapping[str, str] = SYSTEMS, **options: Any) -> dict[str, dict]:
    """Let each system sit a part of the exam now; options as in ``evaluate.sit``."""
    return {
        name: evaluate.sit(system, limit=limit, **options)  # type: ignore[arg-type]
        for name, system in systems.items()
    }


def origin(run: Mapping[str, Any]) -> str:
    """Return when and where a run was recorded."""
    return f"{run['date']}, {hardware.describe(hardware.Hardware(**run['hardware']))}"


def share(run: dict | None, metric: str = "exact_match") -> Interval | None:
    """Return one share of an exam; ``None`` where it is not recorded or nothing has a say."""
    found = run and run["figures"][metric]
    return Interval.of(found) if found else None


def by_kind(run: dict) -> dict[str, Interval | None]:
    """Return the right answers of an exam by kind of question, and of all."""
    shares = run["figures"]["by_kind"] | {"all": run["figures"]["exact_match"]}
    return {kind: Interval.of(found) if found else None for kind, found in shares.items()}


def right_page_first(run: dict) -> dict[str, Interval]:
    """Return by kind, and for all, how often the first passage of an exam held evidence."""
    pages = run["figures"]["retrieval"]["hybrid"]
    return {kind: Interval.of(scores["hit_at_1"]) for kind, scores in pages.items()}


def exam_table(
    rows: Iterable[tuple[str, str, Mapping[str, Interval | None], str, str]],
    *, when: str = "date and hardware",
) -> str:  # fmt: skip
    """Return shares as markdown, from ``(claim, metric, {system: share}, origin, how)``."""
    table = [
        [claim, metric.replace("_", " "), "; ".join(f"{who} {x or '–'}" for who, x in of.items()),
         *rest]
        for claim, metric, of, *rest in rows
    ]  # fmt: skip
    return results.table(["claim", "measure", "result, 95 % interval", when, "how"], table)


def claims_table(rows: Iterable[tuple[str, str, str]]) -> str:
    """Return claims with what was found and where, as markdown; a blank finding is left out.

    The kind is the first word of where: recorded, measured, predicted.
    """
    header = ["claim", "what we found", "hardware and date", "kind"]
    table = [[*row, row[2].split()[0].strip(",;:")] for row in rows if row[1]]
    return results.table(header, table)


def usual_time(lesson: str) -> str:
    """Say how long a lesson took where nothing else ran."""
    run = results.load("lesson-times")
    seconds = run and run["figures"]["lesson_s"].get(lesson)
    return f"Recorded on quiet cores: {seconds:.0f} s" if seconds else "Recorded: not measured yet"
