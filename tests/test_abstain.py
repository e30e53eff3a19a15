"""Refusing by a threshold: its curve is scikit-learn's, its choice is the best of it."""

import numpy as np
import pytest

from labkit.rerank import lexical
from labkit.retrieval_metrics import (
    Point,
    at_threshold,
    choose_threshold,
    coverage,
    precision_recall,
    signals,
)

SCORES, CAN = [0.9, 0.2, 0.6, 0.3, 0.6, 0.8], [True, False, False, True, True, True]


def test_each_threshold_counts_what_lies_below_it() -> None:
    points = precision_recall(SCORES, CAN)
    assert [(p.threshold, p.precision, p.recall) for p in points] == [
        (0.3, 1.0, 0.5),
        (0.6, 0.5, 0.5),
        (0.8, 0.5, 1.0),
        (0.9, pytest.approx(2 / 5), 1.0),
        (float("inf"), pytest.approx(2 / 6), 1.0),
    ]


def test_the_curve_is_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    draw = np.random.default_rng(0)
    can = draw.random(200) < 0.8
    scores = np.round(draw.normal(size=200) + can, 1)
    precision, recall, _ = metrics.precision_recall_curve(~can, -scores)
    theirs = sorted(zip(recall[:-1], precision[:-1], strict=True))
    ours = sorted((p.recall, p.precision) for p in precision_recall(scores.tolist(), can.tolist()))
    assert np.allclose(ours, theirs)


def test_the_best_point_balances_both() -> None:
    assert choose_threshold(SCORES, CAN).threshold in (0.3, 0.8)  # both have F1 = 2/3
    assert choose_threshold([0.1, 0.2, 0.8], [False, False, True]) == Point(0.8, 1.0, 1.0)
    assert Point(0.1, 0.0, 0.0).f1 == 0.0


def test_without_an_unanswerable_question_there_is_nothing_to_choose() -> None:
    with pytest.raises(ValueError, match="at least one that is not"):
        precision_recall([0.5], [True])


def test_coverage_is_that_of_the_best_hit(make_hit) -> None:
    scorer = lexical(["oil pitch", "oil yaw"])
    hits = [make_hit("", passage="oil"), make_hit("", passage="pitch oil")]
    assert coverage("pitch oil", hits, scorer) == pytest.approx(1.0)
    assert coverage("pitch oil", [], scorer) == 0.0


def test_a_threshold_from_elsewhere_stops_what_lies_below_it() -> None:
    points = precision_recall(SCORES, CAN)
    assert at_threshold(points, 0.7).threshold == 0.6
    assert at_threshold(points, 0.8).threshold == 0.8
    assert at_threshold(points, 0.0) == points[0]


def test_signals_are_the_cosine_its_lead_and_the_words_covered(make_hit) -> None:
    class Store:
        def search_many(self, questions, *, k, mode):
            assert mode == "vector"
            return [[make_hit("", passage="oil", score=0.9), make_hit("", passage="", score=0.6)]]

    found = signals(Store(), ["oil"], lexical(["oil pitch", "yaw"]))
    assert found["cosine"] == [0.9]
    assert found["lead"] == [pytest.approx(0.3)]
    assert found["words covered"] == [pytest.approx(1.0)]
