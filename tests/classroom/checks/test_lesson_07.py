"""Lesson 07's exercises: the reference passes, and every plausible mistake gets its own hint."""

import torch
from exercise_tests import ExerciseTests

from labkit import nf4
from labkit.classroom.checks import lesson_07 as checks_07


def right_unpack(packed):
    return [int(code) for byte in packed for code in (byte // 16, byte % 16)]


def right_bits(block, second_block):
    if second_block is None:
        return nf4.bits_per_parameter(block=block) - 4
    return (8 + 32 / second_block) / block


WRONG = {
    checks_07.nearest_code: {
        "You took the next level below.": lambda v, lv: [int((lv <= x).sum()) - 1 for x in v],
        "You took the next level above.": lambda v, lv: torch.bucketize(v, lv),
        "That holds for evenly": lambda v, lv: torch.round((v + 1) * (len(lv) - 1) / 2),
        "A distance has no sign": lambda v, lv: torch.argmin(v[:, None] - lv, dim=1),
        "Those are the levels": lambda v, lv: lv[nf4.nearest_codes(v, lv).long()],
    },
    checks_07.unpack: {
        "The two are swapped": lambda p: torch.stack([p & 15, p >> 4], dim=1).flatten(),
        "All upper halves": lambda p: torch.cat([p // 16, p % 16]),
        "The lower code still": lambda p: torch.stack([p >> 4, p], dim=1).flatten(),
        "The upper code is 16": lambda p: torch.stack([p & 240, p & 15], dim=1).flatten(),
    },
    checks_07.constant_bits: {
        "That counts the weight's": lambda b, s: 4 + right_bits(b, s),
        "Those are bytes.": lambda b, s: right_bits(b, s) / 8,
        "The 8-bit constants": lambda b, s: 8 / b if s else 32 / b,
        "A second block covers": lambda b, s: 8 / b + 32 / s if s else 32 / b,
        "With a second block": lambda b, s: 32 / b,
    },
}


class TestExercises(ExerciseTests):
    right = [
        (checks_07.nearest_code, lambda v, lv: (v[:, None] - lv).abs().argmin(dim=1)),
        (checks_07.unpack, right_unpack),
        (checks_07.constant_bits, right_bits),
    ]
    wrong = [
        (check, wrong, hint) for check, found in WRONG.items() for hint, wrong in found.items()
    ]
