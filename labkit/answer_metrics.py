"""Exam results: from single scores to a row of the leaderboard.

Knows: averages with bootstrap intervals, overall and by kind of question.
Does not know: which system answered, nor how one answer is scored (``exam``).
Used by lesson 04 onwards and by ``python -m labkit exam``.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict

from labkit.measure import bootstrap_mean
from labkit.types import AnswerScore, Interval, Question

METRICS: dict[str, Callable[[AnswerScore], float | None]] = {
    "exact_match": lambda score: score.exact_match,
    "house_format": lambda score: score.house_format,
    "citation_precision": lambda score: score.citation_precision,
    "citation_recall": lambda score: score.citation_recall,
    "house_terms": lambda score: score.house_terms,
    "abstention_precision": lambda score: float(not score.answerable) if score.abstained else None,
    "abstention_recall": lambda score: None if score.answerable else float(score.abstained),
    "false_abstention": lambda score: float(score.abstained) if score.answerable else None,
    "wrong_but_confident": lambda score: float(score.wrong_but_confident),
}


def average(scores: Sequence[AnswerScore], metric: str) -> Interval | None:
    """Return the mean of one metric over the answers that it applies to, with its interval.

    Parameters
    ----------
    scores
        One score an answer.
    metric
        A key of ``METRICS``.

    Returns
    -------
    Interval or None
        ``None`` where no answer has a say: no citation at all has no citation precision.

    Raises
    ------
    ValueError
        If there is no such metric.
    """
    if metric not in METRICS:
        raise ValueError(f"There is no metric {metric!r}; choose one of {', '.join(METRICS)}.")
    values = [value for value in map(METRICS[metric], scores) if value is not None]
    return bootstrap_mean(values) if values else None


def summarise_answers(
    questions: Sequence[Question], scores: Sequence[AnswerScore]
) -> dict[str, dict | None]:
    """Return every metric over the whole exam, plus exact match by kind and by held-out documents.

    Returns
    -------
    dict
        Metric names to ``{"mean", "low", "high", "n"}`` or ``None``, ready for JSON;
        ``by_kind`` and ``by_held_out`` hold the exact match of parts of the exam.
    """
    pairs = list(zip(questions, scores, strict=True))
    kinds = dict.fromkeys(question.kind for question in questions)
    return {
        **{name: _plain(average(scores, name)) for name in METRICS},
        "by_kind": {
            kind: _plain(average([s for q, s in pairs if q.kind == kind], "exact_match"))
            for kind in kinds
        },
        "by_held_out": {
            name: _plain(average([s for q, s in pairs if q.held_out is flag], "exact_match"))
            for name, flag in (("seen documents", False), ("held-out documents", True))
        },
    }


def _plain(interval: Interval | None) -> dict | None:
    return asdict(interval) if interval else None
