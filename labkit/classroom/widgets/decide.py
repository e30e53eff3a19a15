"""Widgets of the decision: a box that advises, and a box that takes bets; core ipywidgets only.

Knows: ipywidgets (7.7.1 and 8), and how an advice looks as HTML. Every text is escaped.
Does not know: what is advised (``decide``) or how bets are kept (``bets``).
Used by lesson 01, after the static table of the same thing.
"""

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any, get_args

from labkit.claims import bets, decide
from labkit.classroom.widgets.explore import CELL

if TYPE_CHECKING:
    from labkit.claims.verdicts import Records, Verdict


def advice_card(advice: decide.Advice) -> str:
    """Return an advice as HTML: the choice, then each reason with its measurement, all escaped."""
    head = ("your case", "speaks for", "measured here", "where and when")
    top = "".join(f'<th style="{CELL}">{name}</th>' for name in head)
    lines = ""
    for row in decide.rows(advice):
        cells = "".join(f'<td style="{CELL}">{escape(cell)}</td>' for cell in row)
        lines += f"<tr>{cells}</tr>"
    return (
        f"<p><b>Try first: {escape(advice.choice)}</b></p>"
        f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"
    )


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

    def show(*_: object) -> None:
        shown.value = _advised(records, case, {name: part.value for name, part in parts.items()})

    for name, part in parts.items():
        part.value = getattr(case, name)
        part.style.description_width = "9em"
        part.add_class(f"t-decide-{name}")
        part.observe(show, names="value")
    shown.add_class("t-decide-advice")
    show()
    return w.VBox([*parts.values(), shown])


def _advised(records: "Records", case: decide.Case, values: dict[str, Any]) -> str:
    """Return the advice as HTML, or what went wrong: a callback's error would vanish unseen."""
    try:
        return advice_card(decide.advise(replace(case, **values), records))
    except Exception as error:
        return f"<p><b>No advice.</b> {escape(f'{type(error).__name__}: {error}')}</p>"


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

    def keep(*_: object) -> None:
        try:
            bets.place({name: choice.value for name, choice in choices.items()})
            shown.value = "<p>Kept. Lesson 09 settles them.</p>"
        except (OSError, ValueError) as error:
            shown.value = f"<p><b>Not kept.</b> {escape(str(error))}</p>"

    button.on_click(keep)
    for name, part in {**choices, "go": button, "said": shown}.items():
        part.add_class(f"t-bets-{name.lower()}")
    texts = (w.HTML(escape(one.claim.text)) for one in verdicts)
    lines = [w.HBox(pair) for pair in zip(choices.values(), texts, strict=True)]
    return w.VBox([*lines, button, shown])
