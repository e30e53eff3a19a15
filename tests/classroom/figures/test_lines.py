"""Lines, loose points and losses hold the numbers they were given."""

import pytest

from labkit.classroom import figures
from labkit.classroom.figures.lines import running_mean
from labkit.types import Interval


def ticks(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def test_series_differ_in_marker_and_line_style_and_start_at_zero() -> None:
    series = {"a": [(1, 3.0), (2, 1.0)], "b": [(1, 2.0), (2, 2.0)]}
    ax = figures.lines(series, title="t", xlabel="k", ylabel="%")
    assert [line.get_xydata().tolist() for line in ax.lines] == [[[1, 3], [2, 1]], [[1, 2], [2, 2]]]
    assert len({(line.get_linestyle(), line.get_marker()) for line in ax.lines}) == 2
    assert ax.get_ylim()[0] == 0 and (ax.get_xlabel(), ax.get_ylabel()) == ("k", "%")
    (below,) = ax.figure.legends
    assert [text.get_text() for text in below.get_texts()] == ["a", "b"]


def test_log_axes_say_so_and_name_the_values_that_were_measured() -> None:
    ax = figures.lines({"a": [(3, 60.0), (300, 1.0)]}, title="t", xlabel="n", ylabel="s", log="xy")
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("n (log scale)", "s (log scale)")
    assert ticks(ax.xaxis) == ["3", "300"] and not ax.figure.legends


def test_zero_is_kept_on_a_log_axis_and_twins_share_a_tick() -> None:
    half = Interval(0.5, 0.4, 0.7, 9)
    series = {"clean": [(0, half), (100, half)], "noisy": [(108, half)]}
    ax = figures.lines(series, title="t", xlabel="n", ylabel="right (%)", log="x")
    assert list(ax.containers[0].lines[0].get_ydata()) == pytest.approx([50, 50])
    (whiskers,) = ax.containers[1].lines[2]
    assert whiskers.get_segments()[0][:, 1].tolist() == pytest.approx([40, 70])
    assert ticks(ax.xaxis) == ["0", "100"] and ax.get_xlabel() == "n (log scale beyond 100)"


def test_loose_points_are_not_joined_and_hollow_ones_not_filled() -> None:
    series = {"ours": [(2, 1.2), (1, 1.4)], "cited": [(2, 2.5)]}
    ax = figures.lines(
        series, title="t", xlabel="x", ylabel="y", joined=False, from_zero=False, hollow=["cited"]
    )
    ours, cited = ax.lines
    assert ours.get_linestyle() == "None" and list(ours.get_xdata()) == [2, 1]
    assert cited.get_markerfacecolor() == "white" != ours.get_markerfacecolor()
    assert ax.get_ylim()[0] > 0


def test_guides_cross_the_axes_with_their_label() -> None:
    ax = figures.lines({"a": [(1, 1.0), (9, 2.0)]}, title="t", xlabel="x", ylabel="y")
    figures.guide(figures.guide(ax, "rank 8", x=8), y=1.3)
    assert list(ax.lines[-2].get_xdata()) == [8, 8] and list(ax.lines[-1].get_ydata()) == [1.3, 1.3]
    assert ax.texts[0].get_text().strip() == "rank 8"


def test_the_running_mean_looks_back_over_its_window_only() -> None:
    assert running_mean([4, 2, 0, 6], 2) == pytest.approx([4, 3, 1, 3])
    assert running_mean([4, 2, 0, 6], 1) == pytest.approx([4, 2, 0, 6])


def test_losses_are_drawn_against_steps_or_the_seconds_spent_so_far() -> None:
    runs = {"LoRA": [4.0, 2.0, 0.0], "full": [4.0, 2.0, 0.0]}
    ax = figures.losses(runs, title="Falls", window=2)
    assert ax.lines[0].get_xydata().tolist() == [[1, 4], [2, 3], [3, 1]] and len(ax.lines) == 2
    seconds = dict.fromkeys(runs, [2.0, 1.0, 1.0])
    ax = figures.losses(runs, seconds=seconds, title="Falls", window=2)
    assert ax.lines[0].get_xydata().tolist() == [[2, 4], [3, 3], [4, 1]]
    assert "seconds" in ax.get_xlabel() and ax.get_ylim()[0] == 0


def test_a_single_run_also_shows_every_step() -> None:
    ax = figures.losses({"a": [3.0, 1.0]}, title="Falls", window=2)
    assert [list(line.get_ydata()) for line in ax.lines] == [[3, 2], [3, 1]]
    assert not ax.figure.legends
