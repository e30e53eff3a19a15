"""Retrieval metrics: whether the right chunks came back, and how high.

Knows: hit@k, recall@k, MRR and nDCG@k over relevance lists; which chunk holds which evidence.
Does not know: how the hits were found (``store``).
Used by lessons 02, 03 and 05; equal to ``pytrec_eval`` (see the tests).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from labkit.measure import bootstrap_mean
from labkit.types import Evidence, Hit, Interval, Question


@dataclass(frozen=True)
class RetrievalScore:
    """Retrieval of one question at depth ``k``; every figure is between 0 and 1."""

    hit_at_1: float
    hit_at_k: float
    recall_at_k: float
    reciprocal_rank: float
    ndcg_at_k: float


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
    found = relevance(question, hits)
    n_relevant = len(question.evidence)
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
            for name in RetrievalScore.__dataclass_fields__
        }
        for kind in kinds
    }
