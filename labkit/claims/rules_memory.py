"""Rules for the claims about memory, judged from rehearsed steps and from the memory formulas.

Knows: which rehearsed steps are compared, and how many cards a 70B model asks for.
Does not know: how bytes are counted (``planner.rehearsal``) or predicted (``memory``).
Used by ``rules``.
"""

from itertools import product
from typing import TYPE_CHECKING

from labkit.claims.outcomes import Outcome, of_parts
from labkit.claims.records import GRID, Records
from labkit.hardware import GIB
from labkit.memory import Dtype, StepConfig
from labkit.planner import fit
from labkit.planner.shapes import shape
from labkit.types import Method

if TYPE_CHECKING:
    import pandas as pd

KEY = ["model", "n_layers", "step.batch", "step.seq", "step.checkpointing"]
MOVING = ["rehearsed_parts_bytes.activations", "rehearsed_parts_bytes.logits"]
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
    figures = records.figures(GRID)
    steps = _steps(figures["points"], heavy, light)
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


def _steps(points: list[dict], heavy: str, light: str) -> "pd.DataFrame":
    """Return for each step of both methods the ``ratio`` of their peaks, and what is ``static``.

    That is the share of the heavy one's peak that is neither activations nor logits.
    """
    import pandas as pd

    table = pd.json_normalize(points).set_index(KEY)
    one, other = (table[table["step.method"] == method] for method in (heavy, light))
    peak = one["rehearsed_peak_bytes"]
    moving = one.reindex(columns=MOVING).fillna(0).sum(axis=1)
    ratio = peak / other["rehearsed_peak_bytes"].reindex(one.index)
    return pd.DataFrame({"ratio": ratio, "static": 1 - moving / peak}).dropna()


def cards_needed(
    method: Method, card_gib: int, *, dtype: Dtype = "bf16", model: str = "Llama-3.1-70B"
) -> int | None:
    """Return how many cards one step takes, everything sharded; ``None`` beyond ``MOST_CARDS``.

    One sequence of 2048 tokens a card, with checkpointing, which is the thriftiest usual step.
    """
    for n_gpus in range(1, MOST_CARDS + 1):
        step = StepConfig(method=method, n_gpus=n_gpus, seq=2048, checkpointing=True, dtype=dtype)
        if fit.predict(shape(model), step).needed_bytes <= card_gib * GIB:
            return n_gpus
    return None


def seventy_billion(records: Records) -> Outcome:
    """Judge C13: the cards and formats where two suffice and full training takes 36."""
    parts, told = {}, []
    formats: tuple[Dtype, ...] = ("bf16", "fp32")
    for dtype, card in product(formats, CARDS_GIB):
        few = cards_needed("qlora", card) or MOST_CARDS + 1
        many = cards_needed("full", card, dtype=dtype) or MOST_CARDS + 1
        name = f"{dtype} full training on {card} GiB cards"
        parts[name] = few <= CLAIMED_FEW and many >= CLAIMED_MANY
        shown = (f"> {MOST_CARDS}" if n > MOST_CARDS else str(n) for n in (few, many))
        told.append(f"{card} GiB, {dtype}: {' against '.join(shown)}")
    return of_parts(
        parts, "QLoRA against full: " + "; ".join(told), condition="it is counted against {parts}"
    )
