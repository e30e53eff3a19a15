"""Benchmark of the memory predictions: formulas against rehearsals over a grid of steps.

Knows: which steps are compared, and how the comparison is recorded.
Does not know: how either side works (``memory``, ``rehearsal``).
Used by ``python -m labkit bench memory`` and lesson 08.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

from labkit import results
from labkit.hardware import GIB
from labkit.memory import METHODS, ModelShape, StepConfig
from labkit.planner import fit, rehearsal
from labkit.planner.shapes import shape

NAME = "rehearsal-grid"
MODELS = {"SmolLM2-135M-Instruct": 30, "Phi-3.5-mini-instruct": 8, "Llama-3.1-8B": 8}  # blocks
SIZES = ((1, 512, None), (4, 1024, 256), (2, 4096, None))  # batch, length, answer tokens
WHOLE = ("Phi-3.5-mini-instruct", "Llama-3.1-8B", "Llama-3.1-70B")


def grid() -> Iterator[tuple[ModelShape, StepConfig]]:
    """Yield the steps: three models (the larger two cut to 8 blocks), then three whole ones.

    Cut models are the harder test: fixed weights, which are easy to predict, weigh less in them.
    """
    for name, n_layers in MODELS.items():
        model = replace(shape(name), n_layers=n_layers)
        for method, (batch, seq, answers), checked in product(METHODS, SIZES, (False, True)):
            sizes: Any = {"batch": batch, "seq": seq, "answer_tokens": answers}
            yield model, StepConfig(method=method, checkpointing=checked, **sizes)
    for name in WHOLE:
        yield shape(name), StepConfig(method="qlora", seq=2048, checkpointing=True)


def compare(model: ModelShape, step: StepConfig, *, rehearsed: dict | None = None) -> dict:
    """Return one step's predicted and rehearsed bytes; ``error`` is predicted / rehearsed - 1.

    ``rehearsed`` is an earlier comparison of the same step, whose rehearsal is used again.
    """
    plan = fit.predict(model, step)
    if rehearsed is None:
        seen = rehearsal.rehearse(model, step)
        rehearsed = {
            "rehearsed_parts_bytes": seen.parts,
            "rehearsed_peak_bytes": seen.peak_bytes,
            "rehearsed_moment": seen.moment,
            "rehearsal_s": seen.wall_s,
        }
    fields = asdict(step) | {"targets": list(step.targets)}
    return {
        "model": model.name,
        "n_layers": model.n_layers,
        "step": fields,
        "predicted_parts_bytes": plan.parts,
        "predicted_peak_bytes": plan.peak_bytes,
        "predicted_moment": plan.moment,
        "error": plan.peak_bytes / rehearsed["rehearsed_peak_bytes"] - 1,
        **{name: value for name, value in rehearsed.items() if name.startswith("rehears")},
    }


def run(
    steps: Iterable[tuple[ModelShape, StepConfig]] | None = None, *, folder: Path | None = None
) -> dict:
    """Compare every step, record after each one, and return the figures.

    A run that was stopped goes on: recorded rehearsals are used again, predictions made anew.
    Delete the file to rehearse everything again, for example with another transformers.

    Parameters
    ----------
    steps
        Pairs of shape and step; ``grid()`` unless given.
    folder
        Where to record; ``data/results`` unless given.
    """
    earlier = results.load(NAME, folder=folder)
    known = {_key(one): one for one in (earlier["figures"]["points"] if earlier else [])}
    todo = list(steps or grid())
    config = {"command": "python -m labkit bench memory", "n_points": len(todo)}
    for model, step in todo:
        key = model.name, model.n_layers, step
        found = known.pop(key, None)
        known[key] = compare(model, step, rehearsed=found)  # now last
        if found is None:
            results.record(NAME, _summary(known.values()), config=config, folder=folder)
    figures = _summary(known[model.name, model.n_layers, step] for model, step in todo)
    results.record(NAME, figures, config=config, folder=folder)
    return figures


def _key(point: Mapping[str, Any]) -> tuple[str, int, StepConfig]:
    step = StepConfig(**point["step"] | {"targets": tuple(point["step"]["targets"])})
    return point["model"], point["n_layers"], step


def _summary(points: Iterable[dict]) -> dict:
    points = list(points)
    errors = sorted(abs(point["error"]) for point in points)
    middle = errors[len(errors) // 2]
    return {"largest_error": errors[-1], "median_error": middle, "points": points}


def render(figures: dict) -> str:
    """Return the comparison as a table."""
    import pandas as pd

    table = pd.json_normalize(figures["points"])
    for side in ("predicted", "rehearsed"):
        table[f"{side}, GiB"] = table[f"{side}_peak_bytes"] / GIB
    table["error, %"] = 100 * table["error"]
    sizes = [f"step.{name}" for name in ("method", "batch", "seq", "checkpointing")]
    shown = ["model", "n_layers", *sizes, "predicted, GiB", "rehearsed, GiB", "error, %"]
    return (
        table[shown].to_string(index=False, float_format="%.2f")
        + f"\nerror at the median {100 * figures['median_error']:.2f} %, "
        f"at most {100 * figures['largest_error']:.2f} %"
    )
