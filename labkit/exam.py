"""The exam: questions with evidence, and how one answer is scored.

Knows: the six kinds of question, the house answer format, and when an answer counts as right.
Does not know: how an answer came about (``rag``) or how scores are averaged (``answer_metrics``).
Used from lesson 00 on; lesson 04 shows ``score_answer`` at work.
"""

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from labkit import settings
from labkit.types import KINDS as KINDS
from labkit.types import AnswerScore, Evidence, Question, Split

if TYPE_CHECKING:
    import datasets


ABSTENTION = "Not documented. Ask the duty engineer."
MAX_ANSWER_WORDS = 40
CITATION = re.compile(r"\[([^\[\]]+)\]")
HOUSE_FORMAT = re.compile(r"[^\[\]]+\.( \[[^\[\]]+\])+")


def load_exam(split: Split, *, folder: Path | None = None) -> list[Question]:
    """Load the test or the training questions, through the ``datasets`` library.

    Parameters
    ----------
    split
        ``"test"`` or ``"train"``.
    folder
        ``data/exam`` of the course unless given.

    Raises
    ------
    ValueError
        If the split does not exist.
    """
    if split not in ("train", "test"):
        raise ValueError(f"There is no split {split!r}; choose 'train' or 'test'.")
    rows = exam_dataset(split, folder=folder)
    return [_question(row) for row in rows]


def exam_dataset(split: Split, *, folder: Path | None = None) -> "datasets.Dataset":
    """Return one split as a ``datasets.Dataset``, for training and for browsing."""
    import datasets

    path = (folder or settings.data_dir() / "exam") / f"{split}.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return datasets.Dataset.from_list(rows)


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


def contains_value(text: str, value: str) -> bool:
    """Tell whether ``value`` stands in ``text`` as whole words, whatever the case and spacing.

    A minus sign belongs to its number: 17 °C is not −17 °C.

    Examples
    --------
    >>> contains_value("It takes 1.6kg of grease.", "1.6 kg")
    True
    >>> contains_value("It takes 11.6 kg of grease.", "1.6 kg")
    False
    """
    text, value = (part.lower().replace("\N{MINUS SIGN}", "-") for part in (text, value))
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
    return answer == ABSTENTION or (short and HOUSE_FORMAT.fullmatch(answer) is not None)


def _share_of_terms(question: Question, text: str) -> float:
    used = [contains_value(text, t) or contains_value(text, f"{t}s") for t in question.terms]
    return sum(used) / len(used)


def _question(row: dict) -> Question:
    evidence = tuple(Evidence(**item) for item in row["evidence"])
    facts = {field.name: row[field.name] for field in fields(Question)}
    facts |= {"evidence": evidence, "values": tuple(row["values"]), "terms": tuple(row["terms"])}
    return Question(**facts)
