"""Held-out answers: examples kept away from training, and how surprised a model is by them.

Knows: which training questions are learned from and which are kept, and the loss of a model on the
kept ones. Does not know: how a model was trained (``train``), nor the exam (``evaluate``).
Used by lesson 08, ``bench methods`` and ``bench sweeps``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from labkit import exam, rag, training_data
from labkit.models import LanguageModel
from labkit.types import IGNORED, Example


def split(
    n_learn: int, n_kept: int, store: rag.Searcher, *, k: int = 1, seed: int = 0
) -> tuple[list[Example], list[Example]]:
    """Return open-book examples to learn from, and others to judge by; no question is in both.

    All are questions of the exam's training part, in random order. The test part is not touched.

    Parameters
    ----------
    n_learn, n_kept
        Examples of each.
    store, k, seed
        Where the passages come from, how many an example shows, and the seed of the order.

    Raises
    ------
    ValueError
        If there are fewer training questions than that.
    """
    questions = exam.load_exam("train")
    wanted = n_learn + n_kept
    if not 0 < wanted <= len(questions):
        raise ValueError(f"{wanted} examples are asked for; give 1 to {len(questions)}.")
    drawn = random.Random(seed).sample(questions, wanted)
    examples = training_data.open_book_examples(drawn, store, k=k, seed=seed)
    return examples[:n_learn], examples[n_learn:]


def loss(llm: LanguageModel, examples: Sequence[Example], *, batch_size: int = 8) -> float:
    """Return the mean loss over the tokens of the examples' answers, in nats a token.

    Parameters
    ----------
    llm
        A model, trained or not; it is not changed.
    examples
        At least one.
    batch_size
        Examples read together; the result does not depend on it.

    Raises
    ------
    ValueError
        If there are no examples.
    """
    import torch

    from labkit.answer_trainer import answer_loss, pad_right

    if not examples:
        raise ValueError("There are no examples to judge by; give at least one.")
    rows = [training_data.encode(e, llm.tokenizer, max_tokens=1024) for e in examples]
    rows.sort(key=lambda row: len(row["input_ids"]))
    total, n_answer_tokens = 0.0, 0
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        padded = pad_right(part, pad_id=llm.tokenizer.pad_token_id)
        batch = {name: value.to(llm.device) for name, value in padded.items()}
        with torch.no_grad():
            total += float(answer_loss(llm.model, batch, 1))  # divided by 1: a sum
        n_answer_tokens += sum(label != IGNORED for row in part for label in row["labels"][1:])
    return total / n_answer_tokens
