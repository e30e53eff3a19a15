"""Step times of two methods side by side: the same tokens, in turns, in one process.

Knows: how one training step of a method is set up and timed, and how a grid of batch × length is
walked. Does not know: what is learned; the token ids are random.
Used by lesson 08 and ``bench methods``.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from labkit import hardware
from labkit.planner.fit import ANSWER_SHARE
from labkit.train import load_base, precision, prepare
from labkit.types import IGNORED, TrainConfig

Step = Callable[[int, int], float]


def stepper(config: TrainConfig, *, model: Any = None) -> Step:
    """Return a function that runs one training step of ``(batch, length)`` and tells its seconds.

    Forward pass, backward pass and AdamW, with logits for the last quarter of each row.

    Parameters
    ----------
    config
        Model, method, rank, targets, checkpointing.
    model
        Loaded already; it is changed in place.
    """
    import torch

    from labkit.answer_trainer import answer_loss

    model = model or load_base(config, precision(config.method, hardware.detect())).model
    model = prepare(model, config).train()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, weight_decay=0.0, fused=True)

    def step(batch: int, length: int) -> float:
        rows = _random_rows(model, batch, length)
        n_answer_tokens = int((rows["labels"][:, 1:] != IGNORED).sum())
        started = _now()
        answer_loss(model, rows, n_answer_tokens).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return _now() - started

    return step


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


def _now() -> float:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
