"""The exercise checks of lesson 07: the nearest level, unpacking, and what the constants cost.

Knows: the three exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor tensors of real models (``nf4``).
Used by lesson 07, which imports this module as ``check``.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from labkit.classroom.checks.check import Case, Mistake, exercise

if TYPE_CHECKING:
    import torch


def _nearest(values: "torch.Tensor", levels: "torch.Tensor") -> "torch.Tensor":
    return (values[:, None] - levels).abs().argmin(dim=1)


def _below(values: "torch.Tensor", levels: "torch.Tensor") -> "torch.Tensor":
    import torch

    return (torch.searchsorted(levels, values, right=True) - 1).clamp(min=0)


def _above(values: "torch.Tensor", levels: "torch.Tensor") -> "torch.Tensor":
    import torch

    return torch.searchsorted(levels, values)


def _evenly(values: "torch.Tensor", levels: "torch.Tensor") -> "torch.Tensor":
    """Round as if the levels were evenly spaced."""
    return ((values + 1) / 2 * (len(levels) - 1)).round().long()


def _signed(values: "torch.Tensor", levels: "torch.Tensor") -> "torch.Tensor":
    return (values[:, None] - levels).argmin(dim=1)


@exercise(
    _nearest,
    mistakes=(
        Mistake(_below, "You took the next level below. Sometimes the one above is nearer."),
        Mistake(_above, "You took the next level above. Sometimes the one below is nearer."),
        Mistake(_evenly, "That holds for evenly spaced levels. These are not: look at distances."),
        Mistake(_signed, "A distance has no sign: take the absolute difference."),
        Mistake(
            lambda values, levels: levels[_nearest(values, levels)],
            "Those are the levels themselves. Return their numbers, which fit into 4 bits.",
        ),
    ),
)
def nearest_code() -> Iterator[Case]:
    """Check lesson 07, exercise 1: the number of the nearest level."""
    import torch

    hint = "Compare each value with each level: values[:, None] - levels has shape (n, levels)."
    levels = torch.tensor([-1.0, -0.2, 0.0, 0.1, 0.3, 1.0])
    yield Case("values near uneven levels", (torch.tensor([-0.7, -0.15, 0.62, 0.7]), levels), hint)
    yield Case("values on the levels", (levels.clone(), levels), hint)
    yield Case("the ends", (torch.tensor([-1.0, 0.99]), levels), hint)


def _unpack(packed: "torch.Tensor") -> "torch.Tensor":
    import torch

    return torch.stack([packed >> 4, packed & 15], dim=1).flatten()


def _swapped(packed: "torch.Tensor") -> "torch.Tensor":
    return _unpack(packed).view(-1, 2).flip(1).flatten()


def _halves(packed: "torch.Tensor") -> "torch.Tensor":
    import torch

    return torch.cat([packed >> 4, packed & 15])


def _unmasked(packed: "torch.Tensor") -> "torch.Tensor":
    import torch

    return torch.stack([packed >> 4, packed], dim=1).flatten()


def _unshifted(packed: "torch.Tensor") -> "torch.Tensor":
    import torch

    return torch.stack([packed & 240, packed & 15], dim=1).flatten()


@exercise(
    _unpack,
    mistakes=(
        Mistake(_swapped, "The two are swapped: the first code sits in the upper half."),
        Mistake(_halves, "All upper halves come first now. Put each pair side by side again."),
        Mistake(_unmasked, "The lower code still carries the upper one. Keep 4 bits: `& 15`."),
        Mistake(_unshifted, "The upper code is 16 times too large. Shift it down: `>> 4`."),
    ),
)
def unpack() -> Iterator[Case]:
    """Check lesson 07, exercise 2: two codes out of each byte, in order."""
    import torch

    hint = "`packed >> 4` is the first code, `packed & 15` the second."
    yield Case("one byte", (torch.tensor([0xA3], dtype=torch.uint8),), hint)
    yield Case("three bytes", (torch.tensor([0x12, 0xF0, 0x0F], dtype=torch.uint8),), hint)


def _constant_bits(block: int, second_block: int | None) -> float:
    return 32 / block if second_block is None else 8 / block + 32 / (block * second_block)


@exercise(
    _constant_bits,
    mistakes=(
        Mistake(
            lambda block, second: 4 + _constant_bits(block, second),
            "That counts the weight's own 4 bits, too. Return the constants' share only.",
        ),
        Mistake(
            lambda block, second: _constant_bits(block, second) / 8,
            "Those are bytes. Eight bits a byte: return bits.",
        ),
        Mistake(
            lambda block, second: 32 / block if second is None else 8 / block,
            "The 8-bit constants have constants of their own: 32 bits for each second block.",
        ),
        Mistake(
            lambda block, second: 32 / block if second is None else 8 / block + 32 / second,
            "A second block covers `second_block` constants, and so block × second_block weights.",
        ),
        Mistake(
            lambda block, second: 32 / block,
            "With a second block a constant takes 8 bits, not 32.",
        ),
    ),
)
def constant_bits() -> Iterator[Case]:
    """Check lesson 07, exercise 3: what the constants cost, in bits a weight."""
    one = "One constant of 32 bits is shared by `block` weights."
    two = "One constant of 8 bits a block, and one of 32 bits for `second_block` blocks."
    yield Case("blocks of 64, no second level", (64, None), one)
    yield Case("blocks of 64 and 256", (64, 256), two)
    yield Case("blocks of 32 and 16", (32, 16), two)
