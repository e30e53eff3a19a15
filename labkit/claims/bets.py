"""Bets on the claims: placed in lesson 01, kept for this user, settled in lesson 09.

Knows: the file of bets, who bets what by default, and how a bet is settled by a verdict.
Does not know: how a claim is judged (``verdicts``). In static mode nothing is read or written:
saved notebooks show the default bets, and building them leaves a learner's file alone.
Used by lessons 01 and 09.
"""

import json
from collections.abc import Mapping, Sequence
from typing import get_args

from labkit import results, settings
from labkit.claims.outcomes import State
from labkit.claims.verdicts import Verdict

FILE_NAME = "bets.json"
CHOICES: tuple[State, ...] = get_args(State)[:3]
NAMES = tuple(f"C{number}" for number in range(1, 14))
BELIEVER: dict[str, State] = {name: "holds" for name in NAMES}


def place(bets: Mapping[str, str]) -> dict[str, State]:
    """Keep these bets beside the earlier ones and return all thirteen.

    Parameters
    ----------
    bets
        ``{"C1": "holds", …}``: ``"holds"``, ``"holds only if"`` or ``"does not hold here"``. A
        claim that is left out keeps its earlier bet, or the default: whoever believes everything
        bets that it holds.

    Raises
    ------
    ValueError
        If there is no such claim or choice; nothing is written then.
    """
    _refuse_unknown(bets)
    whole = load() | dict(bets)
    if bets and not settings.static():
        text = json.dumps(whole, indent=1) + "\n"
        results.write_atomically(settings.state_dir() / FILE_NAME, text)
    return whole  # type: ignore[return-value]


def load() -> dict[str, State]:
    """Return all thirteen bets: the kept ones, and the default where none was placed.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    path = settings.state_dir() / FILE_NAME
    if settings.static() or not path.is_file():
        return dict(BELIEVER)
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        _refuse_unknown(kept)
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"The bets in {path} cannot be read ({error}); delete the file.") from None
    return BELIEVER | kept


def settle(bet: str, state: str) -> str:
    """Return ``won``, ``lost``, or ``open`` where the numbers cannot tell or are missing."""
    if state not in CHOICES:
        return "open"
    return "won" if bet == state else "lost"


def table(bets: Mapping[str, str], verdicts: Sequence[Verdict], *, reveal: bool = True) -> str:
    """Return the bets beside the verdicts, as markdown; ``reveal=False`` hides the verdicts."""
    head = ["", "claim", "your bet", "verdict", "measured", "bet"][: 6 if reveal else 3]
    rows = []
    for verdict in verdicts:
        claim, bet = verdict.claim, bets[verdict.claim.name]
        told = [verdict.in_words, verdict.finding, settle(bet, verdict.state)]
        rows.append([claim.name, claim.text, bet, *(told if reveal else [])])
    return results.table(head, rows)


def _refuse_unknown(bets: Mapping[str, str]) -> None:
    for name, choice in bets.items():
        if name not in NAMES:
            raise ValueError(f"There is no claim {name!r}; choose from C1 to C13.")
        if choice not in CHOICES:
            raise ValueError(f"{choice!r} is no bet on {name}; choose {', '.join(CHOICES)}.")
