"""Embeddings: texts in, unit vectors out.

Knows: how a sentence-transformers model is loaded and asked.
Does not know: where vectors are kept (``store``) or how the model came here (``fetch``).
Used by every lesson from 02 on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.types import Embedder

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_MODEL = "all-MiniLM-L6-v2"

# Some models were trained with a mark on each side, and lose accuracy without it.
# (query prefix, document prefix), by how the model's name begins. Source: their model cards.
_PREFIXES = {
    "e5-": ("query: ", "passage: "),
    "multilingual-e5-": ("query: ", "passage: "),
    "bge-small-en": ("Represent this sentence for searching relevant passages: ", ""),
    "bge-base-en": ("Represent this sentence for searching relevant passages: ", ""),
    "bge-large-en": ("Represent this sentence for searching relevant passages: ", ""),
}
# Characters of a batch, padding included: about 700 tokens on a CPU; a GPU wants more at once.
_BATCH_ON_CPU = 3_200
_BATCH_ON_GPU = 32_000


class SentenceEmbedder:
    """A sentence-transformers model, on the GPU if there is one, in bf16 where the CPU has it.

    Texts are sorted by length inside each call, so give it many at once: a batch is padded to its
    longest text, and padding costs as much as words do. On a CPU
    each core works on a batch of its own: cores that share one wait for each other at every layer.
    """

    def __init__(self, folder: "Path", *, name: str) -> None:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.name = name
        self._model = _load(folder, device)
        self.dimension = len(self._encode([""], "")[0])

    def encode_documents(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of passages, ``(n, d) float32``."""
        return self._encode(texts, prefixes(self.name)[1])

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of questions, ``(n, d) float32``."""
        return self._encode(texts, prefixes(self.name)[0])

    def encode_tokens(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Return the unit vectors of each text's tokens, ``(n_tokens, d) float32`` each."""
        found = self._model.encode(
            list(texts), output_value="token_embeddings", show_progress_bar=False
        )
        tokens = [vectors.float().cpu().numpy() for vectors in found]
        return [vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in tokens]

    def _encode(self, texts: Sequence[str], prefix: str) -> np.ndarray:
        if len(texts) == 0:
            return np.zeros((0, self.dimension), np.float32)
        on_cpu = self._model.device.type == "cpu"
        marked = [prefix + text for text in texts]
        batches = list(length_batches(marked, _BATCH_ON_CPU if on_cpu else _BATCH_ON_GPU))
        with _side_by_side(len(batches) if on_cpu else 1) as run:
            parts = run(self._encode_batch, ([marked[i] for i in batch] for batch in batches))
            vectors = np.concatenate(list(parts))
        order = [number for batch in batches for number in batch]
        return vectors[np.argsort(order)]

    def _encode_batch(self, texts: list[str]) -> np.ndarray:
        vectors = self._model.encode(texts, batch_size=len(texts), show_progress_bar=False)
        vectors = vectors.astype(np.float32)
        # In fp32: a length taken in bf16 is off by a thousandth.
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def length_batches(texts: Sequence[str], n_characters: int) -> Iterator[list[int]]:
    """Yield the numbers of the texts in batches of similar length, longest first.

    Parameters
    ----------
    n_characters
        What a batch may hold with every text padded to the longest; a longer text goes alone.

    Examples
    --------
    >>> list(length_batches(["a", "bbbb", "ccc"], 8))
    [[1, 2], [0]]
    """
    batch: list[int] = []
    for number in sorted(range(len(texts)), key=lambda number: -len(texts[number])):
        if batch and (len(batch) + 1) * len(texts[batch[0]]) > n_characters:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


@contextmanager
def _side_by_side(n_batches: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """Give a ``map`` in which each of torch's threads works on a batch of its own."""
    import torch

    n_threads = torch.get_num_threads()
    if min(n_threads, n_batches) == 1:
        yield map
        return
    try:
        with ThreadPoolExecutor(n_threads, "embed", torch.set_num_threads, (1,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(n_threads)


def prefixes(name: str) -> tuple[str, str]:
    """Return the (query, document) prefixes of a model, two empty texts for most.

    Examples
    --------
    >>> prefixes("intfloat/e5-base-v2")
    ('query: ', 'passage: ')
    """
    short = name.rpartition("/")[2].lower()
    known = (pair for start, pair in _PREFIXES.items() if short.startswith(start))
    return next(known, ("", ""))


def load_embedder(name: str = DEFAULT_MODEL) -> Embedder:
    """Load an embedding model from the cache.

    Parameters
    ----------
    name
        Catalogue name; bring it once with ``python -m labkit fetch NAME``. Models of
        a service are loaded by ``services.embedding.load_embedder``.

    Raises
    ------
    FileNotFoundError
        If the model was not fetched yet.
    ValueError
        If it is no embedding model, or needs its authors' code.
    """
    from labkit.catalogue import card
    from labkit.fetch import model_dir

    if name.rpartition("/")[2].startswith("jina-"):
        raise ValueError(
            f"{name} runs code of its authors when loaded, which the course never does; use "
            "jina-embeddings-v3 through its service, or bge-small-en-v1.5 on this machine."
        )
    if card(name).task != "embed":
        raise ValueError(f"{name} writes text; name a model that embeds, such as {DEFAULT_MODEL}.")
    return SentenceEmbedder(model_dir(name), name=name)


def _load(folder: "Path", device: str) -> Any:
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    # A bar that loads weights stays in a notebook's saved output for ever.
    had_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        return SentenceTransformer(
            str(folder),
            device=device,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"dtype": _dtype(device)},
        )
    finally:
        if had_bars:
            logging.enable_progress_bar()


def _dtype(device: str) -> Any:
    import torch

    from labkit import hardware

    if device == "cpu" and hardware.detect().cpu_bf16:
        return torch.bfloat16
    return torch.float32
