"""Finding: a search that knows identifiers, newer documents and questions about two machines.

Knows: how both lists of a store become one, and which passages belong before others.
Does not know: how a store searches (``store``) or a passage is scored a second time (``rerank``).
Used by ``ask``, ``search`` and ``exam --finder``.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path

from labkit import corpus
from labkit.embed import load_embedder
from labkit.rerank import codes, late_interaction, load_glossary, overlap, rewrite
from labkit.store import course
from labkit.store.search import linear, spread
from labkit.types import BatchSearcher, Hit, Mode, Scorer


@dataclass(frozen=True)
class FinderConfig:
    """The numbers of ``Finder``; all were chosen on the exam's training questions.

    ``vector_share`` is the vector side's part of a fused score, ``rewritten_share`` that of the
    question with house terms, ``token_share`` that of the second look. ``named`` is added where a
    passage holds an identifier of the question and taken away where it holds another of its family
    only; ``row`` is added for a table's row with it. ``min_overlap`` and ``lead`` say when and how
    far a newer passage goes before what it replaces; ``per_document`` is how many passages of one
    document stand together.
    """

    depth: int = 40
    looked_at: int = 20
    vector_share: float = 0.4
    rewritten_share: float = 0.5
    token_share: float = 0.5
    named: float = 0.3
    row: float = 0.2
    min_overlap: float = 0.35
    lead: float = 0.1
    per_document: int = 3


class Finder:
    """A store that searches as a technician would look; it stands wherever a store is wanted.

    Words and vectors are fused by score, so that what one list has far ahead stays ahead.
    Identifiers count as a whole, newer passages go before what they replace, and a question about
    two machines is two searches. Twenty candidates are looked at token by token.

    Parameters
    ----------
    store
        What is searched.
    scorer
        The second look, for instance ``late_interaction(…)``.
    glossary
        House terms and what they mean, as ``load_glossary`` returns them.
    """

    def __init__(
        self,
        store: BatchSearcher,
        scorer: Scorer,
        glossary: Mapping[str, str],
        config: FinderConfig = FinderConfig(),  # noqa: B008, it is frozen
    ) -> None:
        self._store, self._scorer, self._glossary, self.config = store, scorer, glossary, config

    def search(self, query: str, *, k: int = 5, mode: Mode = "hybrid") -> list[Hit]:
        """Return the best ``k`` hits; scores compare within one question only."""
        return self.search_many([query], k=k, mode=mode)[0]

    def search_many(
        self, queries: Sequence[str], *, k: int = 5, mode: Mode = "hybrid"
    ) -> list[list[Hit]]:
        """Return the best ``k`` hits of each query; another mode asks the store as it is."""
        if mode != "hybrid":
            return self._store.search_many(queries, k=k, mode=mode)
        parts = [(i, part) for i, query in enumerate(queries) for part in one_machine_each(query)]
        rewritten = {part: rewrite(part, self._glossary, min_share=0.6) for _, part in parts}
        fused = self._fused(list(dict.fromkeys([*rewritten, *rewritten.values()])))
        found: list[list[list[Hit]]] = [[] for _ in queries]
        for i, part in parts:
            found[i].append(self._ordered(part, fused[part], fused[rewritten[part]]))
        return [_in_turn(lists)[:k] for lists in found]

    def _fused(self, asked: Sequence[str]) -> dict[str, list[Hit]]:
        """Return the fused hits of each question; most have no house term, and are asked once."""
        depth = self.config.depth
        near = self._store.search_many(asked, k=depth, mode="vector")
        worded = self._store.search_many(asked, k=depth, mode="text")
        fuse = partial(linear, weight=self.config.vector_share, k=2 * depth)
        return {text: fuse(a, b) for text, a, b in zip(asked, near, worded, strict=True)}

    def _ordered(self, question: str, plain: list[Hit], rewritten: list[Hit]) -> list[Hit]:
        config, share = self.config, self.config.rewritten_share
        hits = {hit.chunk_id: hit for hit in (*plain, *rewritten)}
        scores = dict.fromkeys(hits, 0.0)
        for part, weight in ((plain, 1 - share), (rewritten, share)):
            for hit in part:
                scores[hit.chunk_id] += weight * hit.score
        asked = codes(question)
        bonus = {name: self._bonus(asked, hit) for name, hit in hits.items()}
        best = sorted(hits, key=lambda n: -(scores[n] + bonus[n]))[: config.looked_at]
        looks = self._scorer(question, [hits[name].passage for name in best]) if best else []
        for name, look in zip(best, spread(list(map(float, looks))), strict=True):
            mixed = (1 - config.token_share) * scores[name] + config.token_share * look
            scores[name] = mixed + bonus[name]
        ordered = _newer_ahead([replace(hits[n], score=scores[n]) for n in best], config)
        return _mixed_documents(ordered, config.per_document)

    def _bonus(self, asked: set[str], hit: Hit) -> float:
        own, config = codes(hit.passage), self.config
        if asked & own:
            return config.named + config.row * (hit.kind == "table")
        families = {name.partition("-")[0] for name in asked}
        return -config.named if any(n.partition("-")[0] in families for n in own) else 0.0


def one_machine_each(question: str) -> list[str]:
    """Return the question once for each code name in it, without the others; else as it is.

    Examples
    --------
    >>> one_machine_each("Torque on the NV-90 and on the NV-117?")
    ['Torque on the   and on the NV-117?', 'Torque on the NV-90 and on the  ?']
    """
    names = sorted(codes(question))
    if len(names) < 2:
        return [question]
    return [
        re.sub("|".join(re.escape(other) for other in names if other != name), " ", question,
               flags=re.IGNORECASE)
        for name in names
    ]  # fmt: skip


def _newer_ahead(hits: Sequence[Hit], config: FinderConfig) -> list[Hit]:
    """Order by score, a superseding passage above each passage that it says anew."""
    raised = []
    for hit in hits:
        replaced = [
            older.score + config.lead
            for older in hits
            if hit.metadata.get("supersedes") == older.document_id
            and overlap(older, hit) >= config.min_overlap
        ]
        raised.append(replace(hit, score=max([hit.score, *replaced])))
    return sorted(raised, key=lambda hit: -hit.score)


def _mixed_documents(hits: Sequence[Hit], most: int) -> list[Hit]:
    """Put what a document has beyond its first ``most`` passages behind everything else."""
    seen: Counter[str] = Counter()
    parts: tuple[list[Hit], list[Hit]] = [], []
    for hit in hits:
        parts[seen[hit.document_id] >= most].append(hit)
        seen[hit.document_id] += 1
    return parts[0] + parts[1]


def _in_turn(lists: Sequence[Sequence[Hit]]) -> list[Hit]:
    """Return one list that takes from each in turn, every passage once."""
    mixed = (hit for row in zip_longest(*lists) for hit in row if hit is not None)
    return list({hit.chunk_id: hit for hit in mixed}.values())


def open_finder(store: BatchSearcher, *, folder: Path | None = None) -> Finder:
    """Return a finder over a store; ``folder`` holds the documents whose glossary it uses."""
    documents = corpus.read_documents([folder / "documents"], unreadable=[]) if folder else []
    return Finder(store, late_interaction(load_embedder()), load_glossary(documents))


def open_course_finder(industry: str = "") -> Finder:
    """Return a finder over the course's store, or that of another industry in ``data``."""
    store = course.open_course_store(industry=industry)
    return open_finder(store, folder=course.corpus_dir(industry))
