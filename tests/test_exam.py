"""Questions, and how one answer is scored: values, citations, house format, abstention."""

import json
import string
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from labkit import answer_metrics, exam
from labkit.answer_metrics import contains_value, score_answer
from labkit.exam import ABSTENTION
from labkit.types import Evidence, Question

numbers = st.one_of(
    st.integers(0, 9999).map(str),
    st.tuples(st.integers(0, 99), st.integers(0, 99)).map(lambda n: f"{n[0]}.{n[1]}"),
)
units = st.sampled_from(["kg", "bar", "°C", "%", "months", "L", "V", "turns"])
LOOKUP = Question(
    id="q1",
    kind="lookup",
    question="How much grease does a pitch bearing take?",
    answer="Each pitch bearing takes 1.6 kg of grease. [SB-2019-04]",
    values=("1.6 kg",),
    evidence=(Evidence("SB-2019-04", "each bearing takes 1.6 kg"),),
)
SYNTHESIS = Question(
    id="q2",
    kind="synthesis",
    question="?",
    answer="It takes 1.6 kg every 4 months. [SB-2019-04] [SM-90-PIT]",
    values=("1.6 kg", "4 months"),
    evidence=(Evidence("SB-2019-04", "1.6 kg"), Evidence("SM-90-PIT", "4 months")),
    terms=("candle", "blue card"),
)
UNANSWERABLE = Question(id="q3", kind="unanswerable", question="?", answer=ABSTENTION)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("It takes 1.6 kg.", "1.6 kg"),
        ("It takes 1.6kg.", "1.6 kg"),
        ("It takes 1.6   KG of grease", "1.6 kg"),
        ("It takes 1.6\u00a0kg", "1.6 kg"),
        ("(1.6 kg)", "1.6 kg"),
        ("1.6 kg, not more", "1.6 kg"),
        ("at 72°C it trips", "72 °C"),
        ("below 90% of capacity", "90 %"),
        ("Use Tundra G320S only", "Tundra G320S"),
        ("Norlub PX-1.", "Norlub PX-1"),
        ("code FC-90-104", "FC-90-104"),
        ("the Candle is in", "candle"),
        ("the blue  card", "blue card"),
        ("the coldest was -17 °C", "−17 °C"),
        ("the coldest was −17 °C", "−17 °C"),
        ("a run of 5 to 10 minutes", "10 minutes"),
        ("M27 10.9", "M27 10.9"),
    ],
)
def test_a_value_is_found_whatever_its_case_and_spacing(text: str, value: str) -> None:
    assert contains_value(text, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("It takes 11.6 kg.", "1.6 kg"),
        ("It takes 1.65 kg.", "1.6 kg"),
        ("It takes 2.1.6 kg.", "1.6 kg"),
        ("It takes 1.6 kgm.", "1.6 kg"),
        ("It takes 1.6 g.", "1.6 kg"),
        ("It takes 1 6 kg.", "1.6 kg"),
        ("every 120", "12"),
        ("every 12.5 h", "12"),
        ("every 1,200", "1"),
        ("Tundra G320S", "Tundra G320"),
        ("Tundra G320", "Tundra G320S"),
        ("after 25 years", "5 years"),
        ("after 2.5 years", "5 years"),
        ("the candles are in", "candle"),
        ("at 17 °C", "−17 °C"),
        ("at −17 °C", "17 °C"),
        ("at -17 °C", "17 °C"),
        ("-17 °C", "17 °C"),
        ("", "1.6 kg"),
    ],
)
def test_a_near_value_is_not_the_value(text: str, value: str) -> None:
    assert not contains_value(text, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Three people may enter.", "3"),
        ("3 people may enter.", "three"),
        ("Let it run for thirty-five minutes.", "35 min"),
        ("It trips at 5 degrees Celsius.", "5 °C"),
        ("Tighten to 515 newton metres.", "515 Nm"),
        ("at 75 percent", "75 %"),
        ("every month, after 1 month", "1 months"),
        ("It takes 2.2 litres.", "2.2 L"),
        ("blow harder than 12 metres per second", "12 m/s"),
        ("It takes 2 bar.", "2.0 bar"),
        ("It costs 48.50 EUR.", "48.5 EUR"),
        ("1,250 hours", "1250 hours"),
        ("It is 41000.", "41,000"),
        ("Below 20 MΩ it stays off.", "20 megohms"),
    ],
)
def test_number_words_and_usual_spellings_of_units_count(text: str, value: str) -> None:
    assert contains_value(text, value)
    assert not contains_value(text, value, as_written=True)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("after 13 days", "three days"),
        ("thirteen people", "3"),
        ("thirty-five bolts", "5"),
        ("twenty-three bolts", "three"),
        ("3 minutes", "3 m"),
        ("3 months", "3 m"),
        ("20 degrees", "20 °C"),
        ("5 kilometres", "5 m"),
        ("someone", "1"),
        ("It takes 20 bar.", "2.0 bar"),
        ("version A-1.10", "1.1"),
        ("1,25 kg", "125 kg"),
        ("every 1,200", "1"),
        ("10.0 bar", "1 bar"),
        ("3 litres", "3 g"),
    ],
)
def test_another_number_or_unit_is_none_of_them(text: str, value: str) -> None:
    assert not contains_value(text, value)


