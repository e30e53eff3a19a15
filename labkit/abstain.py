"""Abstaining by a score: what a threshold stops, what it costs, and where to put it.

Knows: three signals of a retrieval (cosine, lead, words covered), precision and recall of refusing.
Does not know: how hits are found (``store``) or answers scored (``exam``).
Used by lesson 05. *Refused* means: the signal lies below the threshold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.store import Store
from labkit.types import Hit, Scorer


@dataclass(frozen=True)
class Point:
    """One threshold: of the refused, the share that had no answer; of those, the share refused."""

    threshold: float
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Return the harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def coverage(question: str, hits: Sequence[Hit], scorer: Scorer) -> float:
    """Return the best share of the question's words, rare ones first, that one hit holds."""
    return max(scorer(question, [hit.passage for hit in hits]), default=0.0)


def signals(store: Store, questions: Sequence[str], scorer: Scorer) -> dict[str, list[float]]:
    """Return three signals that cost nothing more than the search, one number a question each."""
    near = store.search_many(questions, k=5, mode="vector")
    return {
        "cosine": [hits[0].score for hits in near],
        "lead": [hits[0].score - hits[1].score for hits in near],
        "words covered": [coverage(q, h, scorer) for q, h in zip(questions, near, strict=True)],
    }


def precision_recall(scores: Sequence[float], answerable: Sequence[bool]) -> list[Point]:
    """Return precision and recall of refusing below each useful threshold, lowest first.

    Parameters
    ----------
    scores
        One signal a question, higher where an answer is likelier.
    answerable
        Whether the question has an answer.

    Raises
    ------
    ValueError
        If no question is unanswerable: then there is nothing to stop.
    """
    pairs = sorted(zip(scores, answerable, strict=True))
    n_strange = sum(not can for _, can in pairs)
    if n_strange == 0:
        raise ValueError("Every question is answerable; give at least one that is not.")
    points, stopped = [], 0
    for n_refused, (score, can) in enumerate(pairs, 1):
        stopped += not can
        following = pairs[n_refused][0] if n_refused < len(pairs) else float("inf")
        if following > score:
            points.append(Point(following, stopped / n_refused, stopped / n_strange))
    return points


def at_threshold(points: Sequence[Point], threshold: float) -> Point:
    """Return what a threshold chosen elsewhere gives on these points."""
    reached = [point for point in points if point.threshold <= threshold]
    return reached[-1] if reached else points[0]


def choose_threshold(scores: Sequence[float], answerable: Sequence[bool]) -> Point:
    """Return the point with the best F1 of refusing; choose it on training questions.

    The fewest mistakes would mean never to refuse wherever nearly every question has an answer.
    """
    return max(precision_recall(scores, answerable), key=lambda point: point.f1)
