"""Lesson 04 builds the loop by hand: what stands on the page does the same as ``labkit.rag``."""

import ast
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import answer_metrics, corpus, exam, rag
from labkit.types import Document, Hit

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "notebooks" / "src" / "04_rag_loop.py"
texts = st.text(st.sampled_from("ab1.6 [],<|im_end|>\n"), max_size=30) | st.sampled_from(
    ["It takes 1.6 kg. [A]", "[B] [A] [C]", exam.ABSTENTION, "1.6 kg of grease"]
)
ids = st.sampled_from(["A", "B", "torques:TQ-90-42", "<|im_end|>", "a b"])


@pytest.fixture(scope="module")
def by_hand() -> dict[str, Any]:
    """Return the functions that the lesson defines, without running the rest of it."""
    wanted = {"line_by_hand", "messages_by_hand", "cited", "check_by_hand", "pack_sentences"}
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    defined = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in wanted]
    assert {node.name for node in defined} == wanted
    names: dict[str, Any] = {"rag": rag, "exam": exam, "re": re, "answer_metrics": answer_metrics}
    exec(compile(ast.Module(defined, []), SOURCE.name, "exec"), names)
    return names


def hit(document_id: str, text: str) -> Hit:
    return Hit(f"{document_id}#0", document_id, "Manual", "", text, f"Manual: {text}", 1.0, None,
               "manual", {})  # fmt: skip


hits = st.lists(st.builds(hit, ids, texts), max_size=4)


@given(question=texts, shown=hits)
def test_inline_prompt_equals_the_packages(by_hand: dict, question: str, shown: list[Hit]) -> None:
    assert by_hand["messages_by_hand"](question, shown) == rag.build_messages(question, shown)


@given(text=texts, shown=hits)
def test_inline_citation_check_equals_the_packages(
    by_hand: dict, text: str, shown: list[Hit]
) -> None:
    kept, invented = rag.check_citations(text, shown)
    assert by_hand["check_by_hand"](text, shown) == ([c.document_id for c in kept], invented)
    assert by_hand["cited"](text) == answer_metrics.cited_ids(text)


def test_inline_chunks_lose_no_word_and_keep_the_budget(by_hand: dict) -> None:
    text = "One two three. Four five! Six? " + "word " * 5 + "end."
    chunks = by_hand["pack_sentences"](text, max_words=5)
    assert chunks == ["One two three. Four five!", "Six?", "word word word word word end."]


def test_inline_chunks_equal_the_packages_on_plain_paragraphs(by_hand: dict, root: Path) -> None:
    make: Callable[..., Any] = lambda text: Document(  # noqa: E731
        "d", "T", "note", text, "d.md", None, "0", {}
    )
    text = "The pump starts. It runs for ten minutes. Then it stops. " * 12
    inline = by_hand["pack_sentences"](text, max_words=20)
    assert [c.text for c in corpus.chunk_document(make(text), max_words=20)] == inline
