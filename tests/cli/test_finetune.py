"""The door ``finetune``: arguments reach the run, its result reaches the reader."""

import json
from pathlib import Path
from typing import Any

import pytest

from labkit import train
from labkit.cli import finetune as door_finetune
from labkit.cli.main import main

GOOD = json.dumps({"prompt": "How much?", "answer": "1.6 kg"}) + "\n"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict:
    seen: dict = {}

    def fake(examples: Any, out: Path, config: Any, *, on_step: Any) -> train.TrainResult:
        seen.update(examples=examples, out=out, config=config)
        step = {"step": 1, "n_steps": 1, "loss": 2.0, "tokens": 30, "seconds": 0.5}
        if on_step:
            on_step(step)
        return train.TrainResult(out, config, 10, 100, [step], [], 30, 0.5, {"resident": 2**30}, 9)

    monkeypatch.setattr(train, "train", fake)
    return seen


def test_own_examples_and_options_reach_the_run(asked, tmp_path: Path, capsys) -> None:
    (tmp_path / "mine.jsonl").write_text(GOOD)
    out = tmp_path / "out"
    command = f"finetune --data {tmp_path}/mine.jsonl --out {out} --model SmolLM2-135M-Instruct"
    options = "--method qlora --rank 4 --alpha 9 --batch 2 --seq 99 --epochs 3 --checkpointing"
    assert main([*command.split(), *options.split(), "--learning-rate", "0.1"]) == 0
    config = asked["config"]
    assert (config.method, config.rank, config.alpha, config.batch_size) == ("qlora", 4, 9, 2)
    assert (config.max_tokens, config.n_epochs, config.checkpointing) == (99, 3, True)
    assert (config.learning_rate, asked["out"]) == (0.1, out)
    assert [example.answer for example in asked["examples"]] == ["1.6 kg"]
    assert config.command == (
        "python -m labkit finetune --model SmolLM2-135M-Instruct --method qlora --data mine.jsonl "
        "--rank 4 --alpha 9 --learning-rate 0.1 --epochs 3 --batch 2 --seq 99 --checkpointing "
        "--out out"
    )
    printed = capsys.readouterr().out
    assert "step    1/1  loss 2.000  0.5 s  60 tokens/s" in printed
    assert f"exam --system both --tuned {out}" in printed


def test_json_prints_one_object(asked, tmp_path: Path, capsys) -> None:
    (tmp_path / "mine.jsonl").write_text(GOOD)
    command = f"finetune --json --data {tmp_path}/mine.jsonl --out {tmp_path}/out"
    assert main(command.split()) == 0
    assert json.loads(capsys.readouterr().out)["final_loss"] == 2.0


def test_a_missing_file_names_the_courses_own_sets(tmp_path: Path, capsys) -> None:
    assert main(["finetune", "--data", "nowhere.jsonl", "--out", str(tmp_path / "o")]) == 1
    message = capsys.readouterr().err
    assert "There is no file 'nowhere.jsonl'" in message and "closed-book" in message


def test_closed_book_examples_leave_out_what_no_document_answers() -> None:
    examples = door_finetune.load_examples("closed-book", k=3, seed=0)
    assert len(examples) >= 360
    assert not [example for example in examples if "Not documented" in example.answer]


@pytest.mark.parametrize("rerank", [False, True])
@pytest.mark.parametrize(
    ("data", "maker"),
    [
        ("open-book", "open_book_examples"),
        ("contrast", "contrast_examples"),
        ("evidence", "open_book_examples"),
    ],
)
def test_open_books_are_drawn_from_the_store_or_from_what_reranking_shows(
    monkeypatch, data: str, maker: str, rerank: bool
) -> None:
    from labkit import training_data
    from labkit.rerank import Reranked
    from labkit.store import course as course_store

    asked: dict = {}
    monkeypatch.setattr(course_store, "open_course_store", lambda: "a store")
    monkeypatch.setattr("labkit.rerank.course_scorer", lambda: "a scorer")
    monkeypatch.setattr(
        training_data,
        maker,
        lambda q, store, **how: asked.update(how, questions=q, store=store) or ["one"],
    )
    assert door_finetune.load_examples(data, k=2, rerank=rerank, seed=3) == ["one"]
    assert isinstance(asked["store"], Reranked) is rerank
    assert asked["k"] == 2 and asked["seed"] == 3
    never_without = all(q.evidence for q in asked["questions"]) and asked.get("absent_share") == 0
    assert never_without is (data == "evidence")


@pytest.mark.parametrize(("free_gib", "fits"), [(14.7, True), (3, False)])
def test_a_run_is_fitted_to_the_card_and_it_is_said(monkeypatch, free_gib: float, fits) -> None:
    from labkit import hardware
    from labkit.hardware import GIB
    from labkit.types import TrainConfig

    card = hardware.Hardware("CPU", 2, 12 * GIB, False, "Tesla T4", 2, int(14.7 * GIB), False)
    monkeypatch.setattr(hardware, "detect", lambda: card)
    said: list[str] = []
    asked = TrainConfig("Phi-3.5-mini-instruct", "qlora", batch_size=8)
    config = door_finetune.fitted(asked, int(free_gib * GIB), say=said.append)
    assert f"{free_gib:.1f} GiB free): {config.rows_at_once} of 8 rows at once" in said[1]
    assert "torchrun starts one for each" in said[0], "there are two cards"
    assert (said[-1].startswith("It may run out of memory")) is not fits
