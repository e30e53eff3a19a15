"""Reranking, and other second looks at a question and the hits it brought.

Knows: ways to score a passage against a question (rare words in common, token by token, code names
first, a cross-encoder) and how scores reorder hits; which house terms a question means; that a
superseding chunk goes before what it replaces.
Does not know: how hits were found (``store``).
Used by lesson 05, ``bench.rag`` and ``evaluate``.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

from labkit.corpus import split_sentences
from labkit.embed import load_embedder
from labkit.store.search import spread
from labkit.types import BatchSearcher, Document, Hit, Mode, Scorer


class TokenEmbedder(Protocol):
    """What late interaction needs of an embedding model."""

    def encode_tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the unit vectors of each text's tokens, ``(n_tokens, d) float32`` each."""
        ...


def rerank(
    question: str, hits: Sequence[Hit], scorer: Scorer, *, k: int = 5, weight: float = 1.0
) -> list[Hit]:
    """Return the best ``k`` hits by a second score, or by a mix of it and the first.

    A reranker cannot find what the search did not bring: give it more hits than you want back.

    Parameters
    ----------
    hits
        Candidates, best first.
    scorer
        ``lexical(…)``, ``late_interaction(…)`` or ``cross_encoder(…)``.
    weight
        Share of the second score, 0 to 1; both are first spread over 0 to 1.

    Raises
    ------
    ValueError
        If ``weight`` is outside 0 to 1.
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight is {weight}; choose one between 0 (no reranking) and 1.")
    if not hits:
        return []
    second = spread([float(s) for s in scorer(question, [hit.passage for hit in hits])])
    first = spread([hit.score for hit in hits])
    mixed = [weight * b + (1 - weight) * a for a, b in zip(first, second, strict=True)]
    order = sorted(range(len(hits)), key=lambda i: -mixed[i])[:k]
    return [replace(hits[i], score=mixed[i]) for i in order]


class Reranked:
    """A store that looks closer before it answers: the best of many hits by a second score.

    It can stand wherever the RAG loop wants a store.

    Parameters
    ----------
    store
        What is searched, in the mode that is asked for.
    scorer
        See ``rerank``.
    depth
        Hits that are looked at for each question.
    """

    def __init__(self, store: BatchSearcher, scorer: Scorer, *, depth: int = 20) -> None:
        self._store, self._scorer, self._depth = store, scorer, depth

    def search(self, query: str, *, k: int = 5, mode: Mode = "hybrid") -> list[Hit]:
        """Return the best ``k`` hits; their scores are the scorer's, spread over 0 to 1."""
        return self.search_many([query], k=k, mode=mode)[0]

    def search_many(
        self, queries: Sequence[str], *, k: int = 5, mode: Mode = "hybrid"
    ) -> list[list[Hit]]:
        """Return the best ``k`` hits of each query."""
        found = self._store.search_many(queries, k=max(k, self._depth), mode=mode)
        return [
            rerank(query, hits, self._scorer, k=k)
            for query, hits in zip(queries, found, strict=True)
        ]


def remembering(scorer: Scorer) -> Scorer:
    """Return a scorer that scores a question and a passage once, however often they meet."""
    known: dict[tuple[str, str], float] = {}

    def score_pairs(question: str, passages: Sequence[str]) -> list[float]:
        new = [text for text in dict.fromkeys(passages) if (question, text) not in known]
        for text, value in zip(new, scorer(question, new) if new else (), strict=True):
            known[question, text] = value
        return [known[question, text] for text in passages]

    return score_pairs


def lexical(passages: Iterable[str]) -> Scorer:
    """Return a scorer by the share of the question's words that a passage holds, rare ones first.

    A word weighs by its inverse document frequency over ``passages``; numbers and names such as
    ``NV-117`` are words too, and rare ones weigh most. Needs no model.
    """
    bags = list(map(words, passages))
    n = len(bags)
    holding = Counter(word for bag in bags for word in bag)
    weights = {word: math.log(1 + n / count) for word, count in holding.items()}
    unknown = math.log(1 + n)

    def score(question: str, candidates: Sequence[str]) -> list[float]:
        asked = {word: weights.get(word, unknown) for word in words(question)}
        total = sum(asked.values()) or 1.0
        return [
            sum(asked[w] for w in asked.keys() & words(passage)) / total for passage in candidates
        ]

    return score


@lru_cache(maxsize=8192)
def words(text: str) -> frozenset[str]:
    """Return the words of a text, small and without a plural s; ``NV-117`` stays one word.

    Examples
    --------
    >>> sorted(words("Two bolts, M30, of the NV-117"))
    ['bolt', 'm30', 'nv-117', 'of', 'the', 'two']
    """
    found = re.findall(r"[^\W_]+(?:[-.,][^\W_]*\d[^\W_]*)*", text.lower())
    return frozenset(
        w[:-1] if len(w) > 3 and w.endswith("s") and w[-2] != "s" else w for w in found
    )


