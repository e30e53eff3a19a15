"""The exercise checks of lesson 08: real tokens, bytes that learning costs, choosing a method.

Knows: the three exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor how methods are measured.
Used by lesson 08, which imports this module as ``check``.
"""

from collections.abc import Iterator, Mapping, Sequence

from labkit.classroom.checks.check import Case, Mistake, exercise

Batches = Sequence[Sequence[int]]
Costs = Mapping[str, Mapping[str, float]]
COSTS = {
    "full": {"peak_bytes": 9e9, "train_s": 300.0, "loss": 1.00},
    "LoRA": {"peak_bytes": 5e9, "train_s": 100.0, "loss": 1.10},
    "QLoRA": {"peak_bytes": 2e9, "train_s": 130.0, "loss": 1.05},
}


def _real_tokens_per_s(batches: Batches, seconds: Sequence[float]) -> float:
    return sum(map(sum, batches)) / sum(seconds)


def _padded(batch: Sequence[int]) -> int:
    return max(batch) * len(batch)


@exercise(
    _real_tokens_per_s,
    mistakes=(
        Mistake(
            lambda batches, seconds: sum(map(_padded, batches)) / sum(seconds),
            "You counted the padding: every row as long as the longest of its batch.",
        ),
        Mistake(
            lambda batches, seconds: (
                sum(sum(b) / s for b, s in zip(batches, seconds, strict=True)) / len(seconds)
            ),
            "A mean of speeds counts a short step like a long one: add up both sides first.",
        ),
        Mistake(
            lambda batches, seconds: sum(map(len, batches)) / sum(seconds),
            "Those are examples a second. Count their tokens.",
        ),
        Mistake(
            lambda batches, seconds: sum(seconds) / sum(map(sum, batches)),
            "Those are seconds a token: turn the fraction round.",
        ),
    ),
)
def real_tokens_per_s() -> Iterator[Case]:
    """Check lesson 08, exercise 1: real tokens a second."""
    yield Case("one batch without padding", ([[10, 10]], [2.0]), "Tokens divided by seconds.")
    yield Case("two steps, with padding", ([[10, 4], [3, 3, 1]], [2.0, 1.0]), "Sum, then divide.")
    yield Case("a slow first step", ([[8], [8], [8]], [6.0, 1.0, 1.0]), "Every second counts.")


def _learning_bytes(method: str, n_base: int, n_adapter: int) -> int:
    return 4 * 3 * (n_base if method == "full" else n_adapter)


@exercise(
    _learning_bytes,
    mistakes=(
        Mistake(
            lambda method, n_base, n_adapter: 4 * 3 * n_base,
            "You took all weights. With adapters the base is frozen: it has no gradient.",
        ),
        Mistake(
            lambda method, n_base, n_adapter: 4 * 3 * n_adapter,
            "Full fine-tuning has no adapter: all of the base learns.",
        ),
        Mistake(
            lambda method, n_base, n_adapter: 4 * 2 * (n_base if method == "full" else n_adapter),
            "Two numbers are not enough: one gradient, and two running means of AdamW.",
        ),
        Mistake(
            lambda method, n_base, n_adapter: 3 * (n_base if method == "full" else n_adapter),
            "That is how many numbers. Each takes four bytes in float32.",
        ),
        Mistake(
            lambda method, n_base, n_adapter: (
                4 * 3 * n_base if method == "full" else 4 * 3 * (n_base + n_adapter)
            ),
            "The frozen base does not learn, beside the adapter or not.",
        ),
        Mistake(
            lambda method, n_base, n_adapter: {
                "full": 12 * n_base,
                "lora": 12 * n_adapter,
                "qlora": 3 * n_adapter // 2,
            }[method],
            "QLoRA's 4 bits are for the frozen base. Its adapters learn as LoRA's do.",
        ),
    ),
)
def learning_bytes() -> Iterator[Case]:
    """Check lesson 08, exercise 2: bytes of gradients and optimizer states."""
    hint = "Three float32 numbers for every parameter that learns."
    yield Case("full fine-tuning", ("full", 1000, 10), hint)
    yield Case("LoRA", ("lora", 1000, 10), hint)
    yield Case("QLoRA", ("qlora", 1000, 10), "Only the frozen base differs from LoRA.")


def _choose(costs: Costs, memory_bytes: float, seconds: float) -> str | None:
    fitting = {
        name: cost["loss"]
        for name, cost in costs.items()
        if cost["peak_bytes"] <= memory_bytes and cost["train_s"] <= seconds
    }
    return min(fitting, key=fitting.__getitem__) if fitting else None


@exercise(
    _choose,
    mistakes=(
        Mistake(
            lambda costs, memory_bytes, seconds: _choose(costs, memory_bytes, float("inf")),
            "That one takes longer than you have.",
        ),
        Mistake(
            lambda costs, memory_bytes, seconds: _choose(costs, float("inf"), seconds),
            "That one needs more memory than you have.",
        ),
        Mistake(
            lambda costs, memory_bytes, seconds: _choose(
                {name: cost | {"loss": -cost["loss"]} for name, cost in costs.items()},
                memory_bytes,
                seconds,
            ),
            "That is the worst of those that fit: a lower loss is better.",
        ),
        Mistake(
            lambda costs, memory_bytes, seconds: _choose(
                {name: cost | {"loss": cost["peak_bytes"]} for name, cost in costs.items()},
                memory_bytes,
                seconds,
            ),
            "That is the smallest. What fits, fits: choose by the loss among those.",
        ),
    ),
)
def choose_method() -> Iterator[Case]:
    """Check lesson 08, exercise 3: the best method within a budget."""
    yield Case("room for everything", (COSTS, 1e10, 1000.0), "The lowest loss wins.")
    yield Case("6 GB and plenty of time", (COSTS, 6e9, 1000.0), "Full needs too much memory.")
    yield Case("plenty of memory and 200 s", (COSTS, 1e10, 200.0), "Full takes too long.")
    yield Case("6 GB and 120 s", (COSTS, 6e9, 120.0), "One method keeps both limits.")
    yield Case("1 GB", (COSTS, 1e9, 1000.0), "If nothing fits, say so: return None.")
