"""What only a CUDA card can show; skipped where there is none. About five minutes on a T4.

The models come from the cache, so `labkit fetch` first. Run with: pytest tests/gpu
"""

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from labkit import catalogue, hardware, models, train
from labkit.bench import gpu as bench
from labkit.measure import Device
from labkit.types import Example, TrainConfig

pytestmark = pytest.mark.gpu
EXAMPLES = [
    Example([{"role": "user", "content": f"How much grease for bearing {n}?"}], f"{n} kg")
    for n in range(24)
]
CONFIG = TrainConfig(catalogue.SMALL_MODEL, batch_size=4)


@pytest.fixture
def card() -> Any:
    """Return the card, with nothing of an earlier test on it."""
    device = Device("cuda")
    device.clear()
    yield device
    gc.collect()
    device.clear()


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_six_steps_skip_none_and_lower_the_loss(card: Device, tmp_path: Path, method: Any) -> None:
    result = train.train(EXAMPLES, tmp_path, replace(CONFIG, method=method))
    assert len(result.log) == 6 and result.n_skipped == 0
    assert result.log[-1]["loss"] < result.log[0]["loss"]
    assert 0 < result.peak_bytes["allocated"] <= result.peak_bytes["reserved"]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_the_peak_of_a_step_is_within_5_percent_of_the_plan(
    card: Device, method: Any, checkpointing: bool
) -> None:
    step = bench._step(hardware.detect(), method, 4, 512, checkpointing)
    measured = bench.Bench(card).measure(bench.Point(bench.SMALL, step))
    assert measured["status"] == "measured"
    assert measured["predicted_peak_bytes"] == pytest.approx(measured["allocated_bytes"], rel=0.05)


def test_attention_takes_memory_in_proportion_to_the_length(card: Device) -> None:
    """Where the scores were written down, a step four times as long would take sixteen times."""
    peaks = []
    for seq in (512, 2048):
        step = bench._step(hardware.detect(), "lora", 1, seq, False)
        peaks.append(bench.Bench(card).measure(bench.Point(bench.SMALL, step))["allocated_bytes"])
    assert peaks[1] < 5 * peaks[0]


def test_memory_comes_back_after_a_run_that_did_not_fit(card: Device, tmp_path: Path) -> None:
    before = card.free_bytes()
    long = [Example([{"role": "user", "content": "grease " * 7000}], "kg")] * 64
    config = replace(CONFIG, method="full", batch_size=64, max_tokens=8192)
    with pytest.raises(MemoryError, match="micro_batch"):
        train.train(long, tmp_path, config)
    gc.collect()
    card.clear()
    assert card.free_bytes() > 0.9 * before


def test_a_qlora_adapter_is_asked_on_the_base_that_it_was_trained_on(
    card: Device, tmp_path: Path
) -> None:
    from bitsandbytes.nn import Linear4bit

    train.train(EXAMPLES, tmp_path, replace(CONFIG, method="qlora"))
    llm = models.load_language_model(tuned=tmp_path)
    assert any(isinstance(layer, Linear4bit) for layer in llm.model.modules())
    assert llm.generate(EXAMPLES[0].messages).text
