"""Exercise checks: hold a student's function against a reference, and say what is wrong in words.

Knows: how to tell an untouched stub from a wrong answer, compare numbers, arrays and tensors, and
give the hint that fits the mistake. A check never raises because of the student's code.
Does not know: how long an answer may take; it cannot stop an endless loop.
Used by every lesson that has exercises: ``check.cosine(my_cosine)``.
"""

import copy
import dis
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from labkit.classroom.checks.compare import difference, same

UNTOUCHED = "not attempted yet"
State = Literal["passed", "failed", "untouched"]


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


@dataclass(frozen=True)
class Mistake:
    """A plausible wrong answer: whoever returns the same gets this hint in place of the case's."""

    wrong: Callable[..., Any]
    hint: str


@dataclass(frozen=True)
class Verdict:
    """What a check found: its state and the sentence to show."""

    state: State
    message: str


@dataclass(frozen=True)
class Exercise:
    """A check that a lesson calls with the student's function.

    ``exercise(fn)`` prints the verdict and returns whether it passed; ``exercise.judge(fn)``
    returns it.
    """

    name: str
    cases: Callable[[], Iterator[Case]]
    reference: Callable[..., Any]
    mistakes: tuple[Mistake, ...] = field(default=())

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
        n_cases = 0
        for case in self.cases():
            verdict = self._judge_case(attempt, case)
            if verdict is not None:
                return verdict
            n_cases += 1
        return Verdict("passed", f"✓ {self.name}: all {n_cases} cases pass.")

    def _judge_case(self, attempt: Callable[..., Any], case: Case) -> Verdict | None:
        """Return what is wrong with `attempt` in this case, or None."""
        try:
            result = attempt(*copy.deepcopy(case.arguments))
        except NotImplementedError as error:
            if _raised_by(attempt, error):
                return self._untouched()
            return self._error(case, error)
        except Exception as error:  # whatever the student's code raises is shown, not raised
            return self._error(case, error)
        if result is ... or (result is None and _is_empty(attempt)):
            return self._untouched()
        return self._wrong(case, result)

    def _wrong(self, case: Case, result: Any) -> Verdict | None:
        expected = self.reference(*copy.deepcopy(case.arguments))
        if result is None and expected is not None:
            return self._failed(
                f"for {case.about} your function returns None", "Is the `return` missing?"
            )
        right = _accepts(case, result) if case.accept else same(result, expected)
        if right:
            return None
        what = f"for {case.about}: {difference(result, expected, exact=case.accept is None)}"
        return self._failed(what, self._hint(case, result))

    def _hint(self, case: Case, result: Any) -> str:
        """Return the hint of the known mistake that gives the same result, else the case's."""
        for mistake in self.mistakes:
            if same(result, mistake.wrong(*copy.deepcopy(case.arguments))):
                return mistake.hint
        return case.hint

    def _error(self, case: Case, error: Exception) -> Verdict:
        frames = traceback.extract_tb(error.__traceback__)[1:2]  # the student's own line
        line = f" (at `{frames[0].line}`)" if frames and frames[0].line else ""
        what = f"for {case.about} your function stopped with {type(error).__name__}: {error}{line}"
        return self._failed(what, case.hint)

    def _untouched(self) -> Verdict:
        return Verdict("untouched", f"· {self.name}: {UNTOUCHED}.")

    def _failed(self, what: str, hint: str) -> Verdict:
        return Verdict("failed", f"✗ {self.name}: {what}.\n  Hint: {hint}")


def exercise(
    reference: Callable[..., Any], *, mistakes: tuple[Mistake, ...] = ()
) -> Callable[[Callable[[], Iterator[Case]]], Exercise]:
    """Turn a generator of cases into a check named after it.

    Parameters
    ----------
    reference : callable
        The right answer; it gives the expected result of every case.
    mistakes : tuple of Mistake
        Plausible wrong answers with their own hints, tried in order.

    Returns
    -------
    callable
        The decorator.

    Examples
    --------
    >>> @exercise(lambda x: 2 * x, mistakes=(Mistake(lambda x: x * x, "That squares x."),))
    ... def double():
    ...     yield Case("a number", (3,), hint="Add x to itself.")
    >>> double(lambda x: x + x)
    ✓ double: all 1 cases pass.
    True
    >>> double(lambda x: x * x)
    ✗ double: for a number: expected 6, yours is 9.
      Hint: That squares x.
    False
    """

    def decorate(cases: Callable[[], Iterator[Case]]) -> Exercise:
        return Exercise(name=cases.__name__, cases=cases, reference=reference, mistakes=mistakes)

    return decorate


def _accepts(case: Case, result: Any) -> bool:
    """Ask the case's own judge; a result that it cannot even look at is wrong."""
    try:
        return case.accept is not None and bool(case.accept(result))
    except Exception:  # the judge met a result of an unforeseen kind
        return False


def _raised_by(attempt: Callable[..., Any], error: BaseException) -> bool:
    """Tell whether `error` was raised in the body of `attempt`, not somewhere it calls."""
    code = getattr(attempt, "__code__", None)
    frames = list(traceback.walk_tb(error.__traceback__))
    return code is None or frames[-1][0].f_code is code


def _is_empty(attempt: Callable[..., Any]) -> bool:
    """Tell whether a function's body does nothing: ``...``, ``pass`` or a docstring alone."""
    code = getattr(attempt, "__code__", None)
    idle = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "COPY_FREE_VARS"}
    return code is not None and {step.opname for step in dis.get_instructions(code)} <= idle
