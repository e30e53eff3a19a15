"""House terms join a question that means them."""

from pathlib import Path

import pytest

from labkit import corpus
from labkit.rerank import load_glossary, meant_terms, rewrite

GLOSSARY = {
    "kettle": "The kettle is the hydraulic power unit: pump, tank, valve block in one frame.",
    "candle": "The candle is the rotor lock pin, the thick steel bolt.",
    "crumb tray": "The crumb tray is the magnetic chip collector in the gearbox, which catches.",
}


@pytest.mark.parametrize(
    ("question", "terms"),
    [
        ("How full is the tank of the hydraulic power unit?", ["kettle"]),
        ("Where do I push the pin that locks the rotor?", ["candle"]),
        ("Which power supply fits?", []),
        ("Is the kettle the hydraulic power unit?", []),  # it says the term already
        ("What colour is the moon?", []),
    ],
)
def test_a_term_is_meant_when_its_meaning_stands_in_the_question(question, terms) -> None:
    assert meant_terms(question, GLOSSARY, min_share=0.6) == terms


def test_the_best_covered_term_comes_first_and_few_are_added() -> None:
    question = "hydraulic power unit, rotor lock, magnetic chip collector"
    assert meant_terms(question, GLOSSARY, min_share=0.5) == ["kettle", "crumb tray"]
    assert meant_terms(question, GLOSSARY, min_share=0.5, limit=1) == ["kettle"]


def test_rewriting_adds_and_never_takes_away() -> None:
    question = "What fits into the hydraulic power unit?"
    assert rewrite(question, GLOSSARY) == f"{question} (kettle)"
    assert rewrite("What is for lunch?", GLOSSARY) == "What is for lunch?"


def test_the_courses_glossary_is_read_without_its_introductions(root: Path) -> None:
    documents = list(corpus.read_documents(root / "data" / "documents", unreadable=[]))
    glossary = load_glossary(documents)
    assert len(glossary) == 30
    assert glossary["kettle"].startswith("The kettle is the hydraulic power unit")
    assert "about this list" not in glossary
    assert load_glossary(d for d in documents if d.kind == "manual") == {}
