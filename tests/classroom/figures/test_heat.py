"""Heat maps write each number in its cell, readable on its shade."""

import numpy as np
import pytest

from labkit.classroom import figures
from labkit.types import Interval


def written(ax) -> dict[tuple, str]:
    return {text.get_position(): text.get_text() for text in ax.texts}


def test_shares_are_written_in_percent_and_the_best_of_each_column_is_bold() -> None:
    def part(mean: float) -> Interval:
        return Interval(mean, 0, 1, 9)

    rows = {"vector": {"lookup": part(0.614), "table": part(0.1)},
            "text": {"lookup": part(0.5), "table": None}}  # fmt: skip
    ax = figures.heat(rows, title="T", xlabel="hit@1 (%)", best=True)
    assert written(ax) == {(0, 0): "61", (1, 0): "10", (0, 1): "50", (1, 1): ""}
    weights = {text.get_position(): text.get_weight() for text in ax.texts}
    assert weights[0, 0] == weights[1, 0] == "bold" and weights[0, 1] == "normal"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["lookup", "table"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["vector", "text"]
    assert ax.images[0].get_clim() == (0, 100)


def test_intervals_stand_below_shares_and_what_is_absent_is_named() -> None:
    rows = {"base": {"closed book": Interval(0.1, 0.05, 0.2, 9), "RAG": None},
            "LoRA": {"closed book": None, "RAG": Interval(0.9, 0.85, 0.94, 9)}}  # fmt: skip
    ax = figures.heat(rows, title="t", xlabel="x", intervals=True, absent="not yet")
    assert written(ax) == {
        (0, 0): "10\n(5–20)", (1, 0): "not yet", (0, 1): "not yet", (1, 1): "90\n(85–94)"
    }  # fmt: skip
    colours = {text.get_text()[:2]: text.get_color() for text in ax.texts}
    assert (colours["10"], colours["90"]) == ("white", "black"), "on dark, on light"


def test_numbers_keep_their_form_and_a_gap_stays_blank() -> None:
    ax = figures.heat({1: {32: 2.0, 128: 1.0}, 4: {32: 1.5}}, title="t", xlabel="x", form="{:.2f}×")
    assert written(ax) == {(0, 0): "2.00×", (1, 0): "1.00×", (0, 1): "1.50×", (1, 1): ""}
    assert np.isnan(ax.images[0].get_array().filled(np.nan)[1, 1])
    assert ax.images[0].get_clim() == pytest.approx((1, 2))
