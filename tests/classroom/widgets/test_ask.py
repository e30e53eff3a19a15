"""The ask box of lesson 04: it runs the RAG loop, and nothing it shows becomes markup."""

from collections.abc import Callable
from typing import Any

import pytest

from labkit import catalogue, rag
from labkit.classroom import widgets

NASTY = '<script>alert("kettle")</script> & <img src=x onerror=alert(1)>'


class FakeStore:
    """Finds the same hits whatever is asked, and remembers how many were wanted."""

    def __init__(self, hits: list[Any]) -> None:
        self.hits = hits
        self.wanted: list[int] = []

    def search(self, query: str, *, k: int = 5, mode: str = "hybrid") -> list[Any]:
        self.wanted.append(k)
        return self.hits[:k]


class SayingModel:
    """Says one text, piece by piece, and counts words as tokens."""

    name = "SmolLM2-135M-Instruct"

    def __init__(self, text: str, *, error: Exception | None = None) -> None:
        self.text = text
        self.error = error
        self.seen: list[str] = []

    def prompt_text(self, messages: list[dict[str, str]]) -> str:
        return "\n".join(message["content"] for message in messages)

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def generate(self, messages: Any, *, max_new_tokens: int, on_text: Callable) -> Any:
        from labkit.types import Generation

        if self.error:
            raise self.error
        on_text(self.text)
        return Generation(self.text, 1, 1)


def parts(box: Any) -> dict[str, Any]:
    text, (depth, button), shown = box.children[0], box.children[1].children, box.children[2]
    return {"text": text, "k": depth, "button": button, "shown": shown}


def card(text: str, hits: list[Any], *, question: str = "How much?", rejected: Any = ()) -> str:
    kept, invented = rag.check_citations(text, hits)
    answer = rag.Answer(
        question, text, tuple(kept), (*invented, *rejected), tuple(hits), "", abstained=False
    )
    return widgets.answer_card(answer)


def test_answer_card_escapes_question_answer_sources_and_passages(make_hit: Callable) -> None:
    hit = make_hit(NASTY, document_id="<u>id</u>", title=NASTY, passage=NASTY)
    html = card(f"{NASTY} [<u>id</u>]", [hit], question=NASTY, rejected=("<s>no</s>",))
    for markup in ("<script", "<img", "<u>", "<s>"):
        assert markup not in html
    assert html.count("&lt;script&gt;") == 4  # question, answer, source, passage
    assert "rejected: &lt;s&gt;no&lt;/s&gt;" in html


def test_answer_card_tells_written_from_matched_and_rejected_sources(make_hit: Callable) -> None:
    hits = [make_hit("Each bearing takes 1.6 kg of grease.", document_id="SM-1", title="Manual")]
    assert "cited by the model" in card("It takes 1.6 kg. [SM-1]", hits)
    assert "found to match the answer" in card("Each bearing takes 1.6 kg of grease.", hits)
    invented = card("It takes 1.6 kg. [SM-9]", hits)
    assert "rejected: SM-9" in invented and "cited by" not in invented
    assert "<li>none</li>" in card("It takes 7 kg.", hits)


def test_ask_box_answers_with_the_chosen_k_only_when_asked(make_hit: Callable) -> None:
    store = FakeStore([make_hit("grease: 1.6 kg"), make_hit("oil"), make_hit("hose")])
    box = parts(widgets.ask_box(store, SayingModel("1.6 kg <b>"), question="How much?", k=2))
    assert store.wanted == [] and box["shown"].value == ""
    box["button"].click()
    assert store.wanted == [2]
    assert "1.6 kg &lt;b&gt;" in box["shown"].value and "hose" not in box["shown"].value
    assert box["button"].disabled is False


def test_ask_box_starts_with_the_number_of_passages_that_suits_the_model() -> None:
    box = parts(widgets.ask_box(FakeStore([]), SayingModel("")))
    assert box["k"].value == catalogue.passages_for(SayingModel.name)


@pytest.mark.parametrize("question", ["", "   "])
def test_ask_box_does_not_ask_nothing(question: str) -> None:
    store = FakeStore([])
    box = parts(widgets.ask_box(store, SayingModel("never"), question=question))
    box["button"].click()
    assert store.wanted == [] and "Type a question" in box["shown"].value


def test_ask_box_shows_an_error_escaped_and_can_be_used_again(make_hit: Callable) -> None:
    model = SayingModel("", error=RuntimeError("out of <memory>"))
    box = parts(widgets.ask_box(FakeStore([make_hit("oil")]), model, question="What oil?"))
    box["button"].click()
    assert "RuntimeError: out of &lt;memory&gt;" in box["shown"].value
    assert box["button"].disabled is False
    model.error, model.text = None, "Tundra"
    box["button"].click()
    assert "Tundra" in box["shown"].value
