"""The recorded runs that verdicts need: patterns of their names, and the commands that record them.

Knows: names and commands, why a record is stale, and what difference, how many questions and how
many seeds a verdict takes: lines drawn before anything was measured. Does not know: any rule.
Used by ``verdicts``, the rules and ``decide``.

What three of the records hold: ``methods-MODEL`` has ``figures[METHOD]["train_s"]`` for full, lora
and qlora on the same examples, and their ``answers`` to a part of the exam. ``data-size-MODEL``
holds ``figures["runs"]``, each with ``n_examples``, ``noise`` (a share) and ``answers`` (``id`` and
``exact_match`` of every question). Another training seed adds rows for the same questions.
``side-effects-MODEL`` has ``figures["trained"]["retrain_s"]``: what training the reader took.
"""

import fnmatch
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import pandas as pd

from labkit import catalogue, evaluate, exam, hardware, results
from labkit.answer_metrics import score_answer
from labkit.measure import paired_difference
from labkit.types import AnswerScore, Interval

BASE, RAG = "exam-base-{model}", "exam-rag-{model}"
LORA, BOTH = "exam-lora-{model}", "exam-both-{model}"
QLORA = "exam-both-{model}-qlora"
METHODS, DATA_SIZE = "methods-{model}", "data-size-{model}"
SIDE_EFFECTS, UPDATES = "side-effects-{model}", "updates-{model}"
VARIANTS, GRID, CARDS, SEARCH = "bench-rag-variants", "rehearsal-grid", "gpu-*", "bench-retrieval-*"
# A run that a kill cut short counts once it has all of these.
WHOLE = {METHODS: {"base", "full", "lora", "qlora", "nf4"}}

MATTERS = 0.05  # the smallest difference in the exam that would change what anybody does
CLOSE = f"at most {100 * MATTERS:.0f} points below"
QUESTIONS, SEEDS = 100, 2  # what a verdict on a training takes, at least
READER = "--data contrast -k 2 --rerank --batch 4 --epochs 2"


def _exam(system: str, recipe: str, out: str, *, method: str = "lora") -> str:
    """Return the commands of an exam, sat by a model that was trained for it.

    That is with the books closed (``lora``), or for reading (``both``).
    """
    tune = f"python -m labkit finetune --method {method} {recipe} --out adapters/{out}"
    return f"{tune} && python -m labkit exam --system {system} --tuned adapters/{out}"


COMMANDS = {
    BASE: "python -m labkit exam --system base",
    RAG: "python -m labkit exam --system rag",
    LORA: _exam("lora", "--data both-books --epochs 2", "reciter"),
    BOTH: _exam("both", READER, "reader"),
    QLORA: _exam("both", READER, "reader-qlora", method="qlora"),
    METHODS: "python -m labkit bench methods",
    DATA_SIZE: "python -m labkit bench data-size",
    SIDE_EFFECTS: "python -m labkit bench side-effects --tuned adapters/reader",
    VARIANTS: "python -m labkit bench rag",
    UPDATES: "python -m labkit bench updates",
    GRID: "python -m labkit bench memory",
    SEARCH: "python -m labkit bench retrieval",
    CARDS: "make bench-gpu",
}


def why_stale(run: dict) -> str:
    """Say why a record does not count as it stands, or nothing.

    Either the record says so itself (``"stale": "reason"``), or something that it rests on has
    changed since it was made.
    """
    own = [run["stale"]] if "stale" in run else []
    changed = evaluate.stale_parts(run) if "rests_on" in run else []  # hashing takes time
    return "; ".join([*own, *(f"changed since: {part}" for part in changed)])


def listed(parts: Mapping[str, Interval]) -> str:
    """Return named differences in points, as one line."""
    return "; ".join(f"{name} {change.in_points()}" for name, change in parts.items())


