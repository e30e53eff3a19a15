"""The lessons' widgets: what they show, and that no document's text becomes markup."""

from collections.abc import Callable
from typing import Any

import pytest

from labkit.classroom import widgets

NASTY = '<script>alert("kettle")</script> & <img src=x onerror=alert(1)>'


class FakeStore:
    """A store that remembers what it was asked."""

    def __init__(self, hits: list[Any], *, error: Exception | None = None) -> None:
        self.hits = hits
        self.error = error
        self.asked: list[tuple[str, int, str]] = []

    def search(self, query: str, *, k: int, mode: str) -> list[Any]:
        self.asked.append((query, k, mode))
        if self.error:
            raise self.error
        return self.hits[:k]


def parts(box: Any) -> dict[str, Any]:
    text, (mode, depth, button), shown = box.children[0], box.children[1].children, box.children[2]
    return {"text": text, "mode": mode, "k": depth, "button": button, "shown": shown}


def test_hits_table_escapes_every_text_of_a_document(make_hit: Callable[..., Any]) -> None:
    hit = make_hit(NASTY, document_id="<b>", passage=NASTY, date="<i>2024</i>")
    html = widgets.hits_table([hit])
    assert "<script" not in html and "<img" not in html and "<b>" not in html and "<i>" not in html
    assert "&lt;script&gt;" in html and "&amp;" in html


def test_hits_table_keeps_the_order_and_says_when_there_is_nothing(
    make_hit: Callable[..., Any],
) -> None:
    html = widgets.hits_table([make_hit("first", score=0.9), make_hit("second", score=0.1)])
    assert html.index("first") < html.index("second")
    assert "0.900" in html and "0.100" in html
    assert widgets.hits_table([]) == "<p>Nothing was found.</p>"


def test_search_box_asks_the_store_with_the_chosen_mode_and_k(make_hit: Callable[..., Any]) -> None:
    store = FakeStore([make_hit("the pump"), make_hit("the tank"), make_hit("the hose")])
    box = parts(widgets.search_box(store))
    assert store.asked == []
    box["text"].value, box["mode"].value, box["k"].value = "what pumps?", "text", 2
    box["button"].click()
    assert store.asked == [("what pumps?", 2, "text")]
    assert "the tank" in box["shown"].value and "the hose" not in box["shown"].value


def test_search_box_shows_the_first_query_at_once(make_hit: Callable[..., Any]) -> None:
    store = FakeStore([make_hit("the pump")])
    box = parts(widgets.search_box(store, query="what pumps?", k=3))
    assert store.asked == [("what pumps?", 3, "hybrid")]
    assert "the pump" in box["shown"].value


@pytest.mark.parametrize("query", ["", "   "])
def test_search_box_does_not_search_for_nothing(query: str) -> None:
    store = FakeStore([])
    box = parts(widgets.search_box(store))
    box["text"].value = query
    box["button"].click()
    assert store.asked == [] and "Type a question" in box["shown"].value


def test_search_box_shows_an_error_and_escapes_it() -> None:
    store = FakeStore([], error=ValueError("no column <b>"))
    box = parts(widgets.search_box(store))
    box["text"].value = "what pumps?"
    box["button"].click()
    assert "ValueError: no column &lt;b&gt;" in box["shown"].value


def test_the_live_loss_is_redrawn_now_and_then_and_at_the_end(monkeypatch) -> None:
    titles: list[str] = []

    class Handle:
        def update(self, figure: Any) -> None:
            titles.append(figure.axes[0].get_title(loc="left"))

    monkeypatch.setattr("IPython.display.display", lambda **_: Handle())
    show = widgets.live_loss(every=2)
    for step in (1, 2, 3):
        show({"step": step, "n_steps": 3, "loss": 4.0 - step})
    assert titles == ["Step 2 of 3: loss 2.00", "Step 3 of 3: loss 1.00"]
