"""Widgets: the interactive boxes of the lessons, built from core ipywidgets only.

Knows: ipywidgets (7.7.1 and 8), and how hits, answers and advice look as HTML. Every text is
escaped. Does not know: how hits are found or answers written (it is handed a store), what is
advised (``claims.decide``) or how bets are kept (``claims.bets``).
Used by lessons 01, 02, 04 and 08, after the static figure or table of the same thing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any, get_args

from labkit import catalogue, rag
from labkit.claims import bets, decide
from labkit.types import Hit, Mode

if TYPE_CHECKING:
    from labkit.claims.verdicts import Records, Verdict
    from labkit.models import LanguageModel
    from labkit.store import Store

CELL = "text-align:left;vertical-align:top;line-height:1.4;padding:3px 12px 3px 0"
EMPTY = "<p>Type a question first.</p>"


def hits_table(hits: Sequence[Hit]) -> str:
    """Return hits as an HTML table: rank, score, document, date and passage, all escaped.

    Parameters
    ----------
    hits
        Best first; none gives a sentence in place of a table.

    Examples
    --------
    >>> hits_table([])
    '<p>Nothing was found.</p>'
    """
    if not hits:
        return "<p>Nothing was found.</p>"
    rows = [
        (str(rank), f"{hit.score:.3f}", hit.document_id, hit.date or "", hit.passage)
        for rank, hit in enumerate(hits, 1)
    ]
    return html_table(("", "score", "document", "date", "passage"), rows, unbroken=4)


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, unbroken: int = 0) -> str:
    """Return an HTML table, every cell escaped; the first columns keep their lines unbroken."""
    style = [CELL + ";white-space:nowrap" * (i < unbroken) for i in range(len(head))]
    lines = [[f'<th style="{CELL}">{escape(name)}</th>' for name in head]]
    lines += [
        [f'<td style="{how}">{escape(cell)}</td>' for how, cell in zip(style, row, strict=True)]
        for row in rows
    ]
    top, *body = (f"<tr>{''.join(line)}</tr>" for line in lines)
    return f"<table><thead>{top}</thead><tbody>{''.join(body)}</tbody></table>"


def outcome(work: Callable[[], str], *, failed: str) -> str:
    """Return the HTML that ``work`` gives, or what went wrong: a callback's error is not seen."""
    try:
        return work()
    except Exception as error:
        return f"<p><b>{failed}</b> {escape(f'{type(error).__name__}: {error}')}</p>"


def bind(
    button: Any, shown: Any, work: Callable[[], str], *, failed: str, text: Any = None
) -> None:
    """Let the button show the HTML that ``work`` gives; it rests while it works.

    Where there is a ``text`` to type into, an empty one is not worked on.
    """

    def press(_: object) -> None:
        if text is not None and not text.value.strip():
            shown.value = EMPTY
            return
        button.disabled, shown.value = True, "<p>Writing …</p>"
        shown.value = outcome(work, failed=failed)
        button.disabled = False

    button.on_click(press)


def mark(box: str, **parts: Any) -> None:
    """Give each part the class ``t-BOX-NAME``, by which browser tests find it."""
    for name, part in parts.items():
        part.add_class(f"t-{box}-{name}")


def search_box(store: "Store", *, query: str = "", k: int = 5) -> Any:
    """Return a box with a question, a mode and k; its button shows the store's hits as a table.

    Parameters
    ----------
    store
        What is searched.
    query, k
        What the box shows first; a query is searched for at once.

    Returns
    -------
    ipywidgets.VBox
        Show it as the last line of a cell.
    """
    import ipywidgets as w

    mode = w.Dropdown(options=list(get_args(Mode)), value="hybrid", description="Mode")
    depth = w.IntSlider(value=k, min=1, max=20, description="k")
    button = w.Button(description="Search", button_style="primary")
    text, shown = _question(query), w.HTML()

    def search() -> str:
        return hits_table(store.search(text.value, k=depth.value, mode=mode.value))

    bind(button, shown, search, failed="The search failed.", text=text)
    mark("search", query=text, mode=mode, k=depth, go=button, hits=shown)
    if query:
        button.click()
    return w.VBox([text, w.HBox([mode, depth, button]), shown])


def _question(value: str) -> Any:
    import ipywidgets as w

    text = w.Text(value=value, placeholder="Ask the documents", description="Question")
    text.layout.width = "95%"
    return text


def answer_card(answer: rag.Answer) -> str:
    """Return one answer as HTML: its text, its sources and the passages shown, all escaped.

    Parameters
    ----------
    answer
        What ``rag.answer`` returned.
    """
    how = {"written": "cited by the model", "matched": "found to match the answer"}
    titles = {hit.chunk_id: hit.title for hit in answer.hits}
    sources = [
        f"<b>{escape(c.document_id)}</b> {escape(titles.get(c.chunk_id, ''))} ({how[c.origin]})"
        for c in answer.citations
    ]
    sources += [f"rejected: {escape(name)}" for name in answer.rejected_citations]
    items = "".join(f"<li>{source}</li>" for source in sources or ["none"])
    return (
        f"<p><b>Question.</b> {escape(answer.question)}</p>"
        f"<p><b>Answer.</b> {escape(answer.text)}</p>"
        f"<p><b>Sources</b></p><ul>{items}</ul>"
        f"<p><b>Passages shown to the model</b></p>{hits_table(answer.hits)}"
    )


def ask_box(
    store: "Store", llm: "LanguageModel", *, question: str = "", k: int | None = None
) -> Any:
    """Return a box with a question and k; its button shows the answer, its sources and passages.

    Parameters
    ----------
    store, llm
        Where passages come from, and the model that writes.
    question
        What the box shows first; nothing is asked before the button is pressed.
    k
        Passages to show the model; ``None`` takes what suits it (``catalogue.passages_for``).

    Returns
    -------
    ipywidgets.VBox
        Show it as the last line of a cell.
    """
    import ipywidgets as w

    k = k or catalogue.passages_for(llm.name)
    depth = w.IntSlider(value=k, min=1, max=10, description="k")
    button = w.Button(description="Ask", button_style="primary")
    text, shown = _question(question), w.HTML()

    def grow(piece: str) -> None:
        shown.value += escape(piece)

    def ask() -> str:
        config = replace(rag.DEFAULTS, k=depth.value)
        return answer_card(rag.answer(text.value, store, llm, config=config, on_text=grow))

    bind(button, shown, ask, failed="No answer.", text=text)
    mark("ask", question=text, k=depth, go=button, answer=shown)
    return w.VBox([text, w.HBox([depth, button]), shown])


def live_loss(*, every: int = 5) -> Callable[[dict], None]:
    """Return a callback for ``train(on_step=…)`` that redraws the loss curve while it falls.

    Parameters
    ----------
    every
        Steps between two drawings; the last step is always drawn.
    """
    from IPython.display import display

    from labkit.classroom import figures

    points: list[tuple[float, float]] = []
    handle = display(display_id=True)

    def show(step: dict) -> None:
        points.append((step["step"], step["loss"]))
        if step["step"] % every and step["step"] < step["n_steps"]:
            return
        title = f"Step {step['step']} of {step['n_steps']}: loss {step['loss']:.2f}"
        axes = figures.lines({"loss": points}, title=title, xlabel="step", ylabel="loss")
        if handle is not None:
            handle.update(axes.figure)

    return show


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
