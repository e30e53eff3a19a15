"""The exercise checks of lesson 07: the nearest level, unpacking, and what the constants cost.

Knows: the three exercises and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``), nor tensors of real models (``nf4``, whose
functions are two of the references).
Used by lesson 07, which imports this module as ``check``.
"""

import torch

from labkit import nf4
from labkit.classroom.checks.check import Case, Cases, exercise


@exercise(nf4.nearest_codes, lambda values, levels: {
    "You took the next level below. Sometimes the one above is nearer.":
        torch.searchsorted(levels, values, right=True) - 1,
    "You took the next level above. Sometimes the one below is nearer.":
        torch.searchsorted(levels, values),
    "That holds for evenly spaced levels. These are not: look at distances.":
        torch.round((values + 1) / 2 * (len(levels) - 1)),
    "A distance has no sign: take the absolute difference.":
        (values[:, None] - levels).argmin(dim=1),
    "Those are the levels themselves. Return their numbers, which fit into 4 bits.":
        levels[nf4.nearest_codes(values, levels).long()],
})  # fmt: skip
def nearest_code() -> Cases:
    """Check lesson 07, exercise 1: the number of the nearest level."""
    hint = "Compare each value with each level: values[:, None] - levels has shape (n, levels)."
    levels = torch.tensor([-1.0, -0.2, 0.0, 0.1, 0.3, 1.0])
    yield Case("values near uneven levels", (torch.tensor([-0.7, -0.15, 0.62, 0.7]), levels), hint)
    yield Case("values on the levels", (levels.clone(), levels), hint)
    yield Case("the ends", (torch.tensor([-1.0, 0.99]), levels), hint)


def _in_turn(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    return torch.stack([first, second], dim=1).flatten()


@exercise(lambda packed: nf4.unpack(packed, 2 * len(packed)), lambda packed: {
    "The two are swapped: the first code sits in the upper half.":
        _in_turn(packed & 15, packed >> 4),
    "All upper halves come first now. Put each pair side by side again.":
        torch.cat([packed >> 4, packed & 15]),
    "The lower code still carries the upper one. Keep 4 bits: `& 15`.":
        _in_turn(packed >> 4, packed),
    "The upper code is 16 times too large. Shift it down: `>> 4`.":
        _in_turn(packed & 240, packed & 15),
})  # fmt: skip
def unpack() -> Cases:
    """Check lesson 07, exercise 2: two codes out of each byte, in order."""
    hint = "`packed >> 4` is the first code, `packed & 15` the second."
    yield Case("one byte", (torch.tensor([0xA3], dtype=torch.uint8),), hint)
    yield Case("three bytes", (torch.tensor([0x12, 0xF0, 0x0F], dtype=torch.uint8),), hint)


def _constant_bits(block: int, second_block: int | None) -> float:
    return 32 / block if second_block is None else 8 / block + 32 / (block * second_block)


@exercise(_constant_bits, lambda block, second: {
    "That counts the weight's own 4 bits, too. Return the constants' share only.":
        4 + _constant_bits(block, second),
    "Those are bytes. Eight bits a byte: return bits.": _constant_bits(block, second) / 8,
    "The 8-bit constants have constants of their own: 32 bits for each second block.":
        8 / block,
    "A second block covers `second_block` constants, and so block × second_block weights.":
        8 / block + 32 / (second or block),
    "With a second block a constant takes 8 bits, not 32.": 32 / block,
})  # fmt: skip
def constant_bits() -> Cases:
    """Check lesson 07, exercise 3: what the constants cost, in bits a weight."""
    one = "One constant of 32 bits is shared by `block` weights."
    two = "One constant of 8 bits a block, and one of 32 bits for `second_block` blocks."
    yield Case("blocks of 64, no second level", (64, None), one)
    yield Case("blocks of 64 and 256", (64, 256), two)
    yield Case("blocks of 32 and 16", (32, 16), two)
