"""Figures of lesson 05 hold the numbers they were given."""

import pytest

from labkit.classroom.figures import rag as plots_rag
from labkit.retrieval_metrics import Threshold
from labkit.types import Interval


def test_a_forest_row_is_filled_only_where_the_interval_excludes_zero() -> None:
    rows = {
        "better": Interval(0.1, 0.02, 0.2, 9),
        "unsure": Interval(0.1, -0.1, 0.2, 9),
        "worse": Interval(-0.1, -0.2, -0.01, 9),
    }
    ax = plots_rag.forest(rows, title="T", xlabel="points")
    bars, means = ax.lines[:-1:2], ax.lines[1:-1:2]
    assert [list(bar.get_xdata()) for bar in bars] == [[2, 20], [-10, 20], [-20, -1]]
    assert [mean.get_xdata()[0] for mean in means] == [10, 10, -10]
    assert [mean.get_markerfacecolor() == "white" for mean in means] == [False, True, False]
    assert [t.get_text() for t in ax.get_yticklabels()] == list(rows)
    assert ax.yaxis_inverted() or ax.get_ylim()[0] > ax.get_ylim()[1]


def test_a_heat_map_writes_percents_and_marks_the_best_of_each_column() -> None:
    rows = {"vector": {"lookup": 0.614, "table": 0.1}, "text": {"lookup": 0.5, "table": None}}
    ax = plots_rag.heat(rows, title="T", label="hit@1 (%)")
    written = {text.get_position(): (text.get_text(), text.get_weight()) for text in ax.texts}
    assert written == {(0, 0): ("61", "bold"), (1, 0): ("10", "bold"), (0, 1): ("50", "normal")}
    assert [t.get_text() for t in ax.get_xticklabels()] == ["lookup", "table"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["vector", "text"]


def test_the_curve_shows_every_point_the_choice_and_the_coin() -> None:
    points = [Threshold(0.1, 1.0, 0.5), Threshold(0.2, 0.5, 1.0)]
    ax = plots_rag.precision_recall(
        {"cosine": points}, base_rate=0.2, chosen={"cosine": points[0]}, title="T"
    )
    curve, chosen, coin = ax.lines
    assert list(zip(*curve.get_data(), strict=True)) == [(50, 100), (100, 50)]
    assert (chosen.get_xdata()[0], chosen.get_ydata()[0]) == (50, 100)
    assert coin.get_ydata()[0] == pytest.approx(20)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [
        "cosine",
        "cosine, threshold from training",
    ]
