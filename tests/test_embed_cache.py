"""A cache of embeddings: the same vectors, computed once."""

from pathlib import Path

import numpy as np

from labkit.embed_cache import CachedEmbedder


class Marked:
    """An embedder whose two sides differ, and which counts its work."""

    name, dimension = "marked", 2

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def encode_documents(self, texts):
        self.embedded += texts
        return np.array([[len(text), 1] for text in texts], np.float32)

    def encode_queries(self, texts):
        self.embedded += texts
        return np.array([[len(text), 2] for text in texts], np.float32)


def test_a_text_is_embedded_once_also_by_the_next_process(tmp_path: Path) -> None:
    first, second = Marked(), Marked()
    one = CachedEmbedder(first, tmp_path / "v.sqlite").encode_documents(["a", "bb", "a"])
    two = CachedEmbedder(second, tmp_path / "v.sqlite").encode_documents(["bb", "ccc"])
    assert one.tolist() == [[1, 1], [2, 1], [1, 1]] and one.dtype == np.float32
    assert two.tolist() == [[2, 1], [3, 1]]
    assert (first.embedded, second.embedded) == (["a", "bb"], ["ccc"])


def test_a_question_never_gets_the_vector_of_a_passage(tmp_path: Path) -> None:
    embedder = CachedEmbedder(Marked(), tmp_path / "v.sqlite")
    assert embedder.encode_documents(["a"]).tolist() == [[1, 1]]
    assert embedder.encode_queries(["a"]).tolist() == [[1, 2]]


def test_no_text_gives_no_vector(tmp_path: Path) -> None:
    assert CachedEmbedder(Marked(), tmp_path / "v.sqlite").encode_queries([]).shape == (0, 2)
