"""Retrieval metrics against pytrec_eval and by hand; ranks; thresholds against scikit-learn."""

import math
import random

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve, roc_auc_score

from labkit.rerank import lexical
from labkit.retrieval_metrics import (
    DEPTH,
    METRICS,
    Threshold,
    at_threshold,
    balanced_threshold,
    choose_threshold,
    coverage,
    hit_at_k,
    holds_evidence,
    ndcg_at_k,
    pack,
    per_question,
    precision_recall,
    ranks_of,
    recall_at_k,
    reciprocal_rank,
    relevance,
    score_retrieval,
    share_of_pairs_won,
    signals,
    summarise_retrieval,
    threshold_errors,
    unpack,
)
from labkit.types import Evidence, Question

scored = st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=30)
QUOTE = "each pitch bearing now takes 1.6 kg of grease"


def question(*evidence: Evidence, kind: str = "lookup") -> Question:
    return Question(id="q", kind=kind, question="?", answer="", evidence=evidence)


@pytest.mark.parametrize("seed", range(40))
def test_metrics_equal_pytrec_eval_on_random_rankings(seed: int) -> None:
    rng = random.Random(seed)
    n_relevant, depth = rng.randint(1, 4), rng.randint(1, 12)
    pool = [f"r{i}" for i in range(n_relevant)] + [f"n{i}" for i in range(12)]
    ranking = rng.sample(pool, depth)
    found = [{int(name[1:])} if name[0] == "r" else set() for name in ranking]
    judged = {"q": {name: int(name[0] == "r") for name in pool}}
    run = {"q": {name: float(depth - rank) for rank, name in enumerate(ranking)}}
    measures = {"success.1,3,5", "recall.1,3,5", "ndcg_cut.1,3,5", "recip_rank"}
    oracle = pytrec_eval.RelevanceEvaluator(judged, measures).evaluate(run)["q"]
    for k in (1, 3, 5):
        ours = {
            f"success_{k}": hit_at_k(found, k),
            f"recall_{k}": recall_at_k(found, k, n_relevant),
            f"ndcg_cut_{k}": ndcg_at_k(found, k, n_relevant),
        }
        for name, value in ours.items():
            assert value == pytest.approx(oracle[name], abs=1e-9), name
    assert reciprocal_rank(found) == pytest.approx(oracle["recip_rank"], abs=1e-9)


def test_the_same_evidence_twice_counts_once() -> None:
    found = [{0}, {0}, {1}]
    assert recall_at_k(found, 2, 2) == 0.5
    expected = (1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3))
    assert ndcg_at_k(found, 3, 2) == pytest.approx(expected)


def test_no_hits_score_zero() -> None:
    assert hit_at_k([], 5) == reciprocal_rank([]) == 0
    assert recall_at_k([], 5, 2) == ndcg_at_k([], 5, 2) == 0


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (f"Since May, {QUOTE}. Use a gun.", True),
        ("each pitch\n bearing   now takes 1.6 kg\tof grease", True),
        ("… each pitch bearing now takes", True),
        ("now takes 1.6 kg of grease at once", True),
        ("takes 1.6 kg of", False),
        ("each pitch bearing now", False),
        ("Each bearing of the pitch: 1.6 kg of grease", False),
        ("", False),
    ],
)
def test_a_chunk_with_half_of_the_quote_holds_the_evidence(make_hit, text: str, holds) -> None:
    evidence = Evidence("SB-1", QUOTE)
    assert holds_evidence(make_hit(text, document_id="SB-1"), evidence) is holds


def test_the_same_words_in_another_document_are_no_evidence(make_hit) -> None:
    assert not holds_evidence(make_hit(QUOTE, document_id="X"), Evidence("SB-1", QUOTE))


def test_one_question_is_scored_by_hand(make_hit) -> None:
    asked = question(Evidence("A", "alpha value"), Evidence("B", "beta value"))
    hits = [
        make_hit("nothing", document_id="A"),
        make_hit("the beta value", document_id="B"),
        make_hit("nothing", document_id="C"),
        make_hit("the alpha value", document_id="A"),
    ]
    score = score_retrieval(asked, hits, k=3)
    assert (score.hit_at_1, score.hit_at_k) == (0, 1)
    assert (score.recall_at_k, score.reciprocal_rank) == (0.5, 0.5)
    assert score.ndcg_at_k == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3)))
    assert relevance(asked, hits) == [set(), {1}, set(), {0}]


def test_a_hit_below_the_depth_does_not_count(make_hit) -> None:
    asked = question(Evidence("A", "alpha value"))
    hits = [make_hit("no", document_id="B"), make_hit("alpha value", document_id="A")]
    assert set(vars(score_retrieval(asked, hits, k=1)).values()) == {0.0}


def test_a_question_without_evidence_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="no evidence"):
        score_retrieval(question(), [], k=3)


def test_the_summary_averages_by_kind_and_leaves_out_unanswerable(make_hit) -> None:
    evidence = Evidence("A", "alpha value")
    right, wrong = [make_hit("alpha value", document_id="A")], [make_hit("no", document_id="A")]
    questions = [
        question(evidence),
        question(evidence),
        question(evidence, kind="table"),
        question(kind="unanswerable"),
    ]
    summary = summarise_retrieval(questions, [right, wrong, right, wrong], k=1)
    assert set(summary) == {"all", "lookup", "table"}
    assert summary["all"]["hit_at_k"].mean == pytest.approx(2 / 3)
    assert summary["lookup"]["ndcg_at_k"].mean == 0.5
    assert (summary["table"]["recall_at_k"].mean, summary["table"]["recall_at_k"].n) == (1, 1)


