"""Adapters are found only where a training finished, and trained once for the same examples."""

import json
from pathlib import Path
from typing import Any

import pytest

from labkit import train as adapters
from labkit.types import Example, TrainConfig


def test_an_adapter_is_found_only_if_finished_and_of_this_model(tmp_path: Path) -> None:
    for name, config in (
        ("full", {"model": "M", "method": "full"}),
        ("other", {"model": "X", "method": "lora"}),
        ("good", {"model": "M", "method": "lora"}),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "training.json").write_text(json.dumps({"config": config}))
    folders = [tmp_path / name for name in ("absent", "full", "other", "good")]
    assert adapters.find("M", folders=folders) == tmp_path / "good"
    assert adapters.find("M", folders=folders[:3]) is None


def test_the_same_examples_share_a_folder_and_others_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[Path] = []
    monkeypatch.setattr(
        adapters, "train", lambda examples, out, config, **_: used.append(out) or out
    )

    def folder(answer: str, **config: Any) -> Any:
        examples = [Example([], answer)]
        return adapters.train_once(examples, TrainConfig("M", **config), cache=tmp_path)

    assert folder("a") == folder("a")
    assert len({folder("a"), folder("b"), folder("a", seed=1)}) == 3
    assert all(path.parent == tmp_path for path in used)
