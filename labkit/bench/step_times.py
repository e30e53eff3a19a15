"""Training steps on a device, measured: seconds and peak bytes, one alone or several in turns.

Knows: how a step of a prepared model is run on random token ids, timed, and its peak taken, alone
or inside TRL's trainer. Does not know: which steps to try (``gpu``), nor what is learned.
Used by lesson 08, ``bench gpu`` and ``bench methods``.
"""

from __future__ import annotations

import itertools
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labkit import hardware
from labkit.measure import Device
from labkit.planner.fit import ANSWER_SHARE
from labkit.train import load_base, precision, prepare
from labkit.types import IGNORED, Precision, TrainConfig

Step = Callable[[int, int], float]


def stepper(config: TrainConfig, *, model: Any = None) -> Step:
    """Return a function that runs one training step of ``(batch, length)`` and tells its seconds.

    Parameters
    ----------
    config
        Model, method, rank, targets, checkpointing.
    model
        Loaded already; it is changed in place.
    """
    formats = precision(config.method, hardware.detect())
    model = model or load_base(config, formats).model
    return step_of(prepare(model, config).train(), formats)


def step_of(model: Any, formats: Precision, *, device: Device | None = None) -> Step:
    """Return the step of a model whose trained weights are marked.

    Forward pass, backward pass and AdamW, as ``train`` does them, with logits for the last quarter
    of each row.
    """
    import torch

    from labkit.answer_trainer import FIRST_SCALE, answer_loss

    on = device or Device(model.device.type)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, weight_decay=0.0, fused=True)
    in_fp16 = formats.autocast == "float16"
    scaler = torch.amp.GradScaler(model.device.type, init_scale=FIRST_SCALE, enabled=in_fp16)
    short = getattr(torch, formats.autocast or "bfloat16")

    def step(batch: int, length: int) -> float:
        optimizer.zero_grad(set_to_none=True)  # an earlier step may have run out of memory
        rows = _random_rows(model, batch, length)
        n_answer_tokens = int((rows["labels"][:, 1:] != IGNORED).sum())
        started = on.now()
        with torch.autocast(model.device.type, short, enabled=bool(formats.autocast)):
            loss = answer_loss(model, rows, n_answer_tokens)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        return on.now() - started

    return step


def measure(
    step: Step, batch: int, length: int, device: Device, *, warm_up: int, repeats: int
) -> dict:
    """Return step times and peaks; the first step, which also allocates memory, stands alone."""
    device.clear()
    first, *_ = [step(batch, length) for _ in range(1 + warm_up)]
    device.reset_peak()
    return _figures([first] + [step(batch, length) for _ in range(repeats)], batch * length, device)


def measure_trl(
    model: Any,
    tokenizer: Any,
    formats: Precision,
    *,
    batch: int,
    length: int,
    checkpointing: bool,
    device: Device,
    n_steps: int,
) -> dict:
    """Return step times and peaks of TRL's ``SFTTrainer`` on random rows, without padding.

    The same model, adapters and number formats as ``step_of``; logits everywhere, as TRL has it.

    Raises
    ------
    ModuleNotFoundError
        If trl is not installed.
    """
    import datasets
    import torch
    from trl import SFTConfig, SFTTrainer

    rows = torch.randint(model.config.vocab_size, (batch * n_steps, length)).tolist()
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=batch,
            max_length=length,
            max_steps=n_steps,
            gradient_checkpointing=checkpointing,
            bf16=formats.autocast == "bfloat16",
            fp16=formats.autocast == "float16",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=device.kind == "cpu",
        )
        trainer = SFTTrainer(
            model=model,
            args=config,
            train_dataset=datasets.Dataset.from_dict({"input_ids": rows}),
            processing_class=tokenizer,
            callbacks=[clock(times, device)],
        )
        device.clear()
        trainer.train()
    seconds = [end - start for start, end in itertools.pairwise(times)]
    return _figures(seconds, batch * length, device)


def clock(times: list[float], device: Device) -> Any:
    """Return a callback that notes when training begins and when each step ends."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            times.append(device.now())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(device.now())

    return Clock()


def _figures(seconds: Sequence[float], n_tokens: int, device: Device) -> dict:
    first, *steady = seconds
    return {
        "first_step_s": first,
        "step_s": steady,
        "tokens_per_s": n_tokens / statistics.median(steady),
        **{f"{name}_bytes": size for name, size in device.peaks().items()},
    }


def grid(
    steppers: Mapping[str, Step],
    batches: Sequence[int],
    lengths: Sequence[int],
    *,
    repeats: int = 3,
) -> list[dict]:
    """Time every method at every batch × length, one after the other and in turning order.

    Each method warms up once at each size. Methods take turns, so that a change of the machine's
    mood meets all of them.

    Returns
    -------
    list of dict
        ``{"batch", "length", "step_s": {method: [seconds, …]}}`` for each size.
    """
    points = []
    names = list(steppers)
    for batch, length in itertools.product(batches, lengths):
        times: dict[str, list[float]] = {name: [] for name in names}
        for name in names:
            steppers[name](batch, length)
        for turn in range(repeats):
            shift = turn % len(names)
            for name in names[shift:] + names[:shift]:
                times[name].append(steppers[name](batch, length))
        points.append({"batch": batch, "length": length, "step_s": times})
    return points


def ratios(
    points: Sequence[Mapping[str, Any]], over: str = "qlora", under: str = "lora"
) -> dict[int, dict[int, float]]:
    """Return ``{batch: {length: ratio}}`` of the median step times of two methods."""
    table: dict[int, dict[int, float]] = {}
    for point in points:
        median = {name: statistics.median(times) for name, times in point["step_s"].items()}
        table.setdefault(point["batch"], {})[point["length"]] = median[over] / median[under]
    return table


def _random_rows(model: Any, batch: int, length: int) -> dict[str, Any]:
    import torch

    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.vocab_size, (batch, length), generator=draw)
    labels = ids.clone()
    labels[:, : length - max(1, length // ANSWER_SHARE)] = IGNORED
    return {name: part.to(model.device) for name, part in (("input_ids", ids), ("labels", labels))}
