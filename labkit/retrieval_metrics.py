"""Retrieval metrics: whether the evidence came back, how high, and when to abstain for want of it.

Knows: hit@k, recall@k, MRR and nDCG@k; which chunk holds which evidence; ranks as one line of a
record; thresholds on a search's scores below which a system abstains.
Does not know: how the hits were found (``store``) or what an answer says (``answer_metrics``).
Used by lessons 02, 04 and 05; equal to ``pytrec_eval`` and scikit-learn (see the tests).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.measure import bootstrap_mean as bootstrap_mean
from labkit.types import BatchSearcher, Evidence, Hit, Interval, Question, Scorer


@dataclass(frozen=True)
class RetrievalScore:
    """Retrieval of one question at depth ``k``; every figure is between 0 and 1."""

    hit_at_1: float
    hit_at_k: float
    recall_at_k: float
    reciprocal_rank: float
    ndcg_at_k: float


METRICS = tuple(RetrievalScore.__dataclass_fields__)
# Evidence below this rank counts as not found.
DEPTH = 10
# Of each piece of evidence, the rank of the first hit that holds it.
Ranks = list[int | None]


def holds_evidence(hit: Hit, evidence: Evidence) -> bool:
    """Tell whether a chunk shows the reader at least half of the quoted words, in order.

    Chunks may cut a quote in two; half of it still leads to the answer.
    """
    if hit.document_id != evidence.document:
        return False
    chunk, quote = " ".join(hit.text.split()), evidence.quote.split()
    half = math.ceil(len(quote) / 2)
    return " ".join(quote[:half]) in chunk or " ".join(quote[-half:]) in chunk


def relevance(question: Question, hits: Sequence[Hit]) -> list[set[int]]:
    """Return for each hit which pieces of the question's evidence it holds, ``(k,)``."""
    return [
        {i for i, evidence in enumerate(question.evidence) if holds_evidence(hit, evidence)}
        for hit in hits
    ]


def hit_at_k(found: Sequence[set[int]], k: int) -> float:
    """Return 1 if any of the first ``k`` hits holds evidence, else 0."""
    return float(any(found[:k]))


def recall_at_k(found: Sequence[set[int]], k: int, n_relevant: int) -> float:
    """Return the share of the ``n_relevant`` pieces of evidence within the first ``k`` hits."""
    return len(set().union(*found[:k])) / n_relevant


def reciprocal_rank(found: Sequence[set[int]]) -> float:
    """Return 1 / rank of the first hit with evidence, 0 if there is none; its mean is MRR."""
    return next((1 / rank for rank, pieces in enumerate(found, 1) if pieces), 0.0)


def ndcg_at_k(found: Sequence[set[int]], k: int, n_relevant: int) -> float:
    """Return the normalised discounted cumulative gain of the first ``k`` hits.

    A piece of evidence counts once, where it is first seen.

    Source: Järvelin and Kekäläinen 2002, with binary gains and a log2 discount.
    """
    seen: set[int] = set()
    gain = 0.0
    for rank, pieces in enumerate(found[:k], 1):
        gain += min(1, len(pieces - seen)) / math.log2(rank + 1)
        seen |= pieces
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, n_relevant) + 1))
    return gain / ideal


def score_retrieval(question: Question, hits: Sequence[Hit], *, k: int) -> RetrievalScore:
    """Score the hits of one answerable question.

    Raises
    ------
    ValueError
        If the question has no evidence, since nothing could be found.
    """
    if not question.evidence:
        raise ValueError(f"Question {question.id} has no evidence; leave it out of retrieval.")
    return _score(relevance(question, hits), k, len(question.evidence))


def _score(found: Sequence[set[int]], k: int, n_relevant: int) -> RetrievalScore:
    return RetrievalScore(
        hit_at_1=hit_at_k(found, 1),
        hit_at_k=hit_at_k(found, k),
        recall_at_k=recall_at_k(found, k, n_relevant),
        reciprocal_rank=reciprocal_rank(found[:k]),
        ndcg_at_k=ndcg_at_k(found, k, n_relevant),
    )


def summarise_retrieval(
    questions: Sequence[Question], hits: Sequence[Sequence[Hit]], *, k: int
) -> dict[str, dict[str, Interval]]:
    """Average the retrieval scores over all questions and by kind, with bootstrap intervals.

    Parameters
    ----------
    questions, hits
        ``n`` questions and the hits of each; unanswerable questions are left out.
    k
        The depth.

    Returns
    -------
    dict
        ``{"all" | kind: {"hit_at_1": Interval, …}}``.
    """
    pairs = [(q, h) for q, h in zip(questions, hits, strict=True) if q.evidence]
    kinds = ["all", *dict.fromkeys(q.kind for q, _ in pairs)]
    scores = [(q.kind, score_retrieval(q, h, k=k)) for q, h in pairs]
    return {
        kind: {
            name: bootstrap_mean([getattr(s, name) for q, s in scores if kind in ("all", q)])
            for name in METRICS
        }
        for kind in kinds
    }


