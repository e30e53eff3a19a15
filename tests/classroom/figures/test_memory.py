"""The stacked bars add up to the plans, and the title computes its finding."""

import pytest

from labkit.classroom.figures.memory import Bar, memory_parts
from labkit.hardware import GIB

LORA = Bar("LoRA", {"weights": 8 * GIB, "logits": 2 * GIB}, {"weights": 8 * GIB, "logits": GIB})
QLORA = Bar("QLoRA", {"weights": 2 * GIB, "logits": 0}, 2 * GIB)


def test_bars_stack_to_the_totals_predicted_left_and_measured_right() -> None:
    ax = memory_parts([LORA, QLORA], card_bytes=12 * GIB)
    tops: dict[float, float] = {}
    for bar in ax.patches:
        middle = round(bar.get_x() + bar.get_width() / 2, 3)
        tops[middle] = max(tops.get(middle, 0), bar.get_y() + bar.get_height())
    assert [tops[x] for x in sorted(tops)] == [10, 9, 2, 2]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["LoRA", "QLoRA"]
    assert ax.get_ylim()[0] == 0
    assert "GiB" in ax.get_ylabel()


def test_the_title_says_what_the_data_say() -> None:
    title = memory_parts([LORA, QLORA]).get_title(loc="left")
    assert "QLoRA needs 5.0× less than LoRA" in title
    assert "at most 11.1 % apart" in title
    alone = memory_parts([Bar("LoRA", LORA.predicted)]).get_title(loc="left")
    assert alone == "LoRA: weights weigh most"


def test_parts_that_are_nowhere_are_not_in_the_legend() -> None:
    legend = memory_parts([LORA, QLORA]).get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["logits", "weights"]


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        memory_parts([])
