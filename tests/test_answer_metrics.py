"""Averages by hand, what an answer is made of, and which step lost it."""

import json
from collections.abc import Callable

import pytest

from labkit.answer_metrics import (
    METRICS,
    average,
    copies_numbers,
    count_answers,
    find_fault,
    highest_share,
    numbers_in,
    place_taken_by,
    proof_and_twins,
    sort_answer,
    summarise_answers,
)
from labkit.exam import ABSTENTION
from labkit.types import KINDS, AnswerScore, Document, Evidence, Question


def score(**fields) -> AnswerScore:
    facts = {
        "exact_match": 0.0,
        "house_format": 0.0,
        "citation_precision": None,
        "citation_recall": None,
        "house_terms": None,
        "abstained": False,
        "answerable": True,
    }
    return AnswerScore(**(facts | fields))


RIGHT = score(exact_match=1.0, house_format=1.0, citation_precision=0.5, citation_recall=1.0)
WRONG = score(wrong_but_confident=True)
REFUSED = score(abstained=True)
DECLINED = score(exact_match=1.0, abstained=True, answerable=False)
INVENTED = score(answerable=False, wrong_but_confident=True)


@pytest.mark.parametrize(
    ("metric", "mean", "n"),
    [
        ("exact_match", 2 / 6, 6),
        ("house_format", 1 / 6, 6),
        ("citation_precision", 0.5, 1),
        ("citation_recall", 1.0, 1),
        ("abstention_precision", 1 / 3, 3),
        ("abstention_recall", 1 / 2, 2),
        ("false_abstention", 2 / 4, 4),
        ("wrong_but_confident", 2 / 6, 6),
    ],
)
def test_a_metric_is_averaged_over_the_answers_it_applies_to(metric, mean, n) -> None:
    interval = average([RIGHT, WRONG, REFUSED, REFUSED, DECLINED, INVENTED], metric)
    assert interval.mean == pytest.approx(mean)
    assert interval.n == n
    assert interval.low <= interval.mean <= interval.high


def test_a_metric_that_applies_nowhere_is_none() -> None:
    assert average([WRONG], "citation_precision") is None
    assert average([], "exact_match") is None


def test_an_unknown_metric_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'accuracy'.*exact_match"):
        average([RIGHT], "accuracy")


def test_the_summary_splits_by_kind_and_by_held_out_documents() -> None:
    def question(kind: str, held_out: bool) -> Question:
        return Question(id="", kind=kind, question="", answer="", held_out=held_out)

    questions = [question("lookup", True), question("lookup", False), question("table", False)]
    summary = summarise_answers(questions, [RIGHT, WRONG, RIGHT])
    assert set(METRICS) < set(summary)
    assert summary["by_kind"]["lookup"]["mean"] == 0.5
    assert summary["by_kind"]["table"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 1}
    assert summary["by_held_out"]["held-out documents"]["n"] == 1
    assert summary["by_held_out"]["seen documents"]["mean"] == 0.5
    assert summary["abstention_recall"] is None
    assert json.loads(json.dumps(summary)) == summary


def test_an_exam_without_held_out_documents_shows_none_for_them() -> None:
    question = Question(id="", kind="lookup", question="", answer="")
    assert summarise_answers([question], [RIGHT])["by_held_out"]["held-out documents"] is None


def test_the_same_answers_give_the_same_intervals() -> None:
    scores = [RIGHT, WRONG, REFUSED] * 7
    questions = [Question(id="", kind="lookup", question="", answer="")] * 21
    assert summarise_answers(questions, scores) == summarise_answers(questions, scores)


def test_questions_and_scores_must_pair_up() -> None:
    with pytest.raises(ValueError):
        summarise_answers([], [RIGHT])


LOOKUP = Question("q", "lookup", "How much for the NV-90 in 2 weeks?", "7 kg", ("7 kg",))
SILENT = Question("u", "unanswerable", "How much?", ABSTENTION)
DOCUMENTED = numbers_in("It takes 7 kg. Every 5 months, at −17 °C.")


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
    assert numbers_in(text) == numbers


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
    assert sort_answer(question, answer, DOCUMENTED) == kind