@settings(max_examples=150, deadline=None)
@given(numbers, units, st.text(" " + string.ascii_letters, max_size=20), st.sampled_from(" \n("))
def test_any_value_is_found_in_any_sentence_that_says_it(number, unit, words, mark) -> None:
    value = f"{number} {unit}"
    for said in (value, f"{number}{unit}", value.upper()):
        assert contains_value(f"{words}{mark}{said}. {words}", value)
        assert contains_value(f"{words}{mark}{said}", value)


@settings(max_examples=150, deadline=None)
@given(numbers, numbers, units)
def test_another_number_is_never_taken_for_the_value(asked, said, unit) -> None:
    assume(float(asked) != float(said))
    assert not contains_value(f"It is {said} {unit} now.", f"{asked} {unit}")


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=80))
def test_any_text_can_be_scored(text: str) -> None:
    for question in (LOOKUP, SYNTHESIS, UNANSWERABLE):
        score = score_answer(question, text, citations=answer_metrics.cited_ids(text))
        assert score.exact_match in (0, 1)
        assert score.house_format in (0, 1)
        assert score.citation_precision is None or 0 <= score.citation_precision <= 1


@pytest.mark.parametrize("question", [LOOKUP, UNANSWERABLE], ids=lambda question: question.kind)
def test_the_gold_answer_scores_full_marks(question: Question) -> None:
    gold = question.answer
    score = score_answer(question, gold, citations=answer_metrics.cited_ids(gold))
    assert score.exact_match == score.house_format == 1
    assert not score.wrong_but_confident
    if question.evidence:
        assert score.citation_precision == score.citation_recall == 1


def test_every_value_is_needed() -> None:
    half = score_answer(SYNTHESIS, "It takes 1.6 kg. [SB-2019-04]", citations=["SB-2019-04"])
    assert half.exact_match == 0
    assert half.wrong_but_confident
    assert (half.citation_precision, half.citation_recall) == (1, 0.5)


def test_house_terms_are_counted_as_a_share() -> None:
    score = score_answer(SYNTHESIS, "Push the candle home.", citations=[])
    assert score.house_terms == 0.5
    both = score_answer(SYNTHESIS, "Two candles and a Blue Card.", citations=[])
    assert both.house_terms == 1
    assert score_answer(LOOKUP, "Push the candle home.", citations=[]).house_terms is None


@pytest.mark.parametrize(("n_words", "right"), [(40, 1), (41, 0)])
def test_a_wall_of_text_that_holds_the_value_is_no_answer(n_words: int, right: float) -> None:
    text = "1.6 kg " + " ".join(["word"] * (n_words - 2))
    score = score_answer(LOOKUP, text, citations=[])
    assert score.exact_match == right
    assert score.wrong_but_confident is not bool(right)


def test_citations_do_not_count_as_words_and_cannot_hold_the_value() -> None:
    long = " ".join(["word"] * 38)
    assert score_answer(LOOKUP, f"1.6 kg {long}. [SB-2019-04] [X]", citations=[]).exact_match == 1
    assert score_answer(LOOKUP, "See here. [1.6 kg]", citations=[]).exact_match == 0


def test_hedging_between_answering_and_abstaining_is_wrong() -> None:
    hedge = score_answer(LOOKUP, "1.6 kg, but this is not documented.", citations=[])
    assert (hedge.exact_match, hedge.abstained, hedge.wrong_but_confident) == (0, True, False)


