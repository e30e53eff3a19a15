"""Chunks: a document cut into pieces small enough to embed, to find and to quote.

Knows: headings, sentences, list items and table rows of markdown and plain text.
Does not know: where documents come from (``corpus``) or how chunks are stored (``store``).
Used by lessons 02, 04 and 05 through ``labkit.corpus``.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

from labkit.types import Chunk, Document

Span = tuple[int, int]

# A run without spaces (a URL, Chinese, base64) counts as one word for every 40 characters, so that
# no chunk outgrows the embedding model just because nobody pressed the space bar.
_WORD = re.compile(r"\S{1,40}")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’)\]*_]*\s+|[。！？][”’」』）]*\s*")
_LIST_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)]|[A-Za-z][.)])\s")
_LIST_MARKER = re.compile(r"\s*(?:\d{1,3}|[A-Za-z])\.")
_OPENING = "\"'“‘([*_"
# Every chunk below a heading carries it; a longer line is text, whatever stands before it.
_LONGEST_HEADING = 200
_NEVER_LAST = frozenset(
    "approx. e.g. i.e. cf. vs. ca. fig. incl. resp. dr. mr. mrs. ms. prof. st. z.b. d.h.".split()
)
_NOT_BEFORE_A_NUMBER = frozenset("no. nos. nr. p. pp. ch. sec. min. max. vol. art. eq.".split())


def chunk_document(
    document: Document, *, max_words: int = 60, overlap: int = 0, headings: bool = True
) -> list[Chunk]:
    """Pack whole sentences into chunks of at most ``max_words`` words, in order, none lost.

    Small chunks are found more precisely and cost less prompt; large ones keep more context.
    A sentence over the budget is cut between words. A heading without any text below it becomes
    a chunk itself.

    Parameters
    ----------
    document
        What to cut.
    max_words
        Budget of a chunk, in words of at most 40 characters.
    overlap
        A chunk begins with the last whole sentences of the one before, up to this many words.
    headings
        Whether a passage begins with title and heading path.

    Raises
    ------
    ValueError
        If ``max_words`` is below 1, or ``overlap`` negative or not below ``max_words``.
    """
    if max_words < 1:
        raise ValueError(f"max_words is {max_words}; a chunk needs room for at least 1 word.")
    if not 0 <= overlap < max_words:
        raise ValueError(f"overlap is {overlap}; choose 0 to {max_words - 1}, below max_words.")
    chunks: list[Chunk] = []
    for path, spans in _located_sentences(document.text):
        heading = " > ".join(_without_title(path, document.title))
        for start, end in _pack(document.text, spans, max_words, overlap):
            chunks.append(
                Chunk(
                    id=f"{document.id}#{len(chunks)}",
                    document_id=document.id,
                    title=document.title,
                    heading=heading,
                    text=document.text[start:end],
                    position=len(chunks),
                    start=start,
                    end=end,
                    headed=headings,
                )
            )
    return chunks


def split_sentences(text: str) -> list[str]:
    """Return the sentences of one paragraph, by a rule that fits in a screen.

    A full stop ends a sentence unless a small letter follows, or it belongs to an abbreviation,
    a decimal or a list number. Rules of this kind are wrong now and then; for chunks that costs
    little, because neighbours are packed together anyway.

    Examples
    --------
    >>> split_sentences("Fill in approx. 3.5 L. Check e.g. No. 4. Done?")
    ['Fill in approx. 3.5 L.', 'Check e.g. No. 4.', 'Done?']
    """
    return [text[start:end] for start, end in _sentences(text, (0, len(text)))]


def count_words(text: str) -> int:
    """Count words as the budget does: runs without spaces, cut at 40 characters."""
    return sum(1 for _ in _WORD.finditer(text))


def _without_title(path: tuple[str, ...], title: str) -> tuple[str, ...]:
    same = path and path[0].casefold() == title.strip().casefold()
    return path[1:] if same else path


def _located_sentences(text: str) -> Iterator[tuple[tuple[str, ...], list[Span]]]:
    sections = list(_sections(text))
    following = [path for path, _, _ in sections[1:]] + [()]
    for (path, name, body), next_path in zip(sections, following, strict=True):
        if spans := list(_blocks(text, body)):
            yield path, spans
        elif path and next_path[: len(path)] != path:
            yield path[:-1], [name]


def _sections(text: str) -> Iterator[tuple[tuple[str, ...], Span, Span]]:
    """Yield the heading path, where the heading's own words stand, and the body below it."""
    path: list[tuple[int, str]] = []
    name, body_start, fenced = (0, 0), 0, False
    for line in _LINE.finditer(text):
        if line.group().lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        level, words = (0, "") if fenced else _heading(line.group())
        if level == 0:
            continue
        yield tuple(title for _, title in path), name, (body_start, line.start())
        path = [(above, title) for above, title in path if above < level] + [(level, words)]
        at = text.index(words, line.start())
        name, body_start = (at, at + len(words)), line.end()
    yield tuple(title for _, title in path), name, (body_start, len(text))