def names_first(scorer: Scorer) -> Scorer:
    """Return a scorer that puts passages with every code name of the question above all others.

    ``NV-117`` and ``NV-140`` look alike to an embedding model, and are two machines. A code is a
    word of letters, a hyphen and digits; a question without one is scored as by ``scorer``.
    """

    def score(question: str, candidates: Sequence[str]) -> list[float]:
        given = [float(s) for s in scorer(question, candidates)]
        asked = codes(question)
        if not asked:
            return given
        above = max(given, default=0.0) - min(given, default=0.0) + 1.0
        named = [asked <= codes(text) for text in candidates]
        return [value + above * has for value, has in zip(given, named, strict=True)]

    return score


def codes(text: str) -> set[str]:
    """Return the code names in a text, in capitals.

    Examples
    --------
    >>> sorted(codes("nv-117: torque as in SB-2019-04, not the M30 bolts"))
    ['NV-117', 'SB-2019-04']
    """
    return {code.upper() for code in re.findall(r"\b[A-Za-z]+(?:-\d+[A-Za-z\d]*)+\b", text)}


def late_interaction(embedder: TokenEmbedder) -> Scorer:
    """Return a scorer that lets each word of the question find its best match in the passage.

    One vector a passage averages its words away; here every token keeps its own, and the score is
    the mean over the question's tokens of the highest cosine. Texts met before are remembered.

    Source: MaxSim of ColBERT (Khattab and Zaharia 2020), here with a model not trained for it.
    """
    known: dict[str, np.ndarray] = {}

    def score(question: str, candidates: Sequence[str]) -> list[float]:
        new = [text for text in dict.fromkeys([question, *candidates]) if text not in known]
        known.update(zip(new, embedder.encode_tokens(new), strict=True))
        asked = known[question]  # (q, d)
        return [float((asked @ known[text].T).max(axis=1).mean()) for text in candidates]

    return score


def cross_encoder(folder: Path) -> Scorer:
    """Return a scorer that reads question and passage together: the best, and the slowest.

    Parameters
    ----------
    folder
        A cross-encoder for sentence-transformers on this disk, for example a copy of
        ``cross-encoder/ms-marco-MiniLM-L6-v2``. The course brings none.

    Raises
    ------
    FileNotFoundError
        If there is no model in the folder.
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"There is no cross-encoder in {str(folder)!r}, and the course brings none. Copy one "
            "there, for example cross-encoder/ms-marco-MiniLM-L6-v2, or use lexical(…)."
        )
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), local_files_only=True, trust_remote_code=False)

    def score(question: str, candidates: Sequence[str]) -> list[float]:
        return model.predict([(question, text) for text in candidates]).tolist()

    return score


_STOP = frozenset(
    "a an and are as at be been by call calls can every for from has have in into is it its mean "
    "no not of off on one or our out over part say speak than that the their them there they "
    "this to up us used was we what when where which who will with you your word".split()
)


def load_glossary(documents: Iterable[Document]) -> dict[str, str]:
    """Return house terms with the sentence that explains each, from documents of kind glossary.

    A heading is a term if the first sentence below it names it, in singular or plural.
    """
    entries = [
        (term.lower(), split_sentences(body)[0])
        for document in documents
        if document.kind == "glossary"
        for term, body in re.findall(r"^## +(.+?) *\n+(.+)", document.text, flags=re.M)
    ]
    return {term: first for term, first in entries if term in first.lower()}


def meant_terms(question: str, glossary: Mapping[str, str], *, min_share: float = 0.5) -> list[str]:
    """Return at most two terms whose explanations share enough words with a question, best first.

    Parameters
    ----------
    question
        In anybody's words.
    glossary
        ``{term: explanation}``.
    min_share
        Share of the explanation's first clause, in content words, that the question must hold.
    """
    asked = words(question)
    shares = {}
    for term, sentence in glossary.items():
        meaning = _content(sentence, term)
        if meaning and not words(term) <= asked:
            shares[term] = len(meaning & asked) / len(meaning)
    return sorted((t for t in shares if shares[t] >= min_share), key=lambda t: -shares[t])[:2]


def rewrite(question: str, glossary: Mapping[str, str], *, min_share: float = 0.5) -> str:
    """Return the question with the house terms that it means in brackets behind it.

    Nothing is taken away: the ordinary words may be the document's words too.
    """
    terms = meant_terms(question, glossary, min_share=min_share)
    return f"{question} ({', '.join(terms)})" if terms else question


def _content(sentence: str, term: str) -> frozenset[str]:
    """Return the content words of the clause that explains: up to the first comma or the like."""
    clause = re.split(r"[:;]|, | that | which | in which ", sentence)[0]
    return words(clause) - _STOP - words(term)


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


def course_scorer() -> Scorer:
    """Return what ``Reranked`` takes, made of the course's own embedding model."""
    return names_first(late_interaction(load_embedder()))
