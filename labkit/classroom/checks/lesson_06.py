"""The exercise checks of lesson 06: counting, computing and merging a LoRA update.

Knows: the three exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor models (``lora`` does the same work).
Used by lesson 06, which imports this module as ``check``.
"""

import torch

from labkit.classroom.checks.check import Case, Cases, exercise

BY_ALPHA = "You multiplied by alpha. The scale is alpha divided by the rank."


def _count_trainable(shapes: list[tuple[int, int]], rank: int) -> int:
    return sum(rank * (n_out + n_in) for n_out, n_in in shapes)


@exercise(_count_trainable, lambda shapes, rank: {
    "That counts the frozen matrices. A is rank × in, B is out × rank.":
        sum(n_out * n_in for n_out, n_in in shapes),
    "That is A alone. B has out × rank numbers more.": sum(rank * n_in for _, n_in in shapes),
    "That is B alone. A has rank × in numbers more.": sum(rank * n_out for n_out, _ in shapes),
    "A and B are two thin matrices beside each other: add their sizes, do not multiply.":
        sum(rank * n_out * n_in for n_out, n_in in shapes),
    "You counted the first layer only. Add up all of them.": _count_trainable(shapes[:1], rank),
})  # fmt: skip
def count_trainable() -> Cases:
    """Check lesson 06, exercise 1: how many numbers LoRA trains."""
    yield Case("one layer of 6 × 10 at rank 2", ([(6, 10)], 2), "A is rank × in, B out × rank.")
    yield Case("two layers", ([(4, 3), (8, 5)], 3), "Add up all layers.")
    yield Case("no layer", ([], 8), "No layer, nothing to train: 0.")


@exercise(lambda x, w, a, b, alpha, rank: x @ w.T + alpha / rank * (x @ a.T @ b.T),
          lambda x, w, a, b, alpha, rank: {
    BY_ALPHA: x @ w.T + alpha * (x @ a.T @ b.T),
    "You left the scale out: multiply the update by alpha divided by the rank.":
        x @ w.T + x @ a.T @ b.T,
    "The scale is upside down: alpha over rank.": x @ w.T + rank / alpha * (x @ a.T @ b.T),
    "That is the update alone. The frozen layer's output comes on top.":
        alpha / rank * (x @ a.T @ b.T),
    "You scaled the frozen layer's output, too. Scale the update only.":
        alpha / rank * (x @ w.T + x @ a.T @ b.T),
})  # fmt: skip
def lora_forward() -> Cases:
    """Check lesson 06, exercise 2: the output of a LoRA layer."""
    shapes = "x is (n, in), A (rank, in), B (out, rank): x @ A.T is (n, rank). Go on from there."
    frozen = "Then only the frozen layer speaks."
    draw = torch.Generator().manual_seed(0)
    x, w, a, b = (torch.randn(*s, generator=draw) for s in ((2, 5), (3, 5), (4, 5), (3, 4)))
    yield Case("alpha 16 at rank 4", (x, w, a, b, 16, 4), shapes)
    yield Case("alpha 1 at rank 4", (x, w, a, b, 1, 4), shapes)
    yield Case("a B of zeros", (x, w, a, torch.zeros(3, 4), 16, 4), frozen)


@exercise(lambda w, a, b, alpha, rank: w + alpha / rank * (b @ a), lambda w, a, b, alpha, rank: {
    BY_ALPHA: w + alpha * (b @ a),
    "You left the scale out: the merged model would learn too little or too much.": w + b @ a,
    "That is the update. Add it to the frozen weight.": alpha / rank * (b @ a),
    "Minus takes an update out again. Merging adds it.": w - alpha / rank * (b @ a),
})  # fmt: skip
def merged_weight() -> Cases:
    """Check lesson 06, exercise 3: the one matrix that replaces W, A and B."""
    shapes = "B (out, rank) times A (rank, in) has the shape of W (out, in)."
    draw = torch.Generator().manual_seed(1)
    w, a, b = (torch.randn(*s, generator=draw) for s in ((3, 5), (2, 5), (3, 2)))
    yield Case("alpha 8 at rank 2", (w, a, b, 8, 2), shapes)
    yield Case("alpha 1 at rank 2", (w, a, b, 1, 2), shapes)
