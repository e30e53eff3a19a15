"""What fits on a card: the longest sequence, the largest batch, and the cheapest change.

Knows: the order in which to give things up, cheapest in time and quality first.
Does not know: how memory is predicted (``memory``).
Used by lessons 08 and 11 and by ``plan``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import cast

from labkit import memory
from labkit.memory import ELEMENT_BYTES, TORCH_DTYPES, Dtype, MemoryPlan, ModelShape, StepConfig
from labkit.planner.activations import (
    backward_peak,
    block_operations,
    kept_bytes,
    norm_operation,
    product_bytes,
)
from labkit.types import Precision, TrainConfig

LOSS_BYTES = 3 * memory.FP32  # a logit's log-probability, its gradient, and the gradient of that
GATHERED_BLOCKS = 2  # FSDP fetches the next block while one computes
LONGEST = 131_072
LARGEST = 4096
SHORTEST = 128
NAMES = {"full": "full training", "lora": "LoRA", "qlora": "4-bit weights"}
ANSWER_SHARE = 4  # assumed: a quarter of an example's tokens are the answer


@dataclass(frozen=True)
class Change:
    """A step that fits, and what was changed to get there, in words."""

    words: tuple[str, ...]
    step: StepConfig
    plan: MemoryPlan


def step_of(
    config: TrainConfig, formats: Precision, *, seq: int, answer_tokens: int | None = None
) -> StepConfig:
    """Return the step that a training run takes in memory: its rows at once, at this length."""
    short = {torch_name: name for name, torch_name in TORCH_DTYPES.items()}
    targets = (config.targets,) if isinstance(config.targets, str) else config.targets
    return StepConfig(
        method=config.method,
        batch=config.rows_at_once,
        seq=seq,
        dtype=cast(Dtype, short[formats.weights]),
        checkpointing=config.checkpointing,
        rank=config.rank,
        targets=targets,
        answer_tokens=answer_tokens,
        autocast=cast(Dtype, short[formats.autocast]) if formats.autocast else None,
    )


def for_card(
    shape: ModelShape, config: TrainConfig, formats: Precision, card_bytes: int
) -> tuple[TrainConfig, MemoryPlan]:
    """Return the run with the rows at once and the checkpointing that a card holds, and its plan.

    Fewer rows at once cost little, so they come before checkpointing, which runs each block twice.
    What the run says already stays. Where nothing fits, the thriftiest run comes back.

    Parameters
    ----------
    shape, config, formats
        The model, the run, and its number formats.
    card_bytes
        What is free on the card.
    """
    sizes = [n for n in range(config.batch_size, 0, -1) if config.batch_size % n == 0]
    rows_tried = [config.micro_batch] if config.micro_batch else sizes
    for checkpointing, rows in product(sorted({config.checkpointing, True}), rows_tried):
        run = replace(config, micro_batch=rows, checkpointing=checkpointing)
        answers = max(1, run.max_tokens // ANSWER_SHARE)
        step = step_of(run, formats, seq=run.max_tokens, answer_tokens=answers)
        plan = predict(shape, step)
        if plan.fits(card_bytes):
            break
    return run, plan


def longest_sequence(shape: ModelShape, step: StepConfig, card_bytes: int) -> int:
    """Return the most tokens a sequence may have on such a card, 0 if not even one fits.

    ``answer_tokens``, if set, keeps its share of the sequence.
    """

    def too_long(seq: int) -> bool:
        answers = step.answer_tokens and max(1, step.answer_tokens * seq // step.seq)
        longer = replace(step, seq=seq, answer_tokens=answers)
        return not predict(shape, longer).fits(card_bytes)

    return bisect_left(range(1, LONGEST + 1), True, key=too_long)


def largest_batch(shape: ModelShape, step: StepConfig, card_bytes: int) -> int:
    """Return the most sequences a step may have on such a card, 0 if not even one fits."""

    def too_large(batch: int) -> bool:
        return not predict(shape, replace(step, batch=batch)).fits(card_bytes)

    return bisect_left(range(1, LARGEST + 1), True, key=too_large)


def cheapest_change(shape: ModelShape, step: StepConfig, card_bytes: int) -> Change | None:
    """Return the first step on the way down that fits, or ``None`` if nothing does.

    The way down costs little at first and more later: logits only where there are labels,
    an 8-bit optimizer, checkpointing (each block runs forward twice), a smaller batch with gradient
    accumulation (same result, slower), adapters in place of full training, 4-bit weights, and a
    shorter sequence last, because it cuts what the model can learn from.

    Parameters
    ----------
    shape, step
        What was asked for.
    card_bytes
        Memory of one card.
    """
    for smaller in _way_down(step):
        if predict(shape, smaller).fits(card_bytes):
            kept = _without_needless(shape, step, smaller, card_bytes)
            return Change(_words(step, kept), kept, predict(shape, kept))
    return None


def _way_down(step: StepConfig) -> Iterator[StepConfig]:
    if step.answer_tokens is None and step.seq >= ANSWER_SHARE:
        yield (step := replace(step, answer_tokens=step.seq // ANSWER_SHARE))
    if step.optimizer == "adamw":
        yield (step := replace(step, optimizer="adamw_8bit"))
    if not step.checkpointing:
        yield (step := replace(step, checkpointing=True))
    while step.batch > 1:
        yield (step := replace(step, batch=step.batch // 2))
    for method in memory.METHODS[memory.METHODS.index(step.method) + 1 :]:
        yield (step := replace(step, method=method))
    while step.seq > SHORTEST:
        answers = step.answer_tokens and max(1, step.answer_tokens // 2)
        yield (step := replace(step, seq=step.seq // 2, answer_tokens=answers))


def _without_needless(
    shape: ModelShape, start: StepConfig, found: StepConfig, card_bytes: int
) -> StepConfig:
    """Take back, one by one, every change that the step fits without; the dearest first."""
    for field in ("method", "batch", "checkpointing", "optimizer", "answer_tokens"):
        if field == "answer_tokens" and found.seq != start.seq:
            continue
        undone = replace(found, **{field: getattr(start, field)})
        if predict(shape, undone).fits(card_bytes):
            found = undone
    return found


def _words(start: StepConfig, end: StepConfig) -> tuple[str, ...]:
    phrases = {
        "answer_tokens": f"logits for the answer only (--answer-tokens {end.answer_tokens})",
        "optimizer": f"an 8-bit optimizer (--optimizer {end.optimizer})",
        "checkpointing": "checkpointing (--checkpointing)",
        "batch": f"batches of {end.batch} with gradient accumulation (--batch {end.batch})",
        "method": f"{NAMES[end.method]} (--method {end.method})",
        "seq": f"sequences of {end.seq} tokens (--seq {end.seq})",
    }
    return tuple(
        text for field, text in phrases.items() if getattr(start, field) != getattr(end, field)
    )


def predict(shape: ModelShape, step: StepConfig) -> MemoryPlan:
    """Predict the peak of one training step, by part, per device.

    A step has four moments at which memory can be highest: the loss (everything kept, and the
    logits), a block (the last one in the backward pass, when everything else is still kept), the
    first block (full training: nearly all gradients exist), and the optimizer step. The largest
    decides.

    Parameters
    ----------
    shape
        The model's numbers, from ``shapes.shape(name)``.
    step
        Method, batch (per device), length, formats, optimizer, checkpointing, adapters, devices.

    Returns
    -------
    MemoryPlan
        Bytes by part at the highest moment.

    Examples
    --------
    >>> from labkit.planner.shapes import shape
    >>> plan = predict(shape("Llama-3.1-8B"), StepConfig(method="qlora", checkpointing=True))
    >>> plan.fits(16 * 2**30), plan.fits(6 * 2**30)
    (True, False)
    """
    static = memory.static_bytes(shape, step)
    moments = _moments(shape, step)
    moment = max(moments, key=lambda name: sum(moments[name].values()))
    parts = static | {"gradients": 0, "activations": 0, "logits": 0} | moments[moment]
    return _spread(shape, step, moment, parts)


def _moments(shape: ModelShape, step: StepConfig) -> dict[str, dict[str, int]]:
    """Return what each candidate moment needs on top of what is always there."""
    size, full = ELEMENT_BYTES[step.dtype], step.method == "full"
    block, norm = block_operations(shape, step), norm_operation(shape, step)
    state, outer = size * step.tokens * shape.hidden, size * shape.vocabulary * shape.hidden
    left = state if step.checkpointing else kept_bytes(block)
    kept = shape.n_layers * left
    inside, new = backward_peak(block)
    if not step.checkpointing:
        inside -= left  # part of what was kept
    elif step.dtype != "fp32":
        inside += state  # the checkpoint beside the first norm's copy of it in float32
    # A frozen embedding needs no gradient, so the first norm keeps nothing.
    last_norm = norm.kept if full or step.checkpointing else 0
    trained = memory.trained_bytes_each(step) * sum(memory.trained_tensors(shape, step))
    others = trained - sum(operation.gradient for operation in block)
    if full and not shape.tied:
        others -= outer  # the embedding's gradient comes last
    head = outer if full else 0
    arriving = _arriving_bytes(shape, step)
    casts, block_casts, head_cast = _cast_bytes(shape, step)
    early, late = (0, block_casts) if step.checkpointing else (casts, casts)
    return {
        "loss": {
            "activations": kept + last_norm + state * full + early + head_cast,
            "logits": LOSS_BYTES * step.logit_rows * shape.vocabulary,
        },
        "last norm": {"activations": kept + last_norm + norm.scratch + late, "gradients": head},
        "last block": {"activations": kept + inside + arriving + late, "gradients": head + new},
        "first block": {
            "activations": left + inside + arriving + block_casts,
            "gradients": others + new,
        },
        "end of backward": {"gradients": trained + 2 * head * shape.tied},
        "optimizer step": {"gradients": trained},
    }


def _cast_bytes(shape: ModelShape, step: StepConfig) -> tuple[int, int, int]:
    """Return autocast's copies of trained weights: of all blocks, of one, of the output layer.

    It keeps them until the loss is there, and the products their own until the backward pass.
    """
    if step.autocast is None or memory.trained_bytes_each(step) == product_bytes(step):
        return 0, 0, 0
    size = product_bytes(step)
    if step.method != "full":
        block = size * sum(memory.trained_tensors(shape, step)) // shape.n_layers
        return shape.n_layers * block, block, 0
    block = size * sum(n_in * n_out for n_in, n_out in shape.linears().values())
    return shape.n_layers * block, block, size * shape.vocabulary * shape.hidden


def _arriving_bytes(shape: ModelShape, step: StepConfig) -> int:
    """Return the gradient that enters a block, and its copy in the last adapter's format."""
    elements = step.tokens * shape.hidden
    arriving = ELEMENT_BYTES[step.dtype] * elements
    cast = step.method != "full" and step.adapter_dtype != step.dtype
    if step.checkpointing and cast and "down_proj" in memory.target_names(shape, step.targets):
        arriving += ELEMENT_BYTES[step.adapter_dtype] * elements
    return arriving


def _spread(shape: ModelShape, step: StepConfig, moment: str, parts: dict[str, int]) -> MemoryPlan:
    """Share the static parts among the devices, as FSDP's full sharding does."""
    host = memory.optimizer_bytes(shape, step)[1]
    gathered = 0
    if step.n_gpus > 1 or step.cpu_offload:
        outer = ELEMENT_BYTES[step.dtype] * shape.outer_parameters()
        blocks = parts["weights"] + parts["constants"] + parts["adapters"] - outer
        if step.method == "full":  # a block's gradients are whole until they are shared out
            blocks += parts["weights"] - outer
        gathered = outer + GATHERED_BLOCKS * blocks // shape.n_layers
        host = -(-host // step.n_gpus)
        for part in ("weights", "constants", "adapters", "gradients", "optimizer"):
            share = -(-parts[part] // step.n_gpus)
            host += share if step.cpu_offload else 0
            parts[part] = 0 if step.cpu_offload else share
    return MemoryPlan(
        model=shape.name, step=step, moment=moment, gathered=gathered, host_bytes=host, **parts
    )
