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

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from labkit import answer_metrics, catalogue, evaluate, exam, hardware, results
from labkit.measure import paired_difference
from labkit.types import AnswerScore, Interval

if TYPE_CHECKING:
    import pandas as pd

BASE, RAG = "exam-base-{model}", "exam-rag-{model}"
LORA, BOTH = "exam-lora-{model}", "exam-both-{model}"
QLORA = "exam-both-{model}-qlora"
METHODS, DATA_SIZE = "methods-{model}", "data-size-{model}"
SIDE_EFFECTS, UPDATES = "side-effects-{model}", "updates-{model}"
VARIANTS, GRID, CARDS, SEARCH = "bench-rag-variants", "rehearsal-grid", "gpu-*", "bench-retrieval-*"
# A run that a kill cut short counts once it has all of these.
WHOLE = {METHODS: ("base", "full", "lora", "qlora", "nf4")}

MATTERS = 0.05  # the smallest difference in the exam that would change what anybody does
CLOSE = f"at most {100 * MATTERS:.0f} points below"
QUESTIONS, SEEDS = 100, 2  # what a verdict on a training takes, at least

# Each exam is sat by a model that was trained for it: with the books closed, or for reading.
TRAINED_FOR = {
    "lora": ("reciter", "--data both-books --epochs 2"),
    "both": ("reader", "--data contrast -k 2 --rerank --batch 4 --epochs 2"),
}


def _exam(system: str, method: str = "lora") -> str:
    name, recipe = TRAINED_FOR[system]
    out = f"adapters/{name}" + ("" if method == "lora" else f"-{method}")
    tune = f"python -m labkit finetune --method {method} {recipe} --out {out}"
    return f"{tune} && python -m labkit exam --system {system} --tuned {out}"


COMMANDS = {
    BASE: "python -m labkit exam --system base",
    RAG: "python -m labkit exam --system rag",
    LORA: _exam("lora"),
    BOTH: _exam("both"),
    QLORA: _exam("both", "qlora"),
    METHODS: "python -m labkit bench methods",
    DATA_SIZE: "python -m labkit bench data-size",
    SIDE_EFFECTS: f"python -m labkit bench side-effects --tuned adapters/{TRAINED_FOR['both'][0]}",
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

    def scores(self, pattern: str) -> dict[str, AnswerScore]:
        """Score the answers of one recorded exam again, by question id."""
        told = {row["id"]: row for row in self.figures(pattern)["answers"]}
        return {
            question.id: answer_metrics.score_answer(
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


def load_records(*, folder: Path | None = None) -> Records:
    """Read every recorded run; ``data/results`` unless another folder is given."""
    paths = sorted((folder or results.default_folder()).glob("*.json"))
    runs = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    return Records(runs, exam.load_exam("test"))


def origin_of(run: Mapping) -> str:
    """Return where and when a run was recorded."""
    machine = hardware.Hardware(**run["hardware"])
    return f"{hardware.describe(machine)}, {run['date']}"
