"""Bets are kept for their owner, whole, and settled by the verdicts."""

import json
from pathlib import Path

import pytest

from labkit import settings
from labkit.claims import bets, verdicts
from labkit.claims.rules import CLAIMS
from labkit.claims.verdicts import Verdict


@pytest.fixture(autouse=True)
def live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_STATIC", "0")
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path))


def test_bets_are_kept_beside_earlier_ones(tmp_path: Path) -> None:
    assert bets.load() == bets.BELIEVER
    bets.place({"C1": "does not hold here"})
    whole = bets.place({"C2": "holds only if"})
    assert (whole["C1"], whole["C2"], whole["C3"]) == (
        "does not hold here",
        "holds only if",
        "holds",
    )
    assert bets.load() == whole
    assert list(json.loads((tmp_path / bets.FILE_NAME).read_text())) == list(bets.NAMES)


def test_no_bet_leaves_no_file_and_the_defaults_alone(tmp_path: Path) -> None:
    assert bets.place({}) == bets.BELIEVER
    bets.load()["C1"] = "holds only if"
    assert not list(tmp_path.iterdir()) and bets.BELIEVER["C1"] == "holds"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"C14": "holds"}, "no claim 'C14'"),
        ({"C1": "maybe"}, "choose holds, holds only if, does not hold here"),
        ({"C2": "holds only if", "C1": "not measured yet"}, "is no bet on C1"),
        ({"C1": "cannot tell"}, "is no bet on C1"),
    ],
)
def test_an_unknown_bet_is_refused_and_nothing_written(tmp_path: Path, wrong, told) -> None:
    with pytest.raises(ValueError, match=told):
        bets.place(wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damaged", ["{", "[1]", '{"C1": 3}', '{"C99": "holds"}', '"holds"'])
def test_a_damaged_file_is_named(tmp_path: Path, damaged: str) -> None:
    (tmp_path / bets.FILE_NAME).write_text(damaged)
    with pytest.raises(ValueError, match="delete the file"):
        bets.load()


def test_static_mode_neither_reads_nor_writes(tmp_path: Path, monkeypatch) -> None:
    bets.place({"C1": "does not hold here"})
    before = (tmp_path / bets.FILE_NAME).read_bytes()
    monkeypatch.setenv("LABKIT_STATIC", "1")
    assert bets.load() == bets.BELIEVER
    assert bets.place({"C5": "holds only if"})["C5"] == "holds only if"
    assert (tmp_path / bets.FILE_NAME).read_bytes() == before


def test_bets_lie_in_the_users_folder_not_in_the_cache(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path / "mine"))
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "shared"))
    bets.place({"C1": "holds only if"})
    assert (tmp_path / "mine" / bets.FILE_NAME).is_file()
    assert not (tmp_path / "shared").exists()
    monkeypatch.delenv("LABKIT_STATE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert settings.state_dir().is_relative_to(tmp_path)


def test_bets_are_settled_by_state() -> None:
    states: list[verdicts.State] = ["holds", "holds only if", "not measured yet", "cannot tell"]
    judged = [Verdict(c, s, "found") for c, s in zip(CLAIMS, states, strict=False)]
    lines = bets.table(bets.BELIEVER, judged).splitlines()[2:]
    assert [line.split(" | ")[-1] for line in lines] == ["won |", "lost |", "open |", "open |"]
    assert "found" not in bets.table(bets.BELIEVER, judged, reveal=False)


def test_there_is_a_bet_for_every_claim() -> None:
    assert [claim.name for claim in CLAIMS] == list(bets.NAMES)
