"""Stacked bars divide their rows as the numbers do."""

from labkit.classroom import figures


def test_counts_fill_each_row_and_write_the_numbers_but_no_zero() -> None:
    rows = {"lookup": {"both": 60, "only text": 20}, "table": {"both": 5, "neither": 15}}
    ax = figures.stacked(rows, title="t", xlabel="share of questions (%)", counts=True)
    drawn = [(round(bar.get_y() + 0.4), bar.get_x(), bar.get_width()) for bar in ax.patches]
    assert [part for part in drawn if part[2]] == [
        (0, 0, 75), (1, 0, 25), (0, 75, 25), (1, 25, 75)
    ]  # fmt: skip
    numbers = [text.get_text() for text in ax.texts]
    assert sorted(filter(None, numbers)) == ["15", "20", "5", "60"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["lookup (80)", "table (20)"]
    (below,) = ax.figure.legends
    assert [text.get_text() for text in below.get_texts()] == ["both", "only text", "neither"]
    assert ax.get_xlabel() == "share of questions (%)" and ax.get_xlim() == (0, 100)


def test_lengths_are_drawn_as_they_are_and_what_is_nowhere_keeps_its_colour() -> None:
    rows = {"RAG": {"search": 0.5, "rest": 0.0, "write": 2.0}, "bare": {"write": 1.0}}
    ax = figures.stacked(rows, title="t", xlabel="seconds")
    assert [bar.get_width() for bar in ax.patches] == [0.5, 0, 2, 1]
    (below,) = ax.figure.legends
    assert [text.get_text() for text in below.get_texts()] == ["search", "write"]
    third = figures.bars({"x": {"a": 1.0, "b": 1.0, "c": 1.0}}, title="t", ylabel="y").patches[2]
    assert ax.patches[2].get_facecolor() == third.get_facecolor()
