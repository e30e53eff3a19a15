"""Seconds, bytes and intervals."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.measure import Interval, Stopwatch, bootstrap_mean, peak_rss_bytes

shares = st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=60)


@settings(max_examples=40, deadline=None)
@given(shares, st.integers(0, 5))
def test_the_interval_holds_the_mean_and_repeats_with_its_seed(values, seed: int) -> None:
    interval = bootstrap_mean(values, seed=seed, n_resamples=200)
    assert interval == bootstrap_mean(values, seed=seed, n_resamples=200)
    assert interval.mean == pytest.approx(statistics.fmean(values))
    assert 0 <= interval.low <= interval.mean <= interval.high <= 1
    assert interval.n == len(values)


def test_another_seed_gives_another_interval() -> None:
    values = np.random.default_rng(0).random(50)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_the_interval_is_as_wide_as_theory_says() -> None:
    values = [1.0] * 80 + [0.0] * 120
    interval = bootstrap_mean(values, n_resamples=20_000)
    half_width = 1.96 * math.sqrt(0.4 * 0.6 / 200)
    assert interval.low == pytest.approx(0.4 - half_width, abs=0.006)
    assert interval.high == pytest.approx(0.4 + half_width, abs=0.006)


def test_a_lower_level_gives_a_narrower_interval() -> None:
    values = np.random.default_rng(0).random(50)
    wide, narrow = bootstrap_mean(values), bootstrap_mean(values, level=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high


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


def test_peak_memory_is_in_bytes_and_grows_with_an_array() -> None:
    import psutil

    before = peak_rss_bytes()
    resident = psutil.Process().memory_info().rss
    assert 0.8 * resident <= before < 100 * 2**30
    block = np.ones(max(0, before - resident) // 8 + 8 * 2**20)
    assert peak_rss_bytes() >= before + 32 * 2**20
    assert block.size
