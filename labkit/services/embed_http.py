"""Embedding services: OpenAI and Jina over HTTP, behind the same two ways to encode.

Knows: their request and reply, how much they take at once, when to try again. The key is read from
the environment for each call: no object, message or file ever holds it.
Does not know: which models there are and what they cost (``embed_services``). Needs httpx.
Used by lesson 05 and by ``--embedder NAME`` of the command line.
"""

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from labkit.services.embed_services import MODELS, Service, Side, address, parse_name

# A request may hold 2,048 texts and 300,000 tokens (OpenAI, API reference of embeddings, 2026-11):
# far less is sent, so that one failure costs little.
BATCH_TEXTS = 256
BATCH_CHARACTERS = 200_000
TIMEOUT_S = 60.0
ATTEMPTS = 6
LONGEST_WAIT_S = 60.0


class HttpEmbedder:
    """A model of a service; ``name@DIMENSION`` asks for shorter vectors, and is its name then.

    ``tokens_spent`` counts what the service charged so far. Nothing is sent before the first text.

    Raises
    ------
    ValueError
        If the model, its dimension, the address or the key in the environment is not usable.
    ModuleNotFoundError
        If httpx is not installed.
    """

    def __init__(self, name: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._model, self.dimension = parse_name(name)
        served = MODELS[self._model]
        is_full = self.dimension == served.dimension
        self.name = self._model if is_full else f"{self._model}@{self.dimension}"
        self.tokens_spent = 0
        self._service = served.service
        self._url = address(self._service) + "/embeddings"
        self._sleep = sleep
        _key(self._service)
        _httpx()

    def encode_documents(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of passages, ``(n, d) float32``."""
        return self._encode(texts, "document")

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        """Return unit vectors of questions, ``(n, d) float32``."""
        return self._encode(texts, "query")

    def _encode(self, texts: Sequence[str], side: Side) -> np.ndarray:
        """Embed batch by batch.

        Raises
        ------
        ConnectionError
            If the service cannot be reached, refuses, or stays busy; or its reply is not usable.
        """
        parts = [np.zeros((0, self.dimension), np.float32)]
        with _httpx().Client(timeout=TIMEOUT_S) as client:
            for batch in _batches(texts):
                reply = self._post(client, self._request(batch, side))
                parts.append(self._vectors(reply, len(batch)))
        return np.concatenate(parts)

    def _request(self, batch: list[str], side: Side) -> dict[str, Any]:
        request: dict[str, Any] = {"model": self._model, "input": batch}
        if self.name != self._model:
            request["dimensions"] = self.dimension
        if self._service.tasks:
            request["task"] = self._service.tasks[side]
        return request

    def _post(self, client: Any, request: dict[str, Any]) -> Any:
        """Return the reply's JSON; wait and try again while the service is busy or unreachable."""
        httpx = _httpx()
        headers = {"Authorization": f"Bearer {_key(self._service)}"}
        for attempt in range(ATTEMPTS):
            wait_s = min(LONGEST_WAIT_S, 2.0**attempt) * random.uniform(0.5, 1.0)
            try:
                reply = client.post(self._url, json=request, headers=headers)
            except httpx.TransportError as error:
                reason = type(error).__name__
            else:
                if reply.is_success:
                    return self._json(reply)
                if not _worth_another_try(reply):
                    raise self._failure(_explained(reply, self._service))
                reason = f"it answered {reply.status_code}"
                asked_s = _retry_after_s(reply.headers)
                if asked_s > LONGEST_WAIT_S:
                    raise self._failure(f"it asks to wait {asked_s:.0f} s; try again later")
                wait_s = max(wait_s, asked_s)
            if attempt < ATTEMPTS - 1:
                self._sleep(wait_s)
        raise self._failure(f"{ATTEMPTS} attempts failed, the last one because {reason}")

    def _json(self, reply: Any) -> Any:
        try:
            return reply.json()
        except ValueError as error:
            raise self._failure("its reply is not JSON") from error

    def _vectors(self, reply: Any, n: int) -> np.ndarray:
        """Return the reply's vectors in the order of the texts, made unit length."""
        try:
            rows = {int(item["index"]): item["embedding"] for item in reply["data"]}
            in_order = [rows[number] for number in range(n)]
            vectors = np.array(in_order, np.float64)  # (n, d)
            self.tokens_spent += int((reply.get("usage") or {}).get("total_tokens", 0))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._failure(f"its reply does not hold the {n} vectors asked for") from error
        if len(reply["data"]) != n or vectors.shape != (n, self.dimension):
            raise self._failure(
                f"its reply holds {len(reply['data'])} vectors of shape {vectors.shape[1:]}; "
                f"{n} of {self.dimension} numbers were due"
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or not lengths.all():
            raise self._failure("its reply holds values that are no numbers, or a vector of zeros")
        return (vectors / lengths).astype(np.float32)

    def _failure(self, reason: str) -> ConnectionError:
        host = urlsplit(self._url).hostname
        return ConnectionError(f"{self._model} at {host} could not embed: {reason}.")


def _key(service: Service) -> str:
    key = os.environ.get(service.key_variable, "").strip()
    if not key or not key.isascii() or not key.isprintable():
        raise ValueError(
            f"Set {service.key_variable} to your key, in the shell and not in a notebook; "
            "or use a local model, which needs none."
        )
    return key


def _httpx() -> Any:
    try:
        import httpx
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'Embedding services need httpx: python -m pip install "labkit[providers]"'
        ) from error
    return httpx


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    room = BATCH_CHARACTERS
    for text in texts:
        if batch and (len(batch) == BATCH_TEXTS or len(text) > room):
            yield batch
            batch, room = [], BATCH_CHARACTERS
        batch.append(text)
        room -= len(text)
    if batch:
        yield batch


def _worth_another_try(reply: Any) -> bool:
    """Tell a busy service from an account without credit, for which OpenAI answers 429 too."""
    if reply.status_code == 429:
        return "insufficient_quota" not in reply.text
    return reply.status_code in (408, 409) or reply.status_code >= 500


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Return the seconds a service asks to wait: a number or a date (RFC 9110), 0 if neither."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0


def _explained(reply: Any, service: Service) -> str:
    """Say what an error means; a service's own words about a key may hold parts of it."""
    if reply.status_code in (401, 403):
        return f"it refused the key in {service.key_variable} ({reply.status_code})"
    if reply.status_code in (402, 429):
        return f"the account has no credit left ({reply.status_code})"
    words = " ".join(reply.text.replace(_key(service), "…").split())
    return f"it answered {reply.status_code}: {words[:200]}"
