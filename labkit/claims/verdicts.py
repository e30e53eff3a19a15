"""The claims' verdicts: thirteen sentences, each judged by a rule in code from recorded runs.

Knows: all recorded answers as one table, what a verdict is, how it is shown, where the page lies.
Does not know: the rules themselves (``rules``) nor how a run came about.
Used by ``python -m labkit leaderboard`` and lessons 01 and 09.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from labkit import results
from labkit.claims.outcomes import Claim, State
from labkit.claims.records import COMMANDS, MATTERS, QUESTIONS, SEEDS, Records, why_stale
from labkit.claims.records import load_records as load_records
from labkit.claims.records import origin_of as origin_of
from labkit.claims.rules import CLAIMS

FILE_NAME = "VERDICTS.md"
WRITE_COMMAND = "python -m labkit leaderboard --write"
HEAD = f"""# The claims' verdicts

Written by `{WRITE_COMMAND}` from the recorded runs beside this file; not edited by hand.
A verdict follows from the numbers by the rule in its row; no opinion enters. Brackets hold the 95 %
bootstrap interval over questions; where a range over steps stands in its place, it says so.
*Cannot tell*: the interval holds both zero and a difference that matters ({100 * MATTERS:.0f}
points), or a training was judged on fewer than {QUESTIONS} questions or {SEEDS} seeds.
"""


@dataclass(frozen=True)
class Verdict:
    """One claim, judged: ``missing`` are the commands whose records it still waits for."""

    claim: Claim
    state: State
    finding: str
    condition: str = ""
    origin: str = ""
    missing: tuple[str, ...] = ()

    @property
    def in_words(self) -> str:
        """Return the state with its condition."""
        return f"{self.state} {self.condition}".strip()


def judge(claim: Claim, records: Records) -> Verdict:
    """Judge one claim, or say which commands would record what it needs.

    What a stale record gave is still told, with the reason why it is stale.
    """
    lacking = [pattern for pattern in claim.needs if not records.matching(pattern)]
    if lacking:
        missing = tuple(dict.fromkeys(COMMANDS[pattern] for pattern in lacking))
        waits = "waits for: " + "; ".join(missing)
        return Verdict(claim, "not measured yet", waits, missing=missing)
    outcome = claim.judge(records)
    runs = [run for pattern in claim.needs for run in records.matching(pattern)]
    origin = "; ".join(dict.fromkeys(origin_of(run) for run in runs))
    stale = "".join(f"; stale, {run['name']}: {why}" for run in runs if (why := why_stale(run)))
    return Verdict(claim, outcome.state, outcome.finding + stale, outcome.condition, origin)


def judge_all(records: Records) -> list[Verdict]:
    """Judge every claim, C1 first."""
    return [judge(claim, records) for claim in CLAIMS]


def table(verdicts: Sequence[Verdict]) -> pd.DataFrame:
    """Return the verdicts as a table of texts, one row a claim."""
    head = ["claim", "verdict", "measured", "rule", "lesson", "where and when"]
    rows = [
        [f"{v.claim.name} {v.claim.text}", v.in_words, v.finding, v.claim.rule, v.claim.lesson,
         v.origin or "–"]
        for v in verdicts
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=head)


def render(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as a markdown page; name and verdict are bold."""
    page = table(verdicts)
    page["claim"] = page["claim"].str.replace(r"^(\S+)", r"**\1**", regex=True)
    page["verdict"] = "**" + page["verdict"] + "**"
    return f"{HEAD}\n{results.table(list(page), page.to_numpy().tolist())}\n"


def in_words(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as lines for a terminal."""
    return "\n".join(
        f"{v.claim.name:4}{v.claim.text}\n    → {v.in_words}\n      {v.finding}" for v in verdicts
    )


def write(verdicts: Sequence[Verdict]) -> Path:
    """Write the page of verdicts beside the recorded runs and return its path."""
    path = results.default_folder() / FILE_NAME
    results.write_atomically(path, render(verdicts))
    return path
