"""The exam: questions with evidence, and how one answer is scored.

Knows: the six kinds of question, the house answer format, and when an answer counts as right.
Does not know: how an answer came about (``rag``) or how scores are averaged (``answer_metrics``).
Used from lesson 00 on; lesson 04 shows ``score_answer`` at work.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from labkit import settings
from labkit.types import KINDS as KINDS
from labkit.types import Evidence, Question, Split

if TYPE_CHECKING:
    import datasets


ABSTENTION = "Not documented. Ask the duty engineer."


def load_exam(split: Split, *, folder: Path | None = None) -> list[Question]:
    """Load one part of the questions, through the ``datasets`` library.

    Parameters
    ----------
    split
        ``"test"``: looked at while the course was built, so development data; ``"final"``: sealed,
        each frozen system answers it once; ``"train"`` and ``"more"``: to learn from.
    folder
        ``data/exam`` of the course unless given; another industry has one of its own.

    Raises
    ------
    ValueError
        If the split does not exist.
    """
    if split not in get_args(Split):
        raise ValueError(
            f"There is no split {split!r}; choose one of {', '.join(get_args(Split))}."
        )
    rows = exam_dataset(split, folder=folder)
    return [_question(row) for row in rows]


def kept_questions() -> list[Question]:
    """Return every tenth question of ``more``: no reader learns from them, one may choose by them.

    Their facts may be asked for in other words among the training questions.
    """
    return load_exam("more")[::10]


def training_questions() -> list[Question]:
    """Return all questions that a reader may learn from: both training parts, none of the kept."""
    kept = kept_questions()
    return [q for q in [*load_exam("train"), *load_exam("more")] if q not in kept]


def exam_dataset(split: Split, *, folder: Path | None = None) -> "datasets.Dataset":
    """Return one split as a ``datasets.Dataset``, for training and for browsing."""
    import datasets

    path = (folder or settings.data_dir() / "exam") / f"{split}.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return datasets.Dataset.from_list(rows)


def _question(row: dict) -> Question:
    evidence = tuple(Evidence(**item) for item in row["evidence"])
    facts = {field.name: row[field.name] for field in fields(Question)}
    facts |= {"evidence": evidence, "values": tuple(row["values"]), "terms": tuple(row["terms"])}
    return Question(**facts)
