"""Benchmark of the memory predictions: formulas against rehearsals over a grid of steps.

Knows: which steps are compared, and how the comparison is recorded.
Does not know: how either side works (``memory``, ``rehearsal``).
Used by ``python -m labkit bench memory`` and lesson 08.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

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
        for method, size, checkpointing in product(METHODS, SIZES, (False, True)):
            batch, seq, answers = size
            yield (
                model,
                StepConfig(
                    method=method,
                    batch=batch,
                    seq=seq,
                    answer_tokens=answers,
                    checkpointing=checkpointing,
                ),
            )
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
    return _key(model, step) | {
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
    known = earlier["figures"]["points"] if earlier else []
    points: list[dict] = []
    todo = list(steps or grid())
    config = {"command": "python -m labkit bench memory", "n_points": len(todo)}
    for model, step in todo:
        key = _key(model, step)
        found = next((one for one in known if key.items() <= one.items()), None)
        points.append(compare(model, step, rehearsed=found))
        if found is None:
            rest = [one for one in known if not any(_same(one, point) for point in points)]
            results.record(NAME, _summary(points, rest), config=config, folder=folder)
    figures = _summary(points, [])
    results.record(NAME, figures, config=config, folder=folder)
    return figures


def _key(model: ModelShape, step: StepConfig) -> dict:
    fields = asdict(step) | {"targets": list(step.targets)}
    return {"model": model.name, "n_layers": model.n_layers, "step": fields}


def _same(one: dict, other: dict) -> bool:
    return all(one[name] == other[name] for name in ("model", "n_layers", "step"))


def _summary(points: list[dict], rest: list[dict]) -> dict:
    errors = sorted(abs(point["error"]) for point in points)
    return {
        "largest_error": errors[-1],
        "median_error": errors[len(errors) // 2],
        "points": points + rest,
    }


def render(figures: dict) -> str:
    """Return the comparison as a table."""
    lines = [f"{'model':24}{'blocks':>6} {'method':7}{'step':>8}  ckpt  predicted rehearsed"]
    for point in figures["points"]:
        step = point["step"]
        sizes = [point[f"{side}_peak_bytes"] / GIB for side in ("predicted", "rehearsed")]
        lines.append(
            f"{point['model']:24}{point['n_layers']:6} {step['method']:7}"
            f"{str(step['batch']) + '×' + str(step['seq']):>8}"
            f"  {'on ' if step['checkpointing'] else 'off'} "
            f"{sizes[0]:10.2f}{sizes[1]:10.2f}"
            f"  {100 * point['error']:+.2f} %"
        )
    lines.append(
        f"GiB; error at the median {100 * figures['median_error']:.2f} %, "
        f"at most {100 * figures['largest_error']:.2f} %"
    )
    return "\n".join(lines)
