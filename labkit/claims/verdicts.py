"""The claims' verdicts: thirteen sentences, each judged by a rule in code from recorded runs.

Knows: all recorded answers as one table, what a verdict is, how it is shown, where the page lies.
Does not know: the rules themselves (``rules``) nor how a run came about.
Used by ``python -m labkit leaderboard`` and lessons 01 and 09.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from labkit import catalogue, exam, hardware, results
from labkit.claims.records import (
    COMMANDS,
    MATTERS,
    METHODS,
    QUESTIONS,
    SEEDS,
    WHOLE,
    why_stale,
)
from labkit.measure import paired_difference
from labkit.types import Interval

if TYPE_CHECKING:
    import pandas as pd

FILE_NAME = "VERDICTS.md"
WRITE_COMMAND = "python -m labkit leaderboard --write"
State = Literal["holds", "holds only if", "does not hold here", "cannot tell", "not measured yet"]
HEAD = f"""# The claims' verdicts

Written by `{WRITE_COMMAND}` from the recorded runs beside this file; not edited by hand.
A verdict follows from the numbers by the rule in its row; no opinion enters. Brackets hold the 95 %
bootstrap interval over questions; where a range over steps stands in its place, it says so.
*Cannot tell*: the interval holds both zero and a difference that matters ({100 * MATTERS:.0f}
points), or a training was judged on fewer than {QUESTIONS} questions or {SEEDS} seeds.
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

    def figures(self, pattern: str) -> dict:
        """Return what the first run that fits a pattern measured."""
        return self.matching(pattern)[0]["figures"]

    @cached_property
    def kinds(self) -> dict[str, str]:
        """The kind of each question by its id."""
        return {question.id: question.kind for question in self.questions}

    def scores(self, pattern: str) -> dict[str, exam.AnswerScore]:
        """Score the answers of one recorded exam again, by question id."""
        told = {row["id"]: row for row in self.figures(pattern)["answers"]}
        return {
            question.id: exam.score_answer(
                question, told[question.id]["text"], citations=told[question.id]["cited"]
            )
            for question in self.questions
            if question.id in told
        }

    @cached_property
    def answers(self) -> "pd.DataFrame":
        """Every recorded answer, one row each.

        Columns: ``cell`` (``RUN``, or ``RUN/PART`` for a part of a run), ``id`` and ``kind`` of the
        question, and the fields of ``AnswerScore``; answers of parts have ``exact_match`` only.
        """
        import pandas as pd

        rows: list[dict] = []
        for name, run in self.runs.items():
            if name.startswith(results.LEADERBOARD_PREFIX):
                rows += [{"cell": name, "id": i} | asdict(s) for i, s in self.scores(name).items()]
            for part, answers in _parts(run["figures"]):
                rows += [{"cell": f"{name}/{part}"} | row for row in answers]
        return pd.DataFrame(rows).assign(kind=lambda table: table["id"].map(self.kinds))

    def cell(self, pattern: str) -> "pd.DataFrame":
        """Return the answers of an exam, or of a part of a run as in ``methods-{model}/lora``."""
        return self.answers[self.answers["cell"] == pattern.replace("{model}", self.model)]

    def pairs(
        self, one: str, other: str, metric: str = "exact_match", *, kinds: Sequence[str] = ()
    ) -> "pd.DataFrame":
        """Return a metric in two cells, one row a question; answers of several seeds are averaged.

        Parameters
        ----------
        one, other
            Cells, for example ``exam-rag-{model}`` or ``methods-{model}/lora``.
        metric
            A field of ``AnswerScore``; questions without it on either side are left out.
        kinds
            Which kinds of question count; all if none is named.
        """
        import pandas as pd

        cells = [self.cell(name).dropna(subset=metric) for name in (one, other)]
        if kinds:
            cells = [cell[cell["kind"].isin(kinds)] for cell in cells]
        columns = [cell.groupby("id")[metric].mean() for cell in cells]
        table = pd.concat(columns, axis=1, join="inner", keys=["one", "other"]).astype(float)
        return table.sort_values(["one", "other"])

    def difference(
        self, one: str, other: str, metric: str = "exact_match", *, kinds: Sequence[str] = ()
    ) -> Interval:
        """Return the paired difference of two cells in a metric; arguments as in ``pairs``."""
        table = self.pairs(one, other, metric, kinds=kinds)
        return paired_difference(table["one"], table["other"])

    def n_seeds(self, *cells: str) -> int:
        """Return how many trainings answered each question, in the cell with the fewest."""
        return min(int(self.cell(name).groupby("id").size().min()) for name in cells)


def _parts(figures: dict) -> Iterator[tuple[str, list[dict]]]:
    """Yield the exams inside a record: by method, or by number of examples and share of noise."""
    sizes = figures.get("runs")
    for run in sizes if isinstance(sizes, list) else []:
        if "n_examples" in run:
            yield f"{run['n_examples']}/{run['noise']:g}", run["answers"]
    for name in WHOLE[METHODS]:
        if name in figures:
            yield name, figures[name]["answers"]


