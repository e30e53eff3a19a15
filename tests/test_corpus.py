"""Documents and chunks: what is read, what is left out and why, and that no text is lost."""

import hashlib
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import corpus
from labkit import settings as course
from labkit.chunking import count_words
from labkit.corpus import chunk_document, read_documents, split_sentences
from labkit.types import Document, Unreadable

PASSAGES_SHA256 = "a7f7b5471a3b3646f5c457e2048dea1212cfde11383c33f7c5ba4cc00bce21e3"


def read(*paths: Path) -> tuple[list[Document], list[Unreadable]]:
    unreadable: list[Unreadable] = []
    return list(read_documents(paths, unreadable=unreadable)), unreadable


def document(text: str, *, title: str = "Manual") -> Document:
    return Document("DOC", title, "manual", text, "doc.md", None, "0", {})


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


MANUAL = """---
id: SM-117-PIT
title: "NV-117 service manual: pitch system"
kind: manual
date: 2015-03-20
turbine: NV-117
power_mw: 3.3
blades: 3
retired: false
note:
---
# NV-117 service manual: pitch system

Read this first.

## Lubrication

Each bearing takes 3.5 L. Use Norlub.
"""


def test_the_courses_passages_are_what_the_records_were_measured_on() -> None:
    """Lessons, records and the exam's evidence rest on these bytes; a change is a decision."""
    folders = [course.data_dir() / name for name in ("documents", "tables")]
    unreadable: list[Unreadable] = []
    digest = hashlib.sha256()
    for document in read_documents(folders, unreadable=unreadable):
        for chunk in chunk_document(document):
            digest.update(f"{chunk.passage}\n".encode())
    assert unreadable == []
    assert digest.hexdigest() == PASSAGES_SHA256


def test_front_matter_names_the_document_and_the_rest_is_typed_metadata(tmp_path: Path) -> None:
    write(tmp_path / "manuals" / "anything.md", MANUAL)
    (found,), unreadable = read(tmp_path)
    assert unreadable == []
    assert (found.id, found.kind, found.date) == ("SM-117-PIT", "manual", "2015-03-20")
    assert found.title == "NV-117 service manual: pitch system"
    assert found.metadata == {"turbine": "NV-117", "power_mw": 3.3, "blades": 3, "retired": False}
    assert type(found.metadata["blades"]) is int
    assert found.text.startswith("# NV-117")


def test_without_front_matter_file_and_folder_name_the_document(tmp_path: Path) -> None:
    write(tmp_path / "notes" / "van.txt", "The van is red, and nobody knows why it was painted.")
    write(tmp_path / "notes" / "boat.md", "\ufeff# The boat\r\n\r\nIt floats.\r\n")
    (boat, van), _ = read(tmp_path)
    assert (van.id, van.title, van.kind, van.date) == ("van", "van", "notes", None)
    assert (boat.id, boat.title, boat.text) == ("boat", "The boat", "# The boat\n\nIt floats.\n")


def test_files_that_share_a_stem_are_told_apart_by_their_path(tmp_path: Path) -> None:
    for name in ("a/readme.md", "b/readme.md", "b/other.md", "b/other.csv"):
        write(tmp_path / name, "x,y\n1,2\n" if name.endswith("csv") else "Some words here.")
    found, _ = read(tmp_path)
    assert [d.id for d in found] == ["a/readme.md", "other:1", "other", "b/readme.md"]


def test_a_second_document_with_the_same_id_is_left_out_by_name(tmp_path: Path) -> None:
    for name in ("a.md", "b.md"):
        write(tmp_path / name, f"---\nid: X\n---\nText of {name}.")
    found, unreadable = read(tmp_path)
    assert [d.path for d in found] == [(tmp_path / "a.md").as_posix()]
    assert unreadable[0].path.endswith("b.md") and "already used by" in unreadable[0].reason


def test_each_csv_row_is_a_document_with_typed_columns(tmp_path: Path) -> None:
    table = (
        "joint_id,torque_nm,factor,spare,code,remark\nT-1,340,1,true,007,\nT-2,78,1.5,FALSE,12,a  b"
    )
    (first, second), _ = read(write(tmp_path / "torques.csv", table))
    assert (first.id, first.title, first.kind) == ("torques:T-1", "torques", "table")
    assert first.text == "joint id: T-1; torque nm: 340; factor: 1; spare: true; code: 007"
    assert second.text.endswith("code: 12; remark: a b")
    assert first.metadata == {
        "torques.joint_id": "T-1",
        "torques.torque_nm": 340,
        "torques.factor": 1.0,
        "torques.spare": True,
        "torques.code": "007",
    }
    assert [type(first.metadata[f"torques.{c}"]) for c in ("torque_nm", "factor")] == [int, float]


