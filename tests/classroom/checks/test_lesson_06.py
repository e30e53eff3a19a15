"""Lesson 06's exercises: the reference passes, and every plausible mistake gets its own hint."""

from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import linear

from labkit.classroom.checks import lesson_06 as checks_06
from labkit.classroom.checks.check import UNTOUCHED, Exercise

EXERCISES = [checks_06.count_trainable, checks_06.lora_forward, checks_06.merged_weight]


def right_count(shapes, rank):
    total = 0
    for n_out, n_in in shapes:
        total += n_out * rank + rank * n_in
    return total


def right_forward(x, w, a, b, alpha, rank):
    return linear(x, w) + linear(linear(x, a), b) * alpha / rank


def right_merge(w, a, b, alpha, rank):
    return torch.addmm(w, b, a, alpha=alpha / rank)


WRONG = {
    checks_06.count_trainable: {
        "That counts the frozen": lambda s, r: sum(o * i for o, i in s),
        "That is A alone.": lambda s, r: sum(r * i for o, i in s),
        "That is B alone.": lambda s, r: sum(r * o for o, i in s),
        "A and B are two thin": lambda s, r: sum(r * o * i for o, i in s),
        "You counted the first layer only.": lambda s, r: r * sum(s[0]) if s else 0,
    },
    checks_06.lora_forward: {
        "You multiplied by alpha.": lambda x, w, a, b, al, r: x @ w.T + al * (x @ a.T @ b.T),
        "You left the scale out": lambda x, w, a, b, al, r: x @ w.T + x @ a.T @ b.T,
        "The scale is upside down": lambda x, w, a, b, al, r: x @ w.T + r / al * (x @ a.T @ b.T),
        "That is the update alone.": lambda x, w, a, b, al, r: al / r * (x @ a.T @ b.T),
        "You scaled the frozen": lambda x, w, a, b, al, r: al / r * (x @ w.T + x @ a.T @ b.T),
        "x is (n, in)": lambda x, w, a, b, al, r: x @ w + al / r * (x @ a @ b),
    },
    checks_06.merged_weight: {
        "You multiplied by alpha.": lambda w, a, b, al, r: w + al * (b @ a),
        "You left the scale out": lambda w, a, b, al, r: w + b @ a,
        "That is the update.": lambda w, a, b, al, r: al / r * (b @ a),
        "Minus takes": lambda w, a, b, al, r: w - al / r * (b @ a),
        "B (out, rank) times": lambda w, a, b, al, r: w + al / r * (a @ b),
    },
}


@pytest.mark.parametrize(
    ("check", "answer"),
    list(zip(EXERCISES, (right_count, right_forward, right_merge), strict=True)),
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
