"""Ranks keep enough of a run to compute every metric again."""

from hypothesis import given
from hypothesis import strategies as st

from labkit.retrieval_metrics import (
    DEPTH,
    METRICS,
    pack,
    per_question,
    ranks_of,
    score_retrieval,
    unpack,
)
from labkit.types import Evidence, Question


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
