"""Linear fusion, by hand."""

import pytest

from labkit.store.search import linear, spread


def hits(make_hit, **scores: float):
    return [make_hit("t", document_id=name, score=score) for name, score in scores.items()]


def test_scores_are_spread_and_weighed_and_a_missing_hit_gets_nothing(make_hit) -> None:
    near = hits(make_hit, A=0.9, B=0.7, C=0.5)
    worded = hits(make_hit, C=12.0, D=8.0, B=4.0)
    fused = linear(near, worded, weight=0.6, k=10)
    expected = {"A": 0.6, "C": 0.4, "B": 0.3, "D": 0.2}
    assert [h.document_id for h in fused] == list(expected)
    assert [h.score for h in fused] == pytest.approx(list(expected.values()))


@pytest.mark.parametrize(("weight", "first"), [(1.0, "A"), (0.0, "C")])
def test_the_weight_at_its_ends_follows_one_side(make_hit, weight: float, first: str) -> None:
    near, worded = hits(make_hit, A=0.9, B=0.2), hits(make_hit, C=3.0, A=1.0)
    assert linear(near, worded, weight=weight, k=1)[0].document_id == first


def test_one_empty_side_leaves_the_other_in_order(make_hit) -> None:
    near = hits(make_hit, A=0.9, B=0.2)
    assert [h.document_id for h in linear(near, [], weight=0.5)] == ["A", "B"]
    assert linear([], [], weight=0.5) == []


def test_equal_scores_are_all_best() -> None:
    assert spread([2.0, 2.0]) == [1.0, 1.0] and spread([]) == []


def test_a_weight_outside_is_refused(make_hit) -> None:
    with pytest.raises(ValueError, match=r"weight is 1\.2"):
        linear([], [], weight=1.2)
