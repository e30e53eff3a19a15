"""An exported adapter answers as the trained one, holds no path of this machine, and has a card."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from labkit import export, results
from labkit.models import ADAPTER_FILE, LanguageModel, with_adapter
from labkit.train import train
from labkit.types import Example, TrainConfig

READER = "Qwen2.5-Coder-0.5B-Instruct"
EXAMPLES = [Example([{"role": "user", "content": "Oil?"}], "3 L. [A]")] * 4


@pytest.fixture
def trained(tiny_llm: LanguageModel, tmp_path: Path) -> Path:
    config = TrainConfig(READER, rank=2, batch_size=2, learning_rate=0.1, command="labkit finetune")
    base = LanguageModel(READER, deepcopy(tiny_llm.model), tiny_llm.tokenizer)
    return train(EXAMPLES, tmp_path / "trained", config, base=base).folder


def logits(tiny_llm: LanguageModel, folder: Path) -> torch.Tensor:
    model = with_adapter(deepcopy(tiny_llm.model), folder)
    with torch.no_grad():
        return model(torch.arange(8)[None]).logits


def test_an_exported_adapter_is_half_as_large_and_says_nearly_the_same(
    tiny_llm: LanguageModel, trained: Path, tmp_path: Path
) -> None:
    out = export.export_adapter(trained, tmp_path / "out")
    sizes = [(folder / ADAPTER_FILE).stat().st_size for folder in (trained, out)]
    assert sizes[1] < 0.75 * sizes[0]
    assert {w.dtype for w in load_file(out / ADAPTER_FILE).values()} == {torch.bfloat16}
    before, after = logits(tiny_llm, trained), logits(tiny_llm, out)
    untrained = tiny_llm.model(torch.arange(8)[None]).logits
    assert (after - before).abs().max() < 0.1 * (before - untrained).abs().max()


def test_nothing_in_it_names_a_folder_of_the_machine(trained: Path, tmp_path: Path) -> None:
    out = export.export_adapter(trained, tmp_path / "out")
    for path in out.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()
    names = {"adapter_config.json", ADAPTER_FILE, "README.md", "training.json"}
    assert {path.name for path in out.iterdir()} == names


def test_the_card_holds_the_base_and_the_exams_of_this_training_alone(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = json.loads((trained / "training.json").read_text())["config"]
    share = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 10}
    split = dict.fromkeys(export.SHARES[1:], share)
    figures = {"exact_match": share | {"mean": 0.7}, "split": split}
    runs = [
        {"config": {"training": config | {"seed": seed}, "part": "final"}, "figures": figures,
         "date": f"2026-11-0{seed + 1}"}
        for seed in (config["seed"], config["seed"] + 1)
    ]  # fmt: skip
    monkeypatch.setattr(results, "leaderboard", lambda: runs)
    card = (export.export_adapter(trained, tmp_path / "out") / "README.md").read_text()
    assert "1d9614638d18024d" in card and "Apache-2.0" in card and "labkit finetune" in card
    assert "| sealed | 70 % (40–60) | 50 % (40–60) |" in card
    assert "2026-11-01" in card and "2026-11-02" not in card


def test_weights_that_are_not_finite_are_refused(trained: Path, tmp_path: Path) -> None:
    weights = load_file(trained / ADAPTER_FILE)
    name = next(iter(weights))
    weights[name][0, 0] = float("nan")
    save_file(weights, trained / ADAPTER_FILE)
    with pytest.raises(ValueError, match="not finite, as in"):
        export.export_adapter(trained, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="train one with finetune"):
        export.export_adapter(tmp_path, tmp_path / "out")
