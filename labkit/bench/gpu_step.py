"""One training step on a real device, measured: seconds, allocated and reserved bytes.

Knows: how to warm up, time and reset a step, alone or inside TRL's trainer.
Does not know: which steps to try, or how they are recorded (``gpu``). Used by ``gpu``.
"""

from __future__ import annotations

import gc
import tempfile
import time
from typing import TYPE_CHECKING, Any

from labkit.hardware import detect
from labkit.memory import ModelShape, StepConfig
from labkit.planner import random_models

if TYPE_CHECKING:
    from labkit.bench.gpu import Point


def card_bytes(device: str) -> int:
    """Return the memory of the card, or of the computer."""
    machine = detect()
    return machine.gpu_bytes if device == "cuda" else machine.ram_bytes


def clear(device: str) -> None:
    """Give unused memory back and start a new peak."""
    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


class Bench:
    """A built model with its optimizer; steps of any batch and length run on it."""

    def __init__(self, shape: ModelShape, point: Point, device: str) -> None:
        clear(device)
        self.device, self.vocabulary = device, shape.vocabulary
        self.model = random_models.build(shape, point.step, attention=point.attention)
        random_models.materialize(self.model, device=device)
        self.optimizer = random_models.make_optimizer(self.model, point.step)
        if point.compiled:
            self.model.compile()

    def measure(self, step: StepConfig, *, warm_up: int, repeats: int) -> dict:
        """Return step times and peak bytes after ``warm_up`` steps that do not count."""
        import torch

        self.optimizer.zero_grad(set_to_none=True)  # an earlier step may have run out of memory
        clear(self.device)
        random_models.set_checkpointing(self.model, step.checkpointing)
        ids = torch.randint(self.vocabulary, (step.batch, step.seq), device=self.device)
        for _ in range(warm_up):
            self._step(ids, step)
        clear(self.device)
        times = [self._step(ids, step) for _ in range(repeats)]
        return _peaks(self.device) | {
            "step_s": times,
            "tokens_per_s": step.tokens / sorted(times)[len(times) // 2],
        }

    def _step(self, ids: Any, step: StepConfig) -> float:
        _wait(self.device)
        start = time.perf_counter()
        random_models.step_loss(self.model, ids, step).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        _wait(self.device)
        return time.perf_counter() - start


def measure_trl(shape: ModelShape, point: Point, device: str, *, n_steps: int = 7) -> dict:
    """Return step times and peak bytes of TRL's ``SFTTrainer`` with its own defaults.

    The same shape, adapters, batch and length; the rows hold token ids already, without padding.
    The first two steps warm up.

    Raises
    ------
    ModuleNotFoundError
        If trl is not installed.
    """
    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    step = point.step
    clear(device)
    model = random_models.build(shape, step)
    random_models.materialize(model, device=device)
    rows = torch.randint(shape.vocabulary, (step.batch * n_steps, step.seq)).tolist()
    times: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=step.batch,
            max_length=step.seq,
            max_steps=n_steps,
            save_strategy="no",
            report_to=[],
            use_cpu=device == "cpu",
        )
        SFTTrainer(
            model=model,
            args=config,
            train_dataset=Dataset.from_dict({"input_ids": rows}),
            processing_class=_tokenizer(),
            callbacks=[_clock(times, device)],
        ).train()
    median = sorted(times[2:])[len(times[2:]) // 2]
    counted = {"step_s": times[2:], "tokens_per_s": step.tokens / median}
    return _peaks(device) | counted | {"status": "measured"}


def _clock(times: list[float], device: str) -> Any:
    """Return a callback that appends the seconds of each step."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Two readings a step, when the device has nothing left to do."""

        start = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            _wait(device)
            self.start = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            _wait(device)
            times.append(time.perf_counter() - self.start)

    return Clock()


def _tokenizer() -> Any:
    """Return a tokenizer that the trainer asks for and never uses: the rows are token ids."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<pad>": 0}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<pad>")


def _wait(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def _peaks(device: str) -> dict[str, int | None]:
    """Return allocated and reserved peaks, ``None`` where PyTorch does not count them."""
    import torch

    if device != "cuda":
        return {"allocated_bytes": None, "reserved_bytes": None}
    return {
        "allocated_bytes": torch.cuda.max_memory_allocated(),
        "reserved_bytes": torch.cuda.max_memory_reserved(),
    }
