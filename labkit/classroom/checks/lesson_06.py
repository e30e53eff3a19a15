"""The exercise checks of lesson 06: counting, computing and merging a LoRA update.

Knows: the three exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor models (``lora`` does the same work).
Used by lesson 06, which imports this module as ``check``.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labkit.classroom.checks.check import Case, Mistake, exercise

if TYPE_CHECKING:
    import torch

Shapes = list[tuple[int, int]]


def _count_trainable(shapes: Shapes, rank: int) -> int:
    return sum(rank * (n_out + n_in) for n_out, n_in in shapes)


@exercise(
    _count_trainable,
    mistakes=(
        Mistake(
            lambda shapes, rank: sum(n_out * n_in for n_out, n_in in shapes),
            "That counts the frozen matrices. A is rank × in, B is out × rank.",
        ),
        Mistake(
            lambda shapes, rank: sum(rank * n_in for _, n_in in shapes),
            "That is A alone. B has out × rank numbers more.",
        ),
        Mistake(
            lambda shapes, rank: sum(rank * n_out for n_out, _ in shapes),
            "That is B alone. A has rank × in numbers more.",
        ),
        Mistake(
            lambda shapes, rank: sum(rank * n_out * n_in for n_out, n_in in shapes),
            "A and B are two thin matrices beside each other: add their sizes, do not multiply.",
        ),
        Mistake(
            lambda shapes, rank: _count_trainable(shapes[:1], rank),
            "You counted the first layer only. Add up all of them.",
        ),
    ),
)
def count_trainable() -> Iterator[Case]:
    """Check lesson 06, exercise 1: how many numbers LoRA trains."""
    yield Case("one layer of 6 × 10 at rank 2", ([(6, 10)], 2), "A is rank × in, B out × rank.")
    yield Case("two layers", ([(4, 3), (8, 5)], 3), "Add up all layers.")
    yield Case("no layer", ([], 8), "No layer, nothing to train: 0.")


def _low_rank(
    x: "torch.Tensor", w: "torch.Tensor", a: "torch.Tensor", b: "torch.Tensor", scale: float
) -> "torch.Tensor":
    return x @ w.T + scale * (x @ a.T @ b.T)


def _forward(
    x: "torch.Tensor",
    w: "torch.Tensor",
    a: "torch.Tensor",
    b: "torch.Tensor",
    alpha: float,
    rank: int,
) -> "torch.Tensor":
    return _low_rank(x, w, a, b, alpha / rank)


@exercise(
    _forward,
    mistakes=(
        Mistake(
            lambda x, w, a, b, alpha, rank: _low_rank(x, w, a, b, alpha),
            "You multiplied by alpha. The scale is alpha divided by the rank.",
        ),
        Mistake(
            lambda x, w, a, b, alpha, rank: _low_rank(x, w, a, b, 1),
            "You left the scale out: multiply the update by alpha divided by the rank.",
        ),
        Mistake(
            lambda x, w, a, b, alpha, rank: _low_rank(x, w, a, b, rank / alpha),
            "The scale is upside down: alpha over rank.",
        ),
        Mistake(
            lambda x, w, a, b, alpha, rank: alpha / rank * (x @ a.T @ b.T),
            "That is the update alone. The frozen layer's output comes on top.",
        ),
        Mistake(
            lambda x, w, a, b, alpha, rank: alpha / rank * _low_rank(x, w, a, b, 1),
            "You scaled the frozen layer's output, too. Scale the update only.",
        ),
    ),
)
def lora_forward() -> Iterator[Case]:
    """Check lesson 06, exercise 2: the output of a LoRA layer."""
    import torch

    shapes = "x is (n, in), A (rank, in), B (out, rank): x @ A.T is (n, rank). Go on from there."
    draw = torch.Generator().manual_seed(0)
    x, w, a, b = (torch.randn(*s, generator=draw) for s in ((2, 5), (3, 5), (4, 5), (3, 4)))
    yield Case("alpha 16 at rank 4", (x, w, a, b, 16, 4), shapes)
    yield Case("alpha 1 at rank 4", (x, w, a, b, 1, 4), shapes)
    yield Case(
        "a B of zeros", (x, w, a, torch.zeros(3, 4), 16, 4), "Then only the frozen layer speaks."
    )


def _merge(
    w: "torch.Tensor", a: "torch.Tensor", b: "torch.Tensor", alpha: float, rank: int
) -> "torch.Tensor":
    return w + alpha / rank * (b @ a)


@exercise(
    _merge,
    mistakes=(
        Mistake(
            lambda w, a, b, alpha, rank: w + alpha * (b @ a),
            "You multiplied by alpha. The scale is alpha divided by the rank.",
        ),
        Mistake(
            lambda w, a, b, alpha, rank: w + b @ a,
            "You left the scale out: the merged model would learn too little or too much.",
        ),
        Mistake(
            lambda w, a, b, alpha, rank: alpha / rank * (b @ a),
            "That is the update. Add it to the frozen weight.",
        ),
        Mistake(
            lambda w, a, b, alpha, rank: w - alpha / rank * (b @ a),
            "Minus takes an update out again. Merging adds it.",
        ),
    ),
)
def merged_weight() -> Iterator[Case]:
    """Check lesson 06, exercise 3: the one matrix that replaces W, A and B."""
    import torch

    shapes = "B (out, rank) times A (rank, in) has the shape of W (out, in)."
    draw = torch.Generator().manual_seed(1)
    w, a, b = (torch.randn(*s, generator=draw) for s in ((3, 5), (2, 5), (3, 2)))
    yield Case("alpha 8 at rank 2", (w, a, b, 8, 2), shapes)
    yield Case("alpha 1 at rank 2", (w, a, b, 1, 2), shapes)
