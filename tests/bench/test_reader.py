"""The reader's benchmark: same questions for all, none of them kept, the best rate by kept loss."""

from typing import Any

import pytest

from labkit import exam, rag
from labkit.bench import reader, runner


def test_every_training_learns_from_the_same_questions_and_none_of_the_kept() -> None:
    asked = reader.questions()
    assert asked == reader.questions()
    assert len({question.id for question in asked}) == reader.N_QUESTIONS
    assert not {q.id for q in asked} & {q.id for q in exam.kept_questions()}
    assert not any(question.held_out for question in asked)


def test_the_learning_rate_is_the_one_with_the_lowest_loss_on_kept_questions() -> None:
    figures: dict[str, Any] = {
        f"lora at {rate:g}": {"kept_loss": loss}
        for rate, loss in zip(reader.RATES["lora"], (0.5, 0.3, 0.4), strict=True)
    }
    assert reader.best_rate(figures, "lora") == reader.RATES["lora"][1]


def test_without_passages_the_answerable_questions_are_asked_closed_book() -> None:
    asked = reader.questions()[:20]
    examples = reader.examples(asked, "nothing")
    answerable = [question for question in asked if question.evidence]
    assert [e.messages for e in examples] == [
        rag.closed_book_messages(q.question) for q in answerable
    ]


def test_first_seeds_of_everything_come_first_and_a_stop_loses_one_part(
    tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[tuple] = []
    stopped: list[bool] = []

    def work(function: str, *arguments: Any, **_: Any) -> dict:
        if len(done) == 12 and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt
        done.append((function.partition(":")[2], *arguments[1:]))
        return {"kept_loss": arguments[-1]} if function.endswith("try_rate") else {"exams": {}}

    monkeypatch.setattr(runner, "in_own_process", work)
    with pytest.raises(KeyboardInterrupt):
        reader.run(folder=tmp_path)
    assert [row[0] for row in done] == ["try_rate"] * 9 + ["train_and_sit"] * 3
    done.clear()
    reader.run(folder=tmp_path)
    assert len(done) == 9 + 3 * len(reader.TRAININGS) - 12
    trained = [row[1:4] for row in done]
    assert trained[:2] == [("lora", "nothing", 0), ("lora", "evidence", 0)]
    assert trained[2][-1] == 1, "the second seed follows the first of everything"
