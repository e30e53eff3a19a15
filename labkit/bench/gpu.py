"""Benchmark on a CUDA machine without network: memory and step time of random-weight models.

Knows: which steps to try, how to time one, and that a kill must lose nothing.
Does not know: how models are built (``random_models``) or memory is predicted (``memory``).
Used by ``make bench-gpu``; lessons 08 and 11 read what it records in ``data/results/gpu-*.json``.
Run it with ``python -m labkit.bench.gpu [--full]``; run it again to go on where it stopped.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from labkit import hardware, results
from labkit.memory import ModelShape, StepConfig
from labkit.planner.fit import predict
from labkit.planner.shapes import shape

TINY = ModelShape("tiny", "llama", 64, 160, 2, 4, 2, 320, False)
PHI, LLAMA, LARGE = "Phi-3.5-mini-instruct", "Llama-3.1-8B", "Llama-3.1-70B"
WARM_UP, REPEATS = 2, 5
HOPELESS = 1.25  # a step predicted to need this many times the card is not tried
VARIANT_STEP = StepConfig(method="lora", batch=4, seq=1024)


@dataclass(frozen=True)
class Point:
    """One measurement: a model, a step, and how it runs."""

    model: str
    step: StepConfig
    attention: str = "sdpa"
    compiled: bool = False
    engine: str = "loop"

    @property
    def build_key(self) -> tuple:
        """What must be equal for two points to share one built model."""
        one = replace(self.step, batch=1, seq=1, checkpointing=False)
        return self.model, one, self.attention, self.compiled, self.engine


def points(*, full: bool) -> Iterator[Point]:
    """Yield the grid in an order that builds each model once; ``full`` takes hours, quick minutes.

    Two models, three methods, batch × length × checkpointing; 70B in NF4; then one LoRA step with
    flash attention, compiled, and through TRL's ``SFTTrainer`` with its defaults.
    """
    batches = (1, 2, 4, 8, 16) if full else (1, 4, 16)
    lengths = (256, 512, 1024, 2048, 4096) if full else (256, 1024, 4096)
    for model in (PHI, LLAMA):
        for method in ("full", "lora", "qlora"):
            for checkpointing in (False, True):
                for seq in lengths:
                    for batch in batches:
                        step = StepConfig(
                            method=method, batch=batch, seq=seq, checkpointing=checkpointing
                        )
                        yield Point(model, step)
    for seq in lengths:
        yield Point(LARGE, StepConfig(method="qlora", seq=seq, checkpointing=True))
    yield Point(PHI, VARIANT_STEP, attention="flash_attention_2")
    yield Point(PHI, VARIANT_STEP, compiled=True)
    yield Point(PHI, replace(VARIANT_STEP, checkpointing=True), engine="trl")


def tiny_points() -> Iterator[Point]:
    """Yield a few steps of a tiny model, to try the script itself."""
    for method in ("full", "lora", "qlora"):
        for checkpointing in (False, True):
            step = StepConfig(method=method, batch=2, seq=16, dtype="fp32")
            yield Point("tiny", replace(step, checkpointing=checkpointing))


def run(
    todo: Sequence[Point], name: str, *, device: str, setting: str, folder: Path | None = None
) -> dict:
    """Measure every point that is not recorded yet; record after each one.

    Parameters
    ----------
    todo
        The points; neighbours with the same ``build_key`` share a model.
    name
        Of the recorded run.
    device
        ``cuda``, or ``cpu`` to try the script.
    setting
        ``quick``, ``full`` or ``tiny``, kept in the configuration.
    folder
        Where to record; ``data/results`` unless given.
    """
    earlier = results.load(name, folder=folder)
    done: list[dict] = earlier["figures"]["points"] if earlier else []
    known = [{key: one[key] for key in asdict(todo[0])} for one in done]
    missing = [point for point in todo if _jsonable(point) not in known]
    config = {
        "command": "python -m labkit.bench.gpu",
        "setting": setting,
        "device": device,
        "warm_up": WARM_UP,
        "repeats": REPEATS,
    }
    for _, group in groupby(missing, key=lambda point: point.build_key):
        bench: Any = None
        for point in group:
            outcome, bench = _measure(point, bench, device)
            done.append(_jsonable(point) | outcome)
            results.record(name, {"points": done}, config=config, folder=folder)
            print(_line(done[-1]), flush=True)
        del bench
    return {"points": done}


def _jsonable(point: Point) -> dict:
    fields = asdict(point)
    return fields | {"step": fields["step"] | {"targets": list(point.step.targets)}}


def _measure(point: Point, bench: Any, device: str) -> tuple[dict, Any]:
    """Return the outcome of one point and the built model for the next one."""
    from labkit.bench import gpu_step

    plan = predict(_shape(point.model), point.step)
    outcome: dict = {
        "predicted_parts_bytes": plan.parts,
        "predicted_peak_bytes": plan.peak_bytes,
    }
    card = gpu_step.card_bytes(device)
    if plan.needed_bytes > HOPELESS * card:
        return outcome | {"status": "not tried: predicted far over the card's memory"}, bench
    try:
        if point.engine == "trl":
            return outcome | gpu_step.measure_trl(_shape(point.model), point, device), None
        bench = bench or gpu_step.Bench(_shape(point.model), point, device)
        measured = bench.measure(point.step, warm_up=WARM_UP, repeats=REPEATS)
    except ImportError as error:
        return outcome | {"status": f"not tried: {error}"[:200]}, None
    except RuntimeError as error:  # CUDA's out-of-memory error is one
        status = "out of memory" if "out of memory" in str(error) else f"failed: {error}"[:200]
        return outcome | {"status": status}, bench
    return outcome | {"status": "measured"} | measured, bench


def _shape(name: str) -> ModelShape:
    return TINY if name == "tiny" else shape(name)


def _line(one: dict) -> str:
    step = one["step"]
    text = f"{one['model']} {step['method']} {step['batch']}×{step['seq']}"
    text += f" {'checkpointed' if step['checkpointing'] else ''} {one['engine']}: {one['status']}"
    if one["status"] == "measured":
        text += f", {statistics.median(one['step_s']) * 1000:.0f} ms"
        if one["allocated_bytes"]:
            error = one["predicted_peak_bytes"] / one["allocated_bytes"] - 1
            text += f", {one['allocated_bytes'] / hardware.GIB:.2f} GiB ({100 * error:+.1f} %)"
    return text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; exit code 1 with one sentence where there is no CUDA device."""
    parser = argparse.ArgumentParser(prog="python -m labkit.bench.gpu", description=__doc__)
    parser.add_argument("--full", action="store_true", help="every batch and length (hours)")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--model", choices=["tiny"], help="only a tiny model: try the script")
    parser.add_argument("--name", help="of the recorded run (default: gpu-CARD)")
    parser.add_argument("--folder", type=Path, help="where to record (default: data/results)")
    arguments = parser.parse_args(argv)
    machine = hardware.detect()
    if arguments.device == "cuda" and machine.gpu_name is None:
        print("bench-gpu needs a CUDA device, and PyTorch finds none here.", file=sys.stderr)
        return 1
    setting = arguments.model or ("full" if arguments.full else "quick")
    todo = list(tiny_points() if arguments.model else points(full=arguments.full))
    card = re.sub(r"[^a-z0-9]+", "-", (machine.gpu_name or "cpu").lower()).strip("-")
    name = arguments.name or f"gpu-{card}{'-tiny' if arguments.model else ''}"
    start = time.perf_counter()
    run(todo, name, device=arguments.device, setting=setting, folder=arguments.folder)
    print(f"{len(todo)} points in {name}.json, {time.perf_counter() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
