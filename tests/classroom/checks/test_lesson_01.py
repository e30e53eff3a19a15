"""Lesson 01's exercises: the reference passes, and every plausible mistake gets its own hint."""

from collections.abc import Callable

import pytest

from labkit import answer_metrics, exam
from labkit.classroom.checks import lesson_01 as checks_01
from labkit.classroom.checks.check import UNTOUCHED, Exercise

EXERCISES = [checks_01.is_right, checks_01.highest_share, checks_01.judge_claim]


def right(answer, values):
    if exam.abstains(answer) or len(answer.split()) > 40:
        return False
    return not [value for value in values if not exam.contains_value(answer, value)]


def judged(intervals):
    n_sure = len([low for low, high in intervals if low > 0])
    return {0: "does not hold here", len(intervals): "holds"}.get(n_sure, "holds only if")


@pytest.mark.parametrize(
    ("check", "answer"),
    list(zip(EXERCISES, [right, lambda n: 1 - 20 ** (-1 / n), judged], strict=True)),
    ids=lambda part: getattr(part, "name", ""),
)
def test_a_right_answer_written_another_way_passes(check: Exercise, answer: Callable) -> None:
    assert check.judge(answer).state == "passed", check.judge(answer).message


@pytest.mark.parametrize("check", EXERCISES, ids=lambda check: check.name)
def test_the_reference_passes(check: Exercise) -> None:
    assert check.judge(check.reference).state == "passed", check.judge(check.reference).message


@pytest.mark.parametrize("check", EXERCISES, ids=lambda check: check.name)
def test_the_stub_is_not_attempted(check: Exercise) -> None:
    def stub(*arguments):
        raise NotImplementedError

    assert check.judge(stub).message == f"· {check.name}: {UNTOUCHED}."


def holds_all(answer, values):
    return all(exam.contains_value(answer, value) for value in values)


@pytest.mark.parametrize(
    ("check", "wrong", "hint"),
    [
        (checks_01.is_right, lambda a, v: all(x in a for x in v), "11.6 kg holds the letters"),
        (
            checks_01.is_right,
            lambda a, v: any(exam.contains_value(a, x) for x in v),
            "One value is not enough",
        ),
        (checks_01.is_right, holds_all, "are no answer, whatever they hold"),
        (
            checks_01.is_right,
            lambda a, v: holds_all(a, v) and len(a.split()) <= 40,
            "Who refuses has not answered",
        ),
        (
            checks_01.is_right,
            lambda a, v: holds_all(a, v) and not exam.abstains(a) and a.endswith("."),
            "`exam.contains_value` can",
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
    ],
)
def test_each_wrong_answer_gets_its_own_hint(check: Exercise, wrong: Callable, hint: str) -> None:
    verdict = check.judge(wrong)
    assert verdict.state == "failed"
    assert hint in verdict.message, verdict.message


def test_is_right_agrees_with_the_exam() -> None:
    for case in checks_01.is_right.cases():
        answer, values = case.arguments
        question = exam.Question("q", "lookup", "?", "", tuple(values))
        scored = exam.score_answer(question, answer, citations=[])
        assert checks_01.is_right.reference(answer, values) == bool(scored.exact_match)


def test_the_highest_share_makes_no_hit_as_rare_as_it_says() -> None:
    for n in (1, 7, 299):
        assert (1 - answer_metrics.highest_share(n)) ** n == pytest.approx(0.05)
    assert (1 - answer_metrics.highest_share(12, level=0.9)) ** 12 == pytest.approx(0.1)


def test_no_answer_of_the_wrong_kind_breaks_a_check() -> None:
    for check in EXERCISES:
        assert check.judge(lambda *arguments: ["hello"]).state == "failed"
