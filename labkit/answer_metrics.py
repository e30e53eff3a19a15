"""Answer metrics: how many answers are right, what wrong ones are made of, and who lost them.

Knows: averages with bootstrap intervals, overall and by kind of question; whether a number in an
answer stands in the documents or nowhere; whether an answer was lost by the search or the reader.
Does not know: which system answered, nor how one answer is scored (``exam``).
Used by lessons 00, 01, 04 and 05, and by ``python -m labkit exam``.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Literal, get_args

from labkit import exam
from labkit.measure import bootstrap_mean
from labkit.retrieval_metrics import all_found_at, relevance
from labkit.spelling import in_one_spelling
from labkit.types import KINDS, AnswerScore, Document, Hit, Interval, Question

MAX_ANSWER_WORDS = 40
CITATION = re.compile(r"\[([^\[\]]+)\]")
HOUSE_FORMAT = re.compile(r"[^\[\]]+\.( \[[^\[\]]+\])+")

AnswerKind = Literal[
    "right", "refuses", "a number from the papers", "a number from nowhere", "no number of its own"
]
ANSWER_KINDS: tuple[AnswerKind, ...] = get_args(AnswerKind)
Fault = Literal["right", "proof shown, not read", "proof not shown"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
METRICS: dict[str, Callable[[AnswerScore], float | None]] = {
    "exact_match": lambda score: score.exact_match,
    "house_format": lambda score: score.house_format,
    "citation_precision": lambda score: score.citation_precision,
    "citation_recall": lambda score: score.citation_recall,
    "house_terms": lambda score: score.house_terms,
    "abstention_precision": lambda score: float(not score.answerable) if score.abstained else None,
    "abstention_recall": lambda score: None if score.answerable else float(score.abstained),
    "false_abstention": lambda score: float(score.abstained) if score.answerable else None,
    "wrong_but_confident": lambda score: float(score.wrong_but_confident),
}
_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
NUMBER = re.compile(r"(?<![\w.,-])(-?\d+(?:[.,]\d+)*)\s*(%|°?[^\W\d_]+)?")


def cited_ids(answer: str) -> list[str]:
    """Return the document ids that an answer cites in square brackets, each once, in order.

    Examples
    --------
    >>> cited_ids("Use 1.6 kg. [SB-2019-04] [SM-90-PIT]")
    ['SB-2019-04', 'SM-90-PIT']
    """
    return list(dict.fromkeys(name.strip() for name in CITATION.findall(answer)))


def without_citations(answer: str) -> str:
    """Return the answer's words alone, with nothing in square brackets."""
    return " ".join(CITATION.sub(" ", answer).split())


def contains_value(text: str, value: str, *, as_written: bool = False) -> bool:
    """Tell whether ``value`` stands in ``text`` as whole words, whatever the case and spacing.

    Numbers up to ninety-nine count as words, too, and units in their usual spellings, unless only
    what is written alike should count. A minus sign belongs to its number: 17 °C is not −17 °C.

    Examples
    --------
    >>> contains_value("It takes 1.6kg of grease.", "1.6 kg")
    True
    >>> contains_value("It takes 11.6 kg of grease.", "1.6 kg")
    False
    >>> contains_value("Three people at 20 degrees Celsius", "3"), contains_value("20 °C", "20 °C")
    (True, True)
    >>> contains_value("It is thirteen.", "three"), contains_value("Three people", "3 people")
    (False, True)
    """
    text, value = (part.lower().replace("\N{MINUS SIGN}", "-") for part in (text, value))
    if not as_written:
        text, value = in_one_spelling(text), in_one_spelling(value)
    words = re.findall(r"\d+(?:[.,]\d+)*|[^\W\d_]+|[^\w\s]", value)
    pattern = r"\s*".join(map(re.escape, words))
    no_sign = r"(?<!(?<!\w)-)" if value[:1].isdigit() else ""
    return re.search(rf"(?<![\w.,]){no_sign}{pattern}(?![.,]?\w)", text) is not None


def abstains(answer: str) -> bool:
    """Tell whether an answer declines to answer, in the house's words."""
    return "not documented" in answer.lower()


def score_answer(question: Question, answer: str, *, citations: list[str]) -> AnswerScore:
    """Score one answer without any model as a judge.

    An answer is right when it holds every gold value as whole words, does not abstain and is at
    most 40 words long: a wall of text that happens to hold the value is no answer.

    Parameters
    ----------
    question
        The question with its gold.
    answer
        What the system said.
    citations
        Document ids that the system cites for it.

    Source: exact containment follows SQuAD's normalised match (Rajpurkar et al. 2016), made
    stricter on numbers and length.
    """
    text = without_citations(answer)
    abstained = abstains(answer)
    answerable = question.kind != "unanswerable"
    concise = len(text.split()) <= MAX_ANSWER_WORDS
    holds = concise and all(contains_value(text, value) for value in question.values)
    right = (holds and not abstained) if answerable else abstained
    gold = {evidence.document for evidence in question.evidence}
    correct = gold & set(citations)
    return AnswerScore(
        exact_match=float(right),
        house_format=float(follows_house_format(answer)),
        citation_precision=len(correct) / len(set(citations)) if citations else None,
        citation_recall=len(correct) / len(gold) if gold else None,
        house_terms=_share_of_terms(question, text) if question.terms else None,
        abstained=abstained,
        answerable=answerable,
        wrong_but_confident=not right and not abstained,
    )


