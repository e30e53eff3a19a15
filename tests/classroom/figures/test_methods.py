"""The figures of methods hold the numbers they were given."""

import numpy as np
import pytest

from labkit.classroom.figures import methods as plots_methods

LOG = [{"loss": 4.0, "seconds": 2.0}, {"loss": 2.0, "seconds": 1.0}, {"loss": 0.0, "seconds": 1.0}]


def test_losses_are_drawn_against_steps_or_the_seconds_spent_so_far() -> None:
    steps = plots_methods.losses({"LoRA": LOG}, by="step", title="Falls", window=2).lines[0]
    assert list(steps.get_xdata()) == [1, 2, 3]
    ax = plots_methods.losses({"LoRA": LOG, "full": LOG}, by="seconds", title="Falls", window=2)
    assert list(ax.lines[0].get_xdata()) == [2, 3, 4]
    assert list(ax.lines[0].get_ydata()) == pytest.approx([4, 3, 1])
    assert "seconds" in ax.get_xlabel() and ax.get_ylim()[0] == 0
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["LoRA", "full"]


def test_a_map_writes_each_ratio_at_its_batch_and_length() -> None:
    ax = plots_methods.ratio_map({4: {32: 1.5}, 1: {32: 2.0, 128: 1.0}}, title="A surface")
    places = {t.get_text(): t.get_position() for t in ax.texts}
    assert places == {"2.00×": (0, 0), "1.00×": (1, 0), "1.50×": (0, 1)}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["1", "4"]
    assert np.isnan(ax.images[0].get_array().filled(np.nan)[1, 1])


def test_cited_ratios_are_hollow_and_named_as_cited() -> None:
    ours, theirs = [(512, 1.2), (128, 1.4)], [(256, 2.5)]
    ax = plots_methods.ratio_by_tokens({"CPU": ours}, {"Qwen-7B": theirs}, title="Falls")
    measured, cited = ax.lines[:2]
    assert list(measured.get_xdata()) == [128, 512] and list(measured.get_ydata()) == [1.4, 1.2]
    assert cited.get_markerfacecolor() == "white" != measured.get_markerfacecolor()
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["CPU", "Qwen-7B (cited)"]
    assert ax.get_ylim()[0] == 0 and "log scale" in ax.get_xlabel()


def test_knobs_stand_below_each_other_with_a_line_at_the_best() -> None:
    losses = {"rank": {"2": 1.5, "8": 1.2}, "targets": {"q and v": 1.4}}
    table = {k: {s: {"held_out_loss": x} for s, x in runs.items()} for k, runs in losses.items()}
    ax = plots_methods.knobs(table, title="Knobs")
    points = [line for line in ax.lines if line.get_marker() != "None"]
    assert [list(p.get_xdata()) for p in points] == [[1.5, 1.2], [1.4]]
    assert [list(p.get_ydata()) for p in points] == [[0, 1], [2]]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["2", "8", "q and v"]
    assert any(list(line.get_xdata()) == [1.2, 1.2] for line in ax.lines)
    assert ax.get_xlim()[0] == 0
