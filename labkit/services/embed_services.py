"""The embedding services there are: their models, addresses and prices.

Knows: names such as ``text-embedding-3-small@512``, and what embedding some texts would cost.
Does not know: how to talk to a service (``embed_http``).
Used by lesson 05 and by ``python -m labkit ingest``.
"""

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

Side = Literal["document", "query"]

# OpenAI's rule of thumb for English; part numbers and other languages take more tokens.
CHARACTERS_A_TOKEN = 4
# What the command line sends without asking: 2 to 13 US cents at OpenAI's prices below.
TOKENS_WITHOUT_YES = 1_000_000


@dataclass(frozen=True)
class Service:
    """Where a provider listens, which variables configure it, and what its two sides are called.

    ``tasks`` are the request's ``task`` for documents and queries, empty if there is none.
    """

    url: str
    url_variable: str
    key_variable: str
    tasks: Mapping[Side, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ServedModel:
    """A model of a service: its full dimension and, where published, dollars a million tokens."""

    service: Service
    dimension: int
    usd_per_million_tokens: float | None


OPENAI = Service("https://api.openai.com/v1", "OPENAI_BASE_URL", "OPENAI_API_KEY")
JINA = Service(
    "https://api.jina.ai/v1",
    "JINA_BASE_URL",
    "JINA_API_KEY",
    {"document": "retrieval.passage", "query": "retrieval.query"},
)
# Prices: developers.openai.com/api/docs/models, November 2026. Jina sells tokens in advance at
# prices shown to account holders only, so that its runs are estimated in tokens alone.
MODELS = {
    "text-embedding-3-small": ServedModel(OPENAI, 1536, 0.02),
    "text-embedding-3-large": ServedModel(OPENAI, 3072, 0.13),
    "jina-embeddings-v3": ServedModel(JINA, 1024, None),
    "jina-embeddings-v4": ServedModel(JINA, 2048, None),
}


@dataclass(frozen=True)
class Estimate:
    """What embedding some texts would take; ``usd`` is ``None`` where no price is published."""

    n_texts: int
    n_tokens: int
    usd: float | None

    def __str__(self) -> str:
        """Return the estimate in one line."""
        price = "price not published" if self.usd is None else f"about {self.usd:.4f} USD"
        return f"{self.n_texts} texts, about {self.n_tokens} tokens, {price}"


def is_served(name: str) -> bool:
    """Tell whether a name, with or without ``@DIMENSION``, is a model of a service."""
    return name.partition("@")[0] in MODELS


def estimate_cost(name: str, texts: Iterable[str]) -> Estimate:
    """Estimate tokens and price of embedding texts, without sending anything.

    Raises
    ------
    ValueError
        If no service has the model.
    """
    model, _ = parse_name(name)
    lengths = [len(text) for text in texts]
    n_tokens = math.ceil(sum(lengths) / CHARACTERS_A_TOKEN)
    price = MODELS[model].usd_per_million_tokens
    usd = None if price is None else price * n_tokens / 1e6
    return Estimate(len(lengths), n_tokens, usd)


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
    if not mark:
        return model, full
    if not asked.isdecimal() or not 1 <= int(asked) <= full:
        raise ValueError(f"{name!r} is not possible: {model} has 1 to {full} dimensions.")
    return model, int(asked)


def address(service: Service) -> str:
    """Return the base address of a service, from its environment variable if that is set.

    Raises
    ------
    ValueError
        If a key would travel there unencrypted over the network.
    """
    url = os.environ.get(service.url_variable) or service.url
    parts = urlsplit(url)
    is_local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_local)):
        raise ValueError(
            f"{service.url_variable} must be an https:// address (http:// on this machine only), "
            "for your key travels there."
        )
    return url.rstrip("/")
