"""Lesson 09's figures draw what they are given, and say so where nothing is recorded."""

import pytest

from labkit.classroom.figures import combine as plots_combine
from labkit.types import Interval


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_the_two_by_two_writes_each_share_with_its_interval() -> None:
    shares = {
        "base, closed book": Interval(0.0, 0.0, 0.01, 299),
        "base, RAG": Interval(0.147, 0.107, 0.187, 299),
        "LoRA, closed book": None,
        "LoRA, RAG": Interval(0.9, 0.85, 0.94, 299),
    }
    ax = plots_combine.two_by_two(shares, title="t")
    assert {"0 %", "15 %", "(11–19)", "90 %", "(85–94)", "not recorded\nyet"} <= set(texts(ax))
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["base", "LoRA"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["closed book", "RAG"]
    drawn = ax.images[0].get_array()
    assert drawn[1, 1] == pytest.approx(0.9) and drawn[0, 1] == pytest.approx(0.147)
    place = {text.get_text(): text.get_position() for text in ax.texts}
    assert place["90 %"] == (1, 1) and place["15 %"] == (1, 0)


def test_dark_cells_are_written_in_white() -> None:
    shares = {"base, RAG": Interval(0.1, 0, 0.2, 9), "LoRA, RAG": Interval(0.9, 0.8, 1, 9)}
    ax = plots_combine.two_by_two(shares, title="t")
    colours = {text.get_text(): text.get_color() for text in ax.texts}
    assert (colours["10 %"], colours["90 %"]) == ("white", "black")


def test_data_size_draws_clean_points_as_a_line_and_noise_apart() -> None:
    points = [
        (100, 0.0, Interval(0.8, 0.7, 0.9, 75)),
        (0, 0.0, Interval(0.1, 0.0, 0.2, 75)),
        (100, 0.2, Interval(0.5, 0.4, 0.6, 75)),
    ]
    ax = plots_combine.data_size(points, title="t")
    clean, noisy = (container.lines[0] for container in ax.containers)
    assert list(clean.get_xdata()) == [0, 100]
    assert list(clean.get_ydata()) == pytest.approx([10, 80])
    assert noisy.get_linestyle() == "None" and list(noisy.get_ydata()) == pytest.approx([50])
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["labels as written", "20% wrong labels"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "100"]


def test_the_placeholder_names_the_command() -> None:
    assert "labkit bench" in texts(plots_combine.not_recorded("python -m labkit bench x"))[0]
