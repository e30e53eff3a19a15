"""Adapters are trained once for the same examples."""

from pathlib import Path
from typing import Any

import pytest

from labkit import train as adapters
from labkit.types import Example, TrainConfig


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
