"""LoRA: outputs, gradients and merged weights are those of peft, fused layers included."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, Phi3Config, Phi3ForCausalLM

from labkit import lora

SHAPE = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}
TOKENS = torch.arange(3, 27).view(2, 12)


def llama(**more: Any) -> nn.Module:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SHAPE, **more)).eval()


def phi3() -> nn.Module:
    torch.manual_seed(0)
    return Phi3ForCausalLM(Phi3Config(**SHAPE)).eval()


CASES = [
    pytest.param(llama, ("q_proj", "v_proj"), 4, 8, id="llama q v"),
    pytest.param(llama, "all-linear", 2, 32, id="llama all"),
    pytest.param(lambda: llama(attention_bias=True), "all-linear", 3, 1, id="llama biases"),
    pytest.param(phi3, ("qkv_proj", "gate_up_proj"), 4, 16, id="phi3 fused"),
    pytest.param(phi3, "all-linear", 8, 4, id="phi3 all"),
]


def shake(model: nn.Module) -> None:
    """Give every B random values, so that the adapter does something."""
    torch.manual_seed(1)
    for _, layer in lora.lora_layers(model):
        nn.init.normal_(layer.lora_B, std=0.1)


def ours_and_peft(make: Any, targets: Any, rank: int, alpha: float) -> tuple[nn.Module, Any]:
    ours = make()
    lora.inject(ours, rank=rank, alpha=alpha, targets=targets)
    shake(ours)
    named = targets if isinstance(targets, str) else list(targets)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=named, task_type="CAUSAL_LM")
    theirs = get_peft_model(make(), config)
    state = {
        k.replace(".weight", ".default.weight"): v for k, v in lora.adapter_state(ours).items()
    }
    found = theirs.load_state_dict(state, strict=False)
    assert not found.unexpected_keys and not any("lora_" in k for k in found.missing_keys)
    return ours, theirs.eval()


def loss(model: nn.Module) -> torch.Tensor:
    return model(input_ids=TOKENS, labels=TOKENS).loss


@torch.no_grad()
def logits(model: nn.Module) -> torch.Tensor:
    return model(input_ids=TOKENS).logits


@pytest.mark.parametrize(("make", "targets", "rank", "alpha"), CASES)
def test_outputs_gradients_and_merged_weights_are_those_of_peft(
    make: Any, targets: Any, rank: int, alpha: float
) -> None:
    ours, theirs = ours_and_peft(make, targets, rank, alpha)
    torch.testing.assert_close(logits(ours), logits(theirs), rtol=1e-5, atol=1e-5)
    loss(ours).backward()
    loss(theirs).backward()
    peft_grads = {n: p.grad for n, p in theirs.named_parameters() if p.requires_grad}
    our_grads = {
        f"base_model.model.{n}.default.weight": p.grad
        for n, p in ours.named_parameters()
        if p.requires_grad
    }
    assert our_grads.keys() == peft_grads.keys()
    for name, grad in our_grads.items():
        torch.testing.assert_close(grad, peft_grads[name], rtol=1e-4, atol=1e-6)
    lora.merge(ours)
    merged = dict(theirs.merge_and_unload().named_parameters())
    for name, layer in lora.lora_layers(ours):
        torch.testing.assert_close(
            layer.base.weight, merged[f"{name}.weight"], rtol=1e-6, atol=1e-7
        )


@pytest.mark.parametrize(("make", "targets", "rank", "alpha"), CASES)
def test_peft_counts_the_same_parameters(make: Any, targets: Any, rank: int, alpha: float) -> None:
    ours, theirs = ours_and_peft(make, targets, rank, alpha)
    assert lora.count_parameters(ours) == theirs.get_nb_trainable_parameters()


def test_an_injected_model_answers_as_before_because_b_is_zero() -> None:
    model = llama()
    before = logits(model)
    assert lora.inject(model, rank=4, alpha=8) == 14
    assert torch.equal(logits(model), before)
    assert all(layer.lora_A.abs().sum() > 0 for _, layer in lora.lora_layers(model))


def test_a_starts_with_the_spread_that_peft_gives_it() -> None:
    torch.manual_seed(3)
    layer = lora.LoraLinear(nn.Linear(512, 8), rank=16, alpha=16)
    bound = 1 / 512**0.5  # kaiming uniform with a = sqrt(5)
    assert layer.lora_A.abs().max() <= bound
    assert layer.lora_A.detach().std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_only_a_and_b_learn() -> None:
    model = llama()
    lora.inject(model, rank=4, alpha=8, targets=("q_proj",))
    loss(model).backward()
    learned = {n.rpartition(".")[2] for n, p in model.named_parameters() if p.grad is not None}
    assert learned == {"lora_A", "lora_B"}
    assert lora.count_parameters(model)[0] == 2 * 4 * (32 + 32)


def test_merged_answers_equal_unmerged_ones_and_merging_twice_adds_once() -> None:
    model = phi3()
    lora.inject(model, rank=4, alpha=8)
    shake(model)
    adapted, weights = logits(model), copy.deepcopy(model.state_dict())
    lora.merge(model)
    once = logits(model)
    lora.merge(model)
    assert torch.equal(logits(model), once)
    torch.testing.assert_close(once, adapted, rtol=1e-5, atol=1e-5)
    lora.unmerge(model)
    lora.unmerge(model)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, weights[name], rtol=1e-6, atol=1e-7)


def test_the_scale_is_alpha_over_rank_and_is_shown() -> None:
    layer = lora.LoraLinear(nn.Linear(6, 5), rank=4, alpha=32)
    assert layer.scale == 8
    assert "rank=4, alpha=32, scale=8" in repr(layer)
    nn.init.ones_(layer.lora_A)
    nn.init.ones_(layer.lora_B)
    assert torch.equal(layer.update(), torch.full((5, 6), 32.0))


def test_rank_and_alpha_cannot_be_swapped_by_position() -> None:
    with pytest.raises(TypeError):
        lora.LoraLinear(nn.Linear(6, 5), 4, 32)
    with pytest.raises(TypeError):
        lora.inject(llama(), 4, 32)


def test_a_bfloat16_base_keeps_its_adapter_in_float32_and_its_outputs_in_bfloat16() -> None:
    layer = lora.LoraLinear(nn.Linear(8, 8, dtype=torch.bfloat16), rank=2, alpha=2)
    out = layer(torch.ones(1, 8, dtype=torch.bfloat16))
    assert layer.lora_A.dtype == torch.float32 and out.dtype == torch.bfloat16
    layer.merge()
    assert layer.base.weight.dtype == torch.bfloat16


def test_peft_reads_a_saved_adapter(tmp_path: Path) -> None:
    model = phi3()
    lora.inject(model, rank=4, alpha=12, targets=("qkv_proj", "down_proj"))
    shake(model)
    path = lora.save_adapter(model, tmp_path)
    theirs = PeftModel.from_pretrained(phi3(), str(tmp_path)).eval()
    torch.testing.assert_close(logits(theirs), logits(model), rtol=1e-5, atol=1e-5)
    n_bytes = sum(4 * value.numel() for value in lora.adapter_state(model).values())
    assert n_bytes < path.stat().st_size < n_bytes + 4096


def test_a_saved_adapter_comes_back_onto_a_fresh_model(tmp_path: Path) -> None:
    model = llama()
    lora.inject(model, rank=2, alpha=8, targets=("v_proj",))
    shake(model)
    lora.save_adapter(model, tmp_path)
    fresh = llama()
    assert lora.load_adapter(fresh, tmp_path) == 2
    assert torch.equal(logits(fresh), logits(model))


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    model = llama(attention_bias=True)
    lora.inject(model, rank=2, alpha=8, targets=("v_proj",))
    lora.save_adapter(model, tmp_path)
    torch.manual_seed(0)
    wider = LlamaForCausalLM(LlamaConfig(**SHAPE | {"hidden_size": 64}))
    with pytest.raises(ValueError, match="trained on"):
        lora.load_adapter(wider, tmp_path)


def test_a_name_that_matches_nothing_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="called k_prj.*down_proj, gate_proj, k_proj, lm_head"):
        lora.inject(llama(), rank=4, alpha=8, targets=("q_proj", "k_prj"))
    with pytest.raises(ValueError, match="qkv_proj"):
        lora.inject(phi3(), rank=4, alpha=8, targets=("q_proj",))
    with pytest.raises(ValueError, match="called nothing"):
        lora.inject(llama(), rank=4, alpha=8, targets=())


def test_a_refused_injection_leaves_the_model_as_it_was() -> None:
    model = llama()
    for bad in ({"targets": ("nope",)}, {"rank": 0}, {"alpha": 0}):
        with pytest.raises(ValueError):
            lora.inject(model, **({"rank": 4, "alpha": 8} | bad))
    assert all(p.requires_grad for p in model.parameters())


def test_a_removed_adapter_leaves_the_base_model_behind() -> None:
    model = llama()
    before, names = logits(model), [name for name, _ in model.named_modules()]
    lora.inject(model, rank=4, alpha=8)
    shake(model)
    lora.remove(model)
    assert torch.equal(logits(model), before)
    assert [name for name, _ in model.named_modules()] == names
    lora.inject(model, rank=2, alpha=8)


def test_a_second_injection_is_refused() -> None:
    model = llama()
    lora.inject(model, rank=4, alpha=8)
    with pytest.raises(ValueError, match="already has"):
        lora.inject(model, rank=4, alpha=8)


def test_there_is_nothing_to_save_without_an_adapter(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no adapter"):
        lora.save_adapter(llama(), tmp_path)


@pytest.mark.parametrize(("rank", "alpha"), [(0, 8), (2.5, 8), (4, 0), (4, -1), (4, float("nan"))])
def test_a_rank_or_alpha_without_meaning_is_refused(rank: Any, alpha: float) -> None:
    with pytest.raises(ValueError, match="rank is|alpha is"):
        lora.LoraLinear(nn.Linear(6, 5), rank=rank, alpha=alpha)


def test_a_4_bit_base_learns_but_is_not_merged_into() -> None:
    import bitsandbytes as bnb

    base = bnb.nn.Linear4bit(64, 64, bias=False, quant_type="nf4")
    base.load_state_dict({"weight": torch.randn(64, 64)})
    layer = lora.LoraLinear(base.to("cpu"), rank=2, alpha=4)
    layer(torch.randn(3, 64)).sum().backward()
    assert layer.lora_B.grad is not None and layer.base.weight.grad is None
    with pytest.raises(ValueError, match="packed in 4 or 8 bits"):
        layer.merge()
