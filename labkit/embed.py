"""Embeddings: texts in, unit vectors out.

Knows: how a sentence-transformers model is loaded and asked.
Does not know: where vectors are kept (``store``) or how the model came here (``fetch``).
Used by every lesson from 02 on.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

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
_BATCH_ON_CPU = 32
_BATCH_ON_GPU = 128


class Embedder(Protocol):
    """What a store needs of an embedding model: its name, its dimension and two ways to encode."""

    name: str
    dimension: int

    def encode_documents(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of passages, ``(n, d) float32``."""
        ...

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of questions, ``(n, d) float32``."""
        ...


class SentenceEmbedder:
    """A sentence-transformers model in fp32, on the GPU if there is one.

    Texts are sorted by length inside each call, so give it many at once: a batch is padded to its
    longest text, and padding costs as much as words do.
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
        on_gpu = self._model.device.type == "cuda"
        return self._model.encode(
            [prefix + text for text in texts],
            batch_size=_BATCH_ON_GPU if on_gpu else _BATCH_ON_CPU,
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
        )


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


def load_embedder(name: str = DEFAULT_MODEL) -> SentenceEmbedder:
    """Load an embedding model of the catalogue from the cache; never touches the network.

    Parameters
    ----------
    name
        Catalogue name; bring it once with ``python -m labkit fetch NAME``.

    Raises
    ------
    FileNotFoundError
        If the model was not fetched yet.
    """
    from labkit.fetch import model_dir

    return SentenceEmbedder(model_dir(name), name=name)


def _load(folder: "Path", device: str) -> Any:
    import torch
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
            model_kwargs={"dtype": torch.float32},
        )
    finally:
        if had_bars:
            logging.enable_progress_bar()
