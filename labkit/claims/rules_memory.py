"""The three claims about memory, judged from rehearsed steps and from the memory formulas.

Knows: which rehearsed steps are compared, and how many cards a 70B model asks for.
Does not know: how bytes are counted (``rehearsal``) or predicted (``memory``).
Used by ``verdict_rules``.
"""

from collections.abc import Iterator
from statistics import median

from labkit.claims.verdicts import Claim, Outcome, Records, of_parts
from labkit.hardware import GIB
from labkit.memory import Dtype, StepConfig
from labkit.planner import fit
from labkit.planner.shapes import shape
from labkit.types import Method

GRID = {"rehearsal-grid": "python -m labkit bench memory"}
MOVING = ("activations", "logits")
MUCH = 1.5  # "much less" means: at least this many times less
CARDS_GIB = (24, 32, 40, 48, 80)
MOST_CARDS = 128
CLAIMED_FEW, CLAIMED_MANY = 2, 36


def lora_memory(records: Records) -> Outcome:
    """Judge C9: LoRA's rehearsed peak against full training's, at the same step."""
    return _peaks(records, "full", "lora", at_least=1.0)


def qlora_memory(records: Records) -> Outcome:
    """Judge C10: QLoRA's rehearsed peak against LoRA's, at the same step."""
    return _peaks(records, "lora", "qlora", at_least=MUCH)


def _peaks(records: Records, heavy: str, light: str, *, at_least: float) -> Outcome:
    """Compare two methods at every step that both were rehearsed at.

    Where only some steps pass, the condition names the share of the heavy method's peak that is
    neither activations nor logits: above the largest share of a failing step, all steps pass.
    """
    figures = records.matching("rehearsal-grid")[0]["figures"]
    pairs = list(_pairs(figures["points"], heavy, light))
    passing = [ratio >= at_least for _, ratio, _ in pairs]
    told = []
    for model in dict.fromkeys(name for name, _, _ in pairs):
        of_model = [ratio for name, ratio, _ in pairs if name == model]
        told.append(
            f"{model}: {min(of_model):.2f}× to {max(of_model):.2f}× less, median "
            f"{median(of_model):.2f}×"
        )
    finding = (
        f"{'; '.join(told)}; {sum(passing)} of {len(pairs)} steps pass (range over steps); the "
        f"formulas differ from the rehearsals by at most {figures['largest_error']:.2%}"
    )
    split: dict[bool, list[float]] = {True: [], False: []}
    for (_, _, share), passes in zip(pairs, passing, strict=True):
        split[passes].append(share)
    limit = max(split[False], default=0.0)
    above = sum(share > limit for share in split[True])
    condition = (
        f"weights, gradients and optimizer fill over {limit:.0%} of the heavier method's peak "
        f"({above} of the {len(split[True])} steps that pass)"
    )
    return of_parts(dict(enumerate(passing)), finding, condition=condition)


def _pairs(points: list[dict], heavy: str, light: str) -> Iterator[tuple[str, float, float]]:
    """Yield model, how many times less the light method takes, and the heavy one's static share."""
    steps: dict[tuple, dict[str, dict]] = {}
    for point in points:
        step = point["step"]
        name = f"{point['model']} ({point['n_layers']} blocks)"
        key = (name, step["batch"], step["seq"], step["checkpointing"])
        steps.setdefault(key, {})[step["method"]] = point
    for (name, *_), by_method in steps.items():
        if {heavy, light} <= by_method.keys():
            one, other = by_method[heavy], by_method[light]
            moving = sum(one["rehearsed_parts_bytes"].get(part, 0) for part in MOVING)
            peak = one["rehearsed_peak_bytes"]
            yield name, peak / other["rehearsed_peak_bytes"], 1 - moving / peak


def cards_needed(
    method: Method, card_gib: int, *, dtype: Dtype = "bf16", model: str = "Llama-3.1-70B"
) -> int | None:
    """Return how many cards one step takes, everything sharded; ``None`` beyond ``MOST_CARDS``.

    One sequence of 2048 tokens a card, with checkpointing, which is the thriftiest usual step.
    """
    for n_gpus in range(1, MOST_CARDS + 1):
        step = StepConfig(method=method, n_gpus=n_gpus, seq=2048, checkpointing=True, dtype=dtype)
        if fit.predict(shape(model), step).fits(card_gib * GIB):
            return n_gpus
    return None


def seventy_billion(records: Records) -> Outcome:
    """Judge C13: the cards and formats where two suffice and full training takes 36."""
    parts, told = {}, []
    formats: tuple[Dtype, ...] = ("bf16", "fp32")
    for dtype in formats:
        for card in CARDS_GIB:
            few = cards_needed("qlora", card)
            many = cards_needed("full", card, dtype=dtype)
            enough = few is not None and few <= CLAIMED_FEW
            name = f"{dtype} full training on {card} GiB cards"
            parts[name] = enough and (many is None or many >= CLAIMED_MANY)
            told.append(f"{card} GiB, {dtype}: {few or f'> {MOST_CARDS}'} against "
                        f"{many or f'> {MOST_CARDS}'}")  # fmt: skip
    return of_parts(
        parts, "QLoRA against full: " + "; ".join(told), condition="it is counted against {parts}"
    )


CLAIMS = (
    Claim(
        "C9",
        "LoRA cuts memory by a low-rank update of the weight matrix.",
        "peak of each rehearsed step at most full training's",
        "06, 08",
        GRID,
        lora_memory,
    ),
    Claim(
        "C10",
        "QLoRA stores weights in 4 bits and needs much less memory.",
        f"peak of each rehearsed step at least {MUCH}× below LoRA's",
        "07, 08",
        GRID,
        qlora_memory,
    ),
    Claim(
        "C13",
        "QLoRA fine-tunes a 70B model on 2 GPUs where it would otherwise take 36.",
        f"predicted: QLoRA on at most {CLAIMED_FEW} cards, full training on {CLAIMED_MANY} or more",
        "11",
        GRID,
        seventy_billion,
    ),
)
