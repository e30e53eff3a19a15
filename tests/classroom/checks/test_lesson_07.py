"""Lesson 07's exercises: the reference passes, and every plausible mistake gets its own hint."""

from collections.abc import Callable

import pytest
import torch

from labkit import nf4
from labkit.classroom.checks import lesson_07 as checks_07
from labkit.classroom.checks.check import UNTOUCHED, Exercise

EXERCISES = [checks_07.nearest_code, checks_07.unpack, checks_07.constant_bits]


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


@pytest.mark.parametrize(
    ("check", "answer"),
    list(zip(EXERCISES, (nf4.nearest_codes, right_unpack, right_bits), strict=True)),
    ids=lambda part: getattr(part, "name", ""),
)
def test_a_right_answer_written_another_way_passes(check: Exercise, answer: Callable) -> None:
    assert check.judge(answer).state == "passed", check.judge(answer).message


@pytest.mark.parametrize("check", EXERCISES, ids=lambda check: check.name)
def test_the_reference_passes_and_the_stub_is_not_attempted(check: Exercise) -> None:
    def stub(*arguments):
        raise NotImplementedError

    assert check.judge(check.reference).state == "passed"
    assert check.judge(stub).message == f"· {check.name}: {UNTOUCHED}."


@pytest.mark.parametrize(
    ("check", "hint", "wrong"),
    [(check, hint, wrong) for check, found in WRONG.items() for hint, wrong in found.items()],
    ids=lambda part: getattr(part, "name", ""),
)
def test_each_wrong_answer_gets_its_own_hint(check: Exercise, hint: str, wrong: Callable) -> None:
    verdict = check.judge(wrong)
    assert verdict.state == "failed"
    assert f"Hint: {hint}" in verdict.message
