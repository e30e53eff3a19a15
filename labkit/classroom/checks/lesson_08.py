"""The exercise checks of lesson 08: real tokens, bytes that learning costs, choosing a method.

Knows: the three exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor how methods are measured.
Used by lesson 08, which imports this module as ``check``.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import mean

from labkit.classroom.checks.check import Case, Cases, exercise

Costs = Mapping[str, Mapping[str, float]]
COSTS = {
    "full": {"peak_bytes": 9e9, "train_s": 300.0, "loss": 1.00},
    "LoRA": {"peak_bytes": 5e9, "train_s": 100.0, "loss": 1.10},
    "QLoRA": {"peak_bytes": 2e9, "train_s": 130.0, "loss": 1.05},
}


def _real_tokens_per_s(batches: Sequence[Sequence[int]], seconds: Sequence[float]) -> float:
    return sum(map(sum, batches)) / sum(seconds)


@exercise(_real_tokens_per_s, lambda batches, seconds: {
    "You counted the padding: every row as long as the longest of its batch.":
        sum(max(b) * len(b) for b in batches) / sum(seconds),
    "A mean of speeds counts a short step like a long one: add up both sides first.":
        mean(sum(b) / s for b, s in zip(batches, seconds, strict=True)),
    "Those are examples a second. Count their tokens.": sum(map(len, batches)) / sum(seconds),
    "Those are seconds a token: turn the fraction round.": sum(seconds) / sum(map(sum, batches)),
})  # fmt: skip
def real_tokens_per_s() -> Cases:
    """Check lesson 08, exercise 1: real tokens a second."""
    yield Case("one batch without padding", ([[10, 10]], [2.0]), "Tokens divided by seconds.")
    yield Case("two steps, with padding", ([[10, 4], [3, 3, 1]], [2.0, 1.0]), "Sum, then divide.")
    yield Case("a slow first step", ([[8], [8], [8]], [6.0, 1.0, 1.0]), "Every second counts.")


def _learning(method: str, n_base: int, n_adapter: int) -> int:
    return n_base if method == "full" else n_adapter


@exercise(lambda method, n_base, n_adapter: 12 * _learning(method, n_base, n_adapter),
          lambda method, base, adapter: {
    "You took all weights. With adapters the base is frozen: it has no gradient.": 12 * base,
    "Full fine-tuning has no adapter: all of the base learns.": 12 * adapter,
    "Two numbers are not enough: one gradient, and two running means of AdamW.":
        8 * _learning(method, base, adapter),
    "That is how many numbers. Each takes four bytes in float32.":
        3 * _learning(method, base, adapter),
    "The frozen base does not learn, beside the adapter or not.":
        12 * (base + adapter * (method != "full")),
    "QLoRA's 4 bits are for the frozen base. Its adapters learn as LoRA's do.":
        (1.5 if method == "qlora" else 12) * _learning(method, base, adapter),
})  # fmt: skip
def learning_bytes() -> Cases:
    """Check lesson 08, exercise 2: bytes of gradients and optimizer states."""
    hint = "Three float32 numbers for every parameter that learns."
    yield Case("full fine-tuning", ("full", 1000, 10), hint)
    yield Case("LoRA", ("lora", 1000, 10), hint)
    yield Case("QLoRA", ("qlora", 1000, 10), "Only the frozen base differs from LoRA.")


def _choose(
    costs: Costs, memory_bytes: float, seconds: float, *, by: str = "loss", sign: int = 1
) -> str | None:
    fitting = [
        name
        for name, cost in costs.items()
        if cost["peak_bytes"] <= memory_bytes and cost["train_s"] <= seconds
    ]
    return min(fitting, key=lambda name: sign * costs[name][by], default=None)


@exercise(_choose, lambda costs, memory, seconds: {
    "That one takes longer than you have.": _choose(costs, memory, math.inf),
    "That one needs more memory than you have.": _choose(costs, math.inf, seconds),
    "That is the worst of those that fit: a lower loss is better.":
        _choose(costs, memory, seconds, sign=-1),
    "That is the smallest. What fits, fits: choose by the loss among those.":
        _choose(costs, memory, seconds, by="peak_bytes"),
})  # fmt: skip
def choose_method() -> Cases:
    """Check lesson 08, exercise 3: the best method within a budget."""
    yield Case("room for everything", (COSTS, 1e10, 1000.0), "The lowest loss wins.")
    yield Case("6 GB and plenty of time", (COSTS, 6e9, 1000.0), "Full needs too much memory.")
    yield Case("plenty of memory and 200 s", (COSTS, 1e10, 200.0), "Full takes too long.")
    yield Case("6 GB and 120 s", (COSTS, 6e9, 120.0), "One method keeps both limits.")
    yield Case("1 GB", (COSTS, 1e9, 1000.0), "If nothing fits, say so: return None.")
