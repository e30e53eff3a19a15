"""Inventions: what a wrong answer is made of, and how far a score of zero can be trusted.

Knows: the numbers of a text with their units, and whether they stand anywhere in the papers.
Does not know: how an answer came about, nor when it is right (``exam``).
Used by lesson 01.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from labkit import exam

Kind = Literal["right", "refuses", "no number of its own", "a number from the papers",
               "a number from nowhere"]  # fmt: skip
KINDS: tuple[Kind, ...] = ("right", "refuses", "a number from the papers", "a number from nowhere",
                           "no number of its own")  # fmt: skip
NUMBER = re.compile(r"(?<![\w.,-])(-?\d+(?:[.,]\d+)*)\s*(%|°?[^\W\d_]+)?")


def numbers_in(text: str) -> set[str]:
    """Return the numbers of a text with the word or sign after each, in lower case.

    Examples
    --------
    >>> sorted(numbers_in("The NV-90 takes 1.6kg every 5 months."))
    ['1.6 kg', '5 months']
    """
    found = NUMBER.findall(text.replace("\N{MINUS SIGN}", "-"))
    return {" ".join(part.lower() for part in parts if part) for parts in found}


def of_papers(texts: Iterable[str]) -> set[str]:
    """Return every number that stands in any of the texts."""
    return set().union(*map(numbers_in, texts))


def sort_answer(question: exam.Question, answer: str, papers: set[str]) -> Kind:
    """Say what an answer is made of; numbers that the question holds already do not count.

    Parameters
    ----------
    question
        With its gold.
    answer
        What the model said.
    papers
        All numbers of the papers, as ``of_papers`` returns them.
    """
    score = exam.score_answer(question, answer, citations=[])
    if score.exact_match:
        return "right"
    if score.abstained:
        return "refuses"
    own = numbers_in(answer) - numbers_in(question.question)
    if not own:
        return "no number of its own"
    return "a number from the papers" if own <= papers else "a number from nowhere"


def tally(
    questions: Mapping[str, exam.Question], answers: Iterable[Mapping], papers: set[str]
) -> dict[str, dict[str, int]]:
    """Return for each kind of question how many answers are of which make, for ``plots.counts``."""
    rows: dict[str, dict[str, int]] = {
        kind: dict.fromkeys(KINDS, 0) for kind in exam.KINDS
    }  # fmt: skip
    for answer in answers:
        question = questions[answer["id"]]
        rows[question.kind][sort_answer(question, answer["text"], papers)] += 1
    return {
        kind: {make: n for make, n in row.items() if n} for kind, row in rows.items() if any(
            row.values())
    }  # fmt: skip


def highest_share(n: int, *, level: float = 0.95) -> float:
    """Return the largest true share that still gives 0 of ``n`` right with probability 1 - level.

    The bootstrap cannot tell: zeros resampled are zeros.

    Raises
    ------
    ValueError
        If ``n`` is below 1.

    Source: the exact binomial bound (Clopper and Pearson 1934); near 3 / n, the rule of three.

    Examples
    --------
    >>> round(highest_share(10), 3)
    0.259
    """
    if n < 1:
        raise ValueError(f"n is {n}; ask at least 1 question.")
    return 1 - (1 - level) ** (1 / n)
