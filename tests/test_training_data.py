"""Training examples: the end of turn is learned, only answers count, bad lines are named."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import exam, rag
from labkit import training_data as data
from labkit.answer_metrics import abstains, contains_value
from labkit.types import Evidence, Hit, Question

EXAMPLE = data.Example([{"role": "user", "content": "How much grease?"}], "1.6 kg. [SM-90-PIT]")


def question(kind: str = "lookup", quote: str = "takes 1.6 kg of grease") -> Question:
    evidence = () if kind == "unanswerable" else (Evidence("SM-90-PIT", quote),)
    answer = exam.ABSTENTION if kind == "unanswerable" else "It takes 1.6 kg. [SM-90-PIT]"
    values = ("1.6 kg",) if evidence else ()
    return Question("q", kind, "How much grease?", answer, values, evidence)  # type: ignore[arg-type]


def hit(document: str, text: str) -> Hit:
    return Hit(document, document, "T", "H", text, f"T > H: {text}", 1.0, None, "manual", {})


class FixedStore:
    """Finds distractors for questions, and the proof when asked with its words."""

    def __init__(self, found: list[Hit], proof: Hit) -> None:
        self.found, self.proof = found, proof

    def search_many(self, queries: list[str], *, k: int, mode: str = "hybrid") -> list[list[Hit]]:
        return [self.found[:k] for _ in queries]

    def search(self, query: str, *, k: int, mode: str = "hybrid") -> list[Hit]:
        return [hit("OTHER", "nothing"), self.proof]


PROOF = hit("SM-90-PIT", "The bearing takes 1.6 kg of grease a year.")
DISTRACTORS = [hit(f"D{n}", "The cat sleeps.") for n in range(8)]


def shown(example: data.Example) -> str:
    return example.messages[-1]["content"]


def test_labels_are_the_answer_and_its_end_of_turn(tiny_tokenizer) -> None:
    row = data.encode(EXAMPLE, tiny_tokenizer, max_tokens=500)
    learned = [token for token in row["labels"] if token != data.IGNORED]
    assert tiny_tokenizer.decode(learned) == "1.6 kg. [SM-90-PIT]<|im_end|>"
    assert learned[-1] == tiny_tokenizer.eos_token_id
    n_prompt = row["labels"].count(data.IGNORED)
    prompt = tiny_tokenizer.decode(row["input_ids"][:n_prompt])
    assert prompt.endswith("<|im_start|>assistant\n") and "1.6" not in prompt


def test_an_example_over_the_limit_is_refused_with_its_length(tiny_tokenizer) -> None:
    n_tokens = len(data.encode(EXAMPLE, tiny_tokenizer, max_tokens=500)["input_ids"])
    assert data.encode(EXAMPLE, tiny_tokenizer, max_tokens=n_tokens)
    with pytest.raises(ValueError, match=f"takes {n_tokens} tokens, {n_tokens - 1} are allowed"):
        data.encode(EXAMPLE, tiny_tokenizer, max_tokens=n_tokens - 1)


def test_closed_book_examples_use_the_prompt_of_the_exam() -> None:
    (example,) = data.closed_book_examples([question()])
    assert example.messages == rag.closed_book_messages("How much grease?")


@pytest.mark.parametrize("found", [DISTRACTORS, [*DISTRACTORS[:2], PROOF]])
def test_evidence_that_retrieval_missed_is_put_in(found: list[Hit]) -> None:
    store = FixedStore(found, PROOF)
    (example,) = data.open_book_examples([question()], store, k=3, absent_share=0.0)
    assert shown(example).count("1.6 kg") == 1
    assert shown(example).count("\n[") == 3
    assert example.answer == "It takes 1.6 kg. [SM-90-PIT]"


def test_where_the_evidence_is_taken_away_the_answer_is_to_abstain() -> None:
    store = FixedStore([PROOF, *DISTRACTORS], PROOF)
    (example,) = data.open_book_examples([question()], store, k=3, absent_share=1.0)
    assert "1.6 kg" not in shown(example)
    assert shown(example).count("\n[") == 3
    assert example.answer == exam.ABSTENTION


def test_a_contrast_begins_alike_and_parts_at_the_value() -> None:
    store = FixedStore([PROOF, *DISTRACTORS], PROOF)
    asked = [question(), question("unanswerable"), question(), question()]
    examples = data.contrast_examples(asked, store, k=3)
    found, missed = "It takes 1.6 kg. [SM-90-PIT]", f"It takes n{exam.ABSTENTION[1:]}"
    assert [example.answer for example in examples] == [found] * 3 + [missed] * 2
    assert ["1.6 kg" in shown(example) for example in examples] == [True] * 3 + [False] * 2
    assert len({shown(example).rpartition("Question")[2] for example in examples}) == 1


def test_every_training_answer_can_part_at_its_value() -> None:
    for asked in exam.load_exam("train"):
        if asked.evidence:
            told = data._abstention(asked, late=True)
            assert abstains(told), asked.id
            assert not any(contains_value(told, value) for value in asked.values), asked.id


def test_unanswerable_questions_keep_their_passages_and_abstain() -> None:
    store = FixedStore([PROOF, *DISTRACTORS], PROOF)
    (example,) = data.open_book_examples([question("unanswerable")], store, k=3, absent_share=1.0)
    assert "1.6 kg" in shown(example)
    assert example.answer == exam.ABSTENTION


def test_the_same_seed_gives_the_same_examples() -> None:
    store = FixedStore([PROOF, *DISTRACTORS], PROOF)
    many = [question()] * 40
    runs = [data.open_book_examples(many, store, k=3, seed=seed) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    absent = sum(example.answer == exam.ABSTENTION for example in runs[0])
    assert 1 <= absent <= 15


@given(
    st.lists(st.integers(1, 900), min_size=1, max_size=40),
    st.integers(1, 9),
    st.integers(1, 3),
)
def test_a_run_holds_every_example_once_an_epoch_and_starts_with_the_longest(lengths, size, epochs):
    order = data.length_grouped_order(lengths, batch_size=size, n_epochs=epochs, seed=1)
    assert sorted(order) == sorted(list(range(len(lengths))) * epochs)
    assert lengths[order[0]] == max(lengths)


def test_an_odd_number_of_examples_leaves_every_batch_of_one_length() -> None:
    lengths = [10] * 9 + [200] * 9
    order = data.length_grouped_order(lengths, batch_size=4, n_epochs=3, seed=0)
    batches = [[lengths[i] for i in order[start : start + 4]] for start in range(0, 48, 4)]
    assert sum(len(set(batch)) > 1 for batch in batches) <= 3


def test_batches_hold_similar_lengths_in_a_mixed_order() -> None:
    lengths = [10, 200] * 32
    order = data.length_grouped_order(lengths, batch_size=8, n_epochs=1, seed=0)
    batches = [{lengths[i] for i in order[start : start + 8]} for start in range(0, 64, 8)]
    assert all(len(batch) == 1 for batch in batches)
    assert batches != sorted(batches, key=lambda batch: -max(batch))


GOOD = {"prompt": "How much?", "answer": "1.6 kg"}
TURNS = [{"role": "user", "content": "How much?"}, {"role": "assistant", "content": "1.6 kg"}]


@pytest.mark.parametrize("row", [GOOD, {"messages": TURNS}])
def test_both_forms_of_a_line_are_read(tmp_path: Path, row: dict) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(row) + "\n\n")
    (example,) = data.read_examples(path)
    assert (example.messages, example.answer) == (TURNS[:1], "1.6 kg")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2"),
        ("[1]", "not a JSON object"),
        ('{"prompt": "x"}', "answer missing"),
        ('{"prompt": " ", "answer": "y"}', "prompt missing"),
        ('{"messages": []}', "two or more turns"),
        ('{"messages": [{"role": "boss", "content": "x"}, 1]}', "turn 1 needs a 'role'"),
        (json.dumps({"messages": TURNS[::-1]}), "the last two turns"),
        (json.dumps({"messages": [TURNS[0], {"role": "assistant"}]}), "turn 2 has no 'content'"),
    ],
)
def test_a_bad_line_is_named_with_its_fault(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + line + "\n")
    with pytest.raises(ValueError, match="mine.jsonl, line 2: ") as caught:
        data.read_examples(path)
    assert says in str(caught.value)


def test_a_file_without_examples_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text("\n")
    with pytest.raises(ValueError, match="holds no example"):
        data.read_examples(path)
