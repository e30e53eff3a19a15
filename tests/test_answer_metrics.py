"""Averages over the exam, by hand."""

import json

import pytest

from labkit import answer_metrics as evaluate_answers
from labkit.answer_metrics import METRICS, average, summarise_answers
from labkit.types import AnswerScore, Question


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
        evaluate_answers.summarise_answers([], [RIGHT])