@dataclass(frozen=True)
class Outcome:
    """What a rule found: the state, the numbers in words, and the condition of an *only if*."""

    state: State
    finding: str
    condition: str = ""


@dataclass(frozen=True)
class Claim:
    """One claim: where it is tested, its rule as a function and in words, and the runs it needs."""

    name: str
    text: str
    lesson: str
    needs: tuple[str, ...]
    judge: Callable[[Records], Outcome]
    rule: str


@dataclass(frozen=True)
class Verdict:
    """One claim, judged: ``missing`` are the commands whose records it still waits for."""

    claim: Claim
    state: State
    finding: str
    condition: str = ""
    origin: str = ""
    missing: tuple[str, ...] = ()

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
    """Judge one claim, or say which commands would record what it needs.

    What a stale record gave is still told, with the reason why it is stale.
    """
    lacking = [pattern for pattern in claim.needs if not records.matching(pattern)]
    if lacking:
        missing = tuple(dict.fromkeys(COMMANDS[pattern] for pattern in lacking))
        waits = "waits for: " + "; ".join(missing)
        return Verdict(claim, "not measured yet", waits, missing=missing)
    outcome = claim.judge(records)
    runs = [run for pattern in claim.needs for run in records.matching(pattern)]
    origin = "; ".join(dict.fromkeys(origin_of(run) for run in runs))
    stale = "".join(f"; stale, {run['name']}: {why}" for run in runs if (why := why_stale(run)))
    return Verdict(claim, outcome.state, outcome.finding + stale, outcome.condition, origin)


def judge_all(records: Records) -> list[Verdict]:
    """Judge every claim, C1 first."""
    from labkit.claims.rules import CLAIMS

    return [judge(claim, records) for claim in CLAIMS]


def gains(change: Interval) -> bool | None:
    """Tell whether a difference is a sure gain; ``None`` if it may be zero or one that matters.

    Examples
    --------
    >>> gains(Interval(0.2, 0.1, 0.3, 99)), gains(Interval(0.0, -0.1, 0.01, 99))
    (True, False)
    >>> gains(Interval(0.1, -0.1, 0.3, 99))
    """
    if change.low > 0:
        return True
    return None if change.high >= MATTERS else False


def loses(change: Interval) -> bool | None:
    """Tell whether a difference is a sure loss; ``None`` as in ``gains``."""
    return gains(Interval(-change.mean, -change.high, -change.low, change.n))


def close(change: Interval) -> bool | None:
    """Tell whether a difference is surely no loss that matters; ``None`` if it may be zero or one.

    Examples
    --------
    >>> close(Interval(0.0, -0.02, 0.3, 99)), close(Interval(-0.2, -0.3, -0.1, 99))
    (True, False)
    >>> close(Interval(0.0, -0.1, 0.1, 99))
    """
    if change.low > -MATTERS:
        return True
    return False if change.high < 0 else None


def of_parts(parts: Mapping[Any, bool | None], finding: str, *, condition: str) -> Outcome:
    """Return *holds* if every part holds, *only if* if some do, else *cannot tell* or *does not*.

    Parameters
    ----------
    parts
        Whether the rule holds, by the name of the part; ``None`` where the numbers cannot tell.
    finding
        The numbers, in words.
    condition
        How the parts that hold are named: ``"you ask for {parts}"``. Those that cannot be told
        are named behind them.
    """
    holding = [str(name) for name, holds in parts.items() if holds]
    unclear = [str(name) for name, holds in parts.items() if holds is None]
    if len(holding) == len(parts):
        return Outcome("holds", finding)
    if not holding:
        return Outcome("cannot tell" if unclear else "does not hold here", finding)
    told = condition.format(parts=", ".join(holding))
    if unclear:
        told += f"; cannot tell: {', '.join(unclear)}"
    return Outcome("holds only if", finding, told)


def origin_of(run: Mapping) -> str:
    """Return where and when a run was recorded."""
    machine = hardware.Hardware(**run["hardware"])
    return f"{hardware.describe(machine)}, {run['date']}"


def table(verdicts: Sequence[Verdict]) -> "pd.DataFrame":
    """Return the verdicts as a table of texts, one row a claim."""
    import pandas as pd

    head = ["claim", "verdict", "measured", "rule", "lesson", "where and when"]
    rows = [
        [f"{v.claim.name} {v.claim.text}", v.in_words, v.finding, v.claim.rule, v.claim.lesson,
         v.origin or "–"]
        for v in verdicts
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=head)


def render(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as a markdown page; name and verdict are bold."""
    page = table(verdicts).assign(
        claim=lambda rows: rows["claim"].str.replace(r"^(\S+)", r"**\1**", regex=True),
        verdict=lambda rows: "**" + rows["verdict"] + "**",
    )
    return f"{HEAD}\n{results.table(list(page), page.to_numpy().tolist())}\n"


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
