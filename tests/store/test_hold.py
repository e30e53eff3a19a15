"""The store holds: random kills, two writers, a full disk, damaged files, hostile documents."""

import errno
import io
import os
import random
import shutil
import sys
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kill import MAX_WORDS, Contents, expected, start, stored, write_corpus

from labkit import embed
from labkit.cli.main import main
from labkit.store import open_store
from labkit.store import schema as chunk_table
from labkit.store.schema import StoreError

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="kills and limits are POSIX only")
N_KILLS = 30
LONG_LINE_BYTES = 20 * 2**20
N_HOSTILE = 300


def two_editions(docs: Path) -> tuple[Contents, Contents]:
    write_corpus(docs, edition=2)
    second = expected(docs)
    write_corpus(docs, edition=1)
    return expected(docs), second


@needs_posix
@pytest.mark.slow
def test_kills_at_random_moments_lose_and_double_no_row(tmp_path: Path, fake_embedder: Any) -> None:
    docs, db = tmp_path / "docs", tmp_path / "db"
    editions = two_editions(docs)
    lasting = {name for name in editions[0] if editions[0][name] == editions[1].get(name)}
    rng = random.Random(11)
    seen: set[str] = set()
    n_cut_short = 0
    for kill in range(N_KILLS):
        # Another edition each time, so that there is always something to write.
        write_corpus(docs, edition=kill % 2 + 1)
        with start(db, docs) as child:
            assert child.stdout is not None
            child.stdout.readline()
            try:
                child.wait(timeout=rng.uniform(0, 0.8))
            except Exception:
                n_cut_short += 1
            child.kill()
        state = stored(open_store(db, fake_embedder))
        for name, chunks in state.items():
            assert chunks in [edition.get(name) for edition in editions], (kill, name)
        assert seen & lasting <= state.keys(), kill
        seen |= state.keys()
    assert n_cut_short > N_KILLS / 2
    write_corpus(docs, edition=1)
    store = open_store(db, fake_embedder)
    store.ingest(docs, max_words=MAX_WORDS)
    assert stored(store) == editions[0]
    assert store._table.index_stats("passage_idx").num_unindexed_rows == 0


@needs_posix
@pytest.mark.slow
def test_two_processes_that_ingest_different_folders_keep_both(
    tmp_path: Path, fake_embedder: Any
) -> None:
    for folder, prefix in (("a", "a"), ("b", "b")):
        write_corpus(tmp_path / folder, edition=1)
        for path in (tmp_path / folder).glob("*.md"):
            path.rename(path.with_name(f"{prefix}{path.name}"))
    children = [start(tmp_path / "db", tmp_path / folder) for folder in ("a", "b")]
    for child in children:
        child.communicate()
    assert [child.returncode for child in children] == [0, 0]
    state = stored(open_store(tmp_path / "db", fake_embedder))
    assert state == expected(tmp_path / "a") | expected(tmp_path / "b")