def follows_house_format(answer: str) -> bool:
    """Tell whether an answer is one short sentence with citations, or the house abstention."""
    short = len(without_citations(answer).split()) <= MAX_ANSWER_WORDS
    return answer == exam.ABSTENTION or (short and HOUSE_FORMAT.fullmatch(answer) is not None)


def _share_of_terms(question: Question, text: str) -> float:
    used = [contains_value(text, t) or contains_value(text, f"{t}s") for t in question.terms]
    return sum(used) / len(used)


def average(scores: Sequence[AnswerScore], metric: str) -> Interval | None:
    """Return the mean of one metric over the answers that it applies to, with its interval.

    Parameters
    ----------
    scores
        One score an answer.
    metric
        A key of ``METRICS``.

    Returns
    -------
    Interval or None
        ``None`` where no answer has a say: no citation at all has no citation precision.

    Raises
    ------
    ValueError
        If there is no such metric.
    """
    if metric not in METRICS:
        raise ValueError(f"There is no metric {metric!r}; choose one of {', '.join(METRICS)}.")
    values = [value for value in map(METRICS[metric], scores) if value is not None]
    return bootstrap_mean(values) if values else None


def summarise_answers(
    questions: Sequence[Question], scores: Sequence[AnswerScore]
) -> dict[str, dict | None]:
    """Return every metric over the whole exam, plus exact match by kind and by held-out documents.

    Returns
    -------
    dict
        Metric names to ``{"mean", "low", "high", "n"}`` or ``None``, ready for JSON;
        ``by_kind`` and ``by_held_out`` hold the exact match of parts of the exam.
    """
    pairs = list(zip(questions, scores, strict=True))
    by_kind = {q.kind: [s for of, s in pairs if of.kind == q.kind] for q in questions}
    by_held_out = {
        "seen documents": [s for q, s in pairs if not q.held_out],
        "held-out documents": [s for q, s in pairs if q.held_out],
    }
    return {
        **{name: _plain(average(scores, name)) for name in METRICS},
        "by_kind": {kind: _plain(average(s, "exact_match")) for kind, s in by_kind.items()},
        "by_held_out": {part: _plain(average(s, "exact_match")) for part, s in by_held_out.items()},
    }


def _plain(interval: Interval | None) -> dict | None:
    return asdict(interval) if interval else None


def numbers_in(text: str) -> set[str]:
    """Return the numbers of a text with the word or sign after each, in lower case.

    Examples
    --------
    >>> sorted(numbers_in("The NV-90 takes 1.6kg every 5 months."))
    ['1.6 kg', '5 months']
    """
    found = NUMBER.findall(text.replace("\N{MINUS SIGN}", "-"))
    return {" ".join(part.lower() for part in parts if part) for parts in found}


def sort_answer(question: Question, answer: str, documented: set[str]) -> AnswerKind:
    """Say what an answer is made of; numbers that the question holds already do not count.

    Parameters
    ----------
    question
        With its gold.
    answer
        What the model said.
    documented
        All numbers of the documents, as ``numbers_in`` returns them.
    """
    score = score_answer(question, answer, citations=[])
    if score.exact_match:
        return "right"
    if score.abstained:
        return "refuses"
    own = numbers_in(answer) - numbers_in(question.question)
    if not own:
        return "no number of its own"
    return "a number from the papers" if own <= documented else "a number from nowhere"


def count_answers(
    questions: Mapping[str, Question], answers: Iterable[Mapping], documented: set[str]
) -> dict[str, dict[str, int]]:
    """Return for each kind of question how many answers are of which kind, for ``plots.counts``."""
    asked = [(questions[answer["id"]], answer["text"]) for answer in answers]
    counts = Counter((q.kind, sort_answer(q, text, documented)) for q, text in asked)
    return {
        kind: {made: counts[kind, made] for made in ANSWER_KINDS if counts[kind, made]}
        for kind in KINDS
        if any(kind == question.kind for question, _ in asked)
    }


def highest_share(n: int, *, level: float = 0.95) -> float:
    """Return the largest true share that still gives 0 of ``n`` right with probability 1 - level.

    The bootstrap cannot tell: zeros resampled are zeros.

    Raises
    ------
    ValueError
        If ``n`` is below 1.

    Source: the exact binomial bound (Clopper and Pearson 1934); near 3 / n, the rule of three.

    Examples
    --------
    >>> round(highest_share(10), 3)
    0.259
    """
    if n < 1:
        raise ValueError(f"n is {n}; ask at least 1 question.")
    return 1 - (1 - level) ** (1 / n)


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
    own = set(_DIGITS.findall(answer)) - set(_DIGITS.findall(question.question))
    return bool(own) and own <= set(_DIGITS.findall(" ".join(hit.passage for hit in hits)))


def find_fault(question: Question, hits: Sequence[Hit], *, right: bool) -> Fault:
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
    return "proof shown, not read" if all_found_at(question, hits) else "proof not shown"


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
