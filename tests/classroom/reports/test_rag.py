"""Reports on measured RAG say what the records say, and stand in for records that are missing."""

import pytest

from labkit import results
from labkit.classroom.reports import claims_table
from labkit.classroom.reports import rag as rag_report
from labkit.types import Evidence, Interval, Question


def share(mean: float, n: int = 4) -> dict:
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": n}


def row(hit_at_1: float, *, train: float, ranks: str) -> dict:
    return {
        "train_hit_at_1": train,
        "metrics": {name: share(hit_at_1) for name in ("hit_at_1", "hit_at_k", "ndcg_at_k")},
        "difference": share(hit_at_1 - 0.5) | {"p": 0.5},
        "hit_at_1_by_kind": {"jargon": share(hit_at_1), "table": share(0.25)},
        "words_of_first": 61.6,
        "found_in_reading_words": share(0.75),
        "ranks": ranks,
    }


@pytest.fixture
def board() -> rag_report.Board:
    rows = {
        "hybrid": row(0.5, train=0.6, ranks="1 2 1,- -"),
        "lucky": row(0.9, train=0.5, ranks="1 1 1 2"),
        "steady": row(0.8, train=0.7, ranks="1 1,3 1 11"),
    }
    return rag_report.Board(rows, "recorded today")


def test_the_choice_is_made_on_training_questions(board: rag_report.Board) -> None:
    assert board.by_training == ["steady", "hybrid", "lucky"]
    assert (board.best_on_test, board.n) == ("lucky", 4)


def test_the_table_of_the_choice_keeps_the_default_in_sight(board: rag_report.Board) -> None:
    lines = rag_report.choice_table(board, places=1).splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == ["steady", "hybrid"]
    assert "70.0%" in lines[2] and "+30.0 points (+20.0 to +40.0)" in lines[2]


def test_differences_come_largest_first_and_skip_what_was_not_measured(
    board: rag_report.Board,
) -> None:
    gaps = rag_report.differences(board, ["hybrid", "lucky", "unknown"])
    assert list(gaps) == ["lucky", "hybrid"]
    assert [gap.excludes_zero for gap in gaps.values()] == [True, False]


def test_found_by_k_counts_the_first_piece_of_evidence(board: rag_report.Board) -> None:
    series = rag_report.found_by_k(board, ["hybrid", "steady"])
    assert series["hybrid"][:2] == [(1, 50.0), (2, 75.0)]
    assert series["steady"][0] == (1, 75.0) and series["steady"][-1] == (10, 75.0)


def test_reading_and_kinds_are_read_off_the_rows(board: rag_report.Board) -> None:
    table = rag_report.reading_table(board, ["hybrid", "unknown"])
    assert table.splitlines()[2] == "| hybrid | 62 | 50 % (40–60) | 75 % (65–85) |"
    kinds = rag_report.by_kind(board, ["lucky", "lucky", "unknown"])
    assert {kind: part.mean for kind, part in kinds["lucky"].items()} == {
        "jargon": 0.9,
        "table": 0.25,
    }
    assert list(kinds) == ["lucky"]


def test_without_a_record_the_live_hits_stand_in(make_hit, monkeypatch) -> None:
    monkeypatch.setattr(results, "load", lambda name: None)
    question = Question("q", "lookup", "How much?", "1 kg", (), (Evidence("DOC-1", "1 kg of oil"),))
    hits = {mode: [[make_hit("It takes 1 kg of oil.")]] for mode in ("hybrid", "vector")}
    live = rag_report.load_board([question], hits)
    assert (live.n, live.best_on_test) == (1, "hybrid")
    assert "bench rag" in live.origin
    assert live.rows["vector"]["difference"]["mean"] == 0


def test_changes_of_facts_are_read_by_state_or_stand_in(monkeypatch) -> None:
    state = {key: share(0.5) for key in ("first_new", "first_old", "says_new", "says_old")}
    run = {"figures": {"states": {"before": state, "after": state | {"says_old": share(0.2)}}}}
    states = rag_report.update_states(run, [])
    assert list(states) == ["passage: new", "passage: old", "answer: new", "answer: old"]
    assert states["answer: old"]["after"] == Interval.of(share(0.2))
    assert rag_report.update_states(None, [1.0, 0.0])["passage: new"]["after"].mean == 0.5


def test_attacks_become_groups() -> None:
    rates = {"plain words, raw": {k: share(0.1) for k in ("shown", "obeyed", "backed", "trusted")}}
    (group,) = rag_report.attack_shares(rates).values()
    assert list(group) == ["shown", "obeyed", "backed", "trusted"]


def test_claims_leave_out_what_was_not_recorded(board: rag_report.Board) -> None:
    figures = {"exact_match": share(0.2), "wrong_but_confident": share(0.3)}
    exam = {"date": "2026-01-01", "figures": figures}
    rows = rag_report.claims(board, {"closed book": None, "RAG": exam}, None).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == ["| C1", "| C5", "| C7", "| C7"]
    told = "exact match: RAG 20 % (10–30) | recorded 2026-01-01 | recorded |"
    assert rows[0] == f"| C1 | {told}"
    assert "hybrid 50 % (40–60)" in rows[2]


def test_the_claims_table_leaves_out_what_was_not_found() -> None:
    text = claims_table([("C8", "told", "recorded today"), ("C9", "", "measured now")])
    assert "| C8 | told | recorded today | recorded |" in text and "C9" not in text
