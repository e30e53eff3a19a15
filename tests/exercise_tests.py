"""What every module of exercise checks must pass; subclass ``ExerciseTests`` in its test file."""

from collections.abc import Callable
from typing import ClassVar

import pytest

from labkit.classroom.checks.check import UNTOUCHED, Exercise
from labkit.classroom.checks.compare import same


class ExerciseTests:
    """Name right answers written another way, and wrong ones with the hint each must get."""

    right: ClassVar[list[tuple[Exercise, Callable]]]
    wrong: ClassVar[list[tuple[Exercise, Callable, str]]]

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        def label(part: object) -> str:
            return getattr(part, "__name__", getattr(part, "name", "hint"))

        if "wrong_answer" in metafunc.fixturenames:
            metafunc.parametrize(("check", "wrong_answer", "hint"), self.wrong, ids=label)
        elif "right_answer" in metafunc.fixturenames:
            metafunc.parametrize(("check", "right_answer"), self.right, ids=label)
        else:
            checks = list({check.name: check for check, *_ in self.wrong}.values())
            metafunc.parametrize("check", checks, ids=label)

    def test_a_right_answer_written_another_way_passes(
        self, check: Exercise, right_answer: Callable
    ) -> None:
        assert check.judge(right_answer).state == "passed", check.judge(right_answer).message

    def test_the_reference_passes(self, check: Exercise) -> None:
        assert check.judge(check.reference).state == "passed", check.judge(check.reference).message

    def test_the_stub_is_not_attempted(self, check: Exercise) -> None:
        def stub(*arguments):
            raise NotImplementedError

        assert check.judge(stub).message == f"· {check.name}: {UNTOUCHED}."

    def test_no_answer_of_the_wrong_kind_breaks_the_check(self, check: Exercise) -> None:
        for answer in ("hello", ["hello"], 3.5, {"hello"}, object()):
            assert check.judge(lambda *arguments, answer=answer: answer).state == "failed"

    def test_each_wrong_answer_gets_its_own_hint(
        self, check: Exercise, wrong_answer: Callable, hint: str
    ) -> None:
        verdict = check.judge(wrong_answer)
        assert verdict.state == "failed"
        assert hint in verdict.message.partition("Hint: ")[2], verdict.message

    @pytest.mark.filterwarnings("error")
    def test_the_known_mistakes_are_mistakes_and_break_in_no_case(self, check: Exercise) -> None:
        caught = set()
        for case in check.cases():
            right, wrong = case.result_of(check.reference), case.result_of(check.mistakes)
            caught |= {hint for hint, result in wrong.items() if not same(result, right)}
        assert caught == wrong.keys()

    def test_each_exercise_knows_at_least_three_mistakes(self, check: Exercise) -> None:
        assert sum(other is check for other, *_ in self.wrong) >= 3
