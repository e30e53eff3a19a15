"""Figures hold the numbers they were given; pixels are for people to look at."""

from labkit.classroom.figures import plots


def test_counts_fill_each_row_and_write_the_numbers_but_no_zero() -> None:
    rows = {"lookup": {"both": 60, "only text": 20}, "table": {"both": 5, "neither": 15}}
    ax = plots.counts(rows, title="Words find more", xlabel="share of questions (%)")
    drawn = [(round(bar.get_y() + 0.4), bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert [part for part in drawn if part[2]] == [
        (0, 0, 75),
        (1, 0, 25),
        (0, 75, 25),
        (1, 25, 75),
    ]
    assert sorted(text.get_text() for text in ax.texts if text.get_text()) == [
        "15",
        "20",
        "5",
        "60",
    ]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["lookup (80)", "table (20)"]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["both", "only text", "neither"]
    assert ax.get_xlabel() == "share of questions (%)" and ax.get_xlim() == (0, 100)
