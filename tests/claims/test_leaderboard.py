"""The leaderboard in a terminal, as JSON, as markdown and as one HTML page."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from labkit import hardware, results
from labkit.claims import leaderboard
from labkit.cli.main import main

TUNE = "python -m labkit finetune --method qlora --rank 4 --out made/up"


def share(mean: float) -> dict:
    return {"mean": mean, "low": max(0, mean - 0.1), "high": min(1, mean + 0.1), "n": 10}


def run(system: str, right: float, **config: Any) -> dict:
    keys = {*leaderboard.SHORT, *leaderboard.METRICS}
    figures = {key: share(0.5) for key in keys} | {
        "exact_match": share(right),
        "wrong_but_confident": share(1 - right),
        "abstention_recall": None,
        "by_kind": {},
        "retrieval": None,
    }
    command = f"python -m labkit exam --system {system}"
    return {
        "name": f"exam-{system}-tiny-1",
        "date": "2026-01-02",
        "config": {"system": system, "model": "Tiny-1", "k": None, "command": command} | config,
        "figures": figures,
        "hardware": hardware.Hardware("CPU <b>", 2, 2**32, False).as_dict(),
        "versions": {},
    }


@pytest.fixture
def runs() -> list[dict]:
    sit = "python -m labkit exam --system both --tuned made/up -k 3"
    tuned = {"training": {"method": "qlora"}, "command": f"{TUNE} && {sit}"}
    return [run("both", 0.9, **tuned), run("base", 0.1)]


def test_a_tuned_row_is_repeated_by_commands_that_the_doors_accept(runs: list[dict]) -> None:
    from cli.doors import parse

    tune, sit = leaderboard.commands(runs[0])
    assert tune == TUNE
    made = [parse(command.split()[3:]) for command in (tune, sit)]
    assert made[0]["out"] == made[1]["tuned"]
    assert leaderboard.commands(runs[1]) == ["python -m labkit exam --system base"]


def test_every_row_prints_its_scores_and_its_commands(runs: list[dict]) -> None:
    lines = leaderboard.in_words(runs).splitlines()
    assert re.search(r"^both, Tiny-1, qlora +90 \(80–100\) +10 \(0–20\) .* –$", lines[1])
    assert lines[2].strip().startswith("python -m labkit finetune --method qlora")
    assert lines[5].strip() == "python -m labkit exam --system base"
    assert "exam --system base" in leaderboard.in_words([])


def test_a_stale_row_says_so_and_why(runs: list[dict]) -> None:
    runs[1]["stale"] = "sat in half the time"
    lines = leaderboard.render(runs).splitlines()
    (origin,) = (line for line in lines if "2026-01-02, stale: sat in half the time" in line)
    assert origin.startswith("| base, Tiny-1, stale |")
    assert sum("stale" in line for line in lines) == 3
    assert "base, Tiny-1, stale" in leaderboard.in_words(runs)


def test_the_page_stands_alone_and_escapes_every_text(runs: list[dict]) -> None:
    runs[1]["config"]["command"] = "<script>alert(1)</script> & x"
    runs[1]["config"]["model"] = "<img src=x>"
    html = leaderboard.page(runs)
    assert "<script" not in html and "<img src=x" not in html
    assert "&lt;script&gt;" in html and " &amp; x" in html
    assert re.findall(r"(?:src|href)=", html) == ["src="]  # the escaped one
    assert html.count("<tr>") == 2 and "The claims" not in html
    assert "--tuned made/up -k 3</td>" in html  # long cells stay whole
    with pytest.raises(ValueError, match="No exam is recorded yet"):
        leaderboard.page([])


@pytest.fixture
def folder(tmp_path: Path, runs: list[dict], monkeypatch: pytest.MonkeyPatch) -> Path:
    for one in runs:
        (tmp_path / f"{one['name']}.json").write_text(json.dumps(one))
    monkeypatch.setattr(results, "default_folder", lambda: tmp_path)
    return tmp_path


def test_the_door_prints_json_and_writes_the_page(folder: Path, capsys) -> None:
    page = folder / "new" / "page.html"
    assert main(["leaderboard", "--json", "--html", str(page)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [row["system"] for row in told["runs"]] == ["both, Tiny-1, qlora", "base, Tiny-1"]
    assert told["runs"][1]["figures"]["exact_match"]["mean"] == 0.1
    assert {one["state"] for one in told["verdicts"]} >= {"not measured yet"}
    assert "The claims" in page.read_text(encoding="utf-8")


def test_the_door_writes_both_pages_anew(folder: Path, capsys) -> None:
    assert main(["leaderboard", "--write"]) == 0
    assert "qlora" in (folder / "LEADERBOARD.md").read_text(encoding="utf-8")
    assert "**C13**" in (folder / "VERDICTS.md").read_text(encoding="utf-8")
    assert "VERDICTS.md" in capsys.readouterr().out


def test_a_folder_without_exams_gets_an_empty_board(tmp_path: Path) -> None:
    assert "| system | lookup |" in leaderboard.write(tmp_path).read_text(encoding="utf-8")


def test_the_committed_leaderboard_is_what_the_records_say() -> None:
    committed = results.default_folder() / leaderboard.FILE_NAME
    assert committed.read_text(encoding="utf-8") == leaderboard.render(results.leaderboard())
