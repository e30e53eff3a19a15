"""Embeddings: texts in, unit vectors out.

Knows: how a sentence-transformers model is loaded and asked.
Does not know: where vectors are kept (``store``) or how the model came here (``fetch``).
Used by every lesson from 02 on.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labkit.catalogue import EMBEDDING_MODEL, card
from labkit.fetch import model_dir

DEFAULT_MODEL = EMBEDDING_MODEL

_BATCH_SIZES = {"cpu": 32, "cuda": 256}


class SentenceEmbedder:
    """A sentence-transformers model, on the GPU if there is one, in fp32.

    In bf16, which some CPUs have, it would be twice as fast, and a text's vector would depend on
    the machine and on the texts beside it: the same question could find other passages.

    Give it many texts at once: ``SentenceTransformer.encode`` sorts them by length, for a batch is
    padded to its longest text, and padding costs as much as words do.
    """

    def __init__(self, folder: Path, *, name: str) -> None:
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
        return [_unit(vectors.float().cpu().numpy()) for vectors in found]

    def _encode(self, texts: Sequence[str], prefix: str) -> np.ndarray:
        if len(texts) == 0:
            return np.zeros((0, self.dimension), np.float32)
        marked = [prefix + text for text in texts]
        n = _BATCH_SIZES[self._model.device.type]
        return _unit(self._model.encode(marked, batch_size=n, show_progress_bar=False))


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors.astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def prefixes(name: str) -> tuple[str, str]:
    """Return the (query, document) prefixes of a model, two empty texts for most.

    Some models were trained with a mark on each side, and lose accuracy without it.

    Source: their model cards.

    Examples
    --------
    >>> prefixes("intfloat/e5-base-v2")
    ('query: ', 'passage: ')
    """
    short = name.rpartition("/")[2].lower()
    if short.startswith(("e5-", "multilingual-e5-")):
        return "query: ", "passage: "
    if short.startswith(("bge-small-en", "bge-base-en", "bge-large-en")):
        return "Represent this sentence for searching relevant passages: ", ""
    return "", ""


def load_embedder(name: str = DEFAULT_MODEL) -> SentenceEmbedder:
    """Load an embedding model from the cache.

    Parameters
    ----------
    name
        Catalogue name; bring it once with ``python -m labkit fetch NAME``.

    Raises
    ------
    FileNotFoundError
        If the model was not fetched yet.
    ValueError
        If it is no embedding model of the catalogue, or needs its authors' code.
    """
    if name.rpartition("/")[2].startswith("jina-"):
        raise ValueError(
            f"{name} runs code of its authors when loaded, which the course never does; use "
            "jina-embeddings-v3 through its service, or bge-small-en-v1.5 on this machine."
        )
    try:
        task = card(name).task
    except ValueError as error:
        hint = "A service's model works only on the command line, as --embedder NAME."
        raise ValueError(f"{error} {hint}") from None
    if task != "embed":
        raise ValueError(f"{name} writes text; name a model that embeds, such as {DEFAULT_MODEL}.")
    return SentenceEmbedder(model_dir(name), name=name)


def _load(folder: Path, device: str) -> Any:
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