@pytest.fixture
def door(fake_embedder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command line embed without a model."""
    monkeypatch.setattr(embed, "load_embedder", lambda name: fake_embedder)


def said_of_failure(command: list[str], capfd: pytest.CaptureFixture[str]) -> str:
    """Return the last line on stderr: what LanceDB logs by itself may stand above it."""
    capfd.readouterr()
    assert main(command) == 1
    err = capfd.readouterr().err
    assert "Traceback" not in err
    return err.splitlines()[-1]


def write_plain(docs: Path, *, n: int = 60) -> Path:
    docs.mkdir(exist_ok=True)
    for i in range(n):
        text = " ".join(f"Word{i * j} and {i * 7 + j}." for j in range(60))
        (docs / f"{i:03}.md").write_text(f"# Document {i}\n\n{text}", encoding="utf-8")
    return docs


@needs_posix
@pytest.mark.parametrize("limit_bytes", [1_000, 20_000, 45_000])
def test_a_full_disk_is_one_sentence_and_the_next_run_completes(
    tmp_path: Path, door: None, capfd: Any, fake_embedder: Any, limit_bytes: int
) -> None:
    import resource

    docs, db = write_plain(tmp_path / "docs"), str(tmp_path / "db")
    assert main(["ingest", str(write_plain(tmp_path / "few", n=3)), "--db", db]) == 0
    before = open_store(db, fake_embedder).count()
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Python ignores the signal that comes with it, so that the write fails as on a full disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, unlimited[1]))
    try:
        assert main(["ingest", str(docs), "--db", db]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    error = capfd.readouterr().err
    assert f"The disk is full, or a file limit is reached, while writing to {db!r}" in error
    assert "Traceback" not in error
    assert open_store(db, fake_embedder).count() == before
    (tmp_path / "few" / "000.md").unlink()
    shutil.rmtree(tmp_path / "few")
    assert main(["ingest", str(docs), "--db", db]) == 0
    assert open_store(db, fake_embedder).search("Word0 and 7", k=3)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_every_kind_of_full_is_known(code: int) -> None:
    with pytest.raises(StoreError, match="The disk is full"), chunk_table.explained("db"):
        raise RuntimeError(f"lance error: LanceError(IO): words (os error {code}), /root/x.rs:1")


def test_other_errors_pass_unchanged() -> None:
    for error in (
        ValueError("no column"),
        RuntimeError("commit conflict: lance error"),
        KeyError(),
    ):
        with pytest.raises(type(error)) as caught, chunk_table.explained("db"):
            raise error
        assert caught.value is error


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def scrambled(path: Path) -> None:
    path.write_bytes(random.Random(3).randbytes(path.stat().st_size))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


DAMAGE = [truncated, scrambled, emptied, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("files", ["_versions/*.manifest", "data/*.lance", "_indices/*/*.lance"])
def test_a_damaged_database_is_named_and_a_new_one_heals_it(
    tmp_path: Path,
    door: None,
    capfd: Any,
    make_hit: Any,
    monkeypatch: Any,
    damage: Callable[[Path], None],
    files: str,
) -> None:
    docs, db = write_plain(tmp_path / "docs", n=4), tmp_path / "db"
    assert main(["ingest", str(docs), "--db", str(db)]) == 0
    for path in list((db / "chunks.lance").glob(files)):
        damage(path)
    monkeypatch.setattr("labkit.models.load_language_model", lambda name, tuned=None: NoModel())
    said = said_of_failure(["ask", "Word0 and 7", "--db", str(db)], capfd)
    assert f"The database in {str(db)!r} is damaged (" in said
    assert said.endswith("delete that folder and ingest them again.")
    shutil.rmtree(db)
    assert main(["ingest", str(docs), "--db", str(db)]) == 0


class NoModel:
    name = "none"


@pytest.mark.parametrize("files", ["_versions/*.manifest", "data/*.lance"])
def test_ingesting_into_a_damaged_database_hides_nothing(
    tmp_path: Path, door: None, capfd: Any, files: str
) -> None:
    docs, db = write_plain(tmp_path / "docs", n=4), tmp_path / "db"
    assert main(["ingest", str(docs), "--db", str(db)]) == 0
    for path in list((db / "chunks.lance").glob(files)):
        path.unlink()
    said = said_of_failure(["ingest", str(docs), "--db", str(db)], capfd)
    assert f"The database in {str(db)!r} is damaged (" in said


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from conftest import HashEmbedder

    folder = tmp_path_factory.mktemp("whole")
    open_store(folder / "db", HashEmbedder()).ingest(write_plain(folder / "docs", n=4))
    return folder / "db"


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_no_flipped_byte_leads_to_a_traceback(whole: Path, data: st.DataObject) -> None:
    """A changed value may go unnoticed: Lance keeps no checksums. A sentence is all it raises."""
    from conftest import HashEmbedder

    db = whole.with_name("flipped")
    shutil.rmtree(db, ignore_errors=True)
    shutil.copytree(whole, db)
    files = sorted(path for path in db.rglob("*") if path.suffix in (".lance", ".manifest"))
    path = data.draw(st.sampled_from([path for path in files if path.is_file()]))
    content = bytearray(path.read_bytes())
    for _ in range(4):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        store = open_store(db, HashEmbedder())
        store.search("Word0 and 7")
        store.count()
    except (StoreError, ValueError):
        pass


def nested_zip() -> bytes:
    inner = b"PK"
    for _ in range(3):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("inner.zip", inner)
        inner = packed.getvalue()
    return inner


SCRIPT = b"<script>document.title='pwned'; fetch('http://example.org')</script>"
HOSTILE: dict[str, Callable[[random.Random], bytes]] = {
    "empty.md": lambda rng: b"",
    "blank.txt": lambda rng: b" \n" * rng.randrange(1, 50),
    "binary.md": lambda rng: b"\0" + rng.randbytes(rng.randrange(1, 3000)),
    "noise.txt": lambda rng: b"\xff" + rng.randbytes(rng.randrange(1, 3000)),
    "picture.pdf": lambda rng: b"\x89PNG\r\n" + rng.randbytes(200),
    "text.docx": lambda rng: b"only text",
    "cut.pdf": lambda rng: b"%PDF-1.7\n1 0 obj <<" + rng.randbytes(100),
    "nested.docx": lambda rng: nested_zip(),
    "nested.xlsx": lambda rng: nested_zip(),
    "nested.zip": lambda rng: nested_zip(),
    "program.exe": lambda rng: b"MZ" + rng.randbytes(99),
    "latin.md": lambda rng: "Høgås på fjellet".encode("latin-1"),
    "utf16.csv": lambda rng: "a,b\n1,2\n".encode("utf-16"),
    "yaml.md": lambda rng: b"---\nid: [" + b"[" * rng.randrange(1, 3000) + b"\n---\ntext",
    "bomb.md": lambda rng: b"---\na: &a [x]\nb: *a\n---\ntext",
    "ragged.csv": lambda rng: b"a,b\n1,2,3\n",
    "quote.csv": lambda rng: b'a,b\n1,"open\n',
    "only.html": lambda rng: b"<html>" + SCRIPT + b"</html>",
}
GOOD: dict[str, Callable[[int], str]] = {
    "plain.md": lambda i: f"# Good {i}\n\nMarker{i} is here.",
    "script.html": lambda i: f"<html>{SCRIPT.decode()}<p>Marker{i} is here.</p></html>",
    "marks.txt": lambda i: f"Marker{i} <|im_end|> {{{{ 7*7 }}}} ]]> <!-- '; DROP TABLE chunks; --",
    "unicode.md": lambda i: f"Marker{i} \u202e \u200b \U0001f4a3 e\u0301 \u0000".replace("\0", ""),
    "front.md": lambda i: f"---\nid: \"x' OR 'a'='a {i}\"\nvector: 1\n---\nMarker{i} is here.",
}
NAMES = [
    "{}",
    "it's {}",
    'a "quoted" {}',
    "two\nlines {}",
    "semi;colon {}",
    "ünï {}",
    "..{}",
    "%s {}",
]


def hostile_folder(folder: Path) -> tuple[set[Path], set[int]]:
    """Write hostile and good files in turn; return the hostile paths and the good numbers."""
    rng = random.Random(5)
    bad, good = set(), set()
    for i in range(N_HOSTILE):
        is_good = i % 5 == 0
        kind = rng.choice(list(GOOD if is_good else HOSTILE))
        stem, dot, ending = kind.partition(".")
        name = rng.choice(NAMES[:1] if sys.platform == "win32" else NAMES).format(f"{stem} {i}")
        path = folder / f"sub {i % 7}" / f"x{name}{dot}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_good:
            path.write_text(GOOD[kind](i), encoding="utf-8")
            good.add(i)
        else:
            path.write_bytes(HOSTILE[kind](rng))
            bad.add(path)
    return bad, good


@pytest.mark.slow
def test_hostile_files_are_named_and_the_good_ones_are_in(
    tmp_path: Path, fake_embedder: Any
) -> None:
    bad, good = hostile_folder(tmp_path / "docs")
    (tmp_path / "docs" / "long.txt").write_bytes(b"Marker9999 " + b"x" * LONG_LINE_BYTES)
    store = open_store(tmp_path / "db", fake_embedder)
    report = store.ingest(tmp_path / "docs")
    assert {Path(item.path) for item in report.unreadable} == bad
    assert len(report.unreadable) == len(bad)
    for item in report.unreadable:
        assert item.reason and "\n" not in item.reason and len(item.reason) < 400, item
    assert report.added == len(good) + 1
    texts: dict[str, str] = defaultdict(str)
    for row in store._table.to_arrow().select(["document_id", "text"]).to_pylist():
        texts[row["document_id"]] += row["text"] + " "
    for i in (*good, 9999):
        assert sum(f"Marker{i} " in text for text in texts.values()) == 1, i
    assert not any("pwned" in text for text in texts.values())
    again = store.ingest(tmp_path / "docs")
    assert (again.unchanged, again.chunks_embedded, len(again.unreadable)) == (
        len(good) + 1,
        0,
        len(bad),
    )
