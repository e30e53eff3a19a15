"""Passages on purpose: nothing, the evidence, distractors, or both, for a question.

Knows: what each setting shows and what is right to answer then.
Does not know: how passages are found (``store``) or an answer is scored (``answer_metrics``).
Used by ``bench reader`` and ``bench side-effects``; lesson 09 builds it by hand.
"""

import random
from collections.abc import Sequence
from typing import Literal, get_args

from labkit import answer_metrics, rag
from labkit.models import LanguageModel
from labkit.retrieval_metrics import holds_evidence
from labkit.types import Evidence, Hit, Messages, Question

Setting = Literal["nothing", "the proof", "proof and distractors", "distractors only"]
SETTINGS: tuple[Setting, ...] = get_args(Setting)


def proof_of(evidence: Evidence, store: rag.Searcher) -> Hit:
    """Return the passage that holds a piece of evidence.

    Raises
    ------
    ValueError
        If the store has no such passage: it is then another corpus, or not up to date.
    """
    for hit in store.search(evidence.quote, k=10, mode="text"):
        if holds_evidence(hit, evidence):
            return hit
    raise ValueError(
        f"No passage of {evidence.document} holds {evidence.quote[:60]!r}; ingest the documents "
        "again: python -m labkit fetch"
    )


def passages(
    question: Question, store: rag.Searcher, setting: Setting, *, k: int = 3, seed: int = 0
) -> list[Hit]:
    """Return what a setting shows: the proof stands at a random place among ``k`` passages.

    Distractors are the passages that retrieval ranks best for this question, without any that holds
    evidence: near misses, as a real search brings them.

    Raises
    ------
    ValueError
        If there is no such setting.
    """
    if setting not in SETTINGS:
        raise ValueError(f"There is no setting {setting!r}; choose {', '.join(SETTINGS)}.")
    if setting == "nothing":
        return []
    proofs = [proof_of(evidence, store) for evidence in question.evidence]
    if setting == "the proof":
        return proofs
    found = store.search(question.question, k=k + 5)
    others = [hit for hit in found if not any(holds_evidence(hit, e) for e in question.evidence)]
    if setting == "distractors only":
        return others[:k]
    shown = [*proofs, *others[: max(0, k - len(proofs))]]
    random.Random(f"{seed} {question.id}").shuffle(shown)
    return shown


def messages(question: Question, shown: Sequence[Hit]) -> Messages:
    """Return the exam's own prompt: with the passages, or closed book where there are none."""
    if not shown:
        return rag.closed_book_messages(question.question)
    return rag.build_messages(question.question, shown)


def ask(
    llm: LanguageModel,
    questions: Sequence[Question],
    shown: Sequence[Sequence[Hit]],
    *,
    max_new_tokens: int = 48,
) -> list[str]:
    """Return one answer a question, each from the passages shown for it."""
    conversations = [messages(q, hits) for q, hits in zip(questions, shown, strict=True)]
    told = llm.generate_batch(conversations, max_new_tokens=max_new_tokens)
    return [generation.text for generation in told]


def does_right(question: Question, text: str, setting: Setting) -> bool:
    """Tell whether an answer does what its setting asks for: the value, or a refusal without it."""
    if setting == "distractors only":
        return answer_metrics.abstains(text)
    return bool(answer_metrics.score_answer(question, text, citations=[]).exact_match)
