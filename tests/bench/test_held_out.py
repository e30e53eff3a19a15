"""Held-out examples stay held out, and their loss is a mean over tokens."""

import copy
from typing import Any

import pytest

from labkit import exam, training_data
from labkit.bench import held_out
from labkit.types import Example


class NoStore:
    """A store that finds one passage which proves nothing."""

    def __init__(self, make_hit: Any) -> None:
        self.make_hit = make_hit

    def search_many(self, queries, *, k, mode="hybrid"):
        return [[self.make_hit("Nothing.")] * k for _ in queries]

    def search(self, query, *, k=5, mode="hybrid"):
        return []


def asked(examples: list[Example]) -> set[str]:
    return {example.messages[-1]["content"].split("Question: ")[1] for example in examples}


def test_no_question_is_learned_and_kept_and_none_is_of_the_test_part(make_hit) -> None:
    learn, kept = held_out.split(20, 10, NoStore(make_hit))
    assert (len(asked(learn)), len(asked(kept))) == (20, 10)
    assert not asked(learn) & asked(kept)
    trained_on = {training_data.rag.plain(q.question) for q in exam.load_exam("train")}
    assert asked(learn) | asked(kept) <= trained_on


def test_a_seed_gives_one_order_and_more_examples_than_questions_are_refused(make_hit) -> None:
    store = NoStore(make_hit)
    assert held_out.split(3, 2, store) == held_out.split(3, 2, store)
    drawn = [asked(held_out.split(3, 2, store, seed=seed)[0]) for seed in (0, 1)]
    assert drawn[0] != drawn[1]
    with pytest.raises(ValueError, match="give 1 to"):
        held_out.split(10_000, 1, store)


EXAMPLES = [
    Example([{"role": "user", "content": "grease" * n}], "kg of grease " * (4 - n)) for n in (1, 3)
]


def test_the_loss_weighs_tokens_not_examples_nor_batches(tiny_llm: Any) -> None:
    import torch

    total, n_tokens = 0.0, 0
    for example in EXAMPLES:
        row = training_data.encode(example, tiny_llm.tokenizer, max_tokens=512)
        ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
        n = int((labels[:, 1:] >= 0).sum())
        with torch.no_grad():
            total += n * float(tiny_llm.model(input_ids=ids, labels=labels).loss)
        n_tokens += n
    for batch_size in (1, 2):
        found = held_out.loss(tiny_llm, EXAMPLES, batch_size=batch_size)
        assert found == pytest.approx(total / n_tokens, abs=1e-5)


def test_judging_changes_nothing_and_needs_an_example(tiny_llm: Any) -> None:
    before = copy.deepcopy(tiny_llm.model.state_dict())
    held_out.loss(tiny_llm, EXAMPLES)
    assert all((before[k] == v).all() for k, v in tiny_llm.model.state_dict().items())
    assert all(p.grad is None for p in tiny_llm.model.parameters())
    with pytest.raises(ValueError, match="at least one"):
        held_out.loss(tiny_llm, [])
