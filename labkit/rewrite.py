"""Query rewriting: ordinary words in the question call up the house terms that documents use.

Knows: how glossary documents list terms, and when a question means one.
Does not know: how the rewritten question is searched (``store``).
Used by lesson 05 and ``bench_rag``.
"""

import re
from collections.abc import Iterable, Mapping

from labkit.corpus import split_sentences
from labkit.rerank import words
from labkit.types import Document

_STOP = frozenset(
    "a an and are as at be been by call calls can every for from has have in into is it its mean "
    "no not of off on one or our out over part say speak than that the their them there they "
    "this to up us used was we what when where which who will with you your word".split()
)


def load_glossary(documents: Iterable[Document]) -> dict[str, str]:
    """Return house terms with the sentence that explains each, from documents of kind glossary.

    A heading is a term if the first sentence below it names it, in singular or plural.
    """
    glossary: dict[str, str] = {}
    for document in documents:
        if document.kind != "glossary":
            continue
        for term, body in re.findall(r"^## +(.+?) *\n+(.+)", document.text, flags=re.M):
            first = split_sentences(body)[0]
            if term.lower() in first.lower():
                glossary[term.lower()] = first
    return glossary


def meant_terms(
    question: str, glossary: Mapping[str, str], *, min_share: float = 0.5, limit: int = 2
) -> list[str]:
    """Return the terms whose explanation shares enough words with the question, best first.

    Parameters
    ----------
    question
        In anybody's words.
    glossary
        ``{term: explanation}``.
    min_share
        Share of the explanation's first clause, in content words, that the question must hold.
    limit
        At most this many terms.
    """
    asked = words(question)
    shares = {}
    for term, sentence in glossary.items():
        meaning = _content(sentence, term)
        if meaning and not words(term) <= asked:
            shares[term] = len(meaning & asked) / len(meaning)
    found = sorted((t for t in shares if shares[t] >= min_share), key=lambda t: -shares[t])
    return found[:limit]


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
