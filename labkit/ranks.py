"""Ranks of evidence: the little that has to be kept of a retrieval run to compute any metric later.

Knows: ranks of a question's pieces of evidence, as lists and as one line of text.
Does not know: how hits were found, nor how a run is recorded (``bench_rag``).
Used by ``bench_rag``, ``bench_updates`` and lesson 05.
"""

from collections.abc import Sequence

from labkit import retrieval_metrics as evaluate_retrieval
from labkit.types import Hit, Question

METRICS = tuple(evaluate_retrieval.RetrievalScore.__dataclass_fields__)
# Evidence below this rank counts as not found.
DEPTH = 10

Ranks = list[int | None]


def ranks_of(question: Question, hits: Sequence[Hit]) -> Ranks:
    """Return for each piece of evidence the rank of the first hit that holds it, or ``None``."""
    found = evaluate_retrieval.relevance(question, hits)
    return [
        next((rank for rank, pieces in enumerate(found, 1) if number in pieces), None)
        for number in range(len(question.evidence))
    ]


def per_question(ranks: Sequence[Ranks], *, k: int = 5) -> dict[str, list[float]]:
    """Return every metric of every question, from the ranks of its evidence alone."""
    rows = []
    for of_question in ranks:
        found: list[set[int]] = [set() for _ in range(DEPTH)]
        for number, rank in enumerate(of_question):
            if rank is not None:
                found[rank - 1].add(number)
        n = len(of_question)
        rows.append(
            (
                evaluate_retrieval.hit_at_k(found, 1),
                evaluate_retrieval.hit_at_k(found, k),
                evaluate_retrieval.recall_at_k(found, k, n),
                evaluate_retrieval.reciprocal_rank(found[:k]),
                evaluate_retrieval.ndcg_at_k(found, k, n),
            )
        )
    columns = zip(*rows, strict=True)
    return {name: list(column) for name, column in zip(METRICS, columns, strict=True)}


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
