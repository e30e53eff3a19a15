"""The catalogue is complete, and ``auto`` picks what a machine can hold."""

import re

import pytest

from labkit import catalogue
from labkit.catalogue import CATALOGUE, GPU_MODEL, READER, SMALL_MODEL, STRONG_READER
from labkit.hardware import GIB, Hardware


def cpu(bf16: bool, *, gib: float = 7.8) -> Hardware:
    return Hardware("CPU", 2, int(gib * GIB), bf16)


def gpu(gib: float, *, bf16: bool = True, n: int = 1) -> Hardware:
    return Hardware("CPU", 8, 32 * GIB, False, "Card", n, int(gib * GIB), bf16)


@pytest.mark.parametrize(
    ("machine", "model", "device", "dtype", "nf4"),
    [
        (cpu(bf16=False), READER, "cpu", "float32", False),
        (cpu(bf16=True), READER, "cpu", "bfloat16", False),
        (cpu(bf16=True, gib=5), SMALL_MODEL, "cpu", "bfloat16", False),
        (gpu(14.7, bf16=False), GPU_MODEL, "cuda", "float16", False),
        (gpu(15, bf16=False), GPU_MODEL, "cuda", "float16", False),
        (gpu(8), GPU_MODEL, "cuda", "bfloat16", True),
        (gpu(8, bf16=False), GPU_MODEL, "cuda", "float16", True),
        (gpu(6), GPU_MODEL, "cuda", "bfloat16", True),
        (gpu(4), READER, "cuda", "bfloat16", False),
        (gpu(3), SMALL_MODEL, "cuda", "bfloat16", False),
        (gpu(0), SMALL_MODEL, "cuda", "bfloat16", False),
        (gpu(40), GPU_MODEL, "cuda", "bfloat16", False),
        (gpu(80), GPU_MODEL, "cuda", "bfloat16", False),
        (gpu(4, n=8), READER, "cuda", "bfloat16", False),
        (gpu(24, n=2), GPU_MODEL, "cuda", "bfloat16", False),
    ],
)
def test_auto_picks_by_hardware(machine, model, device, dtype, nf4) -> None:
    choice = catalogue.choose(machine)
    assert (choice.model, choice.device, choice.dtype, choice.nf4) == (model, device, dtype, nf4)
    assert choice.reason


@pytest.mark.parametrize(
    ("machine", "here", "model"),
    [
        (cpu(bf16=True), [SMALL_MODEL], SMALL_MODEL),
        (cpu(bf16=True), [SMALL_MODEL, READER, STRONG_READER], READER),
        (gpu(40), [SMALL_MODEL, READER], READER),
        (gpu(40), [SMALL_MODEL, READER, STRONG_READER], STRONG_READER),
        (gpu(5), [SMALL_MODEL, READER, STRONG_READER], READER),
        (gpu(40), [], SMALL_MODEL),
    ],
)
def test_auto_takes_the_largest_that_is_here(machine, here: list[str], model: str) -> None:
    choice = catalogue.choose(machine, fetched=here.__contains__)
    assert choice.model == model and choice.reason


def test_more_memory_never_picks_a_smaller_model_or_fewer_bits() -> None:
    ranks = []
    for gib in range(0, 81):
        choice = catalogue.choose(gpu(gib))
        ranks.append((choice.model == GPU_MODEL, not choice.nf4 and choice.model == GPU_MODEL))
    assert ranks == sorted(ranks)
    assert len(set(ranks)) == 3


def test_chosen_weights_leave_room_on_the_card() -> None:
    weight_bytes = 2 * CATALOGUE[GPU_MODEL].n_parameters
    for gib in range(1, 81):
        choice = catalogue.choose(gpu(gib))
        if choice.model == GPU_MODEL:
            assert gib * GIB - (weight_bytes / 4 if choice.nf4 else weight_bytes) >= 3 * GIB


@pytest.mark.parametrize("card", CATALOGUE.values(), ids=CATALOGUE)
def test_every_entry_says_where_it_comes_from(card: catalogue.ModelCard) -> None:
    assert CATALOGUE[card.name] is card
    assert card.licence and card.about and card.n_parameters > 0
    if card.source == "registry":
        assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", card.package)
        assert re.fullmatch(r"[0-9a-f]{64}", card.weight_sha256)
        assert card.weight_file.endswith((".gguf", ".safetensors"))
        assert "/" in card.weight_file
        assert card.download_bytes > 0
    if card.source == "hub":
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", card.hub_id)


def test_the_default_models_need_no_hub() -> None:
    for name in (SMALL_MODEL, catalogue.EMBEDDING_MODEL):
        assert CATALOGUE[name].source == "registry"


def test_the_gpu_model_has_the_size_of_its_published_shape() -> None:
    import torch
    from transformers import AutoModelForCausalLM, Phi3Config

    config = Phi3Config(vocab_size=32064, tie_word_embeddings=False, pad_token_id=0)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    n_parameters = sum(weight.numel() for weight in model.parameters())
    assert CATALOGUE[GPU_MODEL].n_parameters == n_parameters


@pytest.mark.parametrize(
    ("name", "n_layers"), [("all-MiniLM-L6-v2", 6), ("bge-small-en-v1.5", 12), ("e5-small-v2", 12)]
)
def test_the_embedding_models_have_the_size_of_their_published_shape(
    name: str, n_layers: int
) -> None:
    import torch
    from transformers import BertConfig, BertModel

    config = BertConfig(
        hidden_size=384, num_hidden_layers=n_layers, num_attention_heads=12, intermediate_size=1536
    )
    with torch.device("meta"):
        model = BertModel(config)
    assert CATALOGUE[name].n_parameters == sum(w.numel() for w in model.parameters())
    assert CATALOGUE[name].task == "embed"


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'gpt'.*SmolLM2-135M-Instruct, Qwen2.5"):
        catalogue.card("gpt")
