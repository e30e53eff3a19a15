"""Exam results: from single scores to a row of the leaderboard.

Knows: averages with bootstrap intervals, overall and by kind of question.
Does not know: which system answered, nor how one answer is scored (``exam``).
Used by lesson 04 onwards and by ``python -m labkit exam``.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Literal

from labkit import exam
from labkit.measure import bootstrap_mean
from labkit.retrieval_metrics import recall_at_k, relevance
from labkit.types import AnswerScore, Document, Hit, Interval, Question

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


Verdict = Literal["right", "proof shown, not read", "proof not shown"]
VERDICTS: tuple[Verdict, ...] = ("right", "proof shown, not read", "proof not shown")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def proof_and_twins(question: Question, hits: Sequence[Hit]) -> tuple[list[Hit], list[Hit]]:
    """Separate the hits that hold evidence from those of documents that hold none of it.

    Other chunks of the right documents are left out of both: they are neither proof nor misleading.
    """
    gold = {evidence.document for evidence in question.evidence}
    pairs = list(zip(hits, relevance(question, hits), strict=True))
    proof = [hit for hit, pieces in pairs if pieces]
    return proof, [hit for hit in hits if hit.document_id not in gold]


def copies_numbers(answer: str, question: Question, hits: Sequence[Hit]) -> bool:
    """Tell whether an answer has numbers, and all of them stand in the passages it was shown.

    Numbers of the question (the 117 of NV-117) do not count.
    """
    own = set(_NUMBER.findall(answer)) - set(_NUMBER.findall(question.question))
    return bool(own) and own <= set(_NUMBER.findall(" ".join(hit.passage for hit in hits)))


def find_fault(question: Question, hits: Sequence[Hit], *, right: bool) -> Verdict:
    """Say which step lost the answer to an answerable question.

    Retrieval is at fault unless *all* pieces of the evidence were shown; only then is it the model.

    Raises
    ------
    ValueError
        If the question has no evidence: then there was nothing to show.
    """
    if not question.evidence:
        raise ValueError(f"Question {question.id} has no evidence; leave it out of the diagnosis.")
    if right:
        return "right"
    n = len(question.evidence)
    shown = bool(hits) and recall_at_k(relevance(question, hits), len(hits), n) == 1
    return "proof shown, not read" if shown else "proof not shown"


def place_taken_by(question: Question, hit: Hit, documents: Mapping[str, Document]) -> str:
    """Say what stands where the proof should: another part of its paper, or which other paper.

    Parameters
    ----------
    documents
        All documents by id; their metadata tell what supersedes what.

    Returns
    -------
    str
        ``right paper``, ``old manual`` (superseded by the right paper), ``twin`` (same subsystem,
        another machine or year) or ``other``.
    """
    gold = [documents[e.document] for e in question.evidence if e.document in documents]
    if hit.document_id in {d.id for d in gold}:
        return "right paper"
    if any(d.metadata.get("supersedes") == hit.document_id for d in gold):
        return "old manual"
    subsystem = hit.metadata.get("subsystem")
    if subsystem and any(d.metadata.get("subsystem") == subsystem for d in gold):
        return "twin"
    return "other"


def share_of_pairs_won(scores: Sequence[float], answerable: Sequence[bool]) -> float:
    """Return how often an answerable question outscores an unanswerable one; 0.5 is a coin.

    Equal to the area under the ROC curve; a tie counts half.

    Raises
    ------
    ValueError
        If one of the two groups is empty.

    Examples
    --------
    >>> share_of_pairs_won([0.9, 0.4, 0.6], [True, True, False])
    0.5
    """
    yes, no = _groups(scores, answerable)
    return sum((a > b) + 0.5 * (a == b) for a in yes for b in no) / (len(yes) * len(no))


def threshold_errors(
    scores: Sequence[float], answerable: Sequence[bool], threshold: float
) -> tuple[float, float]:
    """Return the two errors of abstaining below a threshold, as shares between 0 and 1.

    Returns
    -------
    tuple of float
        Answerable questions that are refused, and unanswerable ones that are answered.

    Raises
    ------
    ValueError
        If one of the two groups is empty.
    """
    yes, no = _groups(scores, answerable)
    refused = sum(score < threshold for score in yes) / len(yes)
    return refused, sum(score >= threshold for score in no) / len(no)


def balanced_threshold(scores: Sequence[float], answerable: Sequence[bool]) -> float:
    """Return the score at which the two errors of ``threshold_errors`` come closest.

    Unlike the fewest mistakes, this does not depend on how many questions of each kind there are.
    """

    def gap(threshold: float) -> float:
        refused, answered = threshold_errors(scores, answerable, threshold)
        return abs(refused - answered)

    return min(sorted(scores), key=gap)


def _groups(scores: Sequence[float], answerable: Sequence[bool]) -> tuple[list[float], list[float]]:
    pairs = list(zip(scores, answerable, strict=True))
    yes, no = [s for s, can in pairs if can], [s for s, can in pairs if not can]
    if not yes or not no:
        raise ValueError(
            f"There are {len(yes)} answerable and {len(no)} unanswerable questions; "
            "give at least one of each."
        )
    return yes, no
