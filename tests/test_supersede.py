"""Newer wins, where both speak of the same thing."""

import pytest

from labkit.rerank import newer_wins, overlap


@pytest.fixture
def pair(make_hit):
    """Return a manual's chunk and the bulletin's that replaces it; 3 of 5 words in common."""
    old = make_hit("bearing takes 1.2 kg grease", document_id="SM-90-PIT")
    new = make_hit(
        "bearing receives 1.6 kg of grease", document_id="SB-2019-04",
        kind="bulletin", metadata={"supersedes": "SM-90-PIT"},
    )  # fmt: skip
    return old, new


def ids(hits) -> list[str]:
    return [hit.document_id for hit in hits]


def test_the_newer_chunk_takes_the_older_ones_place(make_hit, pair) -> None:
    old, new = pair
    twin = make_hit("bearing of the NV-117", document_id="SM-117-PIT")
    assert ids(newer_wins([old, twin, new])) == ["SB-2019-04", "SM-90-PIT", "SM-117-PIT"]
    assert ids(newer_wins([twin, old, new])) == ["SM-117-PIT", "SB-2019-04", "SM-90-PIT"]


def test_what_is_in_order_stays_in_order(make_hit, pair) -> None:
    old, new = pair
    other = make_hit("yaw", document_id="SM-90-YAW", metadata={"supersedes": "SM-1"})
    assert newer_wins([new, other, old]) == [new, other, old]
    assert newer_wins([other, old]) == [other, old]
    assert newer_wins([]) == []


def test_a_chunk_about_something_else_keeps_its_place(pair) -> None:
    old, new = pair
    assert overlap(old, new) == pytest.approx(3 / 5)
    assert ids(newer_wins([old, new], min_overlap=0.6)) == ["SB-2019-04", "SM-90-PIT"]
    assert ids(newer_wins([old, new], min_overlap=0.61)) == ["SM-90-PIT", "SB-2019-04"]


def test_a_document_without_the_field_supersedes_nothing(make_hit) -> None:
    hits = [make_hit("a", document_id="X"), make_hit("a", document_id="Y")]
    assert newer_wins(hits) == hits


def test_no_hit_is_lost_or_doubled(make_hit, pair) -> None:
    old, new = pair
    hits = [old, make_hit("b", document_id="B"), new, make_hit("bearing", document_id="SM-90-PIT")]
    assert sorted(map(str, newer_wins(hits))) == sorted(map(str, hits))
