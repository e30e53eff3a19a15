"""Diagnosing a RAG system: which step lost the answer, and what a score can tell.

Knows: how to tell a retrieval fault from a reading fault, an answer that was copied from one that
was not, and the two errors of a rule that abstains below a score.
Does not know: how hits are found (``store``) or answers written (``rag``).
Used by lessons 04 and 05.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from labkit.retrieval_metrics import recall_at_k, relevance
from labkit.types import Document, Hit, Question

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
