"""The recorded runs that verdicts need: patterns of their names, and the commands that record them.

Knows: names and commands, and the margin of "close to". Does not know: any rule.
Used by ``verdict_rules``, ``verdict_training`` and ``decide``.

What two of the records hold: ``methods-MODEL`` has ``figures["methods"]
[METHOD]["train_s"]`` for full, lora and qlora on the same examples. ``data-size-MODEL`` holds
``figures["runs"]``, each with ``n_examples``, ``noise`` (a share) and ``answers`` (``id`` and
``exact_match`` of every question).
"""

from collections.abc import Mapping

from labkit.measure import Interval

BASE, RAG = "exam-base-{model}", "exam-rag-{model}"
LORA, BOTH = "exam-lora-{model}", "exam-both-{model}"
FULL, QLORA = "exam-both-{model}-full", "exam-both-{model}-qlora"
NF4 = "exam-rag-{model}-nf4"
METHODS, DATA_SIZE = "methods-{model}", "data-size-{model}"
MARGIN = 0.05  # "close to" means: at most five points below, at the worse end of the interval
CLOSE = f"at most {100 * MARGIN:.0f} points below"


def _exam(system: str, method: str = "lora") -> str:
    tune = f"python -m labkit finetune --method {method} --out adapters/{method} && "
    tuned = f" --tuned adapters/{method}"
    return f"{tune}python -m labkit exam --system {system}{tuned}"


COMMANDS = {
    BASE: "python -m labkit exam --system base",
    RAG: "python -m labkit exam --system rag",
    LORA: _exam("lora"),
    BOTH: _exam("both"),
    FULL: _exam("both", "full"),
    QLORA: _exam("both", "qlora"),
    NF4: "lesson 08 (the base model's exam in 4 bits)",
    METHODS: "lesson 08 (full, LoRA and QLoRA side by side)",
    DATA_SIZE: "python -m labkit bench data-size",
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
