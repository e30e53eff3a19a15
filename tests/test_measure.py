"""Seconds, bytes and intervals."""

import math
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from labkit import measure
from labkit.measure import Stopwatch, bootstrap_mean, paired_difference, sign_flip_p
from labkit.types import Interval

shares = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(shares)
def test_the_interval_holds_the_mean_and_repeats(values) -> None:
    interval = bootstrap_mean(values, n_resamples=200)
    assert interval == bootstrap_mean(values, n_resamples=200)
    assert interval.mean == pytest.approx(statistics.fmean(values))
    assert 0 <= interval.low <= interval.mean <= interval.high <= 1
    assert interval.n == len(values)


def test_the_interval_is_as_wide_as_theory_says() -> None:
    values = [1.0] * 80 + [0.0] * 120
    interval = bootstrap_mean(values, n_resamples=20_000)
    half_width = 1.96 * math.sqrt(0.4 * 0.6 / 200)
    assert interval.low == pytest.approx(0.4 - half_width, abs=0.006)
    assert interval.high == pytest.approx(0.4 + half_width, abs=0.006)


def test_the_interval_is_scipys_percentile_bootstrap() -> None:
    values = np.random.default_rng(4).gamma(2.0, size=150)  # skewed, as seconds are
    ours = bootstrap_mean(values, n_resamples=20_000)
    theirs = stats.bootstrap(
        (values,), np.mean, method="percentile", confidence_level=0.95, n_resamples=20_000,
        rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.01)


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        bootstrap_mean([])


def test_a_share_is_shown_in_percent() -> None:
    assert str(Interval(0.4, 0.312, 0.488, 100)) == "40 % (31–49)"