def test_rows_without_a_unique_first_column_are_numbered(tmp_path: Path) -> None:
    found, _ = read(write(tmp_path / "t.csv", "a;b\nx;1\n\nx;2,5\n"))
    assert [(d.id, d.text) for d in found] == [("t:1", "a: x; b: 1"), ("t:2", "a: x; b: 2,5")]


def test_a_quoted_cell_may_hold_the_separator_and_line_ends(tmp_path: Path) -> None:
    (found,), _ = read(write(tmp_path / "t.csv", 'k,text\r\n1,"one, two\r\nthree"\r\n'))
    assert found.text == "k: 1; text: one, two three"


UNREADABLE = {
    "empty.md": (b"", "empty"),
    "blank.md": (b" \n\n", "no text"),
    "only_front.md": (b"---\nid: a\n---\n\n", "no text"),
    "binary.txt": (b"\x00\x01\x02", "binary"),
    "utf16.txt": ("Høgås".encode("utf-16"), "binary"),
    "latin.md": ("Høgås".encode("latin-1"), "not UTF-8 at byte 1"),
    "latin.html": ("<p>Høgås</p>".encode("latin-1"), "not UTF-8 at byte 4"),
    "picture.png": (b"\x89PNG", "ending '.png' is not supported"),
    "noending": (b"text", "ending '' is not supported"),
    "yaml.md": (b"---\nid: [unclosed\n---\ntext", "not valid YAML"),
    "deep.md": (b"---\nid: " + b"[" * 5000 + b"\n---\ntext", "not valid YAML"),
    "when.md": (b"---\ndate: 2015-13-45\n---\ntext", "not valid YAML"),
    "day.md": (b"---\ndate: 20.03.2015\n---\ntext", "not an ISO date"),
    "list.md": (b"---\n- a\n- b\n---\ntext", "not a list of 'key: value' lines"),
    "nested.md": (b"---\ntags: [a, b]\n---\ntext", "'tags' holds a list"),
    "long_id.md": (b"---\nid: " + b"x" * 201 + b"\n---\ntext", "id is longer than 200"),
    "long_key.md": (b"---\n" + b"x" * 201 + b": 1\n---\ntext", "a key longer than 200"),
    "long_value.md": (b"---\nx: " + b"y" * 10_001 + b"\n---\ntext", "'x' holds over 10000"),
    "long.csv": (b"a," + b"b" * 201 + b"\n1,2\n", "a column's name is longer than 200"),
    "nan.md": (b"---\nx: .nan\n---\ntext", "'x' holds a float"),
    "huge.md": (b"---\nx: 99999999999999999999\n---\ntext", "'x' holds a int"),
    "tag.md": (b"---\nx: !!python/object/apply:os.getcwd []\n---\ntext", "not valid YAML"),
    "fake.pdf": (b"not a pdf", "not a real pdf file"),
    "broken.pdf": (b"%PDF-1.7 broken", "broken file"),
    "fake.docx": (b"text", "not a real docx file"),
    "broken.docx": (b"PK\x03\x04garbage", "broken file"),
    "locked.docx": (bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600), "encrypted"),
    "broken.xlsx": (b"PK\x03\x04garbage", "broken file"),
    "blank.html": (b"<html><body></body></html>", "no text inside"),
    "header.csv": (b"a,b\n", "no rows"),
    "ragged.csv": (b"a,b\n1,2\n1,2,3\n", "row 2 has 3 cells for 2 columns"),
    "twice.csv": (b"a,a\n1,2\n", "name every column"),
    "nameless.csv": (b"a,\n1,2\n", "name every column"),
    "quote.csv": (b'a,b\n1,"open\n', "not valid CSV"),
    "nul.csv": (b"a,b\n1,\x00\n", "binary"),
    "latin.csv": ("a,b\n1,ø\n".encode("latin-1"), "not UTF-8"),
}


def test_every_unreadable_file_is_named_once_with_its_reason_and_stops_nothing(
    tmp_path: Path,
) -> None:
    for name, (content, _) in UNREADABLE.items():
        write(tmp_path / name, content)
    write(tmp_path / "zz_good.md", "Good text.")
    found, unreadable = read(tmp_path)
    assert [d.id for d in found] == ["zz_good"]
    assert sorted(Path(u.path).name for u in unreadable) == sorted(UNREADABLE)
    for entry in unreadable:
        assert UNREADABLE[Path(entry.path).name][1] in entry.reason, entry
        assert "\n" not in entry.reason


