"""Variants of retrieval: one frozen description each, and how to search as it says.

Knows: what can be varied, and in which order the pieces work: rewrite, search, fuse, rerank.
Does not know: how a variant is scored or recorded (``rag``).
Used by lesson 05 and ``rag``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from labkit.embed import DEFAULT_MODEL
from labkit.rerank import rerank, rewrite
from labkit.store.search import linear
from labkit.types import BatchSearcher, Hit, Scorer

FUSED_DEPTH = 50
# Rerankers see this many candidates.
DEPTH = 20
Search = Literal["vector", "text", "hybrid", "linear"]
Rerank = Literal["none", "lexical", "late interaction"]


@dataclass(frozen=True)
class Variant:
    """One way to retrieve; the defaults are the course's own."""

    max_words: int = 60
    overlap: int = 0
    headings: bool = True
    search: Search = "hybrid"
    rerank: Rerank = "none"
    rewrite: bool = False
    embedder: str = DEFAULT_MODEL

    @property
    def name(self) -> str:
        """Say how it differs from the default, for tables: ``vector, 120 words, no headings``."""
        parts = {
            "max_words": f"{self.max_words} words",
            "overlap": f"overlap {self.overlap}",
            "headings": "no headings",
            "rerank": f"{self.rerank} rerank",
            "rewrite": "rewriting",
            "embedder": self.embedder,
        }
        usual = asdict(DEFAULT)
        changed = [text for key, text in parts.items() if getattr(self, key) != usual[key]]
        return ", ".join([self.search, *changed])

    @property
    def rerank_pair(self) -> str:
        """Name what is reranked by what; each pair has a weight of its own."""
        return f"{self.search} + {self.rerank}"

    @property
    def cut(self) -> dict:
        """Return the keyword arguments of ``Store.ingest``; equal cuts share a store."""
        return {"max_words": self.max_words, "overlap": self.overlap, "headings": self.headings}


DEFAULT = Variant()


@dataclass(frozen=True)
class Tools:
    """What variants need beside a store; every number in it is chosen on training questions.

    ``linear_weight`` is the vector side's share; ``rerank_weights`` has the second score's share
    for each ``rerank_pair``.
    """

    glossary: Mapping[str, str]
    scorers: Mapping[str, Scorer]
    min_share: float = 0.6
    linear_weight: float = 0.5
    rerank_weights: Mapping[str, float] = field(default_factory=dict)


def every_variant() -> list[Variant]:
    """Return the variants of the leaderboard, those of one cut together, the default first."""
    searches: tuple[Search, ...] = ("hybrid", "vector", "text", "linear")
    found = [Variant(search=search) for search in searches]
    found += [Variant(search=search, rewrite=True) for search in searches]
    rerankers: tuple[Rerank, ...] = ("lexical", "late interaction")
    for reranker in rerankers:
        found += [Variant(search=s, rerank=reranker) for s in ("hybrid", "vector", "linear")]
        found.append(Variant(search="linear", rewrite=True, rerank=reranker))
    found += [Variant(headings=False, search=search) for search in searches]
    for max_words in (30, 120, 240):
        found += [Variant(max_words, search=search) for search in searches]
    for max_words, overlap in ((30, 15), (60, 15), (60, 30), (120, 60)):
        found += [Variant(max_words, overlap, search=search) for search in searches[:2]]
    for max_words in (30, 120, 240):
        found += [Variant(max_words, headings=False, search=search) for search in searches[:2]]
    return found


def find(
    variant: Variant, store: BatchSearcher, questions: Sequence[str], tools: Tools
) -> list[list[Hit]]:
    """Return ``DEPTH`` hits of each question, retrieved as the variant says.

    Parameters
    ----------
    store
        Ingested with ``variant.cut`` and ``variant.embedder``.
    questions
        In plain words.
    """
    asked = list(questions)
    if variant.rewrite:
        asked = [rewrite(text, tools.glossary, min_share=tools.min_share) for text in asked]
    if variant.search == "linear":
        near = store.search_many(asked, k=FUSED_DEPTH, mode="vector")
        worded = store.search_many(asked, k=FUSED_DEPTH, mode="text")
        weight = tools.linear_weight
        pairs = zip(near, worded, strict=True)
        found = [linear(a, b, weight=weight, k=DEPTH) for a, b in pairs]
    else:
        found = store.search_many(asked, k=DEPTH, mode=variant.search)
    if variant.rerank == "none":
        return found
    scorer = tools.scorers[variant.rerank]
    weight = tools.rerank_weights.get(variant.rerank_pair, 1.0)
    return [
        rerank(text, hits, scorer, k=DEPTH, weight=weight)
        for text, hits in zip(asked, found, strict=True)
    ]
