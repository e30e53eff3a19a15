"""Adapters on this machine: found where an earlier training left one, or trained once and kept.

Knows: where finished adapters lie, and how a short training's folder is named.
Does not know: how anything is trained (``train``) or loaded (``models``).
Used by lesson 09.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from labkit import settings
from labkit.train import RESULT_FILE, train
from labkit.types import Example, TrainConfig, TrainResult


def find(model: str, *, folders: Sequence[Path] | None = None) -> Path | None:
    """Return the first folder with a finished LoRA adapter of this model, if any.

    Parameters
    ----------
    model
        A catalogue name.
    folders
        Where to look, best first; ``build/reader`` and ``adapters/reader`` unless given.
    """
    course = settings.course_dir()
    for folder in folders or (course / "build" / "reader", course / "adapters" / "reader"):
        path = folder / RESULT_FILE
        if path.is_file():
            config = json.loads(path.read_text(encoding="utf-8"))["config"]
            if (config["model"], config["method"]) == (model, "lora"):
                return folder
    return None


def train_once(
    examples: Sequence[Example],
    config: TrainConfig,
    *,
    cache: Path | None = None,
    on_step: Callable[[dict], None] | None = None,
) -> TrainResult:
    """Train in a folder of the cache that is named after examples and configuration.

    A second call with the same examples and configuration finds the result, and one that was cut
    off goes on.
    """
    told = repr((asdict(config), list(examples)))
    name = hashlib.sha256(told.encode()).hexdigest()[:12]
    out = (cache or settings.cache_dir() / "training") / f"reader-{name}"
    return train(examples, out, config, on_step=on_step)