def test_questions_and_hits_must_pair_up() -> None:
    with pytest.raises(ValueError):
        summarise_retrieval([question()], [], k=1)


@given(
    st.lists(st.lists(st.integers(0, 2), max_size=2, unique=True), max_size=DEPTH),
    st.integers(1, 3),
)
def test_metrics_from_ranks_equal_those_from_the_hits(make_hit, holding, n: int) -> None:
    quotes = [f"fact {i}" for i in range(n)]
    question = Question("q", "lookup", "?", "", evidence=tuple(Evidence("D", q) for q in quotes))
    texts = [". ".join(f"fact {i}" for i in pieces) for pieces in holding]
    hits = [make_hit(text, document_id="D") for text in texts]
    ranks = ranks_of(question, hits)
    assert unpack(pack([ranks, ranks])) == [ranks, ranks]
    expected = score_retrieval(question, hits, k=5)
    scores = per_question([ranks], k=5)
    assert {name: scores[name] for name in METRICS} == {
        name: [getattr(expected, name)] for name in METRICS
    }


def test_a_rank_is_that_of_the_first_hit(make_hit) -> None:
    question = Question(
        "q", "synthesis", "?", "", evidence=(Evidence("A", "one two"), Evidence("B", "six"))
    )
    hits = [make_hit(t, document_id=d) for t, d in (("x", "A"), ("one two", "A"), ("one two", "A"))]
    assert ranks_of(question, hits) == [2, None]
    assert pack([[2, None], [1]]) == "2,- 1"


SCORES, CAN = [0.9, 0.2, 0.6, 0.3, 0.6, 0.8], [True, False, False, True, True, True]


def test_each_threshold_counts_what_lies_below_it() -> None:
    points = precision_recall(SCORES, CAN)
    assert [(p.value, p.precision, p.recall) for p in points] == [
        (0.3, 1.0, 0.5),
        (0.6, 0.5, 0.5),
        (0.8, 0.5, 1.0),
        (0.9, pytest.approx(2 / 5), 1.0),
        (float("inf"), pytest.approx(2 / 6), 1.0),
    ]


def test_the_curve_is_scikit_learns() -> None:
    draw = np.random.default_rng(0)
    can = draw.random(200) < 0.8
    scores = np.round(draw.normal(size=200) + can, 1)
    precision, recall, _ = precision_recall_curve(~can, -scores)
    theirs = sorted(zip(recall[:-1], precision[:-1], strict=True))
    ours = sorted((p.recall, p.precision) for p in precision_recall(scores.tolist(), can.tolist()))
    assert np.allclose(ours, theirs)


def test_the_best_point_balances_both() -> None:
    assert choose_threshold(SCORES, CAN).value in (0.3, 0.8)  # both have F1 = 2/3
    assert choose_threshold([0.1, 0.2, 0.8], [False, False, True]) == Threshold(0.8, 1.0, 1.0)
    assert Threshold(0.1, 0.0, 0.0).f1 == 0.0


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
    assert at_threshold(points, 0.7).value == 0.6
    assert at_threshold(points, 0.8).value == 0.8
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


def test_threshold_errors_by_hand() -> None:
    scores, answerable = [0.2, 0.5, 0.8, 0.5, 0.9], [True, True, True, False, False]
    assert threshold_errors(scores, answerable, 0.5) == (1 / 3, 1.0)
    assert threshold_errors(scores, answerable, 0.6) == (2 / 3, 0.5)
    assert threshold_errors(scores, answerable, 0.0) == (0.0, 1.0)
    assert threshold_errors(scores, answerable, 1.0) == (1.0, 0.0)


@given(scored.filter(lambda pairs: len({flag for _, flag in pairs}) == 2))
def test_pairs_won_is_the_area_under_scikit_learns_roc_curve(pairs: list) -> None:
    scores, answerable = zip(*pairs, strict=True)
    area = roc_auc_score(answerable, scores)
    assert np.isclose(share_of_pairs_won(scores, answerable), area)


def test_the_balanced_threshold_does_not_depend_on_the_size_of_the_groups() -> None:
    scores, answerable = [0.2, 0.6, 0.8, 0.1, 0.5, 0.7], [True, True, True, False, False, False]
    threshold = balanced_threshold(scores, answerable)
    assert threshold_errors(scores, answerable, threshold) == (1 / 3, 1 / 3)
    many = [*scores, *scores[:3] * 9], [*answerable, *answerable[:3] * 9]
    assert balanced_threshold(*many) == threshold


@pytest.mark.parametrize("answerable", [[True, True], [False, False]])
def test_one_group_alone_is_refused(answerable: list[bool]) -> None:
    with pytest.raises(ValueError, match="at least one of each"):
        share_of_pairs_won([0.1, 0.2], answerable)
    with pytest.raises(ValueError, match="at least one of each"):
        threshold_errors([0.1, 0.2], answerable, 0.15)
