"""Bars, rows of dots and differences hold the numbers they were given."""

import subprocess
import sys

import pytest

from labkit.classroom import figures
from labkit.types import Interval


def ticks(axis) -> list[str]:
    return [label.get_text() for label in axis.get_ticklabels()]


def legend(ax) -> list[str]:
    return [text.get_text() for one in ax.figure.legends for text in one.get_texts()]


def test_no_figure_loads_matplotlib_before_it_is_drawn() -> None:
    code = "import sys, labkit.classroom.figures; print('matplotlib' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def test_shares_are_drawn_in_percent_and_labels_stand_clear_of_whiskers() -> None:
    groups = {"lookup": {"base": Interval(0, 0, 0, 9), "RAG": Interval(0.5, 0.4, 1.0, 9)},
              "table": {"base": None, "RAG": Interval(0.25, 0.1, 0.5, 9)}}  # fmt: skip
    ax = figures.bars(groups, title="t", ylabel="right (%)")
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0, 50, 25])
    assert [text.get_text() for text in ax.texts] == ["0", "50", "25"]
    assert ticks(ax.xaxis) == ["lookup", "table"] and legend(ax) == ["base", "RAG"]
    ax.figure.draw_without_rendering()
    top = ax.transData.transform((0, 100))[1]
    label = ax.texts[1].get_window_extent()
    assert label.y0 > top and label.y1 < ax.get_window_extent().y1, "above its whisker, inside"


def test_numbers_are_drawn_as_they_are_from_zero_with_gaps() -> None:
    groups = {"q": {"int4": 2.0, "NF4": 1.0}, "v": {"NF4": 3.0}}
    ax = figures.bars(groups, title="NF4", ylabel="error (%)", form="{:.2f}")
    assert [bar.get_height() for bar in ax.patches] == [2, 1, 3] and ax.get_ylim()[0] == 0
    assert [text.get_text() for text in ax.texts] == ["2.00", "1.00", "3.00"]
    centres = [bar.get_x() + bar.get_width() / 2 for bar in ax.patches]
    assert centres == pytest.approx([-0.21, 0.21, 1.21])
    assert len({bar.get_hatch() for bar in ax.patches}) == 2


def test_dots_stand_in_their_rows_and_whiskers_reach_from_low_to_high() -> None:
    rows = {"a": {"right": Interval(0.5, 0.4, 0.8, 9), "wrong": Interval(0.1, 0, 0.2, 9)},
            "b": {"right": Interval(0.2, 0.1, 0.3, 9)}}  # fmt: skip
    ax = figures.dots(rows, title="t", xlabel="share (%)")
    right, wrong = (container.lines[0] for container in ax.containers)
    assert list(right.get_xdata()) == pytest.approx([50, 20])
    assert list(right.get_ydata()) == pytest.approx([-0.12, 1])
    assert list(wrong.get_ydata()) == pytest.approx([0.12])
    (whiskers,) = ax.containers[0].lines[2]
    assert whiskers.get_segments()[0][:, 0].tolist() == pytest.approx([40, 80])
    assert ticks(ax.yaxis) == ["a", "b"] and ax.get_ylim()[0] > ax.get_ylim()[1]


def test_plain_dots_start_at_zero() -> None:
    ax = figures.dots({"2": {"rank": 1.5}, "8": {"rank": 1.2}}, title="t", xlabel="loss")
    assert ax.get_xlim()[0] == 0 and list(ax.lines[0].get_xdata()) == [1.5, 1.2]


def test_a_forest_marker_is_filled_only_where_the_interval_excludes_zero() -> None:
    rows = {
        "better": Interval(0.1, 0.02, 0.2, 9),
        "unsure": Interval(0.1, -0.1, 0.2, 9),
        "worse": Interval(-0.1, -0.2, -0.01, 9),
    }
    ax = figures.forest(rows, title="T", xlabel="points")
    drawn = {one.get_label(): one.lines[0] for one in ax.containers}
    assert {name: list(line.get_xdata()) for name, line in drawn.items()} == {
        "more": [10], "less": [-10], "cannot tell": [10]
    }  # fmt: skip
    hollow = [name for name, line in drawn.items() if line.get_markerfacecolor() == "white"]
    assert hollow == ["cannot tell"] and legend(ax) == list(drawn)
    assert list(ax.lines[-1].get_xdata()) == [0, 0]


def test_many_long_names_make_the_figure_higher() -> None:
    few = figures.dots({"a": {"x": 1.0}}, title="t", xlabel="x")
    many = figures.dots(
        {f"{i} {'name ' * 20}": {"x": 1.0} for i in range(9)}, title="t", xlabel="x"
    )
    assert few.figure.get_figheight() == 3.6 < many.figure.get_figheight()
