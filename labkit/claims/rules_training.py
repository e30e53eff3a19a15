"""Rules for the claims about training: how much data, LoRA beside full, QLoRA's time and repair.

Knows: the rules; each takes so many questions and seeds (``records``), else it cannot tell.
Does not know: how anything was trained (``train``) or timed (``bench.gpu``). Used by ``rules``.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from labkit.claims.outcomes import Outcome, close, gains, loses, of_parts
from labkit.claims.records import CARDS, DATA_SIZE, METHODS, QUESTIONS, SEEDS, Records
from labkit.types import Interval

if TYPE_CHECKING:
    import pandas as pd

TAKES = f"on {QUESTIONS} questions and {SEEDS} seeds or more"
LITTLE = 30  # examples
SLOWER = (1.15, 1.45)  # "about 30 %"
Rule = Callable[[Interval], bool | None]
KEY = ["card", "model", "step.checkpointing", "step.batch", "step.seq"]


def _compare(
    records: Records, one: str, other: str, rule: Rule, *, seeds: int = SEEDS
) -> tuple[bool | None, str]:
    """Return whether a rule holds for the difference of two cells, and what it rests on, in words.

    Too few questions or training seeds for any rule give ``None``.
    """
    change, pairs = records.difference(one, other), records.pairs(one, other)
    n_seeds = records.n_seeds(one, other)
    n_differ = (pairs["one"] != pairs["other"]).sum()
    told = f"{change.in_points()}, resting on {n_differ} of {len(pairs)} questions"
    if seeds > 1:
        told += f" and {n_seeds} of {seeds} seeds"
    return rule(change) if change.n >= QUESTIONS and n_seeds >= seeds else None, told


def data_quality(records: Records) -> Outcome:
    """Judge C3: few examples against none, and 20 % noisy labels against clean ones."""
    rows = records.figures(DATA_SIZE)["runs"]
    few = max(row["n_examples"] for row in rows if 0 < row["n_examples"] <= LITTLE)
    n, noise = next((row["n_examples"], row["noise"]) for row in rows if row["noise"])
    grown, little = _compare(records, f"{DATA_SIZE}/{few}/0", f"{DATA_SIZE}/0/0", gains)
    spoiled, noisy = _compare(records, f"{DATA_SIZE}/{n}/{noise:g}", f"{DATA_SIZE}/{n}/0", loses)
    return of_parts(
        {"little data": None if grown is None else not grown, "noisy labels": spoiled},
        f"{few} examples against none {little}; noisy against clean labels {noisy}",
        condition="it is about {parts}",
    )


def lora_quality(records: Records) -> Outcome:
    """Judge C8: LoRA minus full fine-tuning in the exam, and seconds of the same training."""
    as_good, told = _compare(records, f"{METHODS}/lora", f"{METHODS}/full", close)
    figures = records.figures(METHODS)
    ratio = figures["full"]["train_s"] / figures["lora"]["train_s"]
    return of_parts(
        {"quality": as_good, "speed": ratio > 1},
        f"LoRA minus full {told}; full takes {ratio:.2f}× the time of LoRA",
        condition="it is about {parts}",
    )


def qlora_speed(records: Records) -> Outcome:
    """Judge C11: QLoRA's step time over LoRA's, step by step, on a card."""
    ratios = _step_ratios(records)
    near = ratios.between(*SLOWER)
    finding = (
        f"{ratios.min():.2f}× to {ratios.max():.2f}×, median {ratios.median():.2f}× (range over "
        f"steps); {near.sum()} of {len(near)} steps lie within {SLOWER[0]}× to {SLOWER[1]}×"
    )
    tokens = [batch * seq for *_, batch, seq in ratios[near].index]
    condition = f"a step holds some {min(tokens, default=0)} to {max(tokens, default=0)} tokens"
    return of_parts(near.to_dict(), finding, condition=condition)


def _step_ratios(records: Records) -> "pd.Series":
    """Return QLoRA's median time over LoRA's for each plain step of both, by ``KEY``."""
    import pandas as pd

    runs = records.matching(CARDS)
    points = [{"card": run["name"]} | point for run in runs for point in run["figures"]["points"]]
    table = pd.json_normalize(points)
    plain = table.query(
        "status == 'measured' and engine == 'loop' and attention == 'sdpa' and not compiled"
    )
    plain = plain.assign(median_s=plain["step_s"].map(lambda seconds: pd.Series(seconds).median()))
    times = plain.pivot_table("median_s", index=KEY, columns="step.method", sort=False)
    return (times["qlora"] / times["lora"]).dropna()


def repaired(records: Records) -> Outcome:
    """Judge C12: what 4-bit rounding costs, and whether an adapter brings it back."""
    damaged, damage = _compare(records, f"{METHODS}/nf4", f"{METHODS}/base", loses, seeds=1)
    mended, rest = _compare(records, f"{METHODS}/qlora", f"{METHODS}/lora", close)
    finding = f"NF4 minus whole base {damage}; QLoRA minus LoRA {rest}"
    if damaged is False:
        return Outcome("does not hold here", f"{finding}; these questions show no damage to repair")
    return of_parts({"": damaged and mended}, finding, condition="")
