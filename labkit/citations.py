"""Citations: which of an answer's sources were shown to the model, and what supports it.

Knows: how written ids and an answer's numbers and words are held against the passages.
Does not know: how the answer came about (``rag``) or whether it is right (``exam``).
Used by lessons 04 and 05, through ``rag``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from labkit import answer_metrics
from labkit.types import Hit


@dataclass(frozen=True)
class Citation:
    """A document that stands behind an answer.

    ``origin`` is ``"written"`` when the model wrote the id itself and it was among the passages, or
    ``"matched"`` when the model cited nothing and this passage holds what the answer says.
    """

    document_id: str
    chunk_id: str
    origin: Literal["written", "matched"]


def check_citations(
    text: str, hits: Sequence[Hit], *, question: str = ""
) -> tuple[list[Citation], list[str]]:
    """Separate an answer's citations into those backed by a passage and those invented.

    An answer that cites nothing is matched: the first passage that supports it stands behind it.

    Returns
    -------
    tuple of list
        Citations that hold, and ids that were written but not shown to the model.
    """
    shown: dict[str, Hit] = {}
    for hit in hits:
        shown.setdefault(hit.document_id, hit)
    written = answer_metrics.cited_ids(text)
    kept = [Citation(n, shown[n].chunk_id, "written") for n in written if n in shown]
    invented = [name for name in written if name not in shown]
    if not written and not answer_metrics.abstains(text):
        source = next((hit for hit in hits if supports(hit.passage, text, question=question)), None)
        if source:
            kept = [Citation(source.document_id, source.chunk_id, "matched")]
    return kept, invented


def supports(passage: str, answer: str, *, question: str = "", min_overlap: float = 0.6) -> bool:
    """Tell whether a passage holds every number of an answer and most of its longer words.

    At least one of them must be new: an answer that only says the question again has no source.
    """
    # With the letters around them: the 320 of G320S alone stands in no passage.
    numbers = re.findall(r"\w*\d+(?:[.,]\d+)*\w*", answer)
    words = {word for word in re.findall(r"[^\W\d_]{4,}", answer.lower())}
    new = [part for part in (*numbers, *words) if not answer_metrics.contains_value(question, part)]
    if not any(answer_metrics.contains_value(passage, part) for part in new):
        return False
    found = sum(answer_metrics.contains_value(passage, word) for word in words)
    holds_numbers = all(answer_metrics.contains_value(passage, number) for number in numbers)
    return holds_numbers and found >= min_overlap * len(words)
