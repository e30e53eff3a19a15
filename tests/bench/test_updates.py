"""Changing facts: which value stands first, which is said, and what the rule changes."""

import pytest

from labkit.bench import updates as bench
from labkit.types import Evidence, Generation, Question

OLD = Evidence("SM-90-PIT", "takes 1.2 kg of grease")
CHANGED = Question(
    "test-1", "updated", "How much grease?", "", values=("1.6 kg",), superseded_value="1.2 kg",
    evidence=(Evidence("SB-2019-04", "receives 1.6 kg of grease"),),
)  # fmt: skip
STILL = Question(
    "test-2", "lookup", "Which oil?", "", evidence=(Evidence("SM-90-PIT", "the oil is Norlub"),)
)


@pytest.fixture
def papers(make_hit):
    manual = make_hit("It takes 1.2 kg of grease.", document_id="SM-90-PIT")
    oil = make_hit("For it the oil is Norlub.", document_id="SM-90-PIT", chunk_id="SM-90-PIT#1")
    bulletin = make_hit(
        "It receives 1.6 kg of grease.", document_id="SB-2019-04",
        metadata={"supersedes": "SM-90-PIT"},
    )  # fmt: skip
    return manual, oil, bulletin


def test_a_chunk_proves_the_new_the_old_or_neither_value(papers) -> None:
    assert [bench.holds(hit, CHANGED, OLD) for hit in papers] == ["old", "neither", "new"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Use 1.6 kg.", "new"),
        ("Use 1.2 kg.", "old"),
        ("Use 1.6 kg, not 1.2 kg.", "new"),
        ("Use 11.2 kg.", "neither"),
        ("", "neither"),
    ],
)
def test_an_answer_gives_the_new_the_old_or_neither_value(text: str, value: str) -> None:
    assert bench.says(text, CHANGED) == value


def test_only_changed_questions_are_asked_and_shares_add_up(papers, monkeypatch) -> None:
    class Says:
        def generate_batch(self, conversations):
            self.n = len(conversations)
            return [Generation("1.2 kg", 1, 1) for _ in conversations]

    manual, oil, bulletin = papers
    llm = Says()
    monkeypatch.setattr(bench, "superseded", lambda: {"test-1": OLD})
    found = [[bulletin, manual], [oil]]
    state = bench.of_updated([CHANGED, STILL], found, llm)
    assert llm.n == 1
    assert {key: state[key]["mean"] for key in state if key != "answers"} == {
        "first_new": 1.0,
        "first_old": 0.0,
        "says_new": 0.0,
        "says_old": 1.0,
    }


def test_the_rule_is_judged_on_every_kind_by_pairs(papers) -> None:
    manual, oil, bulletin = papers
    after = [[manual, bulletin], [oil, bulletin]]
    blind = [[bulletin, manual], [bulletin, oil]]
    table = bench.rule_by_kind([CHANGED, STILL], after, blind)
    assert {kind: row["difference"]["mean"] for kind, row in table.items()} == {
        "all": 0.0,
        "updated": 1.0,
        "lookup": -1.0,
    }
    assert table["updated"]["plain"]["mean"] == 0 and table["updated"]["rule"]["mean"] == 1


def test_the_overlap_is_chosen_by_hit_at_1(papers) -> None:
    manual, oil, bulletin = papers
    found = [[manual, bulletin], [oil, bulletin]]
    best = bench.choose_overlap([CHANGED, STILL], found)
    assert 1 / 6 < best <= 4 / 6  # below, the oil loses its place; above, the old grease keeps it


def test_the_courses_bulletins_and_old_values_are_where_the_benchmark_looks() -> None:
    old = bench.superseded()
    assert len(old) == 67 and all(e.quote and e.document.startswith("SM-") for e in old.values())
    names = [path.name for path in bench.everything_but_bulletins()]
    assert names == ["incidents", "manuals", "notes", "tables"]
