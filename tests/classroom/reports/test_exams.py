"""Recorded exams become shares and tables; what is not recorded is left open."""

from pathlib import Path

import pytest

from labkit import hardware, results
from labkit.classroom import reports
from labkit.types import Interval

HALF = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 8}
MACHINE = hardware.Hardware("CPU", 2, 2**34, False)
RUN = {
    "date": "2026-01-02",
    "hardware": MACHINE.as_dict(),
    "figures": {
        "exact_match": HALF,
        "citation_precision": None,
        "by_kind": {"lookup": HALF | {"mean": 0.6}, "table": None},
        "retrieval": {"hybrid": {"lookup": {"hit_at_1": HALF}, "all": {"hit_at_1": HALF}}},
    },
}


def test_exams_are_found_by_system_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "load", lambda name: {"exam-rag-m": RUN}.get(name))
    assert reports.exams("M") == {"closed book": None, "RAG": RUN}
    assert reports.exams("M", {"with RAG": "rag"}) == {"with RAG": RUN}


def test_shares_are_read_off_a_run_and_none_where_there_is_none() -> None:
    assert reports.share(RUN) == Interval(0.5, 0.4, 0.6, 8)
    assert reports.share(RUN, "citation_precision") is None and reports.share(None) is None
    kinds = reports.by_kind(RUN)
    assert (kinds["lookup"].mean, kinds["table"], kinds["all"].mean) == (0.6, None, 0.5)
    assert list(reports.right_page_first(RUN)) == ["lookup", "all"]
    assert reports.origin(RUN) == "2026-01-02, CPU, 2 CPU cores, 16 GiB RAM, no GPU"


def test_the_table_of_an_exam_has_a_dash_where_nothing_has_a_say() -> None:
    found = {"closed book": None, "RAG": reports.share(RUN)}
    lines = reports.exam_table([("C1", "exact_match", found, "today", "recorded")]).splitlines()
    told = "closed book –; RAG 50 % (40–60)"
    assert lines[2] == f"| C1 | exact match | {told} | today | recorded |"


def test_the_usual_time_is_told_if_it_was_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(results, "default_folder", lambda: tmp_path)
    assert reports.usual_time("00_a") == "Recorded: not measured yet"
    results.record("lesson-times", {"lesson_s": {"00_a": 61.2}}, config={})
    assert reports.usual_time("00_a") == "Recorded on quiet cores: 61 s"
    assert reports.usual_time("01_b") == "Recorded: not measured yet"
