"""Retrieval metrics against pytrec_eval and by hand."""

import math
import random

import pytest
import pytrec_eval

from labkit import retrieval_metrics as retrieval
from labkit.types import Evidence, Question

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
            f"success_{k}": retrieval.hit_at_k(found, k),
            f"recall_{k}": retrieval.recall_at_k(found, k, n_relevant),
            f"ndcg_cut_{k}": retrieval.ndcg_at_k(found, k, n_relevant),
        }
        for name, value in ours.items():
            assert value == pytest.approx(oracle[name], abs=1e-9), name
    assert retrieval.reciprocal_rank(found) == pytest.approx(oracle["recip_rank"], abs=1e-9)


def test_the_same_evidence_twice_counts_once() -> None:
    found = [{0}, {0}, {1}]
    assert retrieval.recall_at_k(found, 2, 2) == 0.5
    expected = (1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3))
    assert retrieval.ndcg_at_k(found, 3, 2) == pytest.approx(expected)


def test_no_hits_score_zero() -> None:
    assert retrieval.hit_at_k([], 5) == retrieval.reciprocal_rank([]) == 0
    assert retrieval.recall_at_k([], 5, 2) == retrieval.ndcg_at_k([], 5, 2) == 0


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
    assert retrieval.holds_evidence(make_hit(text, document_id="SB-1"), evidence) is holds


def test_the_same_words_in_another_document_are_no_evidence(make_hit) -> None:
    assert not retrieval.holds_evidence(make_hit(QUOTE, document_id="X"), Evidence("SB-1", QUOTE))


def test_one_question_is_scored_by_hand(make_hit) -> None:
    asked = question(Evidence("A", "alpha value"), Evidence("B", "beta value"))
    hits = [
        make_hit("nothing", document_id="A"),
        make_hit("the beta value", document_id="B"),
        make_hit("nothing", document_id="C"),
        make_hit("the alpha value", document_id="A"),
    ]
    score = retrieval.score_retrieval(asked, hits, k=3)
    assert (score.hit_at_1, score.hit_at_k) == (0, 1)
    assert (score.recall_at_k, score.reciprocal_rank) == (0.5, 0.5)
    assert score.ndcg_at_k == pytest.approx((1 / math.log2(3)) / (1 + 1 / math.log2(3)))
    assert retrieval.relevance(asked, hits) == [set(), {1}, set(), {0}]


def test_a_hit_below_the_depth_does_not_count(make_hit) -> None:
    asked = question(Evidence("A", "alpha value"))
    hits = [make_hit("no", document_id="B"), make_hit("alpha value", document_id="A")]
    assert set(vars(retrieval.score_retrieval(asked, hits, k=1)).values()) == {0.0}


def test_a_question_without_evidence_cannot_be_scored() -> None:
    with pytest.raises(ValueError, match="no evidence"):
        retrieval.score_retrieval(question(), [], k=3)


def test_the_summary_averages_by_kind_and_leaves_out_unanswerable(make_hit) -> None:
    evidence = Evidence("A", "alpha value")
    right, wrong = [make_hit("alpha value", document_id="A")], [make_hit("no", document_id="A")]
    questions = [
        question(evidence),
        question(evidence),
        question(evidence, kind="table"),
        question(kind="unanswerable"),
    ]
    summary = retrieval.summarise_retrieval(questions, [right, wrong, right, wrong], k=1)
    assert set(summary) == {"all", "lookup", "table"}
    assert summary["all"]["hit_at_k"].mean == pytest.approx(2 / 3)
    assert summary["lookup"]["ndcg_at_k"].mean == 0.5
    assert (summary["table"]["recall_at_k"].mean, summary["table"]["recall_at_k"].n) == (1, 1)


def test_questions_and_hits_must_pair_up() -> None:
    with pytest.raises(ValueError):
        retrieval.summarise_retrieval([question()], [], k=1)
