"""Side effects: the world before the bulletins, who says which value, and what was forgotten."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labkit import answer_metrics, exam, results
from labkit.bench import side_effects as bench
from labkit.bench import updates as bench_updates
from labkit.types import Evidence, Generation, Question

NEW, OLD = Evidence("SB-1", "takes 1.6 kg"), Evidence("SM-1", "takes 1.2 kg")
CHANGED = Question(
    "q1", "updated", "How much grease?", "It takes 1.6 kg now. [SB-1]", ("1.6 kg",), (NEW,),
    superseded_value="1.2 kg",
)  # fmt: skip


@pytest.fixture
def store(make_hit: Any) -> Any:
    shelf = [
        make_hit("it takes 1.2 kg", document_id="SM-1"),
        make_hit("it takes 1.6 kg", document_id="SB-1"),
    ]

    class Shelf:
        def search(self, query: str, *, k: int = 5, mode: str = "hybrid") -> list:
            return shelf[:k]

        def search_many(self, queries: list, *, k: int = 5, mode: str = "hybrid") -> list:
            return [shelf[:k] for _ in queries]

    return Shelf()


@pytest.fixture(autouse=True)
def small_exam(monkeypatch: pytest.MonkeyPatch) -> None:
    still = Question("q2", "lookup", "Which oil?", "It is P2. [SM-1]", ("P2",), (OLD,))
    monkeypatch.setattr(exam, "load_exam", lambda split: [CHANGED, still])
    monkeypatch.setattr(bench_updates, "superseded", lambda: {"q1": OLD})


def test_a_question_is_turned_back_to_what_was_right_before() -> None:
    before = bench.before_the_bulletin(CHANGED, "SM-1")
    assert before.answer == "It takes 1.2 kg now. [SM-1]"
    score = answer_metrics.score_answer(before, before.answer, citations=["SM-1"])
    assert score.exact_match and score.house_format
    with pytest.raises(ValueError, match="q1 cannot be turned back"):
        bench.before_the_bulletin(replace(CHANGED, answer="It takes more. [SB-1]"), "SM-1")


def test_every_changed_training_question_of_the_course_can_be_turned_back() -> None:
    rows = exam.exam_dataset("train").filter(lambda row: row["kind"] == "updated")
    for row in rows:
        before = bench.before_the_bulletin(exam._question(row), row["superseded_document"])
        assert answer_metrics.contains_value(before.answer, row["superseded_value"])
        assert not answer_metrics.contains_value(before.answer, row["values"][0])


def test_the_stale_adapters_learn_old_values_and_only_one_learns_to_read(store: Any) -> None:
    learned = bench.stale_examples(store)
    answers = {reader: [e.answer for e in examples] for reader, examples in learned.items()}
    assert answers["stale"] == ["It takes 1.2 kg now. [SM-1]"] * bench.TIMES_OLD
    assert answers["stale reader"][: bench.TIMES_OLD] == answers["stale"]
    assert len(answers["stale reader"]) == bench.TIMES_OLD + 1
    assert "Passages:" in learned["stale reader"][-1].messages[-1]["content"]
    assert "Passages:" not in learned["stale"][0].messages[-1]["content"]


class Obeys:
    """Copies the amount it is shown; says the old one from memory."""

    def generate_batch(self, conversations: list, **_: Any) -> list[Generation]:
        asked = [messages[-1]["content"] for messages in conversations]
        return [Generation("1.6 kg" if "1.6 kg" in text else "1.2 kg", 1, 1) for text in asked]


def test_contexts_show_the_new_or_the_old_passage_and_answers_are_told_apart(store: Any) -> None:
    shown = bench.evidence_by_context([CHANGED], store)
    documents = {context: [h.document_id for h in hits[0]] for context, hits in shown.items()}
    assert documents == {"no passage": [], "new passage": ["SB-1"], "old passage": ["SM-1"]}
    table = bench.told_by_context(Obeys(), [CHANGED], shown)  # type: ignore[arg-type]
    means = {c: (row["says_new"]["mean"], row["says_old"]["mean"]) for c, row in table.items()}
    assert means == {"no passage": (0, 1), "new passage": (1, 0), "old passage": (0, 1)}
    assert table["new passage"]["answers"][0]["text"] == "1.6 kg"


def test_a_run_trains_twice_asks_four_readers_and_records(
    store: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tuned = tmp_path / "both"
    tuned.mkdir()
    row = {"config": {"model": "M", "method": "lora"}, "train_s": 600.0, "n_tokens": 9}
    (tuned / "training.json").write_text(json.dumps(row))
    results.record("updates-m", {"reingest_s": 4.5}, config={}, folder=tmp_path)
    trained, loaded = [], []

    def train(examples: list, out: Path, config: Any) -> Any:
        trained.append((out.name, len(examples)))
        return SimpleNamespace(folder=out)

    def load(model: str, *, tuned: Path | None) -> Any:
        loaded.append(tuned and tuned.name)
        return Obeys()

    monkeypatch.setattr(bench, "train", train)
    monkeypatch.setattr(bench, "load_language_model", load)
    monkeypatch.setattr("labkit.store.course.open_course_store", lambda: store)
    measured = iter([{"loss": [1.0], "completed": [1.0]}, {"loss": [1.5], "completed": [0.0]}])
    monkeypatch.setattr(bench.general_ability, "measure", lambda llm: next(measured))
    figures = bench.run(tuned, folder=tmp_path, model="M", adapters=tmp_path / "stale")
    assert [name for name, _ in trained] == ["stale", "stale-reader"]
    assert loaded == [None, "both", "stale", "stale-reader"]
    assert figures["trained"] == {"retrain_s": 600.0, "retrain_tokens": 9, "reindex_s": 4.5}
    assert figures["general"]["difference"]["loss"]["mean"] == 0.5
    assert results.load("side-effects-m", folder=tmp_path)["figures"] == figures  # type: ignore
    text = bench.render(figures)
    assert "+0.500 nats" in text and "re-train 600 s; re-index 4.5 s" in text
    assert "stale reader" in text


def test_the_doors_hand_over_what_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    from labkit.bench import data_size as bench_data_size
    from labkit.cli.main import main

    monkeypatch.setattr(bench, "run", lambda tuned: {"tuned": str(tuned)})
    monkeypatch.setattr(bench, "render", lambda figures: "")
    monkeypatch.setattr(bench_data_size, "run", lambda: {"runs": []})
    assert main(["bench", "side-effects", "--tuned", "build/both", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"tuned": "build/both"}
    assert main(["bench", "data-size", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"runs": []}