def test_the_counts_hold_every_answer_once_under_its_kind() -> None:
    answers = [{"id": "q", "text": "7 kg."}, {"id": "q", "text": "9 kg."}, {"id": "u", "text": "?"}]
    rows = count_answers({"q": LOOKUP, "u": SILENT}, answers, DOCUMENTED)
    assert rows == {
        "lookup": {"right": 1, "a number from nowhere": 1},
        "unanswerable": {"no number of its own": 1},
    }
    assert [kind for kind in KINDS if kind in rows] == list(rows)


def test_no_question_leaves_nothing_to_bound() -> None:
    with pytest.raises(ValueError, match="ask at least 1 question"):
        highest_share(0)


GREASE = "Each bearing takes 1.6 kg of grease"
OIL = "The gearbox holds 380 L of oil"


def question(*quotes: tuple[str, str]) -> Question:
    evidence = tuple(Evidence(document, quote) for document, quote in quotes)
    return Question("q", "lookup", "How much grease does an NV-117 bearing take?", "", (), evidence)


def a_document(name: str, **metadata: str) -> Document:
    return Document(name, name, "manual", "", f"{name}.md", None, "", dict(metadata))


def test_proof_and_twins_leaves_out_other_chunks_of_the_right_document(make_hit: Callable) -> None:
    proof = make_hit(f"{GREASE}.", document_id="SM-117")
    sibling = make_hit("Stop the rotor.", document_id="SM-117")
    twin = make_hit("Each bearing takes 2.1 kg of grease.", document_id="SM-90")
    found = proof_and_twins(question(("SM-117", GREASE)), [twin, sibling, proof])
    assert found == ([proof], [twin])


@pytest.mark.parametrize(
    ("answer", "copied"),
    [
        ("It takes 1.6 kg.", True),
        ("The NV-117 takes 1.6 kg.", True),
        ("It takes 1.6 kg, not 2 kg.", False),
        ("It takes 6 kg.", False),
        ("The NV-117 takes grease.", False),
        ("", False),
    ],
)
def test_copied_means_that_every_number_of_its_own_was_shown(
    answer: str, copied: bool, make_hit: Callable
) -> None:
    assert copies_numbers(answer, question(), [make_hit(f"{GREASE}.")]) is copied


def test_nothing_is_copied_where_nothing_was_shown() -> None:
    assert copies_numbers("It takes 1.6 kg.", question(), []) is False


def test_a_fault_is_the_readers_only_when_all_evidence_was_shown(make_hit: Callable) -> None:
    both = question(("A", GREASE), ("B", OIL))
    grease, oil = make_hit(f"{GREASE}.", document_id="A"), make_hit(f"{OIL}.", document_id="B")
    assert find_fault(both, [grease, oil], right=False) == "proof shown, not read"
    assert find_fault(both, [grease], right=False) == "proof not shown"
    assert find_fault(both, [], right=False) == "proof not shown"
    assert find_fault(both, [], right=True) == "right"


def test_an_unanswerable_question_is_refused() -> None:
    with pytest.raises(ValueError, match="no evidence"):
        find_fault(question(), [], right=False)


@pytest.mark.parametrize(
    ("document_id", "subsystem", "taken_by"),
    [
        ("SB-1", "pitch", "right paper"),
        ("SM-117", "pitch", "old manual"),
        ("SM-90", "pitch", "twin"),
        ("SM-90", "yaw", "other"),
        ("T-1", None, "other"),
    ],
)
def test_the_place_of_the_proof_is_named(
    make_hit: Callable, document_id: str, subsystem: str | None, taken_by: str
) -> None:
    bulletin = a_document("SB-1", supersedes="SM-117", subsystem="pitch")
    hit = make_hit("", document_id=document_id, metadata={"subsystem": subsystem})
    assert place_taken_by(question(("SB-1", GREASE)), hit, {"SB-1": bulletin}) == taken_by


def test_a_missing_subsystem_makes_no_twin(make_hit: Callable) -> None:
    row = a_document("T-2")
    taken_by = place_taken_by(
        question(("T-2", GREASE)), make_hit("", document_id="T-1"), {"T-2": row}
    )
    assert taken_by == "other"
