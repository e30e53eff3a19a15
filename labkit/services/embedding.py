"""Embedding services: OpenAI and Jina through the ``openai`` client, which both understand.

Knows: their models, prices and keys, what they want to be told, and which replies are usable. A key
is read from the environment when it is needed: no object of ours, message or file ever holds it.
Does not know: when to try again and how long to wait; the client does (``MAX_RETRIES`` times).
Used by ``--embedder NAME`` of the command line; nothing runs unless a service's model is named.
"""

import math
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from labkit import embed
from labkit.types import Embedder

# OpenAI's rule of thumb for English; part numbers and other languages take more tokens.
CHARACTERS_A_TOKEN = 4
# What the command line sends without asking: 2 to 13 US cents at OpenAI's prices below.
TOKENS_WITHOUT_YES = 1_000_000
# A request may hold 300,000 tokens and a text 8,192 (OpenAI, API reference of embeddings, 2026-11):
# so many of the longest texts still fit, and one failure costs little.
BATCH_TEXTS = 32
MAX_RETRIES = 5
# ``OPENAI_BASE_URL`` and ``JINA_BASE_URL`` in the environment name another address.
ADDRESSES = {"OPENAI": "https://api.openai.com/v1", "JINA": "https://api.jina.ai/v1"}


class ServedModel(NamedTuple):
    """A model of a service: its full dimension and, where published, dollars a million tokens."""

    service: Literal["OPENAI", "JINA"]
    dimension: int
    usd_per_million_tokens: float | None


# Prices: developers.openai.com/api/docs/models, November 2026. Jina sells tokens in advance at
# prices shown to account holders only, so that its runs are estimated in tokens alone.
MODELS = {
    "text-embedding-3-small": ServedModel("OPENAI", 1536, 0.02),
    "text-embedding-3-large": ServedModel("OPENAI", 3072, 0.13),
    "jina-embeddings-v3": ServedModel("JINA", 1024, None),
    "jina-embeddings-v4": ServedModel("JINA", 2048, None),
}


class ServiceEmbedder:
    """A model of a service; ``name@DIMENSION`` asks for shorter vectors, and is its name then.

    Nothing is sent before the first text.

    Raises
    ------
    ValueError
        If the model, its dimension, the address or the key in the environment is not usable.
    ModuleNotFoundError
        If the package ``openai`` is not installed.
    """

    def __init__(self, name: str) -> None:
        self._model, self.dimension = parse_name(name)
        self._service, full, _ = MODELS[self._model]
        self._short = {} if self.dimension == full else {"dimensions": self.dimension}
        self.name = f"{self._model}@{self.dimension}" if self._short else self._model
        _client(self._service).close()  # says now what is missing

    def encode_documents(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of passages, ``(n, d) float32``."""
        return self._encode(texts, "retrieval.passage")

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of questions, ``(n, d) float32``."""
        return self._encode(texts, "retrieval.query")

    def _encode(self, texts: Sequence[str], task: str) -> np.ndarray:
        extra = self._short | ({"task": task} if self._service == "JINA" else {})
        parts = [np.zeros((0, self.dimension), np.float32)]
        with _client(self._service) as client:
            for start in range(0, len(texts), BATCH_TEXTS):
                batch = list(texts[start : start + BATCH_TEXTS])
                parts.append(self._embedded(client, batch, extra))
        return np.concatenate(parts)

    def _embedded(self, client: Any, batch: list[str], extra: dict[str, Any]) -> np.ndarray:
        """Return one batch's unit vectors.

        Raises
        ------
        ConnectionError
            If the service cannot be reached, refuses, or stays busy; or its reply is not usable.
        """
        try:
            reply = client.embeddings.create(
                model=self._model, input=batch, encoding_format="float", extra_body=extra
            )
            rows = sorted(reply.data, key=lambda row: row.index)
            vectors = np.array([row.embedding for row in rows], np.float64)  # (n, d)
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            complete = [row.index for row in rows] == list(range(len(batch)))
            long_enough = vectors.shape[1] == self.dimension
            if complete and long_enough and np.all((lengths > 0) & (lengths < np.inf)):
                return (vectors / lengths).astype(np.float32)
            reason = f"its reply does not hold {len(batch)} vectors of {self.dimension} numbers"
        except Exception as error:  # whatever the client makes of a reply it did not expect
            reason = _explained(error, self._service)
        # Raised out here, for the client's own error may hold the key.
        raise ConnectionError(f"{self._model} at {client.base_url.host} could not embed: {reason}.")


def load_embedder(name: str) -> Embedder:
    """Load a service's model or, for any other name, one from the cache (``embed``)."""
    return ServiceEmbedder(name) if is_served(name) else embed.load_embedder(name)


def is_served(name: str) -> bool:
    """Tell whether a name, with or without ``@DIMENSION``, is a model of a service."""
    return name.partition("@")[0] in MODELS


def parse_name(name: str) -> tuple[str, int]:
    """Return model and dimension of a name, the model's full dimension if it says none.

    Raises
    ------
    ValueError
        If no service has the model, or the model not that dimension.

    Examples
    --------
    >>> parse_name("text-embedding-3-small@512")
    ('text-embedding-3-small', 512)
    """
    model, mark, asked = name.partition("@")
    if model not in MODELS:
        raise ValueError(f"No service has a model {model!r}; choose one of {', '.join(MODELS)}.")
    full = MODELS[model].dimension
    asked = asked if mark else str(full)
    if not asked.isdecimal() or not 1 <= int(asked) <= full:
        raise ValueError(f"{name!r} is not possible: {model} has 1 to {full} dimensions.")
    return model, int(asked)


def estimate_cost(name: str, texts: Iterable[str]) -> tuple[int, str]:
    """Estimate the tokens that embedding texts would take, and say so with the price."""
    lengths = [len(text) for text in texts]
    n_tokens = math.ceil(sum(lengths) / CHARACTERS_A_TOKEN)
    usd = MODELS[parse_name(name)[0]].usd_per_million_tokens
    price = "price not published" if usd is None else f"about {usd * n_tokens / 1e6:.4f} USD"
    return n_tokens, f"{len(lengths)} texts, about {n_tokens} tokens, {price}"


def _client(service: str) -> Any:
    """Return a client with the key in the environment, which never travels unencrypted."""
    key = os.environ.get(f"{service}_API_KEY", "").strip()
    if not re.fullmatch("[!-~]+", key):
        raise ValueError(
            f"Set {service}_API_KEY to your key, in the shell and not in a notebook; "
            "or use a local model, which needs none."
        )
    url = os.environ.get(f"{service}_BASE_URL") or ADDRESSES[service]
    if not re.match(r"https://[^/]|http://(127\.0\.0\.1|localhost|\[::1\])[:/]", url):
        raise ValueError(
            f"{service}_BASE_URL must be an https:// address (http:// on this machine only), "
            "for your key travels there."
        )
    try:
        from openai import OpenAI
    except ModuleNotFoundError as error:
        text = 'Embedding services need a package: python -m pip install -e ".[providers]"'
        raise ModuleNotFoundError(text) from error
    return OpenAI(api_key=key, base_url=url, max_retries=MAX_RETRIES, timeout=60)


def _explained(error: Exception, service: str) -> str:
    """Say what an error means; a service's own words about a key may hold parts of it."""
    status = getattr(error, "status_code", None)
    if status in (401, 403):
        return f"it refused the key in {service}_API_KEY ({status})"
    words = str(error).replace(os.environ[f"{service}_API_KEY"].strip(), "…").split()
    return f"{type(error).__name__}: {' '.join(words)[:200]}"
