"""Rules for the claims about training: data, quality, time and memory of LoRA and QLoRA.

Knows: the rules; those about quality take so many questions and seeds (``records``), else they
cannot tell. Does not know: how anything was trained (``train``), timed (``bench.gpu``), or how
bytes are counted (``planner.rehearsal``) and predicted (``memory``). Used by ``rules``.
"""

from collections.abc import Callable
from itertools import product
from statistics import median

import pandas as pd

from labkit.claims.outcomes import Outcome, close, gains, loses, of_parts
from labkit.claims.records import CARDS, DATA_SIZE, GRID, METHODS, QUESTIONS, SEEDS, Records
from labkit.hardware import GIB
from labkit.memory import Dtype, StepConfig
from labkit.planner import fit
from labkit.planner.shapes import shape
from labkit.types import Interval, Method

TAKES = f"on {QUESTIONS} questions and {SEEDS} seeds or more"
LITTLE = 30  # examples
SLOWER = (1.15, 1.45)  # "about 30 %"
MUCH = 1.5  # "much less" means: at least this many times less
CARDS_GIB = (24, 32, 40, 48, 80)
FORMATS: tuple[Dtype, ...] = ("bf16", "fp32")
MOST_CARDS = 128
CLAIMED_FEW, CLAIMED_MANY = 2, 36
STEP = ["model", "step.checkpointing", "step.batch", "step.seq"]
MOVING = ["rehearsed_parts_bytes.activations", "rehearsed_parts_bytes.logits"]


Rule = Callable[[Interval], bool | None]


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


def peaks(records: Records, *, heavy: str, light: str, at_least: float) -> Outcome:
    """Judge C9 and C10: a lighter method's rehearsed peak against a heavier one's, step by step.

    Where only some steps pass, the condition names the share of the heavy method's peak that is
    neither activations nor logits: above the largest share of a failing step, all steps pass.
    """
    figures = records.figures(GRID)
    steps = _peak_ratios(figures["points"], heavy, light)
    passes = steps["ratio"] >= at_least
    told, torsos = [], []
    for (model, n_layers), ratio in steps.groupby(["model", "n_layers"], sort=False)["ratio"]:
        told.append(
            f"{model} ({n_layers} blocks): {ratio.min():.2f}× to {ratio.max():.2f}× less, median "
            f"{ratio.median():.2f}×"
        )
        if (whole := shape(model).n_layers) > n_layers:
            torsos.append(f"{model} {n_layers} of {whole} blocks")
    limit = steps["static"][~passes].max() if not passes.all() else 0.0
    above = (steps["static"][passes] > limit).sum()
    return of_parts(
        passes.to_dict(),
        f"{'; '.join(told)}; {passes.sum()} of {len(passes)} steps pass (range over steps); the "
        f"formulas differ from the rehearsals by at most {figures['largest_error']:.2%}"
        + (f"; rests on torsos: {', '.join(torsos)}" if torsos else ""),
        condition=f"weights, gradients and optimizer fill over {limit:.0%} of the heavier "
        f"method's peak ({above} of the {passes.sum()} steps that pass)",
    )


def _peak_ratios(points: list[dict], heavy: str, light: str) -> pd.DataFrame:
    """Return for each step of both methods the ``ratio`` of their peaks, and what is ``static``.

    That is the share of the heavy one's peak that is neither activations nor logits.
    """
    table = pd.json_normalize(points)
    table["moving"] = table.reindex(columns=MOVING).sum(axis=1)
    sizes = table.pivot_table(
        ["rehearsed_peak_bytes", "moving"], ["n_layers", *STEP], "step.method", sort=False
    )
    peak, moving = sizes["rehearsed_peak_bytes"], sizes["moving"][heavy]
    ratio, static = peak[heavy] / peak[light], 1 - moving / peak[heavy]
    return pd.DataFrame({"ratio": ratio, "static": static}).dropna()


def qlora_speed(records: Records) -> Outcome:
    """Judge C11: QLoRA's step time over LoRA's, step by step, on a card."""
    ratios = _time_ratios(records)
    near = ratios.between(*SLOWER)
    finding = (
        f"{ratios.min():.2f}× to {ratios.max():.2f}×, median {ratios.median():.2f}× (range over "
        f"steps); {near.sum()} of {len(near)} steps lie within {SLOWER[0]}× to {SLOWER[1]}×"
    )
    tokens = [batch * seq for *_, batch, seq in ratios[near].index]
    condition = f"a step holds some {min(tokens, default=0)} to {max(tokens, default=0)} tokens"
    return of_parts(near.to_dict(), finding, condition=condition)


def _time_ratios(records: Records) -> pd.Series:
    """Return QLoRA's median time over LoRA's for each plain step of both, by card and step."""
    runs = records.matching(CARDS)
    points = [{"card": run["name"]} | point for run in runs for point in run["figures"]["points"]]
    plain = pd.json_normalize(points).query(
        "status == 'measured' and engine == 'loop' and attention == 'sdpa' and not compiled"
    )
    plain = plain.assign(median_s=plain["step_s"].map(median))
    times = plain.pivot_table("median_s", ["card", *STEP], "step.method", sort=False)
    return (times["qlora"] / times["lora"]).dropna()


def repaired(records: Records) -> Outcome:
    """Judge C12: what 4-bit rounding costs, and whether an adapter brings it back."""
    damaged, damage = _compare(records, f"{METHODS}/nf4", f"{METHODS}/base", loses, seeds=1)
    mended, rest = _compare(records, f"{METHODS}/qlora", f"{METHODS}/lora", close)
    finding = f"NF4 minus whole base {damage}; QLoRA minus LoRA {rest}"
    if damaged is False:
        return Outcome("does not hold here", f"{finding}; these questions show no damage to repair")
    return of_parts({"": damaged and mended}, finding, condition="")


def cards_needed(method: Method, card_gib: int, *, dtype: Dtype = "bf16") -> int | None:
    """Return how many cards a step of a 70B takes, all sharded; ``None`` beyond ``MOST_CARDS``.

    One sequence of 2048 tokens a card, with checkpointing, which is the thriftiest usual step.
    """
    for n_gpus in range(1, MOST_CARDS + 1):
        step = StepConfig(method=method, n_gpus=n_gpus, seq=2048, checkpointing=True, dtype=dtype)
        if fit.predict(shape("Llama-3.1-70B"), step).needed_bytes <= card_gib * GIB:
            return n_gpus
    return None


def seventy_billion(records: Records) -> Outcome:
    """Judge C13: the cards and formats where two suffice and full training takes 36."""
    parts, told = {}, []
    for dtype, card in product(FORMATS, CARDS_GIB):
        few, many = cards_needed("qlora", card), cards_needed("full", card, dtype=dtype)
        enough = (few or MOST_CARDS + 1) <= CLAIMED_FEW and (many or MOST_CARDS + 1) >= CLAIMED_MANY
        parts[f"{dtype} full training on {card} GiB cards"] = enough
        beyond = f"> {MOST_CARDS}"
        told.append(f"{card} GiB, {dtype}: {few or beyond} against {many or beyond}")
    return of_parts(
        parts, "QLoRA against full: " + "; ".join(told), condition="it is counted against {parts}"
    )
