"""Embeddings: the right prefix, the right vectors, and nothing from the network."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit import embed, fetch, hardware


@pytest.fixture(scope="module")
def minilm() -> embed.SentenceEmbedder:
    if not fetch.is_fetched(embed.DEFAULT_MODEL):
        pytest.skip(f"{embed.DEFAULT_MODEL} is not fetched; run: python -m labkit fetch")
    return embed.load_embedder()


TEXTS = [
    "The pitch bearing is lubricated with grease.",
    "Grease the bearing of the blade.",
    "The canteen serves soup on Fridays.",
    "x " * 600,
]


def test_vectors_equal_mean_pooling_by_hand(minilm: embed.SentenceEmbedder) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = fetch.model_dir(embed.DEFAULT_MODEL)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    for text, vector in zip(TEXTS, minilm.encode_documents(TEXTS), strict=True):
        tokens = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
        with torch.no_grad():
            mean = model(**tokens).last_hidden_state[0].mean(dim=0)  # (d,)
        expected = (mean / mean.norm()).numpy()
        np.testing.assert_allclose(vector, expected, atol=2e-5)


def test_vectors_are_float32_of_length_one_and_keep_the_order(
    minilm: embed.SentenceEmbedder,
) -> None:
    vectors = minilm.encode_documents(TEXTS)
    assert vectors.shape == (4, minilm.dimension) == (4, 384) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(minilm.encode_queries(TEXTS[::-1]), vectors[::-1], atol=2e-5)
    near, far = vectors[0] @ vectors[1], vectors[0] @ vectors[2]
    assert near > 0.5 > 0.3 > far


def test_many_batches_equal_one_by_one(minilm: embed.SentenceEmbedder) -> None:
    texts = [f"grease {'bearing ' * (n * 7 % 23)} number {n}" for n in range(70)]
    one_by_one = np.concatenate([minilm.encode_documents([text]) for text in texts])
    cosines = (minilm.encode_documents(texts) * one_by_one).sum(axis=1)
    assert cosines.min() > 0.99999


@pytest.mark.parametrize("cpu_bf16", [True, False])
def test_every_machine_embeds_in_fp32(monkeypatch: pytest.MonkeyPatch, cpu_bf16: bool) -> None:
    """Else the same question would find other passages on another processor."""
    import torch

    machine = replace(hardware.detect(), cpu_bf16=cpu_bf16)
    monkeypatch.setattr(hardware, "detect", lambda: machine)
    embedder = embed.load_embedder()
    assert embedder._model.dtype is torch.float32
    tokens = embedder.encode_tokens(TEXTS[:1])[0]
    np.testing.assert_allclose(np.linalg.norm(tokens, axis=1), 1, atol=1e-5)
    assert embedder.dimension == tokens.shape[1] == 384


def test_no_texts_give_no_vectors(minilm: embed.SentenceEmbedder) -> None:
    assert minilm.encode_queries([]).shape == (0, 384)


def test_loading_and_encoding_print_nothing(
    minilm: embed.SentenceEmbedder, capfd: pytest.CaptureFixture[str]
) -> None:
    embed.load_embedder().encode_documents(TEXTS)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "query", "document"),
    [
        ("all-MiniLM-L6-v2", "", ""),
        ("intfloat/multilingual-e5-small", "query: ", "passage: "),
        ("BAAI/bge-small-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
        ("BAAI/bge-m3", "", ""),
    ],
)
def test_queries_and_documents_get_the_prefix_their_model_was_trained_with(
    monkeypatch: pytest.MonkeyPatch, name: str, query: str, document: str
) -> None:
    model = FakeModel()
    monkeypatch.setattr(embed, "_load", lambda folder, device: model)
    embedder = embed.SentenceEmbedder(Path("model"), name=name)
    embedder.encode_queries(["a"])
    embedder.encode_documents(["b"])
    assert model.texts[-2:] == [query + "a", document + "b"]


@pytest.mark.parametrize(
    ("name", "query", "document"),
    [
        ("bge-small-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
        ("e5-small-v2", "query: ", "passage: "),
    ],
)
def test_a_model_of_the_hub_is_loaded_by_its_catalogue_name_with_its_prefixes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, query: str, document: str
) -> None:
    model = FakeModel()
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"labkit fetch {name}"):
        embed.load_embedder(name)
    (tmp_path / "models" / name).mkdir(parents=True)
    (tmp_path / "models" / name / fetch.MARKER).write_text("{}", encoding="utf-8")
    monkeypatch.setattr(embed, "_load", lambda folder, device: model)
    embedder = embed.load_embedder(name)
    embedder.encode_queries(["a"])
    embedder.encode_documents(["b"])
    assert embedder.name == name
    assert model.texts[-2:] == [query + "a", document + "b"]


def test_the_model_loads_from_the_cache_only_and_runs_no_foreign_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sentence_transformers

    asked: dict[str, Any] = {}

    def fake(folder: str, **options: Any) -> "FakeModel":
        asked.update(options, folder=folder)
        return FakeModel()

    monkeypatch.setattr(sentence_transformers, "SentenceTransformer", fake)
    embed.SentenceEmbedder(tmp_path, name="any")
    assert asked["folder"] == str(tmp_path)
    assert asked["local_files_only"] is True and asked["trust_remote_code"] is False


def test_a_model_that_was_not_fetched_says_how_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="labkit fetch"):
        embed.load_embedder()


@pytest.mark.parametrize("name", ["text-embedding-3-small@512", "nonsense"])
def test_a_services_name_is_no_model_here_and_we_are_told_where_it_is_one(name: str) -> None:
    with pytest.raises(ValueError, match=f"no model '{name}'.* command line, as --embedder NAME"):
        embed.load_embedder(name)


def test_a_model_that_writes_is_no_embedder() -> None:
    with pytest.raises(ValueError, match="writes text"):
        embed.load_embedder("SmolLM2-135M-Instruct")


@pytest.mark.gpu
def test_the_gpu_gives_the_same_vectors(
    minilm: embed.SentenceEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    on_gpu = minilm.encode_documents(TEXTS)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_cpu = embed.load_embedder().encode_documents(TEXTS)
    assert (on_gpu * on_cpu).sum(axis=1).min() > 0.999


class FakeModel:
    """Remembers what it was asked to encode."""

    def __init__(self) -> None:
        import torch

        self.device = torch.device("cpu")
        self.texts: list[str] = []

    def encode(self, texts: list[str], **options: Any) -> np.ndarray:
        self.texts.extend(texts)
        return np.ones((len(texts), 8), np.float32)
