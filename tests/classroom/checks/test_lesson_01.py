"""Lesson 01's exercises: the reference passes, and every plausible mistake gets its own hint."""

import pytest
from exercise_tests import ExerciseTests

from labkit import answer_metrics
from labkit.classroom.checks import lesson_01 as checks_01


def right(answer, values):
    if answer_metrics.abstains(answer) or len(answer.split()) > 40:
        return False
    return not [value for value in values if not answer_metrics.contains_value(answer, value)]


def judged(intervals):
    n_sure = len([low for low, high in intervals if low > 0])
    return {0: "does not hold here", len(intervals): "holds"}.get(n_sure, "holds only if")


def holds_all(answer, values):
    return all(answer_metrics.contains_value(answer, value) for value in values)


class TestExercises(ExerciseTests):
    right = [
        (checks_01.is_right, right),
        (checks_01.highest_share, lambda n: 1 - 20 ** (-1 / n)),
        (checks_01.judge_claim, judged),
    ]
    wrong = [
        (checks_01.is_right, lambda a, v: all(x in a for x in v), "11.6 kg holds the letters"),
        (
            checks_01.is_right,
            lambda a, v: any(answer_metrics.contains_value(a, x) for x in v),
            "One value is not enough",
        ),
        (checks_01.is_right, holds_all, "are no answer, whatever they hold"),
        (
            checks_01.is_right,
            lambda a, v: holds_all(a, v) and len(a.split()) <= 40,
            "Who abstains has not answered",
        ),
        (
            checks_01.is_right,
            lambda a, v: holds_all(a, v) and not answer_metrics.abstains(a) and a.endswith("."),
            "`answer_metrics.contains_value` can",
        ),
        (checks_01.highest_share, lambda n: 0.05, "the chance you accept"),
        (checks_01.highest_share, lambda n: 0.05 ** (1 / n), "the share of wrong answers"),
        (checks_01.highest_share, lambda n: 1 - 0.95 ** (1 / n), "must be unlikely"),
        (checks_01.highest_share, lambda n: 3 / n, "rule of three"),
        (checks_01.highest_share, lambda n: 0.95, "set it 0.05"),
        (
            checks_01.judge_claim,
            lambda i: judged([((a + b) / 2, b) for a, b in i]),
            "The middle of an interval decides nothing",
        ),
        (checks_01.judge_claim, lambda i: judged([(b, b) for a, b in i]), "Look at the lower end"),
        (
            checks_01.judge_claim,
            lambda i: judged([(1 if a > 0 or b < 0 else 0, 1) for a, b in i]),
            "speaks against the claim",
        ),
        (
            checks_01.judge_claim,
            lambda i: "holds" if judged(i) == "holds" else "does not hold here",
            "the claim holds only if",
        ),
        (checks_01.judge_claim, lambda i: "holds only if", "Both lie above zero"),
    ]


def test_the_highest_share_makes_no_hit_as_rare_as_it_says() -> None:
    for n in (1, 7, 299):
        assert (1 - answer_metrics.highest_share(n)) ** n == pytest.approx(0.05)
    assert (1 - answer_metrics.highest_share(12, level=0.9)) ** 12 == pytest.approx(0.1)
