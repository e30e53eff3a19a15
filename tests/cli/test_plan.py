"""The command ``plan``: a table, a verdict, JSON, and one clear sentence for bad input."""

import json

import pytest

from labkit.cli.main import main
from labkit.cli.plan import cards
from labkit.hardware import GIB


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24", (1, 24 * GIB)),
        ("2x24", (2, 24 * GIB)),
        ("8x79.5", (8, 159 * GIB // 2)),
        ("T4", (1, int(14.7 * GIB))),
        ("8xH100", (8, int(79.1 * GIB))),
    ],
)
def test_cards_are_read(text: str, expected: tuple[int, int]) -> None:
    assert cards(text) == expected


def test_a_plan_that_fits_says_so_by_part(capsys) -> None:
    arguments = ["plan", "--model", "Phi-3.5-mini-instruct", "--method", "qlora", "--gpus", "24"]
    assert main([*arguments, "--checkpointing"]) == 0
    said = capsys.readouterr().out
    for word in ("weights", "constants", "adapters", "logits", "CUDA context", "It fits:"):
        assert word in said
    assert "sequences up to" in said


def test_a_plan_that_does_not_fit_names_the_cheapest_change(capsys) -> None:
    arguments = ["plan", "--model", "Llama-3.1-8B", "--method", "full", "--batch", "8"]
    assert main([*arguments, "--gpus", "24"]) == 0
    said = capsys.readouterr().out
    assert "It does not fit" in said and "cheapest change" in said and "--method lora" in said


def test_a_plan_that_nothing_helps_says_so(capsys) -> None:
    assert main(["plan", "--model", "Llama-3.1-70B", "--gpus", "8"]) == 0
    assert "use a larger card" in capsys.readouterr().out


def test_near_the_limit_it_warns_and_past_it_it_says_no(capsys) -> None:
    step = ["plan", "--method", "qlora", "--checkpointing", "--json", "--gpus"]
    assert main([*step, "24"]) == 0
    least, most = json.loads(capsys.readouterr().out)["range_bytes"]
    for size, said in ((most + GIB, "It fits"), ((least + most) / 2, "It may not fit"),
                       (least - GIB, "It does not fit")):  # fmt: skip
        assert main(["plan", "--checkpointing", "--gpus", f"{size / GIB:.2f}"]) == 0
        assert said in capsys.readouterr().out


def test_any_config_can_be_planned_and_others_are_named(capsys, tmp_path) -> None:
    from transformers import LlamaConfig, PhiConfig, Qwen2Config

    from labkit.planner.shapes import SHAPES, shape

    llama = SHAPES["Llama-3.1-8B"]
    llama.transformers_config().save_pretrained(tmp_path / "own-8b")
    own = shape(str(tmp_path / "own-8b"))
    assert own.n_parameters() == llama.n_parameters() and own.name == "own-8b"
    assert main(["plan", "--model", str(tmp_path / "own-8b" / "config.json")]) == 0
    assert "own-8b, qlora" in capsys.readouterr().out
    Qwen2Config().save_pretrained(tmp_path / "qwen")
    assert shape(str(tmp_path / "qwen")).architecture == "qwen2"
    PhiConfig().save_pretrained(tmp_path / "phi")
    assert main(["plan", "--model", str(tmp_path / "phi")]) == 1
    assert "model type 'phi'; the formulas know llama, mistral" in capsys.readouterr().err
    LlamaConfig(head_dim=64).save_pretrained(tmp_path / "heads")
    assert main(["plan", "--model", str(tmp_path / "heads")]) == 1
    assert "has heads of 64" in capsys.readouterr().err


def test_a_hub_that_does_not_answer_is_one_sentence(capsys, monkeypatch) -> None:
    import huggingface_hub

    def silent(*_: str) -> str:
        raise RuntimeError("no route")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", silent)
    assert main(["plan", "--model", "Qwen/Qwen2.5-7B"]) == 1
    assert "did not give the config.json of Qwen/Qwen2.5-7B" in capsys.readouterr().err


def test_json_holds_parts_and_answers(capsys) -> None:
    assert main(["plan", "--gpus", "2x24", "--cpu-offload", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["step"]["n_gpus"] == 2
    assert plan["fits"] is True
    assert plan["host_bytes"] > 0
    assert plan["longest_sequence"] >= plan["step"]["seq"]


def test_a_rehearsal_stands_beside_the_prediction(capsys, monkeypatch) -> None:
    from labkit.planner import rehearsal

    seen = rehearsal.Rehearsal({"weights": GIB}, GIB, "loss", 0, 1.0)
    monkeypatch.setattr(rehearsal, "rehearse", lambda shape, step: seen)
    assert main(["plan", "--rehearse"]) == 0
    said = capsys.readouterr().out
    assert "rehearsed" in said and "off the rehearsal (1 s)" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--gpus", "two"], "write 2x24"),
        (["--gpus", "0x24"], "write 2x24"),
        (["--gpus", "2x0"], "write 2x24"),
        (["--batch", "0"], "--batch"),
        (["--seq", "x"], "--seq"),
        (["--dtype", "int4"], "is not one of"),
    ],
)
def test_bad_usage_is_one_sentence_and_exit_code_2(arguments, said, capsys) -> None:
    assert main(["plan", *arguments]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "gpt"], "There is no shape of 'gpt'; choose one of SmolLM2"),
        (["--model", "all-MiniLM-L6-v2"], "There is no shape"),
        (["--targets", "q_proj"], "has no matrix q_proj; choose from qkv_proj"),
        (["--seq", "8", "--answer-tokens", "9"], "give 1 to 8"),
        (["--rehearse", "--gpus", "2x24"], "rehearsal is for one device"),
    ],
)
def test_impossible_steps_are_one_sentence_and_exit_code_1(arguments, said, capsys) -> None:
    assert main(["plan", *arguments]) == 1
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
