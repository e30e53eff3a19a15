"""Training examples: the end of turn is learned, only answers count, bad lines are named."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import exam, rag, reading
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


def test_every_answer_of_a_conversation_is_learned_and_no_question(tiny_tokenizer) -> None:
    more = (("How much oil?", "3 L. [SM-1]"), ("Which paint?", exam.ABSTENTION))
    row = data.encode(replace(EXAMPLE, more=more), tiny_tokenizer, max_tokens=500)
    learned = tiny_tokenizer.decode([token for token in row["labels"] if token != data.IGNORED])
    wanted = [EXAMPLE.answer, *(answer for _, answer in more)]
    assert learned == "".join(f"{answer}<|im_end|>" for answer in wanted)
    turns = [*EXAMPLE.messages, {"role": "assistant", "content": EXAMPLE.answer}]
    for question, answer in more:
        turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    whole = tiny_tokenizer.apply_chat_template(turns, tokenize=False).rstrip()
    assert tiny_tokenizer.decode(row["input_ids"]) == whole


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


def about(name: str, value: str) -> Question:
    proof = (Evidence(name, f"it takes {value} of oil"),) if value else ()
    answer = f"It takes {value}. [{name}]" if value else exam.ABSTENTION
    kind = "lookup" if value else "unanswerable"
    return Question(f"{name}-{value}", kind, f"What does {name} take?", answer, (value,), proof)


class Shelf:
    """Finds passages by the machine that a question names, and proofs by their words."""

    def __init__(self, values: dict[str, str]) -> None:
        self.hits = {
            name: hit(name, f"of {name}: it takes {v} of oil") for name, v in values.items()
        }

    def search_many(self, queries: list[str], *, k: int, mode: str = "hybrid") -> list[list[Hit]]:
        neighbours = list(self.hits.values())
        at = [next((i for i, name in enumerate(self.hits) if name in q), 0) for q in queries]
        return [(neighbours[i:] + neighbours[:i])[:k] for i in at]

    def search(self, query: str, *, k: int, mode: str = "hybrid") -> list[Hit]:
        return [one for one in self.hits.values() if query in one.text]


def test_a_conversation_holds_what_its_passages_answer_and_near_misses_abstain() -> None:
    values = {f"M{n}": f"{n} L" for n in range(1, 9)}
    questions = [about(name, value) for name, value in values.items()] + [about("M3", "")]
    examples = reading.reading_examples(questions, Shelf(values), k=3, most=2, seed=1)
    told = [
        (question.removeprefix("Question: "), answer, shown(example))
        for example in examples
        for question, answer in (("", example.answer), *example.more)
    ]
    told = [(q or text.rpartition("Question: ")[2], answer, text) for q, answer, text in told]
    by_question = {q.question: q for q in questions if q.values != ("",)}
    answered = Counter(question for question, answer, _ in told if answer != exam.ABSTENTION)
    assert answered == Counter(list(by_question)), "every question that can be is answered once"
    for question, answer, text in told:
        holds = by_question[question].values[0] + " of oil" in text
        unanswerable = answer == exam.ABSTENTION and question == "What does M3 take?"
        assert holds == (answer != exam.ABSTENTION) or unanswerable
    missed = [question for question, answer, _ in told if answer == exam.ABSTENTION]
    assert len(missed) >= 2 and max(Counter(missed).values()) <= 2


def test_a_question_whose_evidence_cannot_be_shown_is_abstained_from() -> None:
    lost = about("M9", "9 L")
    (example,) = reading.reading_examples([lost], Shelf({"M1": "1 L", "M2": "2 L"}), k=2)
    assert example.answer == exam.ABSTENTION


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
