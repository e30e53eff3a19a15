"""Which step lost the answer, and what a score can tell: on cases that are checked by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import answer_metrics as diagnose
from labkit.types import Document, Evidence, Question

GREASE = "Each bearing takes 1.6 kg of grease"
OIL = "The gearbox holds 380 L of oil"
scored = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=30)


def question(*quotes: tuple[str, str]) -> Question:
    evidence = tuple(Evidence(document, quote) for document, quote in quotes)
    return Question("q", "lookup", "How much grease does an NV-117 bearing take?", "", (), evidence)


def a_document(name: str, **metadata: str) -> Document:
    return Document(name, name, "manual", "", f"{name}.md", None, "", dict(metadata))


def test_proof_and_twins_leaves_out_other_chunks_of_the_right_document(make_hit: Callable) -> None:
    proof = make_hit(f"{GREASE}.", document_id="SM-117")
    sibling = make_hit("Stop the rotor.", document_id="SM-117")
    twin = make_hit("Each bearing takes 2.1 kg of grease.", document_id="SM-90")
    found = diagnose.proof_and_twins(question(("SM-117", GREASE)), [twin, sibling, proof])
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
    assert diagnose.copies_numbers(answer, question(), [make_hit(f"{GREASE}.")]) is copied


def test_nothing_is_copied_where_nothing_was_shown() -> None:
    assert diagnose.copies_numbers("It takes 1.6 kg.", question(), []) is False


def test_a_fault_is_the_readers_only_when_all_evidence_was_shown(make_hit: Callable) -> None:
    both = question(("A", GREASE), ("B", OIL))
    grease, oil = make_hit(f"{GREASE}.", document_id="A"), make_hit(f"{OIL}.", document_id="B")
    assert diagnose.find_fault(both, [grease, oil], right=False) == "proof shown, not read"
    assert diagnose.find_fault(both, [grease], right=False) == "proof not shown"
    assert diagnose.find_fault(both, [], right=False) == "proof not shown"
    assert diagnose.find_fault(both, [], right=True) == "right"


def test_an_unanswerable_question_is_refused() -> None:
    with pytest.raises(ValueError, match="no evidence"):
        diagnose.find_fault(question(), [], right=False)


def test_threshold_errors_by_hand() -> None:
    scores, answerable = [0.2, 0.5, 0.8, 0.5, 0.9], [True, True, True, False, False]
    assert diagnose.threshold_errors(scores, answerable, 0.5) == (1 / 3, 1.0)
    assert diagnose.threshold_errors(scores, answerable, 0.6) == (2 / 3, 0.5)
    assert diagnose.threshold_errors(scores, answerable, 0.0) == (0.0, 1.0)
    assert diagnose.threshold_errors(scores, answerable, 1.0) == (1.0, 0.0)


@given(scored.filter(lambda pairs: len({flag for _, flag in pairs}) == 2))
def test_pairs_won_is_the_area_under_the_curve_of_the_two_errors(pairs: list) -> None:
    scores, answerable = zip(*pairs, strict=True)
    cuts = [-1, *sorted({score + 0.5 for score in scores})]
    errors = [diagnose.threshold_errors(scores, answerable, cut) for cut in cuts]
    x, y = [fooled for _, fooled in errors], [1 - refused for refused, _ in errors]
    area = sum((x[i] - x[i + 1]) * (y[i] + y[i + 1]) / 2 for i in range(len(x) - 1))
    assert np.isclose(diagnose.share_of_pairs_won(scores, answerable), area)


def test_the_balanced_threshold_does_not_depend_on_the_size_of_the_groups() -> None:
    scores, answerable = [0.2, 0.6, 0.8, 0.1, 0.5, 0.7], [True, True, True, False, False, False]
    threshold = diagnose.balanced_threshold(scores, answerable)
    assert diagnose.threshold_errors(scores, answerable, threshold) == (1 / 3, 1 / 3)
    many = [*scores, *scores[:3] * 9], [*answerable, *answerable[:3] * 9]
    assert diagnose.balanced_threshold(*many) == threshold


@pytest.mark.parametrize("answerable", [[True, True], [False, False]])
def test_one_group_alone_is_refused(answerable: list[bool]) -> None:
    with pytest.raises(ValueError, match="at least one of each"):
        diagnose.share_of_pairs_won([0.1, 0.2], answerable)
    with pytest.raises(ValueError, match="at least one of each"):
        diagnose.threshold_errors([0.1, 0.2], answerable, 0.15)


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
    assert diagnose.place_taken_by(question(("SB-1", GREASE)), hit, {"SB-1": bulletin}) == taken_by


def test_a_missing_subsystem_makes_no_twin(make_hit: Callable) -> None:
    row = a_document("T-2")
    taken_by = diagnose.place_taken_by(
        question(("T-2", GREASE)), make_hit("", document_id="T-1"), {"T-2": row}
    )
    assert taken_by == "other"
