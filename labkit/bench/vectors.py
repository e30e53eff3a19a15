"""The vectors that search is measured on: real ones of the corpus, clustered ones for large sizes.

Knows: how to make texts out of the corpus' sentences, how to draw unit vectors that lie in clusters
as embeddings do, and which of the two a size gets.
Does not know: any index. Used by lesson 03 and by ``python -m labkit bench retrieval``.
"""

import hashlib
import os
import random
from dataclasses import dataclass

import numpy as np

from labkit import settings
from labkit.bench.ingest import corpus_sentences
from labkit.embed import load_embedder
from labkit.exam import load_exam
from labkit.types import Embedder

LARGEST_EMBEDDED = 10_000
N_QUERIES = 200
_ROWS_A_CLUSTER = 20
_N_TOPICS = 200
_ROWS_AT_ONCE = 50_000


@dataclass(frozen=True)
class BenchVectors:
    """Unit vectors ``(n, d)``, queries ``(q, d)`` and a label that says where they come from."""

    vectors: np.ndarray
    queries: np.ndarray
    label: str


def make(n: int) -> BenchVectors:
    """Return embeddings of the corpus up to ``LARGEST_EMBEDDED`` rows, clustered ones beyond."""
    return clustered(n) if n > LARGEST_EMBEDDED else embedded(n, load_embedder())


def embedded(n: int, embedder: Embedder) -> BenchVectors:
    """Embed ``n`` texts made from the corpus, and the exam's questions as queries.

    The vectors are kept in the cache folder: the second call reads them.
    """
    questions = [question.question for question in load_exam("test")][:N_QUERIES]
    return BenchVectors(
        vectors=_cached(embedder, "encode_documents", corpus_texts(n)),
        queries=_cached(embedder, "encode_queries", questions),
        label=f"{embedder.name} embeddings of sentences made from the corpus; exam questions",
    )


def corpus_texts(n: int) -> list[str]:
    """Return ``n`` different texts: the corpus' sentences, then halves of two joined anew."""
    sentences = list(dict.fromkeys(corpus_sentences()))
    halves = [sentence.split() for sentence in sentences]
    texts = dict.fromkeys(sentences[:n])
    pick = random.Random(0)
    while len(texts) < n:
        first, second = pick.choice(halves), pick.choice(halves)
        joined = first[: len(first) // 2] + second[len(second) // 2 :]
        texts[" ".join(joined)] = None
    return list(texts)


def clustered(n: int, *, dimension: int = 384, seed: int = 0) -> BenchVectors:
    """Draw unit vectors in clusters within topics, with a spectrum that falls off.

    Independent random directions would all be about equally far from a query, and no index could
    help. Text lies in topics, and in fewer directions than it has numbers.

    Parameters
    ----------
    n
        Rows, ``_ROWS_A_CLUSTER`` a cluster on average; the queries come on top.
    dimension
        Numbers a vector.
    seed
        Same seed, same vectors.
    """
    random_numbers = np.random.default_rng(seed)
    scale = (1 + np.arange(dimension, dtype=np.float32) / 8) ** -0.5
    scale /= np.linalg.norm(scale)

    def draw(m: int) -> np.ndarray:
        return random_numbers.standard_normal((m, dimension), dtype=np.float32) * scale

    n_clusters = max(1, n // _ROWS_A_CLUSTER)
    topics = draw(_N_TOPICS)[random_numbers.integers(0, _N_TOPICS, n_clusters)]
    clusters = 0.6 * topics + 0.45 * draw(n_clusters)
    rows = np.empty((n + N_QUERIES, dimension), np.float32)
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        block = rows[start : start + _ROWS_AT_ONCE]
        block[:] = clusters[random_numbers.integers(0, n_clusters, len(block))]
        block += 0.8 * draw(len(block))
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    return BenchVectors(rows[:n], rows[n:], "clustered synthetic vectors, queries drawn alike")


def _cached(embedder: Embedder, method: str, texts: list[str]) -> np.ndarray:
    """Return the vectors of ``texts``, from the cache if the same were embedded before."""
    told = "\n".join([embedder.name, method, *texts])
    key = hashlib.sha256(told.encode()).hexdigest()[:16]
    path = settings.cache_dir() / "bench-vectors" / f"{key}.npy"
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.part.npy")
        np.save(partial, getattr(embedder, method)(texts))
        partial.replace(path)
    return np.load(path)
