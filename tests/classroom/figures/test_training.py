"""The training figures hold the numbers they were given."""

import numpy as np
import pytest

from labkit.classroom.figures import training as plots_training


def test_the_running_mean_looks_back_over_its_window_only() -> None:
    assert plots_training.running_mean([4, 2, 0, 6], 2) == pytest.approx([4, 3, 1, 3])
    assert plots_training.running_mean([4, 2, 0, 6], 1) == pytest.approx([4, 2, 0, 6])


def test_a_loss_curve_starts_at_step_one_and_its_axis_at_zero() -> None:
    ax = plots_training.loss_curves({"a": [3.0, 1.0], "b": [2.0, 2.0]}, title="Falls", window=2)
    assert [list(line.get_xdata()) for line in ax.lines] == [[1, 2], [1, 2]]
    assert [list(line.get_ydata()) for line in ax.lines] == [[3, 2], [2, 2]]
    assert ax.get_ylim()[0] == 0
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    assert len({(line.get_linestyle(), line.get_marker()) for line in ax.lines}) == 2


def test_a_single_run_also_shows_every_step() -> None:
    ax = plots_training.loss_curves({"a": [3.0, 1.0]}, title="Falls", window=2)
    assert [list(line.get_ydata()) for line in ax.lines] == [[3, 1], [3, 2]]
    assert ax.get_legend() is None


def test_energy_is_what_the_best_low_rank_approximation_keeps() -> None:
    matrix = np.random.default_rng(0).normal(size=(6, 4))
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    share = plots_training.energy(values)
    for k in range(1, 5):
        best = (left[:, :k] * values[:k]) @ right[:k]
        assert share[k - 1] == pytest.approx((best**2).sum() / (matrix**2).sum())


def test_energy_is_drawn_in_percent_against_the_rank() -> None:
    ax = plots_training.energy_by_rank({"weight": [2.0, 1.0, 1.0]}, title="Low", rank=2)
    drawn = ax.lines[0]
    assert list(drawn.get_xdata()) == [1, 2, 3]
    assert list(drawn.get_ydata()) == pytest.approx([100 * 4 / 6, 100 * 5 / 6, 100])
    assert list(ax.lines[1].get_xdata()) == [2, 2]
    assert "log scale" in ax.get_xlabel()


def test_levels_stand_below_a_histogram_of_percents() -> None:
    values = np.array([0.0, 0.0, 0.0, 1.0])
    ax = plots_training.levels_over_histogram(
        values, {"A": [-1, 0, 1], "B": [0]}, title="Levels", xlabel="weight"
    )
    assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(100)
    assert max(bar.get_height() for bar in ax.patches) == pytest.approx(75)
    first, second = ax.lines[0], ax.lines[1]
    assert list(first.get_xdata()) == [-1, 0, 1] and list(second.get_xdata()) == [0]
    assert 0 > first.get_ydata()[0] > second.get_ydata()[0]
    assert [text.get_text().strip() for text in ax.texts] == ["A", "B"]


def test_grouped_bars_start_at_zero_carry_their_numbers_and_may_have_gaps() -> None:
    groups = {"q": {"int4": 2.0, "NF4": 1.0}, "v": {"NF4": 3.0}}
    ax = plots_training.grouped_bars(groups, title="NF4", ylabel="error (%)", form="{:.2f}")
    heights = [bar.get_height() for bar in ax.patches]
    assert heights == [2, 1, 3] and ax.get_ylim()[0] == 0
    assert [text.get_text() for text in ax.texts] == ["2.00", "1.00", "3.00"]
    centres = [bar.get_x() + bar.get_width() / 2 for bar in ax.patches]
    assert centres == pytest.approx([-0.21, 0.21, 1.21])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["q", "v"]
