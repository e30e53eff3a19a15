"""The three claims about training: LoRA beside full, QLoRA's time, QLoRA's repair.

Knows: the rules. Does not know: how anything was trained (``train``) or timed (``bench_gpu``).
Used by ``verdict_rules``.
"""

from collections.abc import Iterator
from statistics import median

from labkit.claims.records import CLOSE, MARGIN, METHODS, needs
from labkit.claims.verdicts import Claim, Outcome, Records, of_parts

SLOWER = (1.15, 1.45)  # "about 30 %"


def lora_quality(records: Records) -> Outcome:
    """Judge C8: LoRA minus full fine-tuning in the exam, and seconds of the same training."""
    change = records.difference_of_parts(METHODS, "lora", "full")
    table = records.matching(METHODS)[0]["figures"]
    ratio = table["full"]["train_s"] / table["lora"]["train_s"]
    return of_parts(
        {"quality": change.low > -MARGIN, "speed": ratio > 1},
        f"LoRA minus full {change.in_points()}; full takes {ratio:.2f}× the time of LoRA",
        condition="it is about {parts}",
    )


def qlora_speed(records: Records) -> Outcome:
    """Judge C11: QLoRA's step time over LoRA's, step by step, on a card."""
    steps = list(_step_ratios(records))
    near = [SLOWER[0] <= ratio <= SLOWER[1] for _, ratio in steps]
    ratios = [ratio for _, ratio in steps]
    finding = (
        f"{min(ratios):.2f}× to {max(ratios):.2f}×, median {median(ratios):.2f}× (range over "
        f"steps); {sum(near)} of {len(near)} steps lie within {SLOWER[0]}× to {SLOWER[1]}×"
    )
    tokens = [n for (n, _), is_near in zip(steps, near, strict=True) if is_near]
    condition = f"a step holds some {min(tokens, default=0)} to {max(tokens, default=0)} tokens"
    return of_parts(dict(enumerate(near)), finding, condition=condition)


def _step_ratios(records: Records) -> Iterator[tuple[int, float]]:
    """Yield tokens a step and QLoRA's median time over LoRA's, for each plain step of both."""
    for run in records.matching("gpu-*"):
        times: dict[tuple, dict[str, float]] = {}
        for point in run["figures"]["points"]:
            step = point["step"]
            plain = point["engine"] == "loop" and point["attention"] == "sdpa"
            if point["status"] == "measured" and plain and not point["compiled"]:
                key = (point["model"], step["checkpointing"], step["batch"], step["seq"])
                times.setdefault(key, {})[step["method"]] = median(point["step_s"])
        for (*_, batch, seq), by_method in times.items():
            if {"lora", "qlora"} <= by_method.keys():
                yield batch * seq, by_method["qlora"] / by_method["lora"]


def repaired(records: Records) -> Outcome:
    """Judge C12: what 4-bit rounding costs, and whether an adapter brings it back."""
    damage = records.difference_of_parts(METHODS, "nf4", "base")
    rest = records.difference_of_parts(METHODS, "qlora", "lora")
    finding = f"NF4 minus whole base {damage.in_points()}; QLoRA minus LoRA {rest.in_points()}"
    if not damage.high < 0:
        return Outcome("does not hold here", f"{finding}; these questions show no damage to repair")
    return of_parts({"": rest.low > -MARGIN}, finding, condition="")


CLAIMS = (
    Claim(
        "C8",
        "LoRA is fast and close to full fine-tuning in quality.",
        f"LoRA is {CLOSE} full, at the interval's worse end, and takes less time",
        "08",
        needs(METHODS),
        lora_quality,
    ),
    Claim(
        "C11",
        "QLoRA training is about 30 % slower than LoRA.",
        f"step time {SLOWER[0]} to {SLOWER[1]} times LoRA's, for each batch and length",
        "08",
        needs("gpu-*"),
        qlora_speed,
    ),
    Claim(
        "C12",
        "QLoRA uses LoRA to repair the quantization error.",
        f"NF4 surely costs exam points, and QLoRA is {CLOSE} LoRA",
        "08",
        needs(METHODS),
        repaired,
    ),
)
