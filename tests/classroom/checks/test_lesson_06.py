"""Lesson 06's exercises: the reference passes, and every plausible mistake gets its own hint."""

import torch
from exercise_tests import ExerciseTests
from torch.nn.functional import linear

from labkit.classroom.checks import lesson_06 as checks_06


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


class TestExercises(ExerciseTests):
    right = [
        (checks_06.count_trainable, right_count),
        (checks_06.lora_forward, right_forward),
        (checks_06.merged_weight, right_merge),
    ]
    wrong = [
        (check, wrong, hint) for check, found in WRONG.items() for hint, wrong in found.items()
    ]