@dataclass(frozen=True)
class Records:
    """All recorded runs by name, the exam's questions, and the model whose exams are judged."""

    runs: Mapping[str, dict]
    questions: Sequence[exam.Question]
    model: str = catalogue.SMALL_MODEL.lower()

    def matching(self, pattern: str) -> list[dict]:
        """Return the runs whose name fits a pattern such as ``gpu-*`` or ``exam-rag-{model}``."""
        names = fnmatch.filter(self.runs, pattern.replace("{model}", self.model))
        runs = [self.runs[name] for name in sorted(names)]
        return [run for run in runs if WHOLE.get(pattern, set()) <= run["figures"].keys()]

    def figures(self, pattern: str) -> dict:
        """Return what the first run that fits a pattern measured."""
        return self.matching(pattern)[0]["figures"]

    @cached_property
    def kinds(self) -> dict[str, str]:
        """The kind of each question by its id."""
        return {question.id: question.kind for question in self.questions}

    def scores(self, pattern: str) -> dict[str, AnswerScore]:
        """Score the answers of one recorded exam again, by question id."""
        told = {row["id"]: row for row in self.figures(pattern)["answers"]}
        return {
            one.id: score_answer(one, told[one.id]["text"], citations=told[one.id]["cited"])
            for one in self.questions
            if one.id in told
        }

    @cached_property
    def answers(self) -> pd.DataFrame:
        """Every recorded answer, one row each.

        Columns: ``cell`` (``RUN``, or ``RUN/PART`` for a part of a run), ``id`` and ``kind`` of the
        question, and the fields of ``AnswerScore``; answers of parts have ``exact_match`` only.
        """
        rows = [{"cell": cell} | row for cell, answers in self._cells() for row in answers]
        return pd.DataFrame(rows).assign(kind=lambda table: table["id"].map(self.kinds))

    def _cells(self) -> Iterator[tuple[str, list[dict]]]:
        """Yield exams, and those inside a record: by method, or by examples and share of noise."""
        for run in self.matching(f"{results.LEADERBOARD_PREFIX}*"):
            scores = self.scores(run["name"])
            yield run["name"], [{"id": name} | asdict(one) for name, one in scores.items()]
        for run in self.matching(DATA_SIZE):
            for row in run["figures"]["runs"]:
                yield f"{run['name']}/{row['n_examples']}/{row['noise']:g}", row["answers"]
        for run in self.matching(METHODS):
            for method in WHOLE[METHODS]:
                yield f"{run['name']}/{method}", run["figures"][method]["answers"]

    def cell(self, pattern: str) -> pd.DataFrame:
        """Return the answers of an exam, or of a part of a run as in ``methods-{model}/lora``."""
        return self.answers[self.answers["cell"] == pattern.replace("{model}", self.model)]

    def pairs(
        self, one: str, other: str, metric: str = "exact_match", *, kinds: Sequence[str] = ()
    ) -> pd.DataFrame:
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
        names = [name.replace("{model}", self.model) for name in (one, other)]
        rows = self.answers[self.answers["kind"].isin(kinds)] if kinds else self.answers
        table = rows.astype({metric: float}).pivot_table(metric, "id", "cell")[names].dropna()
        return table.set_axis(["one", "other"], axis=1).sort_values(["one", "other"])

    def difference(
        self, one: str, other: str, metric: str = "exact_match", *, kinds: Sequence[str] = ()
    ) -> Interval:
        """Return the paired difference of two cells in a metric; arguments as in ``pairs``."""
        table = self.pairs(one, other, metric, kinds=kinds)
        return paired_difference(table["one"], table["other"])

    def n_seeds(self, *cells: str) -> int:
        """Return how many trainings answered each question, in the cell with the fewest."""
        return min(int(self.cell(name).groupby("id").size().min()) for name in cells)


def load_records() -> Records:
    """Read every recorded run of ``data/results``."""
    paths = sorted(results.default_folder().glob("*.json"))
    runs = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    return Records(runs, exam.load_exam("test"))


def origin_of(run: Mapping) -> str:
    """Return where and when a run was recorded."""
    machine = hardware.Hardware(**run["hardware"])
    return f"{hardware.describe(machine)}, {run['date']}"
