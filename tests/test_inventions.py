"""What an answer is made of: numbers of the papers, of the question, of nobody."""

import pytest

from labkit import answer_metrics as inventions
from labkit.exam import ABSTENTION
from labkit.types import KINDS, Question

LOOKUP = Question("q", "lookup", "How much for the NV-90 in 2 weeks?", "7 kg", ("7 kg",))
SILENT = Question("u", "unanswerable", "How much?", ABSTENTION)
PAPERS = inventions.of_papers(["It takes 7 kg.", "Every 5 months, at −17 °C."])


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1.6kg and 1,600 g", {"1.6 kg", "1,600 g"}),
        ("the NV-117 of SB-2019-04", set()),
        ("at \N{MINUS SIGN}17 °C", {"-17 °c"}),
        ("75 % at 12", {"75 %", "12"}),
    ],
)
def test_numbers_keep_their_unit_and_their_sign(text: str, numbers: set[str]) -> None:
    assert inventions.numbers_in(text) == numbers


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        (LOOKUP, "It is 7 kg.", "right"),
        (LOOKUP, "Not documented.", "refuses"),
        (SILENT, ABSTENTION, "right"),
        (LOOKUP, "In 2 weeks it is due.", "no number of its own"),
        (LOOKUP, "It is 5 months.", "a number from the papers"),
        (LOOKUP, "It is 5 months or 9 bar.", "a number from nowhere"),
        (SILENT, "It is 7 kg.", "a number from the papers"),
        (LOOKUP, "It is 17 °C.", "a number from nowhere"),
    ],
)
def test_answers_are_sorted_by_what_they_are_made_of(question, answer, kind) -> None:
    assert inventions.sort_answer(question, answer, PAPERS) == kind


def test_the_tally_counts_every_answer_once_under_its_kind() -> None:
    answers = [{"id": "q", "text": "7 kg."}, {"id": "q", "text": "9 kg."}, {"id": "u", "text": "?"}]
    rows = inventions.tally({"q": LOOKUP, "u": SILENT}, answers, PAPERS)
    assert rows == {
        "lookup": {"right": 1, "a number from nowhere": 1},
        "unanswerable": {"no number of its own": 1},
    }
    assert [kind for kind in KINDS if kind in rows] == list(rows)


def test_no_question_leaves_nothing_to_bound() -> None:
    with pytest.raises(ValueError, match="ask at least 1 question"):
        inventions.highest_share(0)
