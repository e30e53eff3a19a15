"""What fits on a card: the longest sequence, the largest batch, and the cheapest change.

Knows: the order in which to give things up, cheapest in time and quality first.
Does not know: how memory is predicted (``memory``).
Used by lessons 08 and 11 and by ``plan``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from labkit.memory import MemoryPlan, predict
from labkit.planner.shapes import METHODS, ModelShape, StepConfig

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


def longest_sequence(shape: ModelShape, step: StepConfig, card_bytes: int) -> int:
    """Return the most tokens a sequence may have on such a card, 0 if not even one fits.

    ``answer_tokens``, if set, keeps its share of the sequence.
    """

    def fits(seq: int) -> bool:
        answers = step.answer_tokens and max(1, step.answer_tokens * seq // step.seq)
        longer = replace(step, seq=seq, answer_tokens=answers)
        return predict(shape, longer).fits(card_bytes)

    return _largest(fits, LONGEST)


def largest_batch(shape: ModelShape, step: StepConfig, card_bytes: int) -> int:
    """Return the most sequences a step may have on such a card, 0 if not even one fits."""
    return _largest(
        lambda batch: predict(shape, replace(step, batch=batch)).fits(card_bytes), LARGEST
    )


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
        step = replace(step, answer_tokens=step.seq // ANSWER_SHARE)
        yield step
    if step.optimizer == "adamw":
        step = replace(step, optimizer="adamw_8bit")
        yield step
    if not step.checkpointing:
        step = replace(step, checkpointing=True)
        yield step
    while step.batch > 1:
        step = replace(step, batch=step.batch // 2)
        yield step
    for method in METHODS[METHODS.index(step.method) + 1 :]:
        step = replace(step, method=method)
        yield step
    while step.seq > SHORTEST:
        answers = step.answer_tokens and max(1, step.answer_tokens // 2)
        step = replace(step, seq=step.seq // 2, answer_tokens=answers)
        yield step


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


def _largest(fits: Callable[[int], bool], limit: int) -> int:
    """Return the largest number up to ``limit`` that fits, by halving: more never fits better."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low
