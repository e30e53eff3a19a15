"""The finder: identifiers count as a whole, newer goes first, two machines are two searches."""

from collections.abc import Sequence
from typing import Any

import pytest

from labkit.finder import Finder, FinderConfig, one_machine_each
from labkit.types import Hit, Mode


class Shelf:
    """A store of two fixed lists, whatever is asked; remembers the questions."""

    def __init__(self, near: Sequence[Hit], worded: Sequence[Hit]) -> None:
        self.lists = {"vector": list(near), "text": list(worded), "hybrid": list(worded)}
        self.asked: list[tuple[str, str]] = []

    def search_many(
        self, queries: Sequence[str], *, k: int = 5, mode: Mode = "hybrid"
    ) -> list[list[Hit]]:
        self.asked += [(mode, query) for query in queries]
        return [self.lists[mode][:k] for _ in queries]


def no_second_look(question: str, passages: Sequence[str]) -> list[float]:
    return [0.0] * len(passages)


@pytest.fixture
def hit(make_hit: Any) -> Any:
    def make(name: str, text: str, score: float, **facts: Any) -> Hit:
        ids = {"chunk_id": name, "document_id": name.partition("#")[0]}
        return make_hit(text, **ids, passage=text, score=score, **facts)

    return make


def names(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk_id for hit in hits]


def find(near: Sequence[Hit], worded: Sequence[Hit], question: str, **config: Any) -> list[str]:
    finder = Finder(Shelf(near, worded), no_second_look, {}, FinderConfig(**config))
    return names(finder.search(question, k=9))


def test_what_one_list_has_far_ahead_stays_ahead(hit: Any) -> None:
    near = [hit("a#0", "one", 0.61), hit("b#0", "two", 0.60), hit("c#0", "three", 0.59)]
    worded = [hit("x#0", "code", 15.2), hit("b#0", "two", 9.8), hit("a#0", "one", 9.7)]
    assert find(near, worded, "Which?")[0] in ("a#0", "x#0")
    assert find(near, worded, "Which?", vector_share=0.4)[0] == "x#0"


@pytest.mark.parametrize("kind", ["manual", "table"])
def test_an_identifier_of_the_question_counts_as_a_whole(hit: Any, kind: str) -> None:
    wrong = hit("a#0", "the NV-140 takes 3 kg", 0.9)
    right = hit("b#0", "the NV-90 takes 1 kg", 0.7, kind=kind)
    other = hit("c#0", "grease in general", 0.8)
    assert find([wrong, other, right], [wrong], "How much for the NV-90?")[0] == "b#0"
    assert find([wrong, other, right], [wrong], "How much for the nv-90?")[0] == "b#0"
    assert find([other, wrong, right], [], "Of the NV-117?")[0] == "c#0", "another of the family"
    assert find([wrong, other, right], [wrong], "How much?")[0] == "a#0", "none was named"


def test_a_row_with_the_identifier_goes_before_prose_with_it(hit: Any) -> None:
    prose = hit("a#0", "torques of the NV-90 are in the table", 0.80)
    row = hit("t:1#0", "turbine: NV-90; torque: 5", 0.75, kind="table")
    filler = [hit(f"f{n}#0", "other", 0.1) for n in range(3)]
    assert find([prose, row, *filler], [], "Torque on the NV-90?")[0] == "t:1#0"


def test_a_newer_passage_goes_before_what_it_says_anew(hit: Any) -> None:
    old = hit("SM-1#0", "each bearing takes 1.2 kg of grease", 0.9)
    new = hit("SB-1#0", "each bearing takes 1.6 kg of grease", 0.5, metadata={"supersedes": "SM-1"})
    apart = hit("SB-1#1", "what happened in Skarv", 0.4, metadata={"supersedes": "SM-1"})
    filler = hit("x#0", "other", 0.1)
    assert find([old, new, apart, filler], [], "How much?") == ["SB-1#0", "SM-1#0", "SB-1#1", "x#0"]
    assert find([old, new, apart, filler], [], "How much?", min_overlap=2.0)[0] == "SM-1#0"


def test_two_machines_are_two_searches_that_take_turns(hit: Any) -> None:
    one = [hit(f"a#{n}", f"NV-90 part {n}", 0.9 - n / 10) for n in range(3)]
    other = [hit(f"b#{n}", f"NV-117 part {n}", 0.5 - n / 10) for n in range(3)]
    shelf = Shelf([*one, *other], [])
    finder = Finder(shelf, no_second_look, {})
    found = names(finder.search("Compare the NV-90 with the NV-117?", k=4))
    assert sorted(found[:2]) == ["a#0", "b#0"] and len(set(found)) == 4
    assert {query for _, query in shelf.asked} == set(
        one_machine_each("Compare the NV-90 with the NV-117?")
    )


def test_one_document_does_not_take_all_places(hit: Any) -> None:
    same = [hit(f"a#{n}", f"text {n}", 0.9 - n / 100) for n in range(5)]
    other = hit("b#0", "other", 0.2)
    assert find([*same, other], [], "Which?", per_document=2)[2] == "b#0"


def test_house_terms_are_searched_beside_the_question(hit: Any) -> None:
    shelf = Shelf([hit("a#0", "text", 0.9)], [])
    glossary = {"heel": "The heel is the blade root."}
    Finder(shelf, no_second_look, glossary).search("How tight is the blade root?")
    assert ("text", "How tight is the blade root?") in shelf.asked
    assert ("text", "How tight is the blade root? (heel)") in shelf.asked
    shelf.asked.clear()
    Finder(shelf, no_second_look, glossary).search("Which oil?")
    assert shelf.asked == [("vector", "Which oil?"), ("text", "Which oil?")], "each once"


def test_other_modes_and_empty_stores_are_the_stores_own(hit: Any) -> None:
    shelf = Shelf([], [hit("a#0", "text", 1.0)])
    finder = Finder(shelf, no_second_look, {})
    assert names(finder.search("Which?", mode="text")) == ["a#0"]
    assert Finder(Shelf([], []), no_second_look, {}).search("Which NV-90?") == []


def test_a_second_look_changes_the_order_of_what_was_found(hit: Any) -> None:
    near = [hit("a#0", "one", 0.9), hit("b#0", "two", 0.85), hit("c#0", "three", 0.1)]

    def prefers_two(question: str, passages: Sequence[str]) -> list[float]:
        return [float("two" in passage) for passage in passages]

    assert names(Finder(Shelf(near, []), prefers_two, {}).search("Which?"))[0] == "b#0"
