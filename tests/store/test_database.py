"""The store mirrors folders, embeds only what changed, finds what it should and forgets nothing."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit.corpus import chunk_document, read_documents
from labkit.store import Store, ingest, open_store
from labkit.store.filters import FIXED, column_name
from labkit.types import Hit

Embedder = Any
PITCH = "---\nturbine: NV-117\nyear: 2015\n---\n# Pitch\n\nThe pitch bearing takes 3.5 L of grease."
YAW = "---\nturbine: NV-140\nyear: 2018.5\n---\n# Yaw\n\nThe yaw drive has oil. It is kept warm."
TORQUES = "joint_id,torque_nm,spare\nT-1,340,true\nT-2,780,false\nT-3,1150,false\n"


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    files = {"manual/pitch.md": PITCH, "bulletin/yaw.md": YAW, "tables/torques.csv": TORQUES}
    return write(tmp_path / "docs", files)


@pytest.fixture
def store(tmp_path: Path, docs: Path, fake_embedder: Embedder) -> Store:
    store = open_store(tmp_path / "db", fake_embedder)
    store.ingest(docs)
    return store


def chunks(store: Store) -> dict[str, int]:
    return dict(sorted(Counter(store._table.to_arrow()["document_id"].to_pylist()).items()))


def ids(hits: list[Hit]) -> list[str]:
    return [hit.document_id for hit in hits]


def counts(report: ingest.IngestReport) -> tuple[int, ...]:
    return report.added, report.changed, report.unchanged, report.removed, report.chunks_embedded


def contents(store: Store) -> dict[str, tuple[str, ...]]:
    """Return everything the table holds but the vectors, by chunk id; fails on a double chunk."""
    rows = store._table.to_arrow().drop(["vector"]).to_pylist()
    assert len({row["chunk_id"] for row in rows}) == len(rows)
    return {row["chunk_id"]: tuple(map(str, row.values())) for row in rows}


def test_a_second_run_embeds_and_commits_nothing(
    store: Store, docs: Path, fake_embedder: Embedder
) -> None:
    version, embedded = store._table.version, len(fake_embedder.embedded)
    report = store.ingest(docs)
    assert counts(report) == (0, 0, 5, 0, 0)
    assert report.version == version and len(fake_embedder.embedded) == embedded


def test_only_what_changed_is_embedded_and_what_is_gone_leaves(
    store: Store, docs: Path, fake_embedder: Embedder
) -> None:
    write(docs, {"bulletin/yaw.md": YAW.replace("warm", "cold"), "new.md": "Fresh words."})
    (docs / "manual/pitch.md").unlink()
    fake_embedder.embedded.clear()
    report = store.ingest(docs)
    assert counts(report) == (1, 1, 3, 1, 2)
    fresh = {"Yaw: The yaw drive has oil. It is kept cold.", "new: Fresh words."}
    assert set(fake_embedder.embedded) == fresh
    assert list(chunks(store)) == ["new", "torques:T-1", "torques:T-2", "torques:T-3", "yaw"]


def test_a_document_that_shrinks_leaves_no_old_chunk_behind(store: Store, docs: Path) -> None:
    write(docs, {"long.md": "One here. Two here. Three here."})
    store.ingest(docs, max_words=2)
    before = chunks(store)
    write(docs, {"long.md": "One here."})
    store.ingest(docs, max_words=2)
    after = chunks(store)
    assert (before.pop("long"), after.pop("long")) == (3, 1)
    assert before == after


def test_another_chunk_size_embeds_everything_again(store: Store, docs: Path) -> None:
    assert counts(store.ingest(docs, max_words=5))[:4] == (0, 5, 0, 0)
    assert max(len(row[2].split()) for row in map(list, contents(store).values())) <= 5


def test_the_table_holds_what_the_documents_say(store: Store, docs: Path) -> None:
    unreadable: list = []
    chunks = [c for d in read_documents(docs, unreadable=unreadable) for c in chunk_document(d)]
    rows = {row["chunk_id"]: row for row in store._table.to_arrow().to_pylist()}
    assert rows.keys() == {chunk.id for chunk in chunks} and store.count() == len(chunks)
    for chunk in chunks:
        row = rows[chunk.id]
        assert (row["passage"], row["heading"]) == (chunk.passage, chunk.heading)
    pitch = rows["pitch#0"]
    assert (pitch["turbine"], pitch["year"], pitch["torques__torque_nm"]) == (
        "NV-117",
        2015.0,
        None,
    )
    assert json.loads(pitch["metadata"]) == {"turbine": "NV-117", "year": 2015}


def test_many_batches_give_the_same_table_as_one(
    tmp_path: Path, fake_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {f"{i}.md": " ".join(f"Sentence {i} {j}." for j in range(i % 7 + 1)) for i in range(40)}
    docs = write(tmp_path / "docs", files)
    one = open_store(tmp_path / "one", fake_embedder)
    one.ingest(docs, max_words=3)
    monkeypatch.setattr(ingest, "BATCH_CHUNKS", 4)
    many = open_store(tmp_path / "many", fake_embedder)
    many.ingest(docs, max_words=3)
    assert contents(one) == contents(many)
    for mode in ("vector", "text", "hybrid"):
        assert many.search("sentence 13 2", mode=mode) == one.search("sentence 13 2", mode=mode)


def test_folders_are_mirrored_apart(tmp_path: Path, store: Store, docs: Path) -> None:
    other = write(tmp_path / "other", {"extra.md": "Extra words."})
    assert counts(store.ingest(other))[:4] == (1, 0, 0, 0)
    assert counts(store.ingest(path for path in (docs, other)))[:4] == (0, 0, 6, 0)
    (other / "extra.md").unlink()
    (docs / "manual/pitch.md").unlink()
    assert counts(store.ingest(other))[:4] == (0, 0, 0, 1)
    assert "pitch" in chunks(store)


def test_a_folder_whose_name_begins_like_another_is_not_below_it(
    tmp_path: Path, store: Store, docs: Path
) -> None:
    longer = write(tmp_path / "docs2", {"extra.md": "Extra words."})
    store.ingest(longer)
    assert counts(store.ingest(docs))[:4] == (0, 0, 5, 0)


def test_a_folder_that_is_not_there_removes_nothing(store: Store, docs: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.ingest([docs, docs / "typing_error"])
    assert len(chunks(store)) == 5


def test_a_name_that_belongs_to_another_folder_is_left_out(tmp_path: Path, store: Store) -> None:
    other = write(tmp_path / "other", {"pitch.md": "A stranger."})
    report = store.ingest(other)
    assert "already used by" in report.unreadable[0].reason
    assert "stranger" not in str(contents(store))


def test_a_moved_folder_is_taken_over(tmp_path: Path, store: Store, docs: Path) -> None:
    docs.rename(tmp_path / "moved")
    assert counts(store.ingest(tmp_path / "moved"))[:4] == (0, 5, 0, 0)


def test_two_documents_may_swap_their_ids(tmp_path: Path, fake_embedder: Embedder) -> None:
    docs = write(
        tmp_path / "docs", {"a.md": "---\nid: A\n---\nfirst", "b.md": "---\nid: B\n---\nlast"}
    )
    store = open_store(tmp_path / "db", fake_embedder)
    store.ingest(docs)
    write(docs, {"a.md": "---\nid: B\n---\nfirst", "b.md": "---\nid: A\n---\nlast"})
    assert counts(store.ingest(docs)) == (0, 2, 0, 0, 2)
    assert {hit.document_id: hit.text for hit in store.search("first last")} == {
        "A": "last",
        "B": "first",
    }


def test_what_cannot_be_read_any_more_leaves_and_is_named(store: Store, docs: Path) -> None:
    (docs / "manual/pitch.md").write_bytes(b"\x00")
    report = store.ingest(docs)
    assert counts(report)[:4] == (0, 0, 4, 1)
    assert [Path(u.path).name for u in report.unreadable] == ["pitch.md"]


def test_a_type_conflict_is_named_and_stops_nothing(store: Store, docs: Path) -> None:
    write(docs, {"bad.md": "---\nturbine: 117\n---\nText.", "zz.md": "Good."})
    report = store.ingest(docs)
    assert counts(report)[:4] == (1, 0, 5, 0)
    assert "document 'bad' is left out: the column 'turbine'" in report.unreadable[0].reason
    assert report.unreadable[0].path.endswith("bad.md")


def test_metadata_can_take_no_fixed_column_and_break_no_name(
    tmp_path: Path, fake_embedder: Embedder
) -> None:
    nasty = [
        "vector",
        "chunk_id",
        "document_key",
        "Text",
        "_rowid",
        "query_index",
        "a b",
        "a'; DROP",
    ]
    nasty += [
        "дата",
        "größe",
        "x.y",
        "`tick`",
        '"quote"',
        "select",
        "9",
        "",
        "_score",
        "c\\d",
        "é" * 60,
    ]
    front = "\n".join(f"{json.dumps(key)}: {number}" for number, key in enumerate(nasty))
    docs = write(tmp_path / "docs", {"n.md": f"---\n{front}\n---\nNasty words.", "b.md": "Other."})
    store = open_store(tmp_path / "db", fake_embedder)
    assert store.ingest(docs).unreadable == ()
    for number, key in enumerate(nasty):
        assert column_name(key) not in FIXED and not column_name(key).startswith("_")
        assert ids(store.search("words", where={key: number})) == ["n"], key
        assert store.search("words", where={key: number + 1}) == [], key
    hit = store.search("nasty", mode="text")[0]
    assert hit.metadata == {key: number for number, key in enumerate(nasty)}
    assert hit.text == "Nasty words."


def test_two_keys_of_one_column_are_refused(tmp_path: Path, fake_embedder: Embedder) -> None:
    docs = write(tmp_path / "docs", {"n.md": "---\na.b: 1\na__b: 2\n---\nText."})
    report = open_store(tmp_path / "db", fake_embedder).ingest(docs)
    assert "become the column 'a__b'" in report.unreadable[0].reason


def test_names_from_file_names_never_reach_a_condition(
    tmp_path: Path, fake_embedder: Embedder
) -> None:
    evil = "x' OR 'a'='a"
    docs = write(tmp_path / "docs", {f"{evil}.md": "Evil one. And two.", "good.md": "Good."})
    store = open_store(tmp_path / "db", fake_embedder)
    store.ingest(docs, max_words=2)
    write(docs, {f"{evil}.md": "Evil."})
    store.ingest(docs, max_words=2)
    assert chunks(store) == {"good": 1, evil: 1}
    assert ids(store.search("evil", where={"document_id": evil})) == [evil]
    (docs / f"{evil}.md").unlink()
    store.ingest(docs, max_words=2)
    assert list(chunks(store)) == ["good"]


def test_vector_scores_are_cosines_best_first(store: Store, fake_embedder: Embedder) -> None:
    query = "grease of the pitch bearing"
    passages = {row["chunk_id"]: row["passage"] for row in store._table.to_arrow().to_pylist()}
    vectors = fake_embedder.encode_queries(list(passages.values()))
    cosines = vectors @ fake_embedder.encode_queries([query])[0]
    expected = sorted(zip(cosines, passages, strict=True), reverse=True)
    hits = store.search(query, mode="vector", k=5)
    assert [hit.chunk_id for hit in hits] == [name for _, name in expected]
    np.testing.assert_allclose([hit.score for hit in hits], [c for c, _ in expected], atol=1e-5)
    assert hits[0].document_id == "pitch" and hits[0].passage.startswith("Pitch: The pitch")


def test_text_search_finds_exact_words_best_first(store: Store) -> None:
    hits = store.search("torque T-2", mode="text")
    assert hits[0].document_id == "torques:T-2"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert store.search("submarine", mode="text") == []


def test_hybrid_equals_lancedbs_own_fusion(store: Store, fake_embedder: Embedder) -> None:
    from lancedb.rerankers import RRFReranker

    query = "oil or grease of the torque drive"
    builder = store._table.search(query_type="hybrid").text(query).distance_type("cosine")
    builder = (
        builder.vector(fake_embedder.encode_queries([query])[0]).limit(50).rerank(RRFReranker())
    )
    expected = {row["chunk_id"]: row["_relevance_score"] for row in builder.to_list()}
    hits = store.search(query, k=50)
    assert {hit.chunk_id: hit.score for hit in hits} == pytest.approx(expected)
    assert [hit.score for hit in hits] == sorted(expected.values(), reverse=True)


@pytest.mark.parametrize("mode", ["vector", "text", "hybrid"])
def test_many_questions_are_answered_as_one_by_one(store: Store, mode: Any) -> None:
    queries = ["grease", "", "torque nm 340", "  ", "yaw oil", "nothing at all like it"]
    many = store.search_many(queries, k=3, mode=mode, where={"kind": ["manual", "table"]})
    one = [store.search(q, k=3, mode=mode, where={"kind": ["manual", "table"]}) for q in queries]
    assert many == one and many[1] == many[3] == []
    assert store.search_many([], mode=mode) == []


def test_more_hits_begin_with_the_same_ones(store: Store) -> None:
    for mode in ("vector", "text", "hybrid"):
        assert store.search("torque of oil", k=4, mode=mode)[:2] == store.search(
            "torque of oil", k=2, mode=mode
        )


FILTERS: list[tuple[dict[str, Any], set[str]]] = [
    ({"turbine": "NV-117"}, {"pitch"}),
    ({"turbine": ["NV-117", "NV-140"]}, {"pitch", "yaw"}),
    ({"turbine": ("!=", "NV-117")}, {"yaw"}),
    ({"year": 2015}, {"pitch"}),
    ({"year": (">", 2015)}, {"yaw"}),
    ({"torques.torque_nm": (">=", 780)}, {"torques:T-2", "torques:T-3"}),
    ({"torques__torque_nm": ("<", 780.5), "torques.spare": False}, {"torques:T-2"}),
    ({"torques.torque_nm": [340, 1150]}, {"torques:T-1", "torques:T-3"}),
    ({"kind": ["bulletin", "manual"]}, {"pitch", "yaw"}),
    ({"document_id": "yaw", "turbine": "NV-117"}, set()),
    ({"turbine": "NV-117' OR 'a'='a"}, set()),
    ({}, {"pitch", "yaw", "torques:T-1", "torques:T-2", "torques:T-3"}),
]


@pytest.mark.parametrize("mode", ["vector", "text", "hybrid"])
@pytest.mark.parametrize(("where", "expected"), FILTERS)
def test_filters_hold_before_the_search(
    store: Store, where: dict[str, Any], expected: set[str], mode: Any
) -> None:
    assert (
        set(ids(store.search("the torque of oil or grease", k=9, mode=mode, where=where)))
        == expected
    )
    for name in expected:
        # k=1 finds a row that is not the best of the whole table: the filter comes first.
        only = store.search(
            "the torque of oil or grease", k=1, mode=mode, where=where | {"document_id": name}
        )
        assert ids(only) == [name]


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"colour": 1}, "no column 'colour'; use one of date, document_id, heading"),
        ({"vector": 1}, "no column 'vector'"),
        ({"year": ("~", 1)}, "one of ==, !=, <, <=, >, >="),
        ({"year": (">",)}, "is not .operator, value."),
        ({"year": "2015"}, "'year' holds number"),
        ({"year": True}, "'year' holds number"),
        ({"turbine": 117}, "'turbine' holds text"),
        ({"turbine": None}, "'turbine' holds text"),
        ({"torques.spare": 1}, "holds true/false"),
        ({"turbine": []}, "list for 'turbine' is empty"),
        ({"turbine": ["NV-117", 3]}, "'turbine' holds text"),
    ],
)
def test_a_wrong_filter_names_what_is_allowed(
    store: Store, where: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        store.search("oil", where=where)


QUERIES = [
    '"',
    "(",
    "*",
    "AND",
    '"oil',
    "oil AND (",
    "a:b^2~",
    "\\",
    "'; DROP TABLE",
    "🙂",
    "\0",
    "the",
]


@pytest.mark.parametrize("mode", ["vector", "text", "hybrid"])
def test_no_query_crashes(tmp_path: Path, store: Store, fake_embedder: Embedder, mode: Any) -> None:
    empty = open_store(tmp_path / "empty", fake_embedder)
    for query in [*QUERIES, "x" * 50_000, "", " \n"]:
        assert empty.search(query, mode=mode) == []
        assert len(store.search(query, mode=mode)) <= 5
    assert "yaw" in ids(store.search('"oil" AND (warm', mode=mode))
    assert len(store.search("oil", mode=mode, k=1000)) <= 5


def test_a_wrong_depth_or_mode_is_refused(store: Store) -> None:
    for k in (0, -1):
        with pytest.raises(ValueError, match="at least 1"):
            store.search("oil", k=k)
    with pytest.raises(ValueError, match="use one of vector, text, hybrid"):
        store.search("oil", mode="fuzzy")  # type: ignore[arg-type]


def test_the_text_index_is_current_after_every_ingestion(store: Store, docs: Path) -> None:
    write(docs, {"new.md": "A submarine surfaced."})
    store.ingest(docs)
    assert ids(store.search("submarine", mode="text")) == ["new"]
    assert store._table.index_stats("passage_idx").num_unindexed_rows == 0
    (docs / "new.md").unlink()
    store.ingest(docs)
    assert store.search("submarine", mode="text") == []


def test_a_text_index_left_stale_is_brought_up_to_date(
    store: Store, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(docs, {"new.md": "A submarine surfaced."})
    with monkeypatch.context() as patch:
        patch.setattr(ingest.Ingestion, "_update_index", lambda self: None)
        store.ingest(docs)
    assert ids(store.search("submarine", mode="text")) == ["new"]
    assert store._table.index_stats("passage_idx").num_unindexed_rows > 0
    assert counts(store.ingest(docs))[4] == 0
    assert store._table.index_stats("passage_idx").num_unindexed_rows == 0


def test_an_old_version_can_be_searched_and_tagged(store: Store, docs: Path) -> None:
    store.tag("before")
    old_number = store._table.version
    write(docs, {"manual/pitch.md": PITCH.replace("3.5 L", "4.0 L").replace("grease", "butter")})
    store.ingest(docs)
    for mode in ("vector", "text", "hybrid"):
        before = store.at_version("before").search("pitch bearing grease", mode=mode)[0]
        now = store.search("pitch bearing butter", mode=mode)[0]
        assert "3.5 L of grease" in before.text and "4.0 L of butter" in now.text
    listed = {entry.version: entry for entry in store.versions()}
    assert listed[old_number].tags == ("before",) and listed[old_number].n_chunks == 5
    assert list(listed) == sorted(listed)


def test_an_old_version_is_read_only(store: Store, docs: Path) -> None:
    old = store.at_version(store._table.version)
    for change in (lambda: old.ingest(docs), lambda: old.tag("x")):
        with pytest.raises(ValueError, match="cannot be changed"):
            change()


def test_a_tag_moves_and_unknown_versions_are_named(store: Store, docs: Path) -> None:
    first = store._table.version
    store.tag("release")
    write(docs, {"new.md": "More."})
    store.ingest(docs)
    store.tag("release")
    assert store.at_version("release").count() == store.count() == 6
    store.tag("release", version=first)
    assert store.at_version("release").count() == 5
    with pytest.raises(ValueError, match="no version or tag 'nope'.*tags are: release"):
        store.at_version("nope")
    with pytest.raises(ValueError, match="no version or tag 999"):
        store.tag("release", version=999)
    with pytest.raises(ValueError, match="cannot be a tag"):
        store.tag("a b")


def test_old_versions_are_kept_for_years(
    store: Store, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # By default LanceDB drops versions after 7 days, and fails on those that have a tag.
    asked: list[timedelta] = []
    optimize = type(store._table).optimize

    def spy(table: Any, *, cleanup_older_than: timedelta) -> None:
        asked.append(cleanup_older_than)
        optimize(table, cleanup_older_than=cleanup_older_than)

    monkeypatch.setattr(type(store._table), "optimize", spy)
    store.tag("keep")
    versions = [entry.version for entry in store.versions()]
    write(docs, {"new.md": "More."})
    store.ingest(docs)
    assert [entry.version for entry in store.versions()][: len(versions)] == versions
    assert asked[0] > timedelta(days=3650)


def test_another_embedding_model_is_refused_in_one_sentence(
    tmp_path: Path, store: Store, fake_embedder: Embedder
) -> None:
    for name, dimension in (("other", 32), ("hash-32", 16)):
        other = type(fake_embedder)(name, dimension)
        with pytest.raises(ValueError, match=r"made with hash-32 \(32 dimensions\), not with"):
            open_store(tmp_path / "db", other)
    assert open_store(tmp_path / "db", fake_embedder).count() == store.count()


def test_the_signature_survives_every_kind_of_commit(
    tmp_path: Path, store: Store, docs: Path, fake_embedder: Embedder
) -> None:
    write(docs, {"new.md": "---\nbrand: new\n---\nText."})
    store.ingest(docs)
    (docs / "new.md").unlink()
    store.ingest(docs)
    metadata = open_store(tmp_path / "db", fake_embedder)._table.schema.metadata
    assert metadata == {b"embedder": b"hash-32", b"dimension": b"32"}


def test_an_embedder_that_returns_the_wrong_shape_is_refused(
    tmp_path: Path, docs: Path, fake_embedder: Embedder
) -> None:
    store = open_store(tmp_path / "db", fake_embedder)
    wrong: list[Callable[[list[str]], np.ndarray]] = [
        lambda texts: np.ones((len(texts), 31), np.float32),
        lambda texts: np.ones((1, 32), np.float32),
        lambda texts: np.full((len(texts), 32), np.nan, np.float32),
    ]
    for encode in wrong:
        fake_embedder.encode_documents = encode
        with pytest.raises(ValueError, match="hash-32 returned"):
            store.ingest(docs)
    assert store.count() == 0


def test_a_missing_store_is_refused_when_it_must_exist(
    tmp_path: Path, fake_embedder: Embedder
) -> None:
    with pytest.raises(FileNotFoundError, match="labkit ingest"):
        open_store(tmp_path / "typo", fake_embedder, create=False)
    assert not (tmp_path / "typo").exists()


def test_a_second_reader_sees_what_was_committed(
    tmp_path: Path, store: Store, docs: Path, fake_embedder: Embedder
) -> None:
    reader = open_store(tmp_path / "db", fake_embedder)
    write(docs, {"new.md": "---\nbrand: x\n---\nA submarine surfaced."})
    store.ingest(docs)
    assert ids(reader.search("submarine", mode="text", where={"brand": "x"})) == ["new"]


def test_progress_counts_files_to_the_end(store: Store, docs: Path) -> None:
    seen: list[tuple[int, int]] = []
    store.ingest(docs, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_memory_of_a_run_holds_one_batch_not_the_corpus(
    tmp_path: Path, fake_embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    encode = type(fake_embedder).encode_documents

    def spy(texts: list[str]) -> np.ndarray:
        sizes.append(len(texts))
        return encode(fake_embedder, texts)

    fake_embedder.encode_documents = spy
    files = {f"{i:04}.md": "A few words. And more." for i in range(600)}
    open_store(tmp_path / "db", fake_embedder).ingest(write(tmp_path / "docs", files))
    assert sizes == [256, 256, 88]
