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

from labkit.measure import Interval, Stopwatch, bootstrap_mean

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
