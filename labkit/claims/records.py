"""The recorded runs that verdicts need: patterns of their names, and the commands that record them.

Knows: names and commands, and the margin of "close to". Does not know: any rule.
Used by ``verdict_rules``, ``verdict_training`` and ``decide``.

What three of the records hold: ``methods-MODEL`` has ``figures[METHOD]["train_s"]`` for full, lora
and qlora on the same examples, and their ``answers`` to a part of the exam. ``data-size-MODEL``
holds ``figures["runs"]``, each with ``n_examples``, ``noise`` (a share) and ``answers`` (``id`` and
``exact_match`` of every question). ``side-effects-MODEL`` has ``figures["trained"]["retrain_s"]``:
what training the reader took.
"""

from collections.abc import Mapping

from labkit.types import Interval

BASE, RAG = "exam-base-{model}", "exam-rag-{model}"
LORA, BOTH = "exam-lora-{model}", "exam-both-{model}"
QLORA = "exam-both-{model}-qlora"
METHODS, DATA_SIZE = "methods-{model}", "data-size-{model}"
SIDE_EFFECTS = "side-effects-{model}"
MARGIN = 0.05  # "close to" means: at most five points below, at the worse end of the interval
# A run that a kill cut short counts once it has all of these.
WHOLE = {METHODS: ("base", "full", "lora", "qlora", "nf4")}
CLOSE = f"at most {100 * MARGIN:.0f} points below"


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
    "bench-rag-variants": "python -m labkit bench rag",
    "updates-{model}": "python -m labkit bench updates",
    "gpu-*": "make bench-gpu",
}


def needs(*patterns: str) -> Mapping[str, str]:
    """Return the command that records each pattern's run."""
    return {pattern: COMMANDS[pattern] for pattern in patterns}


def listed(parts: Mapping[str, Interval]) -> str:
    """Return named differences in points, as one line."""
    return "; ".join(f"{name} {change.in_points()}" for name, change in parts.items())
