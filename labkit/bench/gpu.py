"""Benchmark of training steps on this card: full, LoRA, QLoRA × length × batch × checkpointing.

Knows: which steps fit the card, its free memory and the minutes given, and that a kill must lose
nothing. Does not know: how a step is timed (``step_times``) or its memory predicted (``planner``).
Used by ``labkit bench gpu``; lessons 08 and 11 read what it records in ``data/results/gpu-*.json``,
one file a card. Memory and speed do not depend on the weights' values: where a model is not
fetched, random weights of its shape are measured, and labelled so.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import groupby, product
from pathlib import Path
from typing import Any, cast

from labkit import fetch, hardware, results, settings, train
from labkit.bench import runner, step_times
from labkit.hardware import GIB, Hardware
from labkit.measure import Device, is_out_of_memory
from labkit.memory import TORCH_DTYPES, ModelShape, StepConfig
from labkit.planner import fit, random_models
from labkit.planner.shapes import shape
from labkit.types import Dtype, Precision, TrainConfig

TINY = ModelShape("tiny", "llama", 64, 160, 2, 4, 2, 320, False)
SMALL, PHI, LLAMA, LARGE = (
    "SmolLM2-135M-Instruct",
    "Phi-3.5-mini-instruct",
    "Llama-3.1-8B",
    "Llama-3.1-70B",
)
WARM_UP, REPEATS = 1, 5
HOPELESS = 1.1  # a step predicted to need this many times the free memory is not tried
USED_SHARE = 0.3  # assumed: training reaches so much of the speed of one large matrix product
BUILD_BYTES_PER_S, BUILD_S = 1e9, 4.0  # assumed: making a model's weights on the device
Say = Callable[[str], None]
PAGE = "CARDS.md"
PREAMBLE = """# Training steps on cards

Median step and allocated peak, the predicted peak beside it; made by `labkit bench gpu`. To add
your card, clone the course on its machine and run `python -m labkit bench gpu --minutes 8` there
(on Colab with `!` before it, after `!pip install bitsandbytes`; else after `pip install -e .`).
It writes `data/results/gpu-YOUR-CARD.json` and this page: look at both, and send them as a pull
request. They hold no name of yours and no path.
"""


@dataclass(frozen=True)
class Point:
    """One measurement: a model, a step, and whether a plain loop or TRL's trainer runs it."""

    model: str
    step: StepConfig
    engine: str = "loop"

    @property
    def build_key(self) -> tuple:
        """What must be equal for two points to share one built model."""
        one = replace(self.step, batch=1, seq=1, answer_tokens=None, checkpointing=False)
        return self.model, one, self.engine

    def as_dict(self) -> dict:
        """Return the fields as JSON holds them."""
        fields = asdict(self)
        return fields | {"step": fields["step"] | {"targets": list(self.step.targets)}}


def points(machine: Hardware, *, full: bool = False) -> Iterator[Point]:
    """Yield the steps of the grid, those that tell most first; number formats are the card's.

    LoRA beside QLoRA from 256 to 4,096 tokens comes first, then full training, larger batches, and
    TRL's trainer; ``full`` has more lengths and batches.
    """
    lengths = (256, 512, 1024, 2048, 4096) if full else (256, 1024, 4096)
    batches = (1, 2, 4, 8, 16) if full else (1, 4, 16)
    for batch, methods in product(batches, (("lora", "qlora"), ("full",))):
        for checkpointing, seq, model in product((False, True), lengths, (SMALL, PHI, LLAMA)):
            for method in methods:
                yield Point(model, _step(machine, method, batch, seq, checkpointing))
    for method in ("lora", "qlora"):
        yield Point(PHI, replace(_step(machine, method, 1, 1024, True), answer_tokens=None), "trl")
    for seq in lengths:
        yield Point(LARGE, _step(machine, "qlora", 1, seq, True))


def tiny_points(machine: Hardware) -> Iterator[Point]:
    """Yield a few steps of a tiny model, to try the benchmark itself."""
    for method, checkpointing in product(("full", "lora", "qlora"), (False, True)):
        yield Point("tiny", _step(machine, method, 2, 16, checkpointing))
    yield Point("tiny", replace(_step(machine, "lora", 2, 16, False), answer_tokens=None), "trl")


