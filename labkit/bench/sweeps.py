"""Benchmark of LoRA's knobs: rank, alpha, target matrices, learning rate, one turned at a time.

Knows: which settings are tried around one middle, and that a kill loses one run at most.
Does not know: how a run is trained (``train``) or judged (``held_out``).
Used by ``python -m labkit bench sweeps`` and lesson 08.
"""

import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from labkit import hardware, train
from labkit.bench import held_out, runner
from labkit.bench import methods as bench_methods
from labkit.bench.methods import Budget
from labkit.types import Example, TrainConfig

COMMAND = "python -m labkit bench sweeps"
BUDGET = Budget(n_examples=40, n_kept=16, rank=8, alpha=16, n_questions=0)
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


@dataclass(frozen=True)
class Setting:
    """One value of one knob, and the training run that it stands for."""

    knob: str
    label: str
    config: TrainConfig


def name(model: str) -> str:
    """Return the name of the record."""
    return runner.here(f"sweeps-{model.lower()}")


def middle(budget: Budget = BUDGET) -> TrainConfig:
    """Return the run that every other one differs from in one knob."""
    return replace(budget.config("lora"), learning_rate=1e-3)


def settings_of(budget: Budget = BUDGET) -> list[Setting]:
    """Return all settings, the middle among those of each knob.

    Alpha stays where the rank changes: with AdamW it is alpha that sets how far the weights move,
    whatever the rank (lesson 06).
    """
    centre = middle(budget)
    knobs: dict[str, dict[str, dict[str, Any]]] = {
        f"rank at alpha {centre.alpha}": {str(r): {"rank": r} for r in (2, centre.rank, 32)},
        f"alpha at rank {centre.rank}": {str(a): {"alpha": a} for a in (4, centre.alpha, 64)},
        "targets": {
            "q and v": {"targets": ("q_proj", "v_proj")},
            "attention": {"targets": ATTENTION},
            "all linear": {},
        },
        "learning rate": {f"{lr:g}": {"learning_rate": lr} for lr in (1e-4, 1e-3, 3e-3, 1e-2)},
    }
    return [
        Setting(knob, label, replace(centre, **turned))
        for knob, values in knobs.items()
        for label, turned in values.items()
    ]


def run(*, budget: Budget = BUDGET, folder: Path | None = None) -> dict:
    """Train and judge every setting that is not recorded yet; record after each one.

    Parameters
    ----------
    budget
        Model, examples, batch and the middle's rank and alpha; the default takes about ten minutes
        on two cores.
    folder
        Where to record; ``data/results`` unless given. Delete the file to measure anew.

    Returns
    -------
    dict
        ``{"knobs": {knob: {label: run}}}``; the middle stands under every knob.
    """
    config = asdict(budget) | {"command": COMMAND}
    earlier = runner.recorded(name(budget.model), config, folder=folder).get("knobs", {})
    rows = [row for of_knob in earlier.values() for row in of_knob.values()]
    known = {TrainConfig.of(row["config"]): row for row in rows}
    learn, kept = bench_methods.examples(budget)
    knobs: dict[str, dict[str, dict]] = {}
    for setting in settings_of(budget):
        if setting.config not in known:
            told = {"config": asdict(setting.config)}
            known[setting.config] = told | try_out(setting.config, learn, kept)
        knobs.setdefault(setting.knob, {})[setting.label] = known[setting.config]
        runner.record(name(budget.model), {"knobs": knobs}, config=config, folder=folder)
    return {"knobs": knobs}


def try_out(config: TrainConfig, learn: list[Example], kept: list[Example]) -> dict:
    """Train once and return the loss on kept answers, seconds, tokens and sizes."""
    llm = train.load_base(config, train.precision(config.method, hardware.detect()))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as out:
        result = train.train(learn, Path(out), config, base=llm)
    told = {key: getattr(result, key) for key in ("train_s", "n_tokens", "n_trainable")}
    return told | {"held_out_loss": held_out.loss(llm, kept), "saved_bytes": result.saved_bytes}


def render(figures: dict) -> str:
    """Return the runs as a table for a terminal, by knob."""
    import pandas as pd

    shown = ["held_out_loss", "n_trainable", "train_s"]
    rows = {
        (knob, label): row for knob, runs in figures["knobs"].items() for label, row in runs.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")[shown].round(3).to_string()
