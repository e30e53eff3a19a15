"""The exercise checks of lesson 01: marking an answer, doubting a zero, judging a claim.

Knows: the three exercises and the mistakes that people make in them; the references are the
package's own functions.
Does not know: how a check runs or compares (``check``).
Used by lesson 01, which imports this module as ``check``.
"""

from labkit import answer_metrics
from labkit.claims import outcomes
from labkit.classroom.checks.check import Case, Cases, exercise
from labkit.types import Question

LONG = "Well, " + "as everybody in the tower knows, " * 7 + "it takes 1.6 kg."


def _is_right(answer: str, values: list[str]) -> bool:
    question = Question("", "lookup", "", "", tuple(values))
    return answer_metrics.score_answer(question, answer, citations=[]).exact_match == 1


@exercise(_is_right)
def is_right() -> Cases:
    """Check lesson 01, exercise 1: when an answer counts as right."""
    value = ["1.6 kg"]
    for about, answer, values, hint in (
        ("the value in a sentence", "It takes 1.6 kg.", value, "That is right."),
        ("a number that only looks like it", "It takes 11.6 kg.", value,
         "11.6 kg holds the letters of 1.6 kg: use `answer_metrics.contains_value`."),
        ("one value of two", "Every 4 months.", ["4 months", "5 months"],
         "One value is not enough: all of them must be in the answer."),
        ("the value in another spelling", "1.6kg", value, "`answer_metrics.contains_value` can."),
        ("a wall of text that holds the value", LONG, value,
         f"More than {answer_metrics.MAX_ANSWER_WORDS} words are no answer, whatever they hold."),
        ("an abstention that names the value",
         "Not documented. Is it 1.6 kg? Ask the duty engineer.", value,
         "Who abstains has not answered: `answer_metrics.abstains` tells."),
    ):  # fmt: skip
        yield Case(about, (answer, values), hint)


@exercise(answer_metrics.highest_share, lambda n: {
    "0.05 is the chance you accept, not the share you look for.": 0.05,
    "That is the share of wrong answers. You want the share of right ones.": 0.05 ** (1 / n),
    "0 of n must be unlikely (0.05), not likely (0.95).": 1 - 0.95 ** (1 / n),
    "3 / n is the rule of three, good for large n. Solve it exactly.": 3 / n,
})  # fmt: skip
def highest_share() -> Cases:
    """Check lesson 01, exercise 2: what a score of zero leaves open."""
    chance = "(1 - p) ** n is the chance of no right answer: set it 0.05."
    yield Case("ten questions", (10,), chance)
    yield Case("the whole exam", (299,), "The more questions, the smaller the share.")
    yield Case("one question", (1,), "With one question, (1 - p) is 0.05.")


def _judge(intervals: list[tuple[float, float]]) -> str:
    sure = {part: low > 0 for part, (low, _) in enumerate(intervals)}
    return outcomes.of_parts(sure, "", condition="").state


@exercise(_judge, lambda intervals: {
    "The middle of an interval decides nothing: the whole of it must lie above zero.":
        _judge([(low + high, high) for low, high in intervals]),
    "Look at the lower end: an interval that reaches below zero is not sure.":
        _judge([(high, high) for _, high in intervals]),
    "An interval below zero excludes zero too, and speaks against the claim.":
        _judge([(low * high, high) for low, high in intervals]),
    "Where some parts are sure and some are not, the claim holds only if.":
        _judge([min(intervals)]),
})  # fmt: skip
def judge_claim() -> Cases:
    """Check lesson 01, exercise 3: from intervals of differences to a verdict."""
    yield Case("two sure gains", ([(0.1, 0.3), (0.02, 0.2)],), "Both lie above zero.")
    yield Case("no sure gain", ([(-0.3, 0.1), (-0.2, 0.1)],), "Both hold the zero.")
    yield Case("one of two", ([(0.1, 0.3), (-0.1, 0.2)],), "One is sure, one is not.")
    yield Case("a sure loss", ([(-0.3, -0.1)],), "A loss is no gain, however sure.")
    yield Case("a gain beside a loss", ([(0.1, 0.3), (-0.3, -0.1)],), "One part holds.")
