"""The encoder without padding gives what sentence-transformers gives, or says it cannot."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit.packed_bert import PackedBert, supports

WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] the grease takes bearing pitch . 1 2 3".split()


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    """Return a function that makes a random two-layer model with a given pooling."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    def make(pooling: str = "mean", act: str = "gelu") -> Any:
        torch.manual_seed(0)
        size = {"hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 40}
        config = BertConfig(
            vocab_size=len(WORDS),
            num_hidden_layers=2,
            hidden_act=act,
            max_position_embeddings=16,
            **size,
        )
        config.max_position_embeddings, config.initializer_range = 16, 0.5
        BertModel(config).eval().save_pretrained(tmp_path / "bert")
        vocabulary = {word: number for number, word in enumerate(WORDS)}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]"
        ).save_pretrained(tmp_path / "bert")
        bert = Transformer(str(tmp_path / "bert"), max_seq_length=12)
        modules = [bert, Pooling(24, pooling_mode=pooling), Normalize()]
        return SentenceTransformer(modules=modules, device="cpu")

    return make


TEXTS = ["the pitch bearing takes grease .", "", "1 2 3 " * 9, "bearing", "grease 2 .", "pitch"]


def test_vectors_equal_sentence_transformers(tiny: Any) -> None:
    model = tiny()
    assert supports(model)
    ours = PackedBert(model).encode(TEXTS)
    ours /= np.linalg.norm(ours, axis=1, keepdims=True)
    expected = model.encode(TEXTS, show_progress_bar=False)
    np.testing.assert_allclose(ours, expected, atol=2e-6)
    assert np.abs(expected - expected.mean(axis=0)).max() > 0.1, "the texts differ"


def test_no_text_sees_its_neighbours(tiny: Any) -> None:
    packed = PackedBert(tiny())
    alone = np.concatenate([packed.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(packed.encode(TEXTS), alone, atol=1e-5)
    np.testing.assert_allclose(packed.encode(TEXTS[::-1]), alone[::-1], atol=1e-5)


@pytest.mark.parametrize("change", [{"pooling": "cls"}, {"pooling": "max"}, {"act": "relu"}])
def test_what_it_does_not_know_is_not_supported(tiny: Any, change: dict[str, str]) -> None:
    assert not supports(tiny(**change))


def test_other_modules_and_devices_are_not_supported(tiny: Any) -> None:
    import torch

    model = tiny()
    model.append(torch.nn.Tanh())
    assert not supports(model)
    assert not supports(object())
    assert not supports(tiny().to("meta"))
