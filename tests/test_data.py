"""The course's data keep their promises: every gold answer is proved by a document."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from labkit import exam, retrieval_metrics, settings
from labkit.answer_metrics import cited_ids, contains_value, score_answer, without_citations
from labkit.corpus import chunk_document, read_documents
from labkit.exam import ABSTENTION
from labkit.store import course
from labkit.types import Chunk, Document, Question, Unreadable

DATA = settings.data_dir()
TRAINED = ("train", "more")
EXAMINED = ("test", "final")
nordvind = pytest.mark.parametrize("industry", [""], indirect=True, scope="module")
KINDS_OF_DOCUMENTS = {"manual", "bulletin", "incident", "note", "glossary", "table"}
MAX_SHARED_WORDS = 0.8
A_FEW = 12


def raw_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module", params=["", *course.industries()])
def industry(request: Any) -> str:
    """Return a folder of ``data/industries``, or nothing for the wind turbines."""
    return request.param


@pytest.fixture(scope="module")
def folder(industry: str) -> Path:
    return course.corpus_dir(industry)


@pytest.fixture(scope="module")
def documents(folder: Path) -> dict[str, Document]:
    unreadable: list[Unreadable] = []
    found = list(read_documents([folder / "documents", folder / "tables"], unreadable=unreadable))
    assert not unreadable
    ids = [document.id for document in found]
    assert len(set(ids)) == len(ids)
    return {document.id: document for document in found}


@pytest.fixture(scope="module")
def chunks(documents: dict[str, Document]) -> dict[str, list[Chunk]]:
    return {name: chunk_document(document) for name, document in documents.items()}


@pytest.fixture(scope="module")
def prose(documents: dict[str, Document]) -> dict[str, Document]:
    return {name: one for name, one in documents.items() if one.kind != "table"}


@pytest.fixture(scope="module")
def held_out() -> set[str]:
    return set((DATA / "exam" / "held_out.txt").read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def rows(folder: Path) -> dict[str, list[dict]]:
    return {path.stem: raw_rows(path) for path in (folder / "exam").glob("*.jsonl")}


@pytest.fixture(scope="module")
def questions(folder: Path, rows: dict) -> dict[str, list[Question]]:
    return {split: exam.load_exam(split, folder=folder / "exam") for split in rows}


@pytest.fixture(scope="module")
def every_question(questions: dict[str, list[Question]]) -> list[Question]:
    return [question for part in questions.values() for question in part]


@nordvind
def test_there_are_enough_documents_of_every_kind(prose: dict[str, Document]) -> None:
    kinds = Counter(document.kind for document in prose.values())
    assert len(prose) >= 45
    assert kinds["bulletin"] >= 12
    formats = {Path(document.path).suffix for document in prose.values()}
    assert formats == {".md", ".pdf", ".docx", ".html"}


def test_every_document_is_long_enough_to_read_and_short_enough_for_a_lesson(prose) -> None:
    lengths = {name: len(words(document.text)) for name, document in prose.items()}
    assert not {name: n for name, n in lengths.items() if not 240 <= n <= 950}


@nordvind
def test_every_markdown_document_says_what_it_is(prose: dict[str, Document]) -> None:
    for document in prose.values():
        if document.path.endswith(".md"):
            assert document.id == Path(document.path).stem
            assert document.kind in KINDS_OF_DOCUMENTS
            assert document.metadata["turbine"] in {"NV-90", "NV-117", "NV-140", "all"}
            assert document.metadata["subsystem"]
            assert date.fromisoformat(str(document.date)) <= date(2025, 12, 31)
            assert document.text.lstrip().startswith(f"# {document.title}"), document.id


def test_document_ids_can_be_cited(documents: dict[str, Document]) -> None:
    for name in documents:
        assert cited_ids(f"Yes. [{name}]") == [name]


@nordvind
def test_a_bulletin_is_later_than_what_it_supersedes(prose: dict[str, Document]) -> None:
    bulletins = [one for one in prose.values() if one.kind == "bulletin"]
    pairs = [(one, prose[str(one.metadata["supersedes"])]) for one in bulletins]
    assert len(pairs) >= 12
    for bulletin, old in pairs:
        assert str(bulletin.date) > str(old.date), bulletin.id
        assert bulletin.metadata["turbine"] == old.metadata["turbine"], bulletin.id
        assert bulletin.metadata["subsystem"] == old.metadata["subsystem"], bulletin.id


def test_chunks_are_whole_pieces_of_their_document(documents, chunks) -> None:
    for name, pieces in chunks.items():
        assert pieces
        for chunk in pieces:
            assert chunk.text == documents[name].text[chunk.start : chunk.end]


@nordvind
def test_the_exam_is_large_enough_in_every_kind(questions) -> None:
    sizes = {split: len(part) for split, part in questions.items()}
    assert sizes["test"] >= 180 and sizes["final"] >= 150
    assert sizes["train"] + sizes["more"] >= 900
    for split, part in questions.items():
        kinds = Counter(question.kind for question in part)
        assert set(kinds) == set(exam.KINDS)
        assert min(kinds.values()) >= 16, (split, kinds)


def test_other_industries_teach_enough_and_one_only_examines() -> None:
    names = {name: {path.stem: len(raw_rows(path)) for path in
                    (course.corpus_dir(name) / "exam").glob("*.jsonl")}
             for name in course.industries()}  # fmt: skip
    taught = {name: parts["train"] for name, parts in names.items() if "train" in parts}
    assert len(taught) >= 6 and sum(taught.values()) >= 300
    (examined,) = names.keys() - taught.keys()
    assert set(names[examined]) == {"test"} and names[examined]["test"] >= 100


def test_ids_are_unique_and_every_row_has_the_same_keys(rows) -> None:
    everything = [row for part in rows.values() for row in part]
    assert len({row["id"] for row in everything}) == len(everything)
    assert len({tuple(row) for row in everything}) == 1


def test_every_gold_value_stands_in_its_evidence_and_in_the_answer(every_question) -> None:
    for question in every_question:
        if question.kind == "unanswerable":
            continue
        assert question.values and question.evidence, question.id
        for value in question.values:
            quotes = [evidence.quote for evidence in question.evidence]
            assert any(value in quote for quote in quotes), (question.id, value)
            assert contains_value(without_citations(question.answer), value)


def test_every_quote_stands_in_its_document(every_question, documents) -> None:
    texts = {name: squeezed(document.text) for name, document in documents.items()}
    missing = [
        (question.id, evidence.document, evidence.quote)
        for question in every_question
        for evidence in question.evidence
        if squeezed(evidence.quote) not in texts.get(evidence.document, "")
    ]
    assert not missing


def test_every_piece_of_evidence_can_be_retrieved_as_a_chunk(
    every_question, chunks, make_hit
) -> None:
    lost = []
    for question in every_question:
        for evidence in question.evidence:
            hits = [
                make_hit(chunk.text, document_id=evidence.document)
                for chunk in chunks[evidence.document]
            ]
            found = [hit for hit in hits if retrieval_metrics.holds_evidence(hit, evidence)]
            if not any(holds_a_value(hit.text, question) for hit in found):
                lost.append((question.id, evidence))
    assert not lost


def holds_a_value(text: str, question: Question) -> bool:
    return any(contains_value(text, value) for value in question.values) or (
        len(question.evidence) > len(question.values)
    )


def test_a_quote_is_in_one_place_only(every_question, documents) -> None:
    texts = {name: squeezed(document.text) for name, document in documents.items()}
    for question in every_question:
        for evidence in question.evidence:
            if not evidence.document.partition(":")[2]:
                count = texts[evidence.document].count(squeezed(evidence.quote))
                assert count == 1, (question.id, evidence)


def test_a_table_question_draws_on_a_row_and_the_others_on_prose(every_question) -> None:
    for question in every_question:
        from_rows = [":" in evidence.document for evidence in question.evidence]
        if question.kind == "table":
            assert all(from_rows), question.id
        if question.kind in ("lookup", "jargon", "updated"):
            assert not any(from_rows), question.id


def test_a_synthesis_question_needs_two_documents(every_question) -> None:
    for question in every_question:
        sources = {evidence.document for evidence in question.evidence}
        if question.kind == "synthesis":
            assert len(sources) == 2, question.id


def test_an_unanswerable_question_has_nothing_but_the_abstention(every_question) -> None:
    for question in every_question:
        if question.kind == "unanswerable":
            assert question.answer == ABSTENTION, question.id
            assert question.values == question.evidence == question.terms == (), question.id


def test_a_jargon_question_does_not_give_its_house_term_away(every_question) -> None:
    for question in every_question:
        if question.kind == "jargon":
            assert question.terms, question.id
            for term in question.terms:
                assert term not in question.question.lower(), (question.id, term)
                assert term in question.answer.lower(), (question.id, term)


def test_gold_answers_score_full_marks_by_our_own_scorer(every_question) -> None:
    for question in every_question:
        cited = cited_ids(question.answer)
        score = score_answer(question, question.answer, citations=cited)
        assert score.exact_match == score.house_format == 1, question.id
        assert not score.wrong_but_confident, question.id
        if question.kind != "unanswerable":
            assert score.citation_precision == score.citation_recall == 1, question.id
            assert score.house_terms in (None, 1), question.id
        assert len(without_citations(question.answer).split()) <= 25, question.id


def test_no_question_is_asked_twice(every_question) -> None:
    asked = Counter(" ".join(words(question.question)) for question in every_question)
    assert not [text for text, n in asked.items() if n > 1]


def similarity(a: Question, b: Question) -> float:
    ours, theirs = set(words(a.question)), set(words(b.question))
    return len(ours & theirs) / len(ours | theirs)


@nordvind
def test_no_test_question_is_a_near_copy_of_a_training_question(questions) -> None:
    asked, learned = (of(questions, splits) for splits in (EXAMINED, TRAINED))
    leaks = [
        (a.id, b.id, round(similarity(a, b), 2))
        for a in asked
        for b in learned
        if similarity(a, b) >= MAX_SHARED_WORDS
    ]
    assert not leaks


def of(questions: dict[str, list[Question]], splits: Sequence[str]) -> list[Question]:
    return [question for split in splits for question in questions[split]]


@nordvind
def test_no_training_answer_is_the_gold_answer_of_a_test_question(questions) -> None:
    gold = {question.answer for question in of(questions, EXAMINED)} - {ABSTENTION}
    trained = {question.answer for question in of(questions, TRAINED)}
    assert len(gold & trained) <= len(gold) // 10


@nordvind
def test_later_training_questions_leave_alone_what_only_an_exam_asks(questions) -> None:
    first = {piece for question in questions["train"] for piece in facts(question)}
    examined = {piece for question in of(questions, EXAMINED) for piece in facts(question)}
    for question in questions["more"]:
        assert not facts(question) & (examined - first), question.id


def facts(question: Question) -> set[tuple[str, str]]:
    """Return each value with the document that proves it."""
    return {
        (piece.document, value)
        for piece in question.evidence
        for value in question.values
        if value in piece.quote
    }


@nordvind
def test_training_never_draws_on_held_out_documents(questions, held_out, documents) -> None:
    assert held_out
    assert held_out <= set(documents)
    for question in of(questions, TRAINED):
        sources = {evidence.document for evidence in question.evidence}
        assert not sources & held_out, question.id
        assert not question.held_out, question.id


@nordvind
def test_held_out_questions_are_marked_and_numerous_enough(questions, held_out) -> None:
    marked = [question for question in of(questions, EXAMINED) if question.held_out]
    for question in of(questions, EXAMINED):
        sources = {evidence.document for evidence in question.evidence}
        assert question.held_out is bool(sources & held_out), question.id
    assert len(marked) >= 20
    asked = {evidence.document for question in marked for evidence in question.evidence}
    assert held_out <= asked


def test_superseded_facts_conflict_as_declared(rows, documents) -> None:
    superseded = [row for part in rows.values() for row in part if row["kind"] == "updated"]
    for row in superseded:
        old = documents[row["superseded_document"]]
        assert squeezed(row["superseded_quote"]) in squeezed(old.text), row["id"]
        assert contains_value(row["superseded_quote"], row["superseded_value"]), row["id"]
        assert not any(contains_value(row["superseded_value"], v) for v in row["values"])
        for evidence in row["evidence"]:
            new = documents[evidence["document"]]
            assert new.kind == "bulletin", row["id"]
            assert new.metadata["supersedes"] == old.id, row["id"]
            assert str(new.date) > str(old.date), row["id"]


@nordvind
def test_every_bulletin_updates_two_facts_that_some_question_asks(rows, prose) -> None:
    facts: dict[str, set[str]] = defaultdict(set)
    for row in (row for part in rows.values() for row in part if row["kind"] == "updated"):
        for evidence in row["evidence"]:
            facts[evidence["document"]].add(row["superseded_value"])
    bulletins = {name for name, document in prose.items() if document.kind == "bulletin"}
    assert set(facts) == bulletins
    assert sum(len(values) for values in facts.values()) >= 2 * len(bulletins) - 2


def test_only_updated_questions_declare_something_superseded(rows) -> None:
    for row in (row for part in rows.values() for row in part):
        declared = [row[f"superseded_{part}"] for part in ("document", "quote", "value")]
        assert all(declared) if row["kind"] == "updated" else not any(declared), row["id"]


def test_no_other_question_asks_for_a_superseded_fact(rows) -> None:
    everything = [row for part in rows.values() for row in part]
    old = {
        (row["superseded_document"], row["superseded_value"])
        for row in everything
        if row["kind"] == "updated"
    }
    for row in (row for row in everything if row["kind"] != "updated"):
        for evidence in row["evidence"]:
            for document, value in old:
                same = evidence["document"] == document and value in row["values"]
                assert not (same and value in evidence["quote"]), (row["id"], document, value)


def test_questions_are_sentences_that_never_name_a_document(every_question, documents) -> None:
    for question in every_question:
        assert question.question.endswith(("?", ".")), question.id
        assert 4 <= len(question.question.split()) <= 35, question.id
        named: list[Any] = [name for name in documents if len(name) > 5]
        assert not [name for name in named if name in question.question], question.id


def test_the_data_sheet_counts_the_questions_as_they_are(root: Path) -> None:
    sheet = (root / "data" / "README.md").read_text(encoding="utf-8")
    for kind in exam.KINDS:
        counts = [
            str(sum(question.kind == kind for question in exam.load_exam(split)))
            for split in ("test", "final", "train", "more")
        ]
        assert f"| `{kind}` | {' | '.join(counts)} |" in sheet
    for name in course.industries():
        (path,) = (course.corpus_dir(name) / "exam").glob("*.jsonl")
        assert f"| `{name}` | {len(raw_rows(path))} |" in sheet