def ranks_of(question: Question, hits: Sequence[Hit]) -> Ranks:
    """Return for each piece of evidence the rank of the first hit that holds it, or ``None``."""
    found = relevance(question, hits)
    return [
        next((rank for rank, pieces in enumerate(found, 1) if number in pieces), None)
        for number in range(len(question.evidence))
    ]


def all_found_at(question: Question, hits: Sequence[Hit]) -> int | None:
    """Return the rank at which the last piece of the evidence stands; ``None`` if one is missing.

    A question without evidence has nothing that could be found: ``None``, too.
    """
    ranks = ranks_of(question, hits)
    found = [rank for rank in ranks if rank is not None]
    return max(found) if found and len(found) == len(ranks) else None


def per_question(ranks: Sequence[Ranks], *, k: int = 5) -> dict[str, list[float]]:
    """Return every metric of every question, from the ranks of its evidence alone."""
    places = range(1, DEPTH + 1)
    scores = [
        _score([{i for i, rank in enumerate(rs) if rank == place} for place in places], k, len(rs))
        for rs in ranks
    ]
    return {name: [getattr(score, name) for score in scores] for name in METRICS}


def pack(ranks: Sequence[Ranks]) -> str:
    """Return ranks as one line: a question's ranks with commas, ``-`` for evidence not found."""
    return " ".join(",".join("-" if r is None else str(r) for r in rs) for rs in ranks)


def unpack(line: str) -> list[Ranks]:
    """Return what ``pack`` made into a line.

    Examples
    --------
    >>> unpack("1 - 2,-")
    [[1], [None], [2, None]]
    """
    return [[None if r == "-" else int(r) for r in part.split(",")] for part in line.split()]


@dataclass(frozen=True)
class Threshold:
    """Abstaining below ``value``: how often rightly, and which share of what has no answer."""

    value: float
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


def signals(
    store: BatchSearcher, questions: Sequence[str], scorer: Scorer
) -> dict[str, list[float]]:
    """Return three signals that cost nothing more than the search, one number a question each."""
    near = store.search_many(questions, k=5, mode="vector")
    return {
        "cosine": [hits[0].score for hits in near],
        "lead": [hits[0].score - hits[1].score for hits in near],
        "words covered": [coverage(q, h, scorer) for q, h in zip(questions, near, strict=True)],
    }


def precision_recall(scores: Sequence[float], answerable: Sequence[bool]) -> list[Threshold]:
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
            points.append(Threshold(following, stopped / n_refused, stopped / n_strange))
    return points


def at_threshold(points: Sequence[Threshold], threshold: float) -> Threshold:
    """Return the highest of these thresholds that is not above one chosen elsewhere."""
    reached = [point for point in points if point.value <= threshold]
    return reached[-1] if reached else points[0]


def choose_threshold(scores: Sequence[float], answerable: Sequence[bool]) -> Threshold:
    """Return the threshold with the best F1 of refusing; choose it on training questions.

    The fewest mistakes would mean never to refuse wherever nearly every question has an answer.
    """
    return max(precision_recall(scores, answerable), key=lambda point: point.f1)


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
    return float(np.mean((yes[:, None] > no) + 0.5 * (yes[:, None] == no)))


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
    return float(np.mean(yes < threshold)), float(np.mean(no >= threshold))


def balanced_threshold(scores: Sequence[float], answerable: Sequence[bool]) -> float:
    """Return the score at which the two errors of ``threshold_errors`` come closest.

    Unlike the fewest mistakes, this does not depend on how many questions of each kind there are.
    """

    def gap(threshold: float) -> float:
        refused, answered = threshold_errors(scores, answerable, threshold)
        return abs(refused - answered)

    return min(sorted(scores), key=gap)


def _groups(scores: Sequence[float], answerable: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    can = np.asarray(answerable, bool)
    yes, no = np.asarray(scores)[can], np.asarray(scores)[~can]
    if not len(yes) or not len(no):
        raise ValueError(
            f"There are {len(yes)} answerable and {len(no)} unanswerable questions; "
            "give at least one of each."
        )
    return yes, no
