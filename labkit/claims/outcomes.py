"""Outcomes: what a rule may say, and how an interval decides.

Knows: the five states, and when a difference is a gain, a loss, close, or cannot be told.
Does not know: any rule (``rules``) nor where numbers come from (``records``).
Used by the rules and by lesson 01.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from labkit.claims.records import MATTERS, Records
from labkit.types import Interval

State = Literal["holds", "holds only if", "does not hold here", "cannot tell", "not measured yet"]


@dataclass(frozen=True)
class Outcome:
    """What a rule found: the state, the numbers in words, and the condition of an *only if*."""

    state: State
    finding: str
    condition: str = ""


@dataclass(frozen=True)
class Claim:
    """One claim: where it is tested, its rule as a function and in words, and the runs it needs."""

    name: str
    text: str
    lesson: str
    needs: tuple[str, ...]
    judge: Callable[[Records], Outcome]
    rule: str


def gains(change: Interval) -> bool | None:
    """Tell whether a difference is a sure gain; ``None`` if it may be zero or one that matters.

    Examples
    --------
    >>> gains(Interval(0.2, 0.1, 0.3, 99)), gains(Interval(0.0, -0.1, 0.01, 99))
    (True, False)
    >>> gains(Interval(0.1, -0.1, 0.3, 99))
    """
    if change.low > 0:
        return True
    return None if change.high >= MATTERS else False


def loses(change: Interval) -> bool | None:
    """Tell whether a difference is a sure loss; ``None`` as in ``gains``."""
    return gains(Interval(-change.mean, -change.high, -change.low, change.n))


def close(change: Interval) -> bool | None:
    """Tell whether a difference is surely no loss that matters; ``None`` if it may be zero or one.

    Examples
    --------
    >>> close(Interval(0.0, -0.02, 0.3, 99)), close(Interval(-0.2, -0.3, -0.1, 99))
    (True, False)
    >>> close(Interval(0.0, -0.1, 0.1, 99))
    """
    if change.low > -MATTERS:
        return True
    return False if change.high < 0 else None


def of_parts(parts: Mapping[Any, bool | None], finding: str, *, condition: str) -> Outcome:
    """Return *holds* if every part holds, *only if* if some do, else *cannot tell* or *does not*.

    Parameters
    ----------
    parts
        Whether the rule holds, by the name of the part; ``None`` where the numbers cannot tell.
    finding
        The numbers, in words.
    condition
        How the parts that hold are named: ``"you ask for {parts}"``. Those that cannot be told
        are named behind them.
    """
    holding = [str(name) for name, holds in parts.items() if holds]
    unclear = [str(name) for name, holds in parts.items() if holds is None]
    if len(holding) == len(parts):
        return Outcome("holds", finding)
    if not holding:
        return Outcome("cannot tell" if unclear else "does not hold here", finding)
    told = condition.format(parts=", ".join(holding))
    if unclear:
        told += f"; cannot tell: {', '.join(unclear)}"
    return Outcome("holds only if", finding, told)
