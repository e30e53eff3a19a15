"""The haystack is real text, as much as was asked for, and the store's readers take it."""

from pathlib import Path

from labkit.bench import haystack
from labkit.chunking import chunk_document
from labkit.corpus import read_documents


def test_foreign_documents_fill_as_many_passages_as_asked_for(tmp_path: Path) -> None:
    n_documents = haystack.write_foreign(tmp_path / "documents", 50)
    unreadable: list = []
    documents = list(read_documents([tmp_path / "documents"], unreadable=unreadable))
    assert not unreadable
    assert len(documents) == n_documents
    assert sum(len(chunk_document(document)) for document in documents) >= 50
    assert not any("NV-117" in document.text for document in documents)


def test_the_page_says_what_is_found_and_what_ingestion_took() -> None:
    shares = {str(k): {"mean": k / 10} for k in haystack.DEPTHS}
    row = {"found": {"all": shares}}
    big = row | {"n_chunks": 9, "wall_s": 3.0, "peak_rss_bytes": 2**30, "database_bytes": 2**21}
    text = haystack.render({"0": row, "100000": big})
    assert "100000 foreign passages; all evidence among 1: 10 %" in text
    assert "9 chunks in 3 s, peak 1.0 GiB, database 2 MiB" in text
