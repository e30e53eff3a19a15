"""Contexts on purpose: each setting shows exactly what its name says."""

from typing import Any

import pytest

from labkit import rag
from labkit import training_data as contexts
from labkit.exam import ABSTENTION
from labkit.types import Evidence, Generation, Question

ONE, TWO = Evidence("SM-1", "takes 7 kg"), Evidence("SM-2", "takes 9 kg")
LOOKUP = Question("q1", "lookup", "How much grease?", "7 kg. [SM-1]", ("7 kg",), (ONE,))
BOTH = Question("q2", "synthesis", "How much on each?", "", ("7 kg", "9 kg"), (ONE, TWO))


@pytest.fixture
def store(make_hit: Any) -> Any:
    texts = ["it is blue", "it takes 7 kg", "it is red", "it takes 9 kg", "it is old", "it is new"]
    names = ["SM-3", "SM-1", "SM-4", "SM-2", "SM-5", "SM-6"]
    shelf = [
        make_hit(text, document_id=name) for text, name in zip(texts, names, strict=True)
    ]  # fmt: skip

    class Shelf:
        def search(self, query: str, *, k: int = 5, mode: str = "hybrid") -> list:
            return shelf[:k]

    return Shelf()


def ids(hits: list) -> list[str]:
    return [hit.document_id for hit in hits]


def test_nothing_and_the_proof_show_just_that(store: Any) -> None:
    assert contexts.passages(LOOKUP, store, "nothing") == []
    assert ids(contexts.passages(LOOKUP, store, "the proof")) == ["SM-1"]
    assert ids(contexts.passages(BOTH, store, "the proof")) == ["SM-1", "SM-2"]


def test_distractors_hold_no_evidence_and_keep_the_searchs_order(store: Any) -> None:
    shown = contexts.passages(BOTH, store, "distractors only")
    assert ids(shown) == ["SM-3", "SM-4", "SM-5"]


def test_the_proof_stands_among_the_best_distractors_at_changing_places(store: Any) -> None:
    shown = [
        ids(contexts.passages(LOOKUP, store, "proof and distractors", seed=seed))
        for seed in range(20)
    ]
    assert all(sorted(names) == ["SM-1", "SM-3", "SM-4"] for names in shown)
    assert {names.index("SM-1") for names in shown} == {0, 1, 2}
    again = contexts.passages(LOOKUP, store, "proof and distractors", seed=3)
    assert ids(again) == shown[3]


def test_an_unknown_setting_and_a_missing_proof_are_refused(store: Any) -> None:
    with pytest.raises(ValueError, match="choose nothing, the proof"):
        contexts.passages(LOOKUP, store, "all")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="No passage of SM-9"):
        contexts.proof_of(Evidence("SM-9", "takes 1 kg"), store)


def test_the_prompt_is_the_exams_with_or_without_passages(store: Any) -> None:
    shown = contexts.passages(LOOKUP, store, "the proof")
    assert contexts.messages(LOOKUP, shown) == rag.build_messages(LOOKUP.question, shown)
    assert contexts.messages(LOOKUP, []) == rag.closed_book_messages(LOOKUP.question)

    class Echo:
        def generate_batch(self, conversations: list, **_: Any) -> list:
            return [Generation(one[-1]["content"][:9], 1, 1) for one in conversations]

    assert contexts.ask(Echo(), [LOOKUP, LOOKUP], [[], shown]) == ["How much ", "Passages:"]


def test_without_the_proof_the_right_thing_is_a_refusal() -> None:
    assert contexts.does_right(LOOKUP, "7 kg. [SM-1]", "the proof")
    assert not contexts.does_right(LOOKUP, "7 kg. [SM-1]", "distractors only")
    assert contexts.does_right(LOOKUP, ABSTENTION, "distractors only")
    assert not contexts.does_right(LOOKUP, ABSTENTION, "nothing")
