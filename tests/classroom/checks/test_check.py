"""The exercise checks on a toy exercise: the cosine of two vectors."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from labkit.classroom.checks.check import UNTOUCHED, Case, Exercise, exercise


def reference(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


@exercise(
    reference,
    lambda a, b: {
        "That is the dot product: divide by both lengths.": a @ b,
        "That is the cosine distance.": 1 - reference(a, b),
        "That is the Euclidean distance.": np.linalg.norm(a - b),
    },
)
def cosine() -> Iterator[Case]:
    yield Case("two parallel vectors", (np.array([3.0, 4.0]), np.array([6.0, 8.0])), "Divide.")
    yield Case("two opposite vectors", (np.array([1.0, 0.0]), np.array([-2.0, 0.0])), "Keep sign.")


@exercise(lambda n: list(range(n)))
def any_order() -> Iterator[Case]:
    yield Case("three", (3,), "All numbers below n.", accept=lambda out: sorted(out) == [0, 1, 2])


def raises(a, b):
    raise NotImplementedError


def raises_with_a_note(a, b):
    """Compute the cosine."""
    raise NotImplementedError("your code here")


def only_dots(a, b): ...


def documented_dots(a, b):
    """Compute the cosine."""
    ...


def returns_dots(a, b):
    return ...


@pytest.mark.parametrize(
    "stub", [raises, raises_with_a_note, only_dots, documented_dots, returns_dots, None, ...]
)
def test_untouched_stub_is_not_attempted(stub: object, capsys: pytest.CaptureFixture) -> None:
    assert cosine(stub) is None
    assert capsys.readouterr().out == f"· cosine: {UNTOUCHED}.\n"


def test_reference_passes_and_says_how_many_cases(capsys: pytest.CaptureFixture) -> None:
    cosine(reference)
    assert capsys.readouterr().out == "✓ cosine: all 2 cases pass.\n"


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        (lambda a, b: a @ b, "That is the dot product: divide by both lengths."),
        (lambda a, b: 1 - reference(a, b), "That is the cosine distance."),
        (lambda a, b: np.linalg.norm(a - b), "That is the Euclidean distance."),
        (lambda a, b: abs(reference(a, b)), "Keep sign."),
        (lambda a, b: [reference(a, b)], "Divide."),
    ],
)
def test_each_wrong_answer_gets_its_own_hint(wrong: Callable, hint: str) -> None:
    verdict = cosine.judge(wrong)
    assert verdict.state == "failed"
    assert verdict.message.endswith(f"\n  Hint: {hint}")


def test_forgotten_return_is_named() -> None:
    def forgets(a, b):
        reference(a, b)

    verdict = cosine.judge(forgets)
    assert verdict.state == "failed"
    assert "returns None" in verdict.message and "`return`" in verdict.message


def test_students_error_is_shown_with_its_line_and_not_raised() -> None:
    def breaks(a, b):
        return a / undefined_name  # noqa: F821

    verdict = cosine.judge(breaks)
    assert verdict.state == "failed"
    assert "NameError: name 'undefined_name' is not defined" in verdict.message
    assert "`return a / undefined_name  # noqa: F821`" in verdict.message
    assert "Hint: Divide." in verdict.message


def test_not_implemented_inside_a_library_is_an_error_not_a_stub() -> None:
    def library(a):
        raise NotImplementedError("no such kernel")

    def calls(a, b):
        return library(a)

    assert cosine.judge(calls).state == "failed"


def test_wrong_number_of_arguments_is_an_error_not_a_crash() -> None:
    assert "TypeError" in cosine.judge(lambda a: a).message


def test_calling_instead_of_handing_in_the_function_is_named() -> None:
    verdict = cosine.judge(0.5)
    assert verdict.state == "failed"
    assert "expected a function, got float" in verdict.message


def test_student_cannot_change_the_cases_arguments() -> None:
    def spoils(a, b):
        answer = reference(a, b)
        a[:] = 0
        return answer

    assert cosine.judge(spoils).state == "passed"


def test_an_exercise_with_many_right_answers_judges_by_itself() -> None:
    assert any_order.judge(lambda n: list(range(n))[::-1]).state == "passed"
    wrong = any_order.judge(lambda n: [1])
    assert wrong.message.splitlines()[0].endswith("yours is [1], which is not right.")
    assert any_order.judge(lambda n: 5).state == "failed"


def test_check_is_named_after_its_function() -> None:
    assert isinstance(cosine, Exercise) and cosine.name == "cosine"