def test_a_file_without_permission_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.md", "secret")
    write(tmp_path / "b.md", "open")
    read_bytes = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "a.md":
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    found, unreadable = read(tmp_path)
    assert [d.id for d in found] == ["b"]
    assert unreadable == [Unreadable((tmp_path / "a.md").as_posix(), "Permission denied")]


def test_links_out_of_the_folder_are_named_and_not_followed(tmp_path: Path) -> None:
    secret = write(tmp_path / "outside" / "secret.md", "secret")
    folder = tmp_path / "in"
    write(folder / "a.md", "inside")
    (folder / "out.md").symlink_to(secret)
    (folder / "out").symlink_to(secret.parent)
    (folder / "again.md").symlink_to(folder / "a.md")
    (folder / "lost.md").symlink_to(folder / "nowhere.md")
    (folder / "loop.md").symlink_to(folder / "loop.md")
    found, unreadable = read(folder)
    assert [d.text for d in found] == ["inside"]
    reasons = {Path(entry.path).name: entry.reason for entry in unreadable}
    assert reasons["out.md"] == "a link that leaves the folder"
    assert reasons["out"] == "a link to a folder"
    assert set(reasons) == {"out.md", "out", "lost.md", "loop.md"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names exist on POSIX only")
def test_a_pipe_is_named_instead_of_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    assert read(tmp_path)[1][0].reason == "not a regular file"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no file names that are no text")
def test_a_file_name_that_is_no_text_can_still_be_stored(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/\xff.md", "wb") as file:
        file.write(b"text")
    (found,), _ = read(tmp_path)
    assert (found.id + found.path).encode("utf-8")


def test_hidden_files_are_skipped_and_overlapping_paths_read_once(tmp_path: Path) -> None:
    for name in (".git/a.md", ".hidden.md", "~$lock.docx", "sub/a.md"):
        write(tmp_path / name, "text")
    found, unreadable = read(tmp_path, tmp_path / "sub", tmp_path / "sub" / "a.md")
    assert len(found) == 1 and unreadable == []


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no_such"):
        read(tmp_path / "no_such")


def test_documents_are_read_one_at_a_time(tmp_path: Path) -> None:
    for i in range(60):
        write(tmp_path / f"{i:03}.txt", f"{i} " + "word " * 20_000)
    unreadable: list[Unreadable] = []
    done: list[tuple[int, int]] = []
    tracemalloc.start()
    for _ in read_documents(
        tmp_path, unreadable=unreadable, on_file=lambda *pair: done.append(pair)
    ):
        pass
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2e6 < 60 * 100_000
    assert done == [(i, 60) for i in range(1, 61)]


def test_the_hash_changes_with_anything_but_the_path(tmp_path: Path) -> None:
    def hash_of(content: str, folder: str = "x") -> str:
        path = write(tmp_path / folder / "kind" / "a.md", content)
        return read(path)[0][0].content_hash

    base = hash_of(MANUAL)
    assert hash_of(MANUAL, "y") == base
    edits = [
        ("3.5 L", "3.6 L"),
        ("2015-03", "2016-03"),
        ("blades: 3", "blades: 4"),
        ("id: S", "id: T"),
    ]
    assert len({base} | {hash_of(MANUAL.replace(*edit)) for edit in edits}) == 5


def make_pdf(path: Path, password: str | None = None) -> None:
    from reportlab.pdfgen import canvas

    page = canvas.Canvas(str(path), encrypt=password)
    lines = {800: "NV-90 service manual", 760: "3 Cooling", 720: "The loop contains 31 L."}
    for y, line in lines.items():
        page.drawString(72, y, line)
    page.save()


def make_docx(path: Path) -> None:
    import docx

    file = docx.Document()
    file.add_heading("Incident report", 1)
    file.add_heading("Cause", 2)
    file.add_paragraph("A brush broke.")
    file.save(str(path))


def make_xlsx(path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["tool", "reach"])
    book.active.append(["long spanner", 70])
    book.save(path)


def make_html(path: Path) -> None:
    write(path, "<html><head><title>The van</title></head><body><p>It has 4 wheels å.</p></body>")


@pytest.mark.parametrize(
    ("make", "ending", "title", "says"),
    [
        (make_pdf, "pdf", "NV-90 service manual", "The loop contains 31 L."),
        (make_docx, "docx", "Incident report", "A brush broke."),
        (make_xlsx, "xlsx", "file", "| long spanner | 70 |"),
        (make_html, "html", "The van", "It has 4 wheels å."),
    ],
)
def test_office_and_web_files_become_text(
    tmp_path: Path, make: Callable[[Path], None], ending: str, title: str, says: str
) -> None:
    path = tmp_path / "desk" / f"file.{ending}"
    path.parent.mkdir()
    make(path)
    (found,), unreadable = read(path)
    assert (found.id, found.title, found.kind) == ("file", title, "desk")
    assert says in found.text and unreadable == []


def test_a_numbered_line_of_a_pdf_is_a_heading(tmp_path: Path) -> None:
    make_pdf(tmp_path / "a.pdf")
    chunks = chunk_document(read(tmp_path)[0][0])
    assert chunks[-1].heading == "3 Cooling"


def test_an_encrypted_pdf_says_so(tmp_path: Path) -> None:
    make_pdf(tmp_path / "a.pdf", password="secret")
    assert "encrypted" in read(tmp_path)[1][0].reason


SENTENCES = [
    "Fill in approx. 3.5 L. Then wait.|Fill in approx. 3.5 L.|Then wait.",
    "Use a tool, e.g. a spanner. It helps.|Use a tool, e.g. a spanner.|It helps.",
    "See No. 5 and Fig. 7. Stop!|See No. 5 and Fig. 7.|Stop!",
    "The answer is no. Ask again.|The answer is no.|Ask again.",
    'He said "stop." Then he left?! Yes.|He said "stop."|Then he left?!|Yes.',
    "It weighs 1.25 kg (max. 2 kg). Lift it.|It weighs 1.25 kg (max. 2 kg).|Lift it.",
    "**Note.** The oil is hot.|**Note.**|The oil is hot.",
    "Wait until it clicks... then pull.|Wait until it clicks... then pull.",
    "1. Close the valve. 2. Open it.|1. Close the valve.|2. Open it.",
    "油を替える。次に締める。|油を替える。|次に締める。",
]


@pytest.mark.parametrize("case", SENTENCES)
def test_sentences_end_where_a_reader_would_end_them(case: str) -> None:
    text, *expected = case.split("|")
    assert split_sentences(text) == expected


STRUCTURE = """# Manual

Intro.

## Oil
- First item. With two sentences.
- Second item

| part | oil |
| --- | --- |
| gear | 4 L |
After the table.

### Deep
```
# no heading
```
## Empty
"""


def test_chunks_keep_the_heading_path_without_repeating_the_title() -> None:
    chunks = chunk_document(document(STRUCTURE), max_words=6)
    assert [(c.heading, c.text) for c in chunks] == [
        ("", "Intro."),
        ("Oil", "- First item. With two sentences."),
        ("Oil", "- Second item"),
        ("Oil", "| part | oil |"),
        ("Oil", "| --- | --- |"),
        ("Oil", "| gear | 4 L |"),
        ("Oil", "After the table."),
        ("Oil > Deep", "```\n# no heading\n```"),
        ("", "Empty"),
    ]
    assert chunks[0].passage == "Manual: Intro."
    assert chunks[7].passage.startswith("Manual > Oil > Deep: ```")
    assert chunk_document(document("# Other\nText."))[0].passage == "Manual > Other: Text."


def test_a_sentence_over_the_budget_is_cut_between_words() -> None:
    long = "One two three four five six seven."
    chunks = chunk_document(document(f"Short one. {long} End."), max_words=3)
    texts = [c.text for c in chunks]
    assert texts == ["Short one.", "One two three", "four five six", "seven. End."]


def test_text_without_spaces_is_cut_too() -> None:
    chunks = chunk_document(document("x" * 1000), max_words=5)
    assert [len(c.text) for c in chunks] == [200] * 5


@pytest.mark.parametrize("first", ["x" * 201, "# " + "x" * 201, "# " + "long words " * 40])
def test_a_long_first_line_is_text_and_no_title_that_every_chunk_would_repeat(
    tmp_path: Path, first: str
) -> None:
    (found,), _ = read(write(tmp_path / "manual.md", f"{first}\n\nMore text."))
    assert found.title == "manual"
    chunks = chunk_document(found, max_words=30)
    assert all(len(chunk.passage) < 30 * 41 and chunk.heading == "" for chunk in chunks)
    assert (
        "".join(chunk.text for chunk in chunks).replace(" ", "").startswith(first.replace(" ", ""))
    )


def test_a_long_first_cell_is_no_id_of_its_row(tmp_path: Path) -> None:
    found, _ = read(write(tmp_path / "t.csv", "k,v\n" + "x" * 201 + ",1\nb,2\n"))
    assert [d.id for d in found] == ["t:1", "t:2"]


def test_a_budget_below_one_word_is_refused() -> None:
    with pytest.raises(ValueError, match="max_words is 0"):
        chunk_document(document("text"), max_words=0)


LINES = st.sampled_from(
    [
        "# Manual",
        "## Oil ##",
        "### Deep",
        "",
        "  ",
        "- item one. Two",
        "1. Step",
        "| a | b |",
        "```",
    ]
    + [
        "It takes approx. 3.5 L. Then stop!",
        "a",
        "ünï。文",
        "#",
        "####### x",
        "# ",
        "* * *",
        "x" * 99,
    ]
)
TEXTS = st.lists(LINES | st.text(max_size=60), max_size=25).map("\n".join).map(corpus.clean)


@settings(deadline=None)
@given(TEXTS, st.integers(1, 30))
def test_no_text_is_lost_order_and_budget_are_kept(text: str, max_words: int) -> None:
    chunks = chunk_document(document(text), max_words=max_words)
    end = 0
    rest = []
    for position, chunk in enumerate(chunks):
        assert chunk.text == text[chunk.start : chunk.end] and chunk.text.strip() == chunk.text
        assert chunk.start >= end and chunk.position == position
        assert chunk.id == f"DOC#{position}"
        assert 0 < count_words(chunk.text) <= max_words
        rest.append(text[end : chunk.start])
        end = chunk.end
    lost = "".join([*rest, text[end:]])
    kept_paths = " ".join(f"{c.heading} {c.text}" for c in chunks).casefold()
    for line in filter(str.strip, lost.split("\n")):
        # Whatever is in no chunk is a heading, and stands in a path or repeats the title.
        words = line.strip().strip("#").strip()
        assert line.strip().startswith("#"), line
        assert words.casefold() in kept_paths or words.casefold() == "manual"


def test_overlapping_chunks_begin_with_the_last_whole_sentences_of_the_one_before() -> None:
    text = "One two three. Four five. Six seven. Eight nine ten eleven.\n\n## Next\nNew here."
    texts = [c.text for c in chunk_document(document(text), max_words=6, overlap=3)]
    assert texts == [
        "One two three. Four five.",
        "Four five. Six seven.",
        "Six seven. Eight nine ten eleven.",
        "New here.",
    ]


@settings(deadline=None)
@given(TEXTS, st.integers(2, 30), st.data())
def test_overlap_only_adds_text_in_front_and_keeps_the_budget(text: str, max_words, data) -> None:
    overlap = data.draw(st.integers(0, max_words - 1))
    chunks = chunk_document(document(text), max_words=max_words, overlap=overlap)
    covered = "".join(c.text for c in chunk_document(document(text), max_words=max_words))
    for before, chunk in zip(chunks, chunks[1:], strict=False):
        assert chunk.start > before.start and chunk.end > before.end
        shared = text[chunk.start : before.end] if chunk.start < before.end else ""
        assert count_words(shared) <= overlap
    assert all(0 < count_words(c.text) <= max_words for c in chunks)
    inside = {i for c in chunks for i in range(c.start, c.end) if not text[i].isspace()}
    assert len(inside) == sum(not letter.isspace() for letter in covered)


def test_an_overlap_must_leave_room_for_something_new() -> None:
    for overlap in (-1, 6):
        with pytest.raises(ValueError, match="choose 0 to 5"):
            chunk_document(document("Text."), max_words=6, overlap=overlap)


def test_without_headings_the_passage_is_the_text_alone() -> None:
    chunks = chunk_document(document("# Other\nText."), headings=False)
    assert [(c.heading, c.passage) for c in chunks] == [("Other", "Text.")]


@settings(deadline=None)
@given(TEXTS, st.integers(1, 30))
def test_a_chunk_never_crosses_a_heading(text: str, max_words: int) -> None:
    for chunk in chunk_document(document(text), max_words=max_words):
        if "```" not in text:
            inner = chunk.text.split("\n")[1:]
            assert not any(line.strip().startswith(("# ", "## ", "### ")) for line in inner)


def test_the_course_corpus_is_read_whole(root: Path) -> None:
    found, unreadable = read(root / "data" / "documents", root / "data" / "tables")
    assert unreadable == []
    assert {"SM-90-CNV", "IR-2022-03", "ON-04"} <= {d.id for d in found}
    for entry in found:
        for chunk in chunk_document(entry):
            assert count_words(chunk.text) <= 60 and chunk.text in entry.text
