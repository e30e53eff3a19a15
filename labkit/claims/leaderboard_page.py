"""The leaderboard as one HTML page: figure, tables, verdicts; nothing is loaded from elsewhere.

Knows: HTML. Does not know: what a run or a verdict says (``leaderboard``, ``verdicts``).
Every text is escaped. Used by ``python -m labkit leaderboard --html`` and by ``make course``.
"""

import base64
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from labkit.claims import leaderboard

if TYPE_CHECKING:
    from labkit.claims.verdicts import Verdict

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;display:block;overflow-x:auto}img{max-width:100%}
td,th{padding:.3rem .6rem;border-bottom:1px solid #ccc;text-align:left;vertical-align:top}
code{font-size:.85em}"""


def figure(runs: Sequence[dict]) -> Any:
    """Return the figure of all runs as axes; the title compares the best run with the last.

    Raises
    ------
    ValueError
        If nothing is recorded.
    """
    from labkit.classroom import figures

    if not runs:
        raise ValueError(leaderboard.in_words(runs))
    rows = leaderboard.standings(runs)
    best, last = list(rows)[0], list(rows)[-1]
    title = f"{best}: {rows[best]['right'].mean:.0%} right"
    if last != best:
        title += f";\n{last}: {rows[last]['right'].mean:.0%}"
    dates = " to ".join(dict.fromkeys([min(r["date"] for r in runs), max(r["date"] for r in runs)]))
    caption = f"95 % bootstrap intervals over questions; recorded {dates}"
    xlabel = "share of all exam questions (%)"
    return figures.dots(rows, title=title, xlabel=xlabel, caption=caption)


def page(runs: Sequence[dict], verdicts: Sequence["Verdict"] = ()) -> str:
    """Return the whole page; open it in any browser, or mail it.

    Parameters
    ----------
    runs
        Recorded exam runs, best first.
    verdicts
        One a claim, as ``verdicts.judge_all`` gives them; none leaves the section out.
    """
    picture = base64.b64encode(figure(runs).figure._repr_png_()).decode("ascii")
    head = ["system", *leaderboard.SHORT.values(), "recorded", "to repeat it"]
    rows = [_row(run) for run in runs]
    parts = [
        f'<img alt="How often each system is right" src="data:image/png;base64,{picture}">',
        _table(head, rows),
        "<p>Percent of questions, 95 % bootstrap interval in brackets.</p>",
    ]
    if verdicts:
        cells = [[f"{v.claim.name} {v.claim.text}", v.in_words, v.finding, v.claim.rule, v.origin]
                 for v in verdicts]  # fmt: skip
        head = ["claim", "verdict", "measured", "rule", "where and when"]
        parts += ["<h2>The claims</h2>", _table(head, [list(map(escape, row)) for row in cells])]
    body = "\n".join(parts)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Leaderboard</title>'
        f"<style>{STYLE}</style></head>\n<body><h1>Leaderboard</h1>\n{body}\n</body></html>\n"
    )


def _row(run: dict) -> list[str]:
    shares = [leaderboard.share_text(run["figures"].get(key)) for key in leaderboard.SHORT]
    repeat = "<br>".join(f"<code>{escape(line)}</code>" for line in leaderboard.commands(run))
    return [*map(escape, [leaderboard.name_of(run), *shares, run["date"]]), repeat]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table; the cells are HTML already."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = ("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>\n" + "\n".join(lines) + "</table>"
