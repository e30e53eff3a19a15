"""Benchmark of LoRA's knobs: rank, alpha, target matrices, learning rate, one turned at a time.

Knows: which settings are tried around one middle, and that a kill loses one run at most.
Does not know: how a run is trained (``train``) or judged (``held_out``).
Used by ``python -m labkit bench sweeps`` and lesson 08.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from labkit import results, train
from labkit.bench import held_out
from labkit.bench import methods as bench_methods
from labkit.bench.methods import Budget
from labkit.bench.runner import recorded
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
    return f"sweeps-{model.lower()}"


def middle(budget: Budget = BUDGET) -> TrainConfig:
    """Return the run that every other one differs from in one knob."""
    return replace(budget.config("lora"), learning_rate=1e-3)


def settings_of(budget: Budget = BUDGET) -> list[Setting]:
    """Return all settings, the middle among those of each knob.

    Alpha stays where the rank changes: with AdamW it is alpha that sets how far the weights move,
    whatever the rank (lesson 06).
    """
    centre = middle(budget)
    ranks = {r: replace(centre, rank=r) for r in (2, centre.rank, 32)}
    alphas = {a: replace(centre, alpha=a) for a in (4, centre.alpha, 64)}
    targets: dict[str, str | tuple[str, ...]] = {
        "q and v": ("q_proj", "v_proj"),
        "attention": ATTENTION,
        "all linear": "all-linear",
    }
    rates = {lr: replace(centre, learning_rate=lr) for lr in (1e-4, 1e-3, 3e-3, 1e-2)}
    knobs: dict[str, Mapping[Any, TrainConfig]] = {
        f"rank at alpha {centre.alpha}": ranks,
        f"alpha at rank {centre.rank}": alphas,
        "targets": {label: replace(centre, targets=names) for label, names in targets.items()},
        "learning rate": rates,
    }
    return [
        Setting(knob, f"{value:g}" if isinstance(value, float) else str(value), config)
        for knob, values in knobs.items()
        for value, config in values.items()
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
    config = json.loads(json.dumps(asdict(budget))) | {"command": COMMAND}
    earlier = recorded(name(budget.model), config, folder=folder).get("knobs", {})
    known = [row for rows in earlier.values() for row in rows.values()]
    learn, kept = bench_methods.examples(budget)
    knobs: dict[str, dict[str, dict]] = {}
    for setting in settings_of(budget):
        wanted = json.loads(json.dumps(asdict(setting.config)))
        found = next((row for row in known if row["config"] == wanted), None)
        if found is None:
            found = {"config": wanted} | try_out(setting.config, learn, kept)
            known.append(found)
        knobs.setdefault(setting.knob, {})[setting.label] = found
        results.record(name(budget.model), {"knobs": knobs}, config=config, folder=folder)
    return {"knobs": knobs}


def try_out(config: TrainConfig, learn: list[Example], kept: list[Example]) -> dict:
    """Train once and return the loss on kept answers, seconds, tokens and sizes."""
    from labkit import hardware

    llm = train.load_base(config, train.precision(config.method, hardware.detect()))
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as out:
        result = train.train(learn, Path(out), config, base=llm)
    return {
        "held_out_loss": held_out.loss(llm, kept),
        "train_s": result.train_s,
        "n_tokens": result.n_tokens,
        "n_trainable": result.n_trainable,
        "saved_bytes": result.saved_bytes,
    }


def render(figures: dict) -> str:
    """Return the runs as lines for a terminal, by knob."""
    lines = []
    for knob, rows in figures["knobs"].items():
        lines.append(knob)
        lines += [
            f"  {label:12} loss on kept answers {row['held_out_loss']:6.3f}  "
            f"{row['n_trainable']:10,} trained  {row['train_s']:5.0f} s"
            for label, row in rows.items()
        ]
    return "\n".join(lines)