def _step(machine: Hardware, method: Any, batch: int, seq: int, checkpointing: bool) -> StepConfig:
    formats = train.precision(method, machine)
    config = TrainConfig("", method, batch_size=batch, checkpointing=checkpointing)
    return fit.step_of(config, formats, seq=seq, answer_tokens=max(1, seq // fit.ANSWER_SHARE))


def run(
    *,
    minutes: float = 8,
    full: bool = False,
    tiny: bool = False,
    device: Device | None = None,
    folder: Path | None = None,
    say: Say = print,
) -> dict:
    """Measure the steps that fit the card and the minutes; record after each one.

    A second call goes on: what was measured, or ran out of memory, is not tried again; what failed
    otherwise is.

    Parameters
    ----------
    minutes
        How long it may take; told before it starts, and kept to.
    full
        The larger grid, which is told its time and takes it.
    tiny
        A tiny model only, on whichever device: a trial, never recorded among the course's runs.
    device
        The first card, or the processor, unless given.
    folder
        Where to record; ``data/results``, trials in ``build/results``, unless given.

    Raises
    ------
    ValueError
        If there is no card, and this is no trial.
    """
    device, machine = device or Device(), hardware.detect()
    if device.kind == "cpu":
        machine = replace(machine, gpu_name=None)
    if device.kind != "cuda" and not tiny:
        raise ValueError("bench gpu needs a CUDA card, and PyTorch finds none here.")
    if tiny and folder is None:
        folder = settings.course_dir() / "build" / "results"
    name = record_name(machine, tiny=tiny)
    config = {"command": "labkit bench gpu", "device": device.kind, "trial": tiny}
    config |= {"warm_up": WARM_UP, "repeats": REPEATS}
    earlier = results.load(name, folder=folder)
    done = earlier["figures"]["points"] if earlier and earlier["config"] == config else []
    done = [one for one in done if one["status"] in ("measured", "out of memory")]
    known = [{key: one[key] for key in ("model", "step", "engine")} for one in done]
    grid = tiny_points(machine) if tiny else points(machine, full=full)
    free = device.free_bytes()
    todo = [p for p in grid if p.as_dict() not in known and _predicted(p) <= HOPELESS * free]
    chosen, seconds = in_time(todo, minutes=float("inf") if full else minutes, device=device)
    say(f"{len(chosen)} of {len(todo)} steps that fit {free / GIB:.1f} GiB free memory, "
        f"about {sum(seconds.values()) / 60:.0f} minutes; stopping it loses nothing.")  # fmt: skip
    end = time.monotonic() + (float("inf") if full else 60 * minutes)
    for _, group in groupby(chosen, key=lambda point: point.build_key):
        bench = Bench(device)
        for point in group:
            if time.monotonic() + seconds[point] / 2 > end:
                say("The minutes are over; run it again to go on.")
                return {"points": done}
            done.append(point.as_dict() | bench.measure(point))
            results.record(name, {"points": done}, config=config, folder=folder)
            if not tiny:  # at once: a run may end here, by its minutes or by a kill
                results.write_atomically((folder or results.default_folder()) / PAGE, page(folder))
            say(line(done[-1]))
        bench.close()
    return {"points": done}


def page(folder: Path | None = None) -> str:
    """Return all cards' records side by side, as the markdown page that stands beside them."""
    import pandas as pd

    paths = sorted((folder or results.default_folder()).glob("gpu-*.json"))
    runs = [run for path in paths if (run := results.load(path.stem, folder=folder))]
    rows = [_cells(run, one) for run in runs for one in run["figures"]["points"]
            if one["status"] == "measured"]  # fmt: skip
    if not rows:
        return f"{PREAMBLE}\nNo card has been measured yet.\n"
    table = pd.DataFrame(rows, columns=["model", "step", "card", "told"])
    table = table.pivot_table("told", ["model", "step"], "card", "first", sort=False).fillna("–")
    cells = [[*key, *row] for key, *row in table.itertuples()]
    return f"{PREAMBLE}\n{results.table(['model', 'step', *table.columns], cells)}\n"


def _cells(run: dict, one: dict) -> tuple[str, str, str, str]:
    step = one["step"]
    checked = " checkpointed" if step["checkpointing"] else ""
    ms = 1000 * statistics.median(one["step_s"])
    seen, due = (one[f"{side}_bytes"] / GIB for side in ("allocated", "predicted_peak"))
    return (
        f"{one['model']} ({one['weights']} weights)",
        f"{step['method']} {step['batch']} × {step['seq']}{checked}, {one['engine']}",
        f"{run['hardware']['gpu_name']}, {run['date']}",
        f"{ms:.0f} ms, {seen:.2f} GiB ({due:.2f} predicted)",
    )


def record_name(machine: Hardware, *, tiny: bool = False) -> str:
    """Return the name of a card's record, ``gpu-nvidia-l4``, or a trial's, ``trial-gpu-cpu``."""
    return f"{'trial-' if tiny else ''}gpu-{runner.slug(machine.gpu_name or 'cpu')}"


def in_time(
    todo: Sequence[Point], *, minutes: float, device: Device
) -> tuple[list[Point], dict[Point, float]]:
    """Return the first steps that the minutes allow, model by model, and each one's seconds.

    The seconds are estimates: 6 operations a weight and token for full training, 4 for adapters, 2
    more with checkpointing, at a share of the speed that one matrix product reaches here.
    """
    speed = USED_SHARE * product_speed(device)
    chosen: list[Point] = []
    seconds: dict[Point, float] = {}
    built: set[tuple] = set()
    for point in todo:
        n = shape_of(point.model).n_parameters()
        per_weight = (6 if point.step.method == "full" else 4) + 2 * point.step.checkpointing
        n_steps = 1 + WARM_UP + REPEATS
        needed = n_steps * per_weight * n * point.step.tokens / speed
        if point.build_key not in built:
            needed += BUILD_S + 2 * n / BUILD_BYTES_PER_S
        if sum(seconds.values()) + needed <= 60 * minutes:
            built.add(point.build_key)
            seconds[point] = needed
            chosen.append(point)
    order = {key: i for i, key in enumerate(dict.fromkeys(p.build_key for p in chosen))}
    return sorted(chosen, key=lambda point: order[point.build_key]), seconds


def product_speed(device: Device, *, size: int = 2048) -> float:
    """Return the operations a second of one large matrix product, in 16 bits on a card."""
    import torch

    dtype = torch.float16 if device.kind == "cuda" else torch.float32
    matrix = torch.ones(size, size, dtype=dtype, device=device.kind)
    times = []
    for _ in range(3):
        start = device.now()
        matrix @ matrix
        times.append(device.now() - start)
    return 2 * size**3 / min(times)


class Bench:
    """One built model, on which steps of any batch and length are measured."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.model: Any = None
        self.step: step_times.Step | None = None
        self.weights = ""

    def measure(self, point: Point) -> dict:
        """Return what one step gave, or why it gave nothing, beside what was predicted."""
        plan = fit.predict(shape_of(point.model), point.step)
        outcome: dict = {
            "predicted_parts_bytes": plan.parts,
            "predicted_peak_bytes": plan.peak_bytes,
        }
        try:
            measured = self._measure(point)
        except (ImportError, RuntimeError) as error:
            status = "out of memory" if is_out_of_memory(error) else f"failed: {error}"[:200]
            return outcome | {"status": status}
        return outcome | {"status": "measured", "weights": self.weights} | measured

    def _measure(self, point: Point) -> dict:
        formats = formats_of(point.step)
        sizes: Any = {"batch": point.step.batch, "length": point.step.seq, "device": self.device}
        if self.model is None:
            self.model, self.weights = build(point, self.device)
        checkpointing = point.step.checkpointing
        random_models.set_checkpointing(self.model, checkpointing)
        if point.engine == "trl":
            told = partial(step_times.measure_trl, self.model, _tokenizer(), formats, **sizes)
            return told(checkpointing=checkpointing, n_steps=1 + WARM_UP + REPEATS)
        self.step = self.step or step_times.step_of(self.model, formats, device=self.device)
        return step_times.measure(self.step, **sizes, warm_up=WARM_UP, repeats=REPEATS)

    def close(self) -> None:
        """Free the model, so that it is not part of the next one's peak."""
        self.model = self.step = None
        self.device.clear()


def build(point: Point, device: Device) -> tuple[Any, str]:
    """Return the model with its adapters in training mode, and ``real`` or ``random`` weights."""
    if point.model != "tiny" and fetch.is_fetched(point.model):
        config = TrainConfig(point.model, point.step.method)
        llm = train.load_base(config, formats_of(point.step))
        return train.prepare(llm.model, config).train(), "real"
    model = random_models.build(shape_of(point.model), point.step)
    random_models.materialize(model, device=device.kind)
    return model, "random"


def formats_of(step: StepConfig) -> Precision:
    """Return the number formats that a step says, as training takes them."""
    short = cast(Dtype, TORCH_DTYPES[step.autocast]) if step.autocast else None
    return Precision(cast(Dtype, TORCH_DTYPES[step.dtype]), short)


def shape_of(name: str) -> ModelShape:
    """Return a model's shape, the trial's among them."""
    return TINY if name == "tiny" else shape(name)


def _predicted(point: Point) -> int:
    return fit.predict(shape_of(point.model), point.step).needed_bytes


def line(one: dict) -> str:
    """Return one point as a line for a terminal, predicted beside measured."""
    step = one["step"]
    text = f"{one['model']} {step['method']} {step['batch']} × {step['seq']}"
    text += f"{' checkpointed' if step['checkpointing'] else ''}, {one['engine']}: {one['status']}"
    if one["status"] == "measured":
        text += f", {1000 * statistics.median(one['step_s']):.0f} ms a step"
        text += f", {one['tokens_per_s']:.0f} tokens/s, {one['weights']} weights"
        if "allocated_bytes" in one:
            error = one["predicted_peak_bytes"] / one["allocated_bytes"] - 1
            text += f", {one['allocated_bytes'] / GIB:.2f} GiB (predicted {error:+.1%})"
    return text


def render(figures: dict) -> str:
    """Return how many steps were measured."""
    n = sum(one["status"] == "measured" for one in figures["points"])
    return f"{n} of {len(figures['points'])} steps measured"


def _tokenizer() -> Any:
    """Return a tokenizer that TRL asks for and never uses: the rows are token ids."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<pad>": 0}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<pad>")