@pytest.mark.parametrize("text", [ABSTENTION, "Sorry, that is NOT documented here."])
def test_abstaining_is_right_only_where_nothing_is_documented(text: str) -> None:
    score = score_answer(UNANSWERABLE, text, citations=[])
    assert (score.exact_match, score.abstained, score.answerable) == (1, True, False)
    score = score_answer(LOOKUP, text, citations=[])
    assert (score.exact_match, score.abstained, score.answerable) == (0, True, True)
    assert not score.wrong_but_confident


def test_an_invented_answer_to_an_unanswerable_question_is_confidently_wrong() -> None:
    score = score_answer(UNANSWERABLE, "It takes 3 kg. [SM-90-PIT]", citations=["SM-90-PIT"])
    assert (score.exact_match, score.wrong_but_confident) == (0, True)
    assert (score.citation_precision, score.citation_recall) == (0, None)


@pytest.mark.parametrize(
    ("citations", "precision", "recall"),
    [
        ([], None, 0),
        (["SB-2019-04"], 1, 0.5),
        (["SB-2019-04", "SB-2019-04"], 1, 0.5),
        (["SB-2019-04", "SM-90-PIT"], 1, 1),
        (["SB-2019-04", "SM-90-PIT", "X", "Y"], 0.5, 1),
        (["X"], 0, 0),
    ],
)
def test_citation_precision_and_recall(citations, precision, recall) -> None:
    score = score_answer(SYNTHESIS, "…", citations=citations)
    assert (score.citation_precision, score.citation_recall) == (precision, recall)


@pytest.mark.parametrize(
    ("answer", "follows"),
    [
        ("It takes 1.6 kg. [SB-2019-04]", True),
        ("It takes 1.6 kg. [SB-2019-04] [torques:TQ-140-07]", True),
        (ABSTENTION, True),
        (ABSTENTION + " [SM-90-PIT]", True),
        ("It takes 1.6 kg.", False),
        ("It takes 1.6 kg [SB-2019-04].", False),
        ("It takes 1.6 kg.[SB-2019-04]", False),
        ("It takes 1.6 kg. [SB-2019-04] Bye.", False),
        ("[SB-2019-04]", False),
        ("It takes 1.6 kg. []", False),
        ("Not documented.", False),
        (" ".join(["word"] * 41) + ". [X]", False),
        ("", False),
    ],
)
def test_house_format_is_a_sentence_and_then_its_citations(answer: str, follows: bool) -> None:
    assert answer_metrics.follows_house_format(answer) is follows


def test_citations_are_found_once_in_order() -> None:
    text = "A [B] [C:1] b [B] [ D ] [] [x[E]"
    assert answer_metrics.cited_ids(text) == ["B", "C:1", "D", "E"]
    assert answer_metrics.without_citations("Use 1.6 kg. [A]  [B]") == "Use 1.6 kg."


def rows() -> list[dict]:
    full = {
        "id": "t1",
        "kind": "updated",
        "question": "Høgås?",
        "answer": "It is 1.6 kg. [B]",
        "values": ["1.6 kg"],
        "evidence": [{"document": "B", "quote": "is 1.6 kg"}],
        "terms": ["kettle"],
        "superseded_value": "1.2 kg",
        "held_out": True,
    }
    empty = {"evidence": [], "values": [], "terms": [], "superseded_value": "", "held_out": False}
    return [full, full | empty | {"id": "t2", "kind": "unanswerable", "answer": ABSTENTION}]


@pytest.mark.parametrize("order", [1, -1], ids=["full row first", "empty row first"])
def test_questions_come_back_as_written(tmp_path: Path, order: int) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in rows()[::order]]
    (tmp_path / "test.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    full, empty = exam.load_exam("test", folder=tmp_path)[::order]
    assert full == Question(
        id="t1",
        kind="updated",
        question="Høgås?",
        answer="It is 1.6 kg. [B]",
        values=("1.6 kg",),
        evidence=(Evidence("B", "is 1.6 kg"),),
        terms=("kettle",),
        superseded_value="1.2 kg",
        held_out=True,
    )
    assert (empty.values, empty.evidence, empty.terms, empty.held_out) == ((), (), (), False)
    assert exam.exam_dataset("test", folder=tmp_path).num_rows == 2


def test_a_split_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'dev'.*train, more, test, final"):
        exam.load_exam("dev", folder=tmp_path)
