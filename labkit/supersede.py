"""Newer wins: a chunk of a superseded document loses its place to the chunk that supersedes it.

Knows: which document replaces which (``supersedes`` in the front matter), and when two chunks speak
of the same thing. Does not know: how hits were found (``store``).
The rule is an exercise of lesson 05, which measures what it brings and what it costs.
"""

from collections.abc import Sequence

from labkit.rerank import words
from labkit.types import Hit


def newer_wins(hits: Sequence[Hit], *, min_overlap: float = 0.0) -> list[Hit]:
    """Return the hits with every superseding chunk moved up before what it supersedes.

    It takes the place that the older chunk earned. A bulletin replaces two values of a manual, not
    the manual: with ``min_overlap`` at 0 the rule also pushes down chunks that are still true; a
    higher one wants the two chunks to share words before it acts.

    Parameters
    ----------
    hits
        Best first; a newer chunk that was not found cannot win.
    min_overlap
        Share of the older chunk's words, 0 to 1, that the newer one must hold.
    """
    ordered = list(hits)
    for newer in hits:
        at = ordered.index(newer)
        for place, older in enumerate(ordered[:at]):
            replaced = newer.metadata.get("supersedes") == older.document_id
            if replaced and overlap(older, newer) >= min_overlap:
                ordered.insert(place, ordered.pop(at))
                break
    return ordered


def overlap(older: Hit, newer: Hit) -> float:
    """Return the share of the older chunk's words that the newer one holds too."""
    mine = words(older.text)
    return len(mine & words(newer.text)) / len(mine) if mine else 0.0
