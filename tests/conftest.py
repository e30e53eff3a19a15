"""Rules for every test: no writing outside the repository, and a reason for every skip."""

import os
import re
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(ROOT / "build" / "hypothesis"))
os.environ.setdefault("MPLCONFIGDIR", str(ROOT / "build" / "matplotlib"))
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime reports to its maker else
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


class HashEmbedder:
    """Fast, deterministic bag of words: each word adds 1 to one of 32 places; remembers texts."""

    def __init__(self, name: str = "hash-32", dimension: int = 32) -> None:
        self.name = name
        self.dimension = dimension
        self.embedded: list[str] = []

    def encode_documents(self, texts: Sequence[str]) -> np.ndarray:
        self.embedded.extend(texts)
        return self.encode_queries(texts)

    def encode_queries(self, texts: Sequence[str]) -> np.ndarray:
        vectors = np.full((len(texts), self.dimension), 1e-3, np.float32)  # never the zero vector
        for vector, text in zip(vectors, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                vector[zlib.crc32(word.encode()) % self.dimension] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    _begin_with_long_ones(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    reasons = {marker: reason for marker, reason in _missing(items).items() if reason}
    for item in items:
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def _begin_with_long_ones(items: list[pytest.Item], n_workers: int) -> None:
    """Give each worker its share of the long tests first, so that none ends with one alone.

    Workers get equal parts of the list, in its order (``--dist worksteal``).
    """
    long = [item for item in items if item.get_closest_marker("long")]
    rest = [item for item in items if not item.get_closest_marker("long")]
    share = -(-len(rest) // n_workers)
    items[:] = [
        item
        for worker in range(n_workers)
        for item in long[worker::n_workers] + rest[worker * share : (worker + 1) * share]
    ]


def _missing(items: list[pytest.Item]) -> dict[str, str | None]:
    wants_gpu = any(item.get_closest_marker("gpu") for item in items)
    return {
        "network": None if os.environ.get("LABKIT_NETWORK") == "1" else "set LABKIT_NETWORK=1",
        "browser": None if CHROMIUM else "Chromium is not installed here",
        "gpu": "no CUDA device here" if wants_gpu and not _has_cuda() else None,
    }


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the root of the course."""
    return ROOT


@pytest.fixture
def fake_embedder() -> HashEmbedder:
    """Return an embedder that needs no model; two texts with the same words are neighbours."""
    return HashEmbedder()


@pytest.fixture(scope="session")
def make_hit() -> Callable[..., Any]:
    """Return a function that makes a hit of a text; every other field has a default."""
    from labkit.types import Hit

    def make(text: str, *, document_id: str = "DOC-1", **fields: Any) -> Hit:
        facts: dict[str, Any] = {
            "chunk_id": f"{document_id}#0",
            "document_id": document_id,
            "title": "Manual",
            "heading": "Section",
            "text": text,
            "passage": f"Manual > Section: {text}",
            "score": 1.0,
            "date": None,
            "kind": "manual",
            "metadata": {},
        }
        return Hit(**(facts | fields))

    return make


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """Return a byte-level tokenizer with the turns of ChatML, as SmolLM2 has them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<file_sep>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the pitch bearing takes 1.6 kg of grease"] * 4, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        extra_special_tokens=["<file_sep>"],
        chat_template=CHAT_TEMPLATE,
    )


@pytest.fixture(scope="session")
def tiny_llm(tiny_tokenizer: Any) -> Any:
    """Return a random two-layer model in float32: fast, and right about everything but words."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from labkit.models import LanguageModel

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tiny_tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=tiny_tokenizer.bos_token_id,
        eos_token_id=tiny_tokenizer.eos_token_id,
        pad_token_id=tiny_tokenizer.pad_token_id,
    )
    return LanguageModel("tiny", LlamaForCausalLM(config), tiny_tokenizer)


@pytest.fixture(scope="session")
def real_llm() -> Any:
    """Return SmolLM2 in float32, as a machine without bf16 loads it; `make test` fetches it."""
    from labkit import catalogue, fetch, models

    if not fetch.is_fetched(catalogue.SMALL_MODEL):
        pytest.skip(f"{catalogue.SMALL_MODEL} is not fetched; run: python -m labkit fetch")
    choice = catalogue.Choice(catalogue.SMALL_MODEL, "cpu", "float32", False, "test")
    return models.load_language_model(catalogue.SMALL_MODEL, choice=choice)
