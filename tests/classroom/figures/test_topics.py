"""The figures of one topic hold the numbers they were given."""

import numpy as np
import pytest

from labkit.classroom import figures
from labkit.classroom.figures import ALL_PARTS, MemoryBar
from labkit.hardware import GIB
from labkit.retrieval_metrics import Threshold


def search(kind: str, recall: float, seconds: float) -> dict:
    return {"kind": kind, "recall": recall, "p50_s": seconds, "batch_s": seconds / 10}


SEARCHES = [
    search("LanceDB IVF_PQ", 0.9, 0.004),
    search("LanceDB IVF_PQ", 0.95, 0.008),
    search("hnswlib", 0.9, 0.0002),
    search("hnswlib", 0.99, 0.0004),
    search("NumPy exact", 1.0, 0.02),
    search("flat", 1.0, 0.2),
]


def test_the_front_holds_what_nothing_beats_in_both() -> None:
    front = figures.pareto_front(SEARCHES)
    assert [(one["kind"], one["recall"]) for one in front] == [
        ("hnswlib", 0.9), ("hnswlib", 0.99), ("NumPy exact", 1.0)
    ]  # fmt: skip


def test_the_front_keeps_one_of_two_equal_searches() -> None:
    assert len(figures.pareto_front([SEARCHES[0], SEARCHES[0]])) == 1
    assert figures.pareto_front([]) == []


def test_recall_latency_draws_every_kind_in_milliseconds_and_the_front() -> None:
    ax = figures.recall_latency(SEARCHES, title="Graphs win", caption="here, today")
    front, *kinds = ax.lines
    assert front.get_xydata().tolist() == [[0.2, 0.9], [0.4, 0.99], [20.0, 1.0]]
    assert kinds[0].get_xydata().tolist() == [[4.0, 0.9], [8.0, 0.95]]
    told = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    names = ["LanceDB IVF_PQ", "hnswlib", "NumPy exact", "flat"]
    assert sorted(told) == sorted(["Pareto front", *names])
    assert ax.get_xscale() == "log" and "log scale" in ax.get_xlabel()
    hollow = [line.get_markerfacecolor() == "white" for line in kinds]
    assert hollow == [False, True, True, True]


def test_recall_latency_of_batches_says_so() -> None:
    ax = figures.recall_latency(SEARCHES, title="", latency="batch_s")
    assert ax.lines[2].get_xydata().tolist() == [[0.02, 0.9], [0.04, 0.99]]
    assert "in one call" in ax.get_xlabel()


def test_nothing_recorded_draws_an_empty_figure() -> None:
    assert len(figures.recall_latency([], title="").lines) == 1


def test_the_curve_shows_every_point_the_choice_and_the_coin() -> None:
    points = [Threshold(0.1, 1.0, 0.5), Threshold(0.2, 0.5, 1.0)]
    ax = figures.precision_recall(
        {"cosine": points}, base_rate=0.2, chosen={"cosine": points[0]}, title="T"
    )
    curve, chosen, coin = ax.lines
    assert curve.get_xydata().tolist() == [[50, 100], [100, 50]]
    assert chosen.get_xydata().tolist() == [[50, 100]]
    assert coin.get_ydata()[0] == pytest.approx(20)


def test_energy_is_what_the_best_low_rank_approximation_keeps() -> None:
    matrix = np.random.default_rng(0).normal(size=(6, 4))
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    share = figures.energy(values)
    for k in range(1, 5):
        best = (left[:, :k] * values[:k]) @ right[:k]
        assert share[k - 1] == pytest.approx((best**2).sum() / (matrix**2).sum())


def test_levels_stand_below_a_histogram_of_percents() -> None:
    values = np.array([0.0, 0.0, 0.0, 1.0])
    books = {"A": [-1, 0, 1], "B": [0]}
    ax = figures.levels_over_histogram(values, books, title="Levels", xlabel="weight")
    assert sum(bar.get_height() for bar in ax.patches) == pytest.approx(100)
    assert max(bar.get_height() for bar in ax.patches) == pytest.approx(75)
    first, second = ax.lines[0], ax.lines[1]
    assert list(first.get_xdata()) == [-1, 0, 1] and list(second.get_xdata()) == [0]
    assert 0 > first.get_ydata()[0] > second.get_ydata()[0]
    assert [text.get_text().strip() for text in ax.texts] == ["A", "B"]


LORA = MemoryBar(
    "LoRA", {"weights": 8 * GIB, "logits": 2 * GIB}, {"weights": 8 * GIB, "logits": GIB}
)
QLORA = MemoryBar("QLoRA", {"weights": 2 * GIB, "logits": 0}, {ALL_PARTS: 2 * GIB})


def test_parts_stack_to_the_totals_predicted_above_measured() -> None:
    ax = figures.memory_parts([LORA, QLORA], card_bytes=12 * GIB)
    ends: dict[int, float] = {}
    for bar in ax.patches:
        row = round(bar.get_y() + bar.get_height() / 2)
        ends[row] = max(ends.get(row, 0), bar.get_x() + bar.get_width())
    assert [ends[row] for row in sorted(ends)] == [10, 9, 2, 2]
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "LoRA, predicted", "LoRA, rehearsed", "QLoRA, predicted", "QLoRA, rehearsed"
    ]  # fmt: skip
    assert ax.get_xlim()[0] == 0 and "GiB" in ax.get_xlabel()
    assert list(ax.lines[-1].get_xdata()) == [12, 12]
    told = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert told == ["weights", "logits", ALL_PARTS], "what is nowhere is left out"


def test_the_title_says_what_the_data_say() -> None:
    title = figures.memory_parts([LORA, QLORA]).get_title(loc="left")
    assert "QLoRA needs 5.0× less than LoRA" in title and "at most 11.1 % apart" in title
    alone = figures.memory_parts([MemoryBar("LoRA", LORA.predicted)]).get_title(loc="left")
    assert alone == "LoRA: weights weigh most"


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        figures.memory_parts([])


def test_the_placeholder_names_the_command() -> None:
    ax = figures.not_recorded("not recorded yet; run: python -m labkit bench x && cat y; true")
    assert ax.texts[0].get_text() == "run:\npython -m labkit bench x &&\ncat y;\ntrue"
