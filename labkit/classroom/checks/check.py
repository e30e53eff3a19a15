"""Exercise checks: hold a student's function against a reference, and say what is wrong in words.

Knows: how to tell an untouched stub from a wrong answer, and how to give the hint that fits the
mistake. A check never raises because of the student's code.
Does not know: how two results are compared (``compare``), nor how long an answer may take; it
cannot stop an endless loop.
Used by every lesson that has exercises: ``check.cosine(my_cosine)``.
"""

import copy
import dis
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from labkit.classroom.checks.compare import difference, same, show

UNTOUCHED = "not attempted yet"
State = Literal["passed", "failed", "untouched"]
Answer = Callable[..., Any]
Mistakes = Callable[..., Mapping[str, Any]]


@dataclass(frozen=True)
class Case:
    """One call of the student's function and what to say if it goes wrong.

    Attributes
    ----------
    about : str
        What is tried, in words that fit after "For ": "two parallel vectors".
    arguments : tuple
        The positional arguments; every call gets its own copy.
    hint : str
        One sentence that leads to the fix without giving the answer away.
    accept : callable, optional
        Judges the student's result by itself, where many answers are right; by default the result
        must equal the reference's.
    """

    about: str
    arguments: tuple[Any, ...]
    hint: str
    accept: Callable[[Any], bool] | None = None

    def result_of(self, answer: Answer) -> Any:
        """Call the student's function or the reference with this case's arguments."""
        return answer(*copy.deepcopy(self.arguments))


Cases = Iterator[Case]


@dataclass(frozen=True)
class Verdict:
    """What a check found: its state and the sentence to show."""

    state: State
    message: str


@dataclass(frozen=True, eq=False)
class Exercise:
    """A check that a lesson calls with the student's function.

    ``exercise(fn)`` prints the verdict and returns nothing, so that a notebook shows the feedback
    alone; ``exercise.judge(fn)`` returns the verdict.
    """

    name: str
    cases: Callable[[], Cases]
    reference: Answer
    mistakes: Mistakes

    def __call__(self, attempt: Any) -> None:
        """Print what is right or wrong about `attempt`; ``judge`` returns it instead."""
        print(self.judge(attempt).message)

    def judge(self, attempt: Any) -> Verdict:
        """Return the verdict on `attempt` without printing it."""
        if attempt is None or attempt is ...:
            return self._untouched()
        if not callable(attempt):
            return self._failed(
                f"expected a function, got {type(attempt).__name__}",
                "Hand in the function itself, without brackets after its name.",
            )
        cases = list(self.cases())
        for case in cases:
            if verdict := self._judge_case(attempt, case):
                return verdict
        return Verdict("passed", f"✓ {self.name}: all {len(cases)} cases pass.")

    def _judge_case(self, attempt: Answer, case: Case) -> Verdict | None:
        """Return what is wrong with `attempt` in this case, or None."""
        try:
            result = case.result_of(attempt)
        except Exception as error:  # whatever the student's code raises is shown, not raised
            if isinstance(error, NotImplementedError) and _raised_by(attempt, error):
                return self._untouched()
            frames = traceback.extract_tb(error.__traceback__)[2:3]  # the student's own line
            line = f" (at `{frames[0].line}`)" if frames and frames[0].line else ""
            what = f"your function stopped with {type(error).__name__}: {error}{line}"
            return self._failed(f"for {case.about} {what}", case.hint)
        if result is ... or (result is None and _is_empty(attempt)):
            return self._untouched()
        return self._judge_result(result, case)

    def _judge_result(self, result: Any, case: Case) -> Verdict | None:
        expected = case.result_of(self.reference)
        if result is None and expected is not None:
            what = f"for {case.about} your function returns None"
            return self._failed(what, "Is the `return` missing?")
        if _accepts(case, result) if case.accept else same(result, expected):
            return None
        what = difference(result, expected)
        if case.accept:
            what = f"yours is {show(result)}, which is not right"
        wrong = case.result_of(self.mistakes)
        known = (hint for hint, value in wrong.items() if same(result, value))
        return self._failed(f"for {case.about}: {what}", next(known, case.hint))

    def _untouched(self) -> Verdict:
        return Verdict("untouched", f"· {self.name}: {UNTOUCHED}.")

    def _failed(self, what: str, hint: str) -> Verdict:
        return Verdict("failed", f"✗ {self.name}: {what}.\n  Hint: {hint}")


def exercise(
    reference: Answer, mistakes: Mistakes = lambda *arguments: {}
) -> Callable[[Callable[[], Cases]], Exercise]:
    """Turn a generator of cases into a check named after it.

    Parameters
    ----------
    reference : callable
        The right answer; it gives the expected result of every case.
    mistakes : callable
        Given a case's arguments, it returns what plausible wrong answers would, by their hints:
        whoever returns the same gets the first such hint in place of the case's.

    Returns
    -------
    callable
        The decorator.

    Examples
    --------
    >>> @exercise(lambda x: 2 * x, lambda x: {"That squares x.": x * x})
    ... def double():
    ...     yield Case("a number", (3,), hint="Add x to itself.")
    >>> double(lambda x: x + x)
    ✓ double: all 1 cases pass.
    >>> double(lambda x: x * x)
    ✗ double: for a number: expected 6, yours is 9.
      Hint: That squares x.
    """
    return lambda cases: Exercise(cases.__name__, cases, reference, mistakes)


def _accepts(case: Case, result: Any) -> bool:
    """Ask the case's own judge; a result that it cannot even look at is wrong."""
    try:
        return case.accept is not None and bool(case.accept(result))
    except Exception:  # the judge met a result of an unforeseen kind
        return False


def _raised_by(attempt: Answer, error: BaseException) -> bool:
    """Tell whether `error` was raised in the body of `attempt`, not somewhere it calls."""
    code = getattr(attempt, "__code__", None)
    frames = list(traceback.walk_tb(error.__traceback__))
    return code is None or frames[-1][0].f_code is code


def _is_empty(attempt: Answer) -> bool:
    """Tell whether a function's body does nothing: ``...``, ``pass`` or a docstring alone."""
    code = getattr(attempt, "__code__", None)
    idle = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "COPY_FREE_VARS"}
    return code is not None and {step.opname for step in dis.get_instructions(code)} <= idle
