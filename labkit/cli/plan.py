"""The command ``plan``: what a training step needs, whether it fits, and what to change.

Knows: arguments and how a plan is shown. Does not know: how anything is predicted (``memory``),
rehearsed (``rehearsal``) or made to fit (``fitting``). Used by ``__main__``.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from labkit.cli.common import json_flag, positive, print_result
from labkit.hardware import GIB

if TYPE_CHECKING:
    from labkit.memory import MemoryPlan, StepConfig
    from labkit.planner.fit import Change
    from labkit.planner.rehearsal import Rehearsal

DESCRIPTION = """Predict the memory of one training step, by part, from the model's shape alone.
Nothing is downloaded and no GPU is needed. Attention is sdpa, rows are not padded, no autocast."""


@dataclass(frozen=True)
class Cards:
    """How many cards, and how much memory each has."""

    n: int
    card_bytes: int


def cards(text: str) -> Cards:
    """Accept ``24`` or ``2x24``: cards of so many GiB."""
    found = re.fullmatch(r"(?:([1-9]\d{0,3})x)?(\d{1,4}(?:\.\d+)?)", text)
    if not found or float(found[2]) <= 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of cards; write 2x24 for two cards of 24 GiB, or 24 for one"
        )
    return Cards(int(found[1] or 1), int(float(found[2]) * GIB))


def names(text: str) -> tuple[str, ...]:
    """Accept names with commas between."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def shape_name(text: str) -> str:
    """Accept the name of a model whose shape is known."""
    from labkit.planner.shapes import SHAPES

    if text not in SHAPES:
        known = ", ".join(SHAPES)
        raise argparse.ArgumentTypeError(f"there is no shape of {text!r}; choose one of {known}")
    return text


def add(commands: argparse._SubParsersAction) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "plan", help="predict the memory of a training step", description=DESCRIPTION
    )
    command.add_argument("--model", type=shape_name, default="Phi-3.5-mini-instruct")
    command.add_argument("--method", choices=["full", "lora", "qlora"], default="qlora")
    command.add_argument("--batch", type=positive, default=1, help="sequences a step, per card")
    command.add_argument("--seq", type=positive, default=1024, help="tokens a sequence")
    command.add_argument("--gpus", type=cards, default="24", help="2x24: two cards of 24 GiB")
    command.add_argument("--dtype", choices=["bf16", "fp16", "fp32"], default="bf16")
    command.add_argument("--adapter-dtype", choices=["bf16", "fp16", "fp32"], default="fp32")
    command.add_argument(
        "--optimizer",
        choices=["adamw", "adamw_8bit", "paged_adamw_8bit", "sgd"],
        default="adamw",
    )
    command.add_argument("--checkpointing", action="store_true", help="recompute activations")
    command.add_argument("--rank", type=positive, default=16)
    command.add_argument("--targets", type=names, default="all-linear", help="names with commas")
    command.add_argument("--answer-tokens", type=positive, help="positions with logits (all)")
    command.add_argument("--cpu-offload", action="store_true", help="FSDP: shards in host memory")
    command.add_argument("--rehearse", action="store_true", help="run the step on fake tensors")
    json_flag(command)
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    from labkit.planner import fit, rehearsal, shapes

    shape = shapes.shape(arguments.model)
    step = _step(arguments)
    card = arguments.gpus.card_bytes
    plan = fit.predict(shape, step)
    rehearsed = rehearsal.rehearse(shape, step) if arguments.rehearse else None
    change = None if plan.fits(card) else fit.cheapest_change(shape, step, card)
    longest = fit.longest_sequence(shape, step, card)
    batch = fit.largest_batch(shape, step, card)
    result = asdict(plan) | {
        "peak_bytes": plan.peak_bytes,
        "card_bytes": card,
        "fits": plan.fits(card),
        "longest_sequence": longest,
        "largest_batch": batch,
        "change": asdict(change) if change else None,
        "rehearsal": asdict(rehearsed) if rehearsed else None,
    }
    lines = [*_table(plan, rehearsed), *_verdict(plan, arguments.gpus, change)]
    lines.append(
        f"Otherwise unchanged, this card holds sequences up to {longest:,} tokens, "
        f"or batches up to {batch:,}."
    )
    print_result("\n".join(lines), result, arguments.json)
    return 0


def _step(arguments: argparse.Namespace) -> StepConfig:
    from labkit.memory import StepConfig

    fields = set(StepConfig.__dataclass_fields__) & set(vars(arguments))
    step = StepConfig(**{name: getattr(arguments, name) for name in fields})
    return replace(step, n_gpus=arguments.gpus.n)


def _table(plan: MemoryPlan, rehearsed: Rehearsal | None) -> list[str]:
    step = plan.step
    lines = [
        f"{plan.model}, {step.method}, batch {step.batch} × {step.seq} tokens, {step.dtype}, "
        f"{step.optimizer}, checkpointing {'on' if step.checkpointing else 'off'}"
        + (f", on each of {step.n_gpus} cards" if step.n_gpus > 1 else ""),
        f"{'GiB':20}{'predicted':>10}" + ("   rehearsed" if rehearsed else ""),
    ]
    for part, size in plan.parts.items():
        seen = f"{rehearsed.parts.get(part, 0) / GIB:12.2f}" if rehearsed else ""
        lines.append(f"  {part:18}{size / GIB:10.2f}{seen}")
    seen = f"{rehearsed.peak_bytes / GIB:12.2f}" if rehearsed else ""
    lines.append(f"{'peak (' + plan.moment + ')':20}{plan.peak_bytes / GIB:10.2f}{seen}")
    lines.append(f"{'CUDA context':20}{plan.context / GIB:10.2f}  (assumed)")
    if plan.host_bytes:
        lines.append(f"{'in host memory':20}{plan.host_bytes / GIB:10.2f}")
    if rehearsed:
        error = plan.peak_bytes / rehearsed.peak_bytes - 1
        lines.append(
            f"The prediction is {100 * error:+.1f} % off the rehearsal ({rehearsed.wall_s:.0f} s)."
        )
    return lines


def _verdict(plan: MemoryPlan, gpus: Cards, change: Change | None) -> list[str]:
    room = f"{plan.needed_bytes / GIB:.1f} of {gpus.card_bytes / GIB:g} GiB"
    if plan.fits(gpus.card_bytes):
        return [f"It fits: {room}."]
    if change is None:
        return [f"It does not fit ({room}), and no change of this list helps: use a larger card."]
    words = ", ".join(change.words)
    return [
        f"It does not fit ({room}). The cheapest change that does: {words}; "
        f"then {change.plan.needed_bytes / GIB:.1f} GiB."
    ]
