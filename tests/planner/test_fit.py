"""The largest that fits does fit, one more does not, and a suggested change fits."""

from dataclasses import replace

import pytest

from labkit.hardware import GIB
from labkit.memory import StepConfig
from labkit.planner import fit
from labkit.planner.fit import predict
from labkit.planner.shapes import shape

PHI = shape("Phi-3.5-mini-instruct")


@pytest.mark.parametrize("answers", [None, 256])
def test_the_longest_sequence_fits_and_one_token_more_does_not(answers) -> None:
    step = StepConfig(method="qlora", seq=1024, answer_tokens=answers)
    longest = fit.longest_sequence(PHI, step, 12 * GIB)
    share = answers and answers * longest // 1024
    assert predict(PHI, replace(step, seq=longest, answer_tokens=share)).fits(12 * GIB)
    more = longest + 1
    share = answers and answers * more // 1024
    assert not predict(PHI, replace(step, seq=more, answer_tokens=share)).fits(12 * GIB)


def test_the_largest_batch_fits_and_one_more_does_not() -> None:
    step = StepConfig(method="qlora", seq=512, checkpointing=True)
    batch = fit.largest_batch(PHI, step, 12 * GIB)
    assert predict(PHI, replace(step, batch=batch)).fits(12 * GIB)
    assert not predict(PHI, replace(step, batch=batch + 1)).fits(12 * GIB)


def test_nothing_fits_on_a_card_smaller_than_the_weights() -> None:
    step = StepConfig(method="full")
    assert fit.largest_batch(PHI, step, GIB) == 0
    assert fit.longest_sequence(PHI, step, GIB) == 0
    assert fit.cheapest_change(PHI, step, GIB) is None


@pytest.mark.parametrize("gib", [6, 10, 16, 24, 40])
def test_a_suggested_change_fits_and_none_of_it_is_needless(gib: int) -> None:
    start = StepConfig(method="full", batch=8, seq=2048)
    change = fit.cheapest_change(PHI, start, gib * GIB)
    assert change is not None and change.plan.fits(gib * GIB)
    assert change.plan == predict(PHI, change.step)
    for field in ("method", "batch", "checkpointing", "optimizer"):
        undone = replace(change.step, **{field: getattr(start, field)})
        assert undone == change.step or not predict(PHI, undone).fits(gib * GIB)
    assert len(change.words) == sum(
        getattr(start, field) != getattr(change.step, field)
        for field in StepConfig.__dataclass_fields__
    )


def test_the_free_change_is_offered_first() -> None:
    start = StepConfig(method="lora", batch=4, seq=1024, checkpointing=True)
    need = predict(PHI, start).range_bytes[1]
    change = fit.cheapest_change(PHI, start, need - 1)
    assert change is not None
    assert change.words == ("logits for the answer only (--answer-tokens 256)",)


@pytest.mark.parametrize("bf16", [True, False])
@pytest.mark.parametrize("method", ["lora", "qlora"])
def test_a_whole_run_of_the_gpu_model_fits_a_t4(method, bf16) -> None:
    from labkit.hardware import CARDS_GIB, Hardware
    from labkit.train import precision
    from labkit.types import TrainConfig

    card = int(CARDS_GIB["t4"] * GIB)
    machine = Hardware("CPU", 2, 12 * GIB, False, "T4", 1, card, bf16)
    asked = TrainConfig("Phi-3.5-mini-instruct", method, batch_size=8)
    config, plan = fit.for_card(PHI, asked, precision(method, machine), card)
    assert plan.fits(card) and 8 % config.rows_at_once == 0 and config.batch_size == 8
    if config.rows_at_once < 8:
        more = replace(config, micro_batch=2 * config.rows_at_once)
        step = fit.step_of(more, precision(method, machine), seq=1024, answer_tokens=256)
        assert not predict(PHI, step).fits(card)


def test_a_card_is_filled_with_rows_before_blocks_run_twice_and_a_wish_is_kept() -> None:
    from labkit.types import Precision, TrainConfig

    run = TrainConfig("Phi-3.5-mini-instruct", "qlora", batch_size=8)
    formats = Precision("bfloat16")
    large, _ = fit.for_card(PHI, run, formats, 79 * GIB)
    assert (large.rows_at_once, large.checkpointing) == (8, False)
    small, plan = fit.for_card(PHI, run, formats, 6 * GIB)
    assert small.checkpointing and plan.fits(6 * GIB)
    wished, _ = fit.for_card(PHI, replace(run, micro_batch=4, checkpointing=True), formats, GIB)
    assert (wished.micro_batch, wished.checkpointing) == (4, True)
