"""Reading: conversations in which a model learns to answer from passages, and to abstain.

Knows: which training questions go together on the same passages, and what is a near miss.
Does not know: single examples or their token ids (``training_data``), nor any training (``train``).
Used by ``python -m labkit finetune --data reading`` and ``bench reader``.
"""

import random
from collections.abc import Mapping, Sequence

from labkit import exam, rag
from labkit.finder import open_course_finder
from labkit.retrieval_metrics import holds_evidence
from labkit.store.course import corpus_dir, industries
from labkit.training_data import holds_any, with_evidence
from labkit.types import Example, Hit, Question


def course_examples(*, k: int = 5, seed: int = 0) -> list[Example]:
    """Return what a reader learns from: Nordvind's questions, and those of the other industries."""
    parts = {"": exam.training_questions()}
    for name in industries():
        folder = corpus_dir(name) / "exam"
        if (folder / "train.jsonl").is_file():
            parts[name] = exam.load_exam("train", folder=folder)
    return [
        example
        for name, questions in parts.items()
        for example in reading_examples(questions, open_course_finder(name), k=k, seed=seed)
    ]


def reading_examples(
    questions: Sequence[Question], store: rag.Searcher, *, k: int = 5, most: int = 5, seed: int = 0
) -> list[Example]:
    """Return conversations over ``k`` passages each, in which a few questions are asked in turn.

    A prompt is long and a question short: several questions on the same passages teach more in the
    same time. Each conversation holds what one question finds, with its evidence put in where the
    search missed it, and up to ``most`` questions that these passages answer. In every second one
    there is a near miss, too: a question that finds some of the same passages while its answer is
    not among them, as of another machine or another quantity. Its right answer is the abstention.
    Every question is answered once, and once at most a near miss.

    Parameters
    ----------
    questions
        Training questions; those without an answer in the documents are abstained from.
    store
        Where the passages come from.

    Source: training with distractors follows RAFT (Zhang et al. 2024, arXiv 2403.10131).
    """
    chance = random.Random(seed)
    hits = store.search_many([q.question for q in questions], k=k)
    found = dict(zip(questions, hits, strict=True))
    waiting = chance.sample(list(questions), len(questions))
    missable = [q for q in waiting if q.evidence and q.kind != "updated"]
    examples: list[Example] = []
    while waiting:
        first = waiting[0]
        shown = with_evidence(first, found[first], store, chance)
        answered = [q for q in waiting if q.evidence and _holds_all(shown, q)][:most]
        told = [(q, q.answer) for q in answered]
        if first not in answered:  # nothing answers it, or its evidence could not be shown
            told.append((first, exam.ABSTENTION))
        waiting = [q for q in waiting if q not in answered and q is not first]
        if len(examples) % 2 and (missed := _nearest_miss(missable, shown, found)):
            missable.remove(missed)
            told.append((missed, exam.ABSTENTION))
        examples.append(_conversation(chance.sample(told, len(told)), shown))
    return examples


def _conversation(told: Sequence[tuple[Question, str]], shown: Sequence[Hit]) -> Example:
    (first, answer), *others = told
    more = tuple((rag.asked(question.question), answer) for question, answer in others)
    return Example(rag.build_messages(first.question, shown), answer, more)


def _nearest_miss(
    candidates: Sequence[Question], shown: Sequence[Hit], found: Mapping[Question, Sequence[Hit]]
) -> Question | None:
    """Return the question that finds most of these passages, none of which has its evidence."""
    names = {hit.chunk_id for hit in shown}
    shared = {
        question: len(names & {hit.chunk_id for hit in found[question]})
        for question in candidates
        if not any(holds_any(hit, question) for hit in shown)
    }
    best = max(shared, key=lambda question: shared[question], default=None)
    return best if best and shared[best] else None


def _holds_all(shown: Sequence[Hit], question: Question) -> bool:
    return all(any(holds_evidence(hit, piece) for hit in shown) for piece in question.evidence)
