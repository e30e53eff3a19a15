"""The exercise checks of lesson 01: marking an answer, doubting a zero, judging a claim.

Knows: the three exercises, their references and the mistakes that people make in them.
Does not know: how a check runs or compares (``check``).
Used by lesson 01, which imports this module as ``check``.
"""

from collections.abc import Iterator

from labkit import answer_metrics, exam
from labkit.classroom.checks.check import Case, Mistake, exercise

LONG = "Well, " + "as everybody in the tower knows, " * 7 + "it takes 1.6 kg."


def _is_right(answer: str, values: list[str]) -> bool:
    concise = len(answer.split()) <= exam.MAX_ANSWER_WORDS
    holds = all(exam.contains_value(answer, value) for value in values)
    return concise and holds and not exam.abstains(answer)


@exercise(_is_right)
def is_right() -> Iterator[Case]:
    """Check lesson 01, exercise 1: when an answer counts as right."""
    yield Case("the value in a sentence", ("It takes 1.6 kg.", ["1.6 kg"]), "That is right.")
    yield Case(
        "a number that only looks like it",
        ("It takes 11.6 kg.", ["1.6 kg"]),
        "11.6 kg holds the letters of 1.6 kg: use `exam.contains_value`.",
    )
    yield Case(
        "one value of two",
        ("Every 4 months.", ["4 months", "5 months"]),
        "One value is not enough: all of them must be in the answer.",
    )
    yield Case("the value in another spelling", ("1.6kg", ["1.6 kg"]), "`exam.contains_value` can.")
    yield Case(
        "a wall of text that holds the value",
        (LONG, ["1.6 kg"]),
        f"More than {exam.MAX_ANSWER_WORDS} words are no answer, whatever they hold.",
    )
    yield Case(
        "a refusal that names the value",
        ("Not documented. Is it 1.6 kg? Ask the duty engineer.", ["1.6 kg"]),
        "Who refuses has not answered: `exam.abstains` tells.",
    )


@exercise(
    answer_metrics.highest_share,
    mistakes=(
        Mistake(lambda n: 0.05, "0.05 is the chance you accept, not the share you look for."),
        Mistake(
            lambda n: 0.05 ** (1 / n),
            "That is the share of wrong answers. You want the share of right ones.",
        ),
        Mistake(
            lambda n: 1 - 0.95 ** (1 / n),
            "0 of n must be unlikely (0.05), not likely (0.95).",
        ),
        Mistake(lambda n: 3 / n, "3 / n is the rule of three, good for large n. Solve it exactly."),
    ),
)
def highest_share() -> Iterator[Case]:
    """Check lesson 01, exercise 2: what a score of zero leaves open."""
    yield Case(
        "ten questions", (10,), "(1 - p) ** n is the chance of no right answer: set it 0.05."
    )
    yield Case("the whole exam", (299,), "The more questions, the smaller the share.")
    yield Case("one question", (1,), "With one question, (1 - p) is 0.05.")


def _judge(intervals: list[tuple[float, float]]) -> str:
    sure = [low > 0 for low, _ in intervals]
    if all(sure):
        return "holds"
    return "holds only if" if any(sure) else "does not hold here"


@exercise(
    _judge,
    mistakes=(
        Mistake(
            lambda intervals: _judge([((a + b) / 2, 0) for a, b in intervals]),
            "The middle of an interval decides nothing: the whole of it must lie above zero.",
        ),
        Mistake(
            lambda intervals: _judge([(b, b) for _, b in intervals]),
            "Look at the lower end: an interval that reaches below zero is not sure.",
        ),
        Mistake(
            lambda intervals: _judge([(float(a > 0 or b < 0), 0) for a, b in intervals]),
            "An interval below zero excludes zero too, and speaks against the claim.",
        ),
        Mistake(
            lambda intervals: "holds" if all(a > 0 for a, _ in intervals) else "does not hold here",
            "Where some parts are sure and some are not, the claim holds only if.",
        ),
    ),
)
def judge_claim() -> Iterator[Case]:
    """Check lesson 01, exercise 3: from intervals of differences to a verdict."""
    yield Case("two sure gains", ([(0.1, 0.3), (0.02, 0.2)],), "Both lie above zero.")
    yield Case("no sure gain", ([(-0.3, 0.1), (-0.2, 0.1)],), "Both hold the zero.")
    yield Case("one of two", ([(0.1, 0.3), (-0.1, 0.2)],), "One is sure, one is not.")
    yield Case("a sure loss", ([(-0.3, -0.1)],), "A loss is no gain, however sure.")
    yield Case("a gain beside a loss", ([(0.1, 0.3), (-0.3, -0.1)],), "One part holds.")
