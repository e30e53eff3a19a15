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

from collections.abc import Mapping

from labkit import evaluate
from labkit.types import Interval

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