def _heading(line: str) -> tuple[int, str]:
    """Return level and words of a markdown heading, ``(0, "")`` for any other line."""
    stripped = line.strip()
    words = stripped.lstrip("#")
    level = len(stripped) - len(words)
    if not 1 <= level <= 6 or not words[:1].isspace() or len(words) > _LONGEST_HEADING:
        return 0, ""
    open_end = words.rstrip("#")
    return level, (open_end if open_end[-1:].isspace() else words).strip()


def _blocks(text: str, body: Span) -> Iterator[Span]:
    """Yield sentences of paragraphs; a list item or table row is yielded whole."""
    start, kind = body[0], ""
    for line in _LINE.finditer(text, *body):
        words = line.group()
        begins = (
            "row" if words.lstrip().startswith("|") else "item" if _LIST_ITEM.match(words) else ""
        )
        if begins or kind == "row" or not words.strip():
            yield from _block(text, (start, line.start()), kind)
            start, kind = line.start(), begins
    yield from _block(text, (start, body[1]), kind)


def _block(text: str, span: Span, kind: str) -> Iterator[Span]:
    return iter([_trim(text, span)]) if kind else _sentences(text, span)


def _sentences(text: str, span: Span) -> Iterator[Span]:
    start, end = span
    for match in _SENTENCE_END.finditer(text, start, end):
        if _ends_sentence(text, start, match):
            yield _trim(text, (start, match.end()))
            start = match.end()
    if text[start:end].strip():
        yield _trim(text, (start, end))


def _ends_sentence(text: str, start: int, match: re.Match[str]) -> bool:
    stop = match.start() + 1
    follows = text[match.end() : match.end() + 5].lstrip(_OPENING)[:1]
    word = text[max(start, stop - 40) : stop].split()[-1].lstrip(_OPENING).lower()
    if follows.islower() or word in _NEVER_LAST:
        return False
    if word in _NOT_BEFORE_A_NUMBER and follows.isdigit():
        return False
    return _LIST_MARKER.fullmatch(text, start, stop) is None


def _trim(text: str, span: Span) -> Span:
    part = text[slice(*span)]
    start = span[0] + len(part) - len(part.lstrip())
    return start, start + len(part.strip())


def _pack(text: str, spans: list[Span], max_words: int, overlap: int) -> Iterator[Span]:
    packed: list[tuple[Span, int]] = []
    for span in _fitting(text, spans, max_words):
        n_words = count_words(text[slice(*span)])
        if packed and _n_words(packed) + n_words > max_words:
            yield packed[0][0][0], packed[-1][0][1]
            while packed and _n_words(packed) > min(overlap, max_words - n_words):
                packed.pop(0)
        packed.append((span, n_words))
    if packed:
        yield packed[0][0][0], packed[-1][0][1]


def _n_words(packed: list[tuple[Span, int]]) -> int:
    return sum(n_words for _, n_words in packed)


def _fitting(text: str, spans: list[Span], max_words: int) -> Iterator[Span]:
    """Yield the spans, those over the budget cut into sentences and these between words."""
    for span in spans:
        if count_words(text[slice(*span)]) <= max_words:
            yield span
            continue
        for sentence in _sentences(text, span):
            words = [match.span() for match in _WORD.finditer(text, *sentence)]
            cuts = [*range(0, len(words), max_words), len(words)]
            yield from ((words[a][0], words[b - 1][1]) for a, b in pairwise(cuts))
