"""Widgets of the decision: a box that advises, and a box that takes bets; core ipywidgets only.

Knows: ipywidgets (7.7.1 and 8), and how an advice looks as HTML. Every text is escaped.
Does not know: what is advised (``claims.decide``) or how bets are kept (``claims.bets``).
Used by lesson 01, after the static table of the same thing.
"""

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any, get_args

from labkit.claims import bets, decide
from labkit.classroom.widgets.explore import bind, html_table, mark, outcome

if TYPE_CHECKING:
    from labkit.claims.verdicts import Records, Verdict


def advice_card(advice: decide.Advice) -> str:
    """Return an advice as HTML: the choice, then each reason with its measurement, all escaped."""
    head = ("your case", "speaks for", "measured here", "where and when")
    choice = f"<p><b>Try first: {escape(advice.choice)}</b></p>"
    return choice + html_table(head, decide.rows(advice))


def decision_box(records: "Records", *, case: decide.Case | None = None) -> Any:
    """Return a box that asks about a case and shows the advice after every change.

    Parameters
    ----------
    records
        The recorded runs, from ``verdicts.load_records``.
    case
        What the box shows first.

    Returns
    -------
    ipywidgets.VBox
        Show it as the last line of a cell.
    """
    import ipywidgets as w

    case = case or decide.Case()
    parts = {
        "facts_in_documents": w.Checkbox(description="answers stand in documents"),
        "changes": w.Dropdown(options=list(get_args(decide.Change)), description="facts change"),
        "n_passages": w.IntText(description="passages"),
        "house_language": w.Checkbox(description="house format and words"),
        "traceable": w.Checkbox(description="every answer needs a source"),
        "n_examples": w.IntText(description="training examples"),
        "max_seconds": w.FloatText(description="seconds an answer"),
        "gpu_gib": w.FloatText(description="GPU, GiB"),
    }
    shown = w.HTML()

    def advised() -> str:
        values = {name: part.value for name, part in parts.items()}
        return advice_card(decide.advise(replace(case, **values), records))

    def show(*_: object) -> None:
        shown.value = outcome(advised, failed="No advice.")

    for name, part in parts.items():
        part.value = getattr(case, name)
        part.style.description_width = "9em"
        part.observe(show, names="value")
    mark("decide", **parts, advice=shown)
    show()
    return w.VBox([*parts.values(), shown])


def bets_box(verdicts: Sequence["Verdict"]) -> Any:
    """Return a box with one choice a claim; its button keeps the bets for lesson 09."""
    import ipywidgets as w

    kept = bets.load()
    choices = {
        one.claim.name: w.Dropdown(
            options=list(bets.CHOICES), value=kept[one.claim.name], description=one.claim.name
        )
        for one in verdicts
    }
    button = w.Button(description="Place my bets", button_style="primary")
    shown = w.HTML()

    def keep() -> str:
        bets.place({name: choice.value for name, choice in choices.items()})
        return "<p>Kept. Lesson 09 settles them.</p>"

    bind(button, shown, keep, failed="Not kept.")
    parts = {name.lower(): choice for name, choice in choices.items()}
    mark("bets", **parts, go=button, said=shown)
    texts = (w.HTML(escape(one.claim.text)) for one in verdicts)
    lines = [w.HBox(pair) for pair in zip(choices.values(), texts, strict=True)]
    return w.VBox([*lines, button, shown])
