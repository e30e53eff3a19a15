"""The door ``plan``: what a training step needs, whether it fits, and what to change.

Knows: arguments and how a plan is shown. Does not know: how anything is predicted (``memory``),
rehearsed (``rehearsal``) or made to fit (``planner.fit``).
"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from typer import Option

from labkit.cli.common import JSON, print_result
from labkit.hardware import CARDS_GIB, GIB
from labkit.memory import Dtype, MemoryPlan, Optimizer, StepConfig
from labkit.types import Method

if TYPE_CHECKING:
    from labkit.planner.fit import Change
    from labkit.planner.rehearsal import Rehearsal


def cards(text: str) -> tuple[int, int]:
    """Read ``24``, ``t4`` or ``2x24``: how many cards, and the bytes of each."""
    found = re.fullmatch(r"(?:([1-9]\d{0,3})x)?([\w.-]+)", text.lower())
    gib = CARDS_GIB.get(found[2]) if found else None
    if found and gib is None and re.fullmatch(r"\d{1,4}(?:\.\d+)?", found[2]):
        gib = float(found[2])
    if not found or not gib:
        raise typer.BadParameter(
            f"{text!r} is not a number of cards; write 2x24 for two cards of 24 GiB, 24 for one, "
            f"or a card's name: {', '.join(CARDS_GIB)}"
        )
    return int(found[1] or 1), int(gib * GIB)


def plan(
    context: typer.Context,
    model: str = Option(
        "Phi-3.5-mini-instruct",
        help="a name of the course, a config.json, or a hub's organisation/name",
    ),
    method: Method = "qlora",
    batch: int = Option(1, min=1, help="sequences a step, per card"),
    seq: int = Option(1024, min=1, help="tokens a sequence"),
    gpus: str = Option("24", help=f"2x24: two cards of 24 GiB; or {', '.join(CARDS_GIB)}"),
    dtype: Dtype = "bf16",
    adapter_dtype: Dtype = "fp32",
    optimizer: Optimizer = "adamw",
    checkpointing: bool = Option(False, "--checkpointing", help="recompute activations"),
    rank: int = Option(16, min=1),
    targets: str = Option("all-linear", help="names with commas"),
    answer_tokens: int = Option(None, min=1, help="positions with logits (all)"),
    cpu_offload: bool = Option(False, "--cpu-offload", help="FSDP: shards in host memory"),
    rehearse: bool = Option(False, "--rehearse", help="run the step on fake tensors"),
    as_json: bool = JSON,
) -> None:
    """Predict the memory of one training step, by part, from the model's shape alone.

    Nothing is downloaded and no GPU is needed. Attention is sdpa, rows are not padded, no autocast.
    """
    from labkit.planner import fit, rehearsal, shapes

    shape, (n_gpus, card) = shapes.shape(model), cards(gpus)
    fields = StepConfig.__dataclass_fields__
    options = {name: value for name, value in context.params.items() if name in fields}
    options["targets"] = tuple(part.strip() for part in targets.split(",") if part.strip())
    step = StepConfig(**options, n_gpus=n_gpus)
    predicted = fit.predict(shape, step)
    rehearsed = rehearsal.rehearse(shape, step) if rehearse else None
    change = None if predicted.fits(card) else fit.cheapest_change(shape, step, card)
    result = asdict(predicted) | {
        "peak_bytes": predicted.peak_bytes,
        "range_bytes": predicted.range_bytes,
        "card_bytes": card,
        "fits": predicted.fits(card),
        "may_fit": predicted.may_fit(card),
        "longest_sequence": fit.longest_sequence(shape, step, card),
        "largest_batch": fit.largest_batch(shape, step, card),
        "change": asdict(change) if change else None,
        "rehearsal": asdict(rehearsed) if rehearsed else None,
    }
    lines = [*_table(predicted, rehearsed), _verdict(predicted, card, change)]
    if result["longest_sequence"]:
        lines.append(
            "Otherwise unchanged, this card holds sequences up to "
            f"{result['longest_sequence']:,} tokens, or batches up to {result['largest_batch']:,}."
        )
    print_result("\n".join(lines), result, as_json)


def _table(plan: MemoryPlan, rehearsed: Rehearsal | None) -> list[str]:
    step = plan.step
    cards = f", on each of {step.n_gpus} cards" if step.n_gpus > 1 else ""
    lines = [
        f"{plan.model}, {step.method}, batch {step.batch} × {step.seq} tokens, {step.dtype}, "
        f"{step.optimizer}, checkpointing {'on' if step.checkpointing else 'off'}{cards}",
        f"{'GiB':20}{'predicted':>10}" + ("   rehearsed" if rehearsed else ""),
    ]
    for part, size in plan.parts.items():
        lines.append(_row(f"  {part}", size, rehearsed.parts.get(part, 0) if rehearsed else None))
    peak = rehearsed.peak_bytes if rehearsed else None
    lines.append(_row(f"peak ({plan.moment})", plan.peak_bytes, peak))
    lines.append(_row("CUDA context", plan.context) + "  (assumed)")
    if plan.host_bytes:
        lines.append(_row("in host memory", plan.host_bytes))
    if rehearsed:
        error = f"{100 * (plan.peak_bytes / rehearsed.peak_bytes - 1):+.1f} %"
        lines.append(f"The prediction is {error} off the rehearsal ({rehearsed.wall_s:.0f} s).")
    return lines


def _row(name: str, size: float, seen: int | None = None) -> str:
    return f"{name:20}{size / GIB:10.2f}" + ("" if seen is None else f"{seen / GIB:12.2f}")


def _verdict(plan: MemoryPlan, card: int, change: Change | None) -> str:
    least, most = plan.range_bytes
    room = f"{least / GIB:.1f} to {most / GIB:.1f} GiB of {card / GIB:g}"
    if plan.fits(card):
        return f"It fits: {room}."
    verdict = "It may not fit" if plan.may_fit(card) else "It does not fit"
    if change is None:
        return f"{verdict} ({room}), and no change of this list helps: use a larger card."
    return (
        f"{verdict} ({room}). The cheapest change that surely does: {', '.join(change.words)}; "
        f"then {change.plan.range_bytes[1] / GIB:.1f} GiB at most."
    )
