"""The claims' verdicts: thirteen sentences, each judged by a rule in code from recorded runs.

Knows: the claims, what each needs, how a judgement is shown, and where the page lies.
Does not know: the rules themselves (``verdict_rules``) nor how a run came about.
Used by ``python -m labkit leaderboard`` and lessons 01 and 09.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from labkit import catalogue, exam, hardware, results
from labkit.claims.records import WHOLE
from labkit.measure import paired_difference
from labkit.types import Interval

FILE_NAME = "VERDICTS.md"
WRITE_COMMAND = "python -m labkit leaderboard --write"
State = Literal["holds", "holds only if", "does not hold here", "not measured yet"]
HEAD = f"""# The claims' verdicts

Written by `{WRITE_COMMAND}` from the recorded runs beside this file; not edited by hand.
A verdict follows from the numbers by the rule in its row; no opinion enters. Brackets hold the 95 %
bootstrap interval over questions; where a range over steps stands in its place, it says so.
"""


@dataclass(frozen=True)
class Records:
    """All recorded runs by name, the exam's questions, and the model whose exams are judged."""

    runs: Mapping[str, dict]
    questions: Sequence[exam.Question]
    model: str = catalogue.SMALL_MODEL.lower()

    def matching(self, pattern: str) -> list[dict]:
        """Return the runs whose name fits a pattern such as ``gpu-*`` or ``exam-rag-{model}``."""
        wanted = pattern.replace("{model}", self.model)
        parts = WHOLE.get(pattern, ())
        return [
            run
            for name, run in sorted(self.runs.items())
            if fnmatchcase(name, wanted) and all(part in run["figures"] for part in parts)
        ]

    @cached_property
    def kinds(self) -> dict[str, str]:
        """The kind of each question by its id."""
        return {question.id: question.kind for question in self.questions}

    def scores(self, pattern: str) -> dict[str, exam.AnswerScore]:
        """Score the answers of one recorded exam again, by question id."""
        told = {row["id"]: row for row in self.matching(pattern)[0]["figures"]["answers"]}
        return {
            question.id: exam.score_answer(
                question, told[question.id]["text"], citations=told[question.id]["cited"]
            )
            for question in self.questions
            if question.id in told
        }

    def difference(
        self, one: str, other: str, metric: str, *, kinds: Sequence[str] = exam.KINDS
    ) -> Interval:
        """Return the paired difference of two recorded exams in a metric, over some kinds.

        Parameters
        ----------
        one, other
            Patterns of run names, for example ``exam-rag-{model}``.
        metric
            A field of ``AnswerScore``; questions without it on either side are left out.
        kinds
            Which kinds of question count.
        """
        a, b = self.scores(one), self.scores(other)
        pairs = [
            (float(getattr(a[name], metric)), float(getattr(b[name], metric)))
            for name in a.keys() & b.keys()
            if self.kinds[name] in kinds
            and None not in (getattr(a[name], metric), getattr(b[name], metric))
        ]
        return paired_difference(*zip(*sorted(pairs), strict=True))

    def difference_of_parts(self, pattern: str, one: str, other: str) -> Interval:
        """Return the paired difference in exact match of two parts of one recorded run."""
        figures = self.matching(pattern)[0]["figures"]
        a, b = (
            {answer["id"]: answer["exact_match"] for answer in figures[part]["answers"]}
            for part in (one, other)
        )
        both = sorted(a.keys() & b.keys())
        return paired_difference([a[name] for name in both], [b[name] for name in both])


@dataclass(frozen=True)
class Outcome:
    """What a rule found: the state, the numbers in words, and the condition of an *only if*."""

    state: State
    finding: str
    condition: str = ""


@dataclass(frozen=True)
class Claim:
    """One claim: its rule in words and as a function, and the runs that it needs.

    ``needs`` maps patterns of run names to the command that records such a run.
    """

    name: str
    text: str
    rule: str
    lesson: str
    needs: Mapping[str, str]
    judge: Callable[[Records], Outcome]


@dataclass(frozen=True)
class Verdict:
    """One claim, judged: ``missing`` are the commands whose records it still waits for."""

    claim: Claim
    state: State
    finding: str
    condition: str = ""
    origin: str = ""
    missing: tuple[str, ...] = field(default=())

    @property
    def in_words(self) -> str:
        """Return the state with its condition."""
        return f"{self.state} {self.condition}".strip()


def load_records(*, folder: Path | None = None) -> Records:
    """Read every recorded run; ``data/results`` unless another folder is given."""
    paths = sorted((folder or results.default_folder()).glob("*.json"))
    runs = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    return Records(runs, exam.load_exam("test"))


def judge(claim: Claim, records: Records) -> Verdict:
    """Judge one claim, or say which commands would record what it needs."""
    missing = [how for pattern, how in claim.needs.items() if not records.matching(pattern)]
    if missing:
        waits = "waits for: " + "; ".join(dict.fromkeys(missing))
        return Verdict(claim, "not measured yet", waits, missing=tuple(dict.fromkeys(missing)))
    outcome = claim.judge(records)
    runs = [run for pattern in claim.needs for run in records.matching(pattern)]
    origin = "; ".join(dict.fromkeys(origin_of(run) for run in runs))
    return Verdict(claim, outcome.state, outcome.finding, outcome.condition, origin)


def judge_all(records: Records) -> list[Verdict]:
    """Judge every claim, C1 first."""
    from labkit.claims.rules import CLAIMS

    return [judge(claim, records) for claim in CLAIMS]


def of_parts(parts: Mapping[Any, bool], finding: str, *, condition: str) -> Outcome:
    """Return *holds* if every part holds, *does not hold here* if none does, else *only if*.

    Parameters
    ----------
    parts
        Whether the rule holds, by the name of the part.
    finding
        The numbers, in words.
    condition
        How the parts that hold are named: ``"you ask for {parts}"``.
    """
    if all(parts.values()):
        return Outcome("holds", finding)
    if not any(parts.values()):
        return Outcome("does not hold here", finding)
    names = ", ".join(str(name) for name, holds in parts.items() if holds)
    return Outcome("holds only if", finding, condition.format(parts=names))


def origin_of(run: Mapping) -> str:
    """Return where and when a run was recorded."""
    machine = hardware.Hardware(**run["hardware"])
    return f"{hardware.describe(machine)}, {run['date']}"


def render(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as a markdown page."""
    head = ["claim", "verdict", "measured", "rule", "lesson", "where and when"]
    rows = [
        [f"**{v.claim.name}** {v.claim.text}", f"**{v.in_words}**", v.finding, v.claim.rule,
         v.claim.lesson, v.origin or "–"]
        for v in verdicts
    ]  # fmt: skip
    return f"{HEAD}\n{results.table(head, rows)}\n"


def in_words(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as lines for a terminal."""
    return "\n".join(
        f"{v.claim.name:4}{v.claim.text}\n    → {v.in_words}\n      {v.finding}" for v in verdicts
    )


def write(verdicts: Sequence[Verdict], *, folder: Path | None = None) -> Path:
    """Write the page of verdicts beside the recorded runs and return its path."""
    path = (folder or results.default_folder()) / FILE_NAME
    results.write_atomically(path, render(verdicts))
    return path