def test_stopwatch_adds_up_stages_and_keeps_time_after_an_error(monkeypatch) -> None:
    clock = iter([0.0, 1.5, 10.0, 10.25, 20.0, 22.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    watch = Stopwatch()
    for _ in range(2):
        with watch.stage("retrieve"):
            pass
    with pytest.raises(KeyError), watch.stage("generate"):
        raise KeyError
    assert watch.seconds == {"retrieve": 1.75, "generate": 2.0}


def test_peak_memory_is_in_bytes_and_stays_after_an_array_is_gone(root: Path) -> None:
    code = """
import numpy as np, psutil
from labkit.measure import peak_rss_bytes
resident, before = psutil.Process().memory_info().rss, peak_rss_bytes()
np.ones(16 * 2**20)
print(resident, before, peak_rss_bytes())
"""
    said = subprocess.check_output([sys.executable, "-c", code], cwd=root, text=True)
    resident, before, after = map(int, said.split())
    assert 0.9 * resident <= before < 4 * 2**30
    assert 0.9 * 128 * 2**20 <= after - before + (before - resident) < 2**30


def test_resident_memory_follows_what_is_held_and_freed() -> None:
    from labkit import measure

    before = measure.rss_bytes()
    held = np.ones(8_000_000)  # 64 MB, written to
    during = measure.rss_bytes()
    del held
    assert during - before > 50_000_000
    assert measure.rss_bytes() < during - 50_000_000
    assert measure.peak_rss_bytes() >= during - 1_000_000


def pairs(n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    """Return two systems' right and wrong answers; the first is a little better."""
    draw = np.random.default_rng(3)
    b = (draw.random(n) < 0.5).astype(float)
    flips = draw.random(n)
    return np.where((b == 0) & (flips < 0.4), 1.0, np.where((b == 1) & (flips < 0.1), 0.0, b)), b


def test_a_paired_difference_is_the_first_minus_the_second() -> None:
    assert paired_difference([1, 1, 0, 1], [0, 1, 0, 0]).mean == 0.5
    assert paired_difference([0, 0], [1, 1]) == Interval(-1.0, -1.0, -1.0, 2)


def test_a_paired_difference_has_scipys_percentile_interval() -> None:
    a, b = pairs()
    ours = paired_difference(a, b, n_resamples=20_000)
    theirs = stats.bootstrap(
        (a, b), lambda x, y, axis: (x - y).mean(axis), paired=True, method="percentile",
        n_resamples=20_000, rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.013)


def test_pairing_is_surer_than_two_separate_intervals() -> None:
    draw = np.random.default_rng(0)
    hard = draw.random(200)
    a, b = hard + 0.02, hard
    assert paired_difference(a, b).low > 0
    assert bootstrap_mean(a).low < bootstrap_mean(b).high


def test_the_sign_flip_test_agrees_with_scipy_counting_every_flip() -> None:
    a, b = [3.0, 1.0, 2.0, 5.0, 4.0], [1.0, 1.5, 0.0, 2.0, 3.0]
    exact = stats.permutation_test(
        (a, b), lambda x, y, axis: np.mean(np.subtract(x, y), axis), vectorized=True,
        permutation_type="samples", n_resamples=np.inf,
    ).pvalue  # fmt: skip
    assert sign_flip_p(a, b, n_flips=40_000) == pytest.approx(exact, abs=0.01)


def test_the_sign_flip_test_agrees_with_scipy() -> None:
    a, b = pairs()
    theirs = stats.permutation_test(
        (a, b), lambda x, y, axis: (x - y).mean(axis), permutation_type="samples", vectorized=True,
        n_resamples=20_000, rng=np.random.default_rng(0),
    ).pvalue  # fmt: skip
    assert sign_flip_p(a, b, n_flips=20_000) == pytest.approx(theirs, abs=0.01)


def test_two_equal_systems_do_not_differ() -> None:
    assert sign_flip_p([1, 0, 1], [1, 0, 1]) == 1.0
    assert paired_difference([1, 0, 1], [1, 0, 1]) == Interval(0.0, 0.0, 0.0, 3)


@pytest.mark.parametrize("function", [paired_difference, sign_flip_p])
def test_what_cannot_be_paired_is_refused(function) -> None:
    with pytest.raises(ValueError, match="2 values cannot be paired with 1"):
        function([1.0, 0.0], [1.0])
    with pytest.raises(ValueError, match="0 values"):
        function([], [])


def test_an_interval_comes_back_from_its_record_and_shows_points() -> None:
    gap = Interval.of({"mean": 0.071, "low": 0.022, "high": 0.124, "n": 9, "p": 0.01})
    assert gap == Interval(0.071, 0.022, 0.124, 9)
    assert gap.in_points() == "+7.1 points (+2.2 to +12.4)"
    assert gap.excludes_zero and not Interval(0.1, -0.1, 0.2, 9).excludes_zero
    assert Interval(-0.1, -0.2, -0.01, 9).excludes_zero


def test_a_card_is_asked_through_torch_and_nothing_is_subtracted(monkeypatch) -> None:
    """Every call to ``torch.cuda`` stands in one class; this is what it asks."""
    import torch

    told: list[str] = []
    numbers = {"max_memory_allocated": 7, "max_memory_reserved": 9, "memory_reserved": 2}
    for name, value in numbers.items():
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    for name in ("empty_cache", "reset_peak_memory_stats", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, lambda name=name: told.append(name))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (30, 100))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    card = measure.Device()
    assert card.kind == "cuda" and card.peaks() == {"allocated": 7, "reserved": 9}
    assert card.free_bytes() == 32, "what PyTorch keeps for itself can be used, others' cannot"
    card.clear()
    assert told == ["empty_cache", "reset_peak_memory_stats"]
    card.reset_peak()
    assert told[2:] == ["reset_peak_memory_stats"], "reserved memory stays"
    assert card.now() <= card.now() and told[-1] == "synchronize"


def test_the_processor_has_a_resident_peak_and_free_memory() -> None:
    device = measure.Device("cpu")
    assert set(device.peaks()) == {"resident"} and device.peaks()["resident"] > 2**20
    assert device.free_bytes() > 0
    device.clear()


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_running_out_of_memory_is_known_by_its_words(error: Exception, wanted: bool) -> None:
    assert measure.is_out_of_memory(error) is wanted
