"""The lean LoRA layer gives what peft's gives, forwards and backwards, or steps aside."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from labkit.fast_lora import is_plain, is_sped_up, restore, speed_up


@pytest.fixture
def adapted(tiny_llm: Any) -> Callable[..., Any]:
    """Return a function that makes the tiny model with an adapter whose B is not zero."""
    import torch
    from peft import LoraConfig, get_peft_model

    def make(**options: Any) -> Any:
        torch.manual_seed(0)
        settings = {"r": 4, "lora_alpha": 12, "target_modules": "all-linear"} | options
        model = get_peft_model(
            copy.deepcopy(tiny_llm.model), LoraConfig(task_type="CAUSAL_LM", **settings)
        )
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        return model

    return make


def step(model: Any) -> tuple[Any, dict[str, Any]]:
    import torch

    ids = torch.tensor([[5, 6, 7, 8, 9], [9, 8, 7, 6, 5]])
    result = model(input_ids=ids, labels=ids)
    model.zero_grad()
    result.loss.backward()
    return result.logits.detach(), {
        name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None
    }


def test_outputs_and_gradients_equal_pefts(adapted: Callable[..., Any]) -> None:
    import torch

    model = adapted()
    logits, gradients = step(model)
    assert speed_up(model) == len(gradients) // 2 > 0
    fast_logits, fast_gradients = step(model)
    torch.testing.assert_close(fast_logits, logits, atol=1e-5, rtol=1e-4)
    assert gradients.keys() == fast_gradients.keys()
    restore(model)
    assert not any(is_sped_up(layer) for layer in model.modules())
    assert torch.equal(step(model)[0], logits)
    for name, gradient in gradients.items():
        assert gradient.abs().max() > 0, name
        torch.testing.assert_close(fast_gradients[name], gradient, atol=1e-6, rtol=1e-3)


def test_the_derivatives_hold_against_finite_differences() -> None:
    import torch

    from labkit.fast_lora import _product

    draw = torch.Generator().manual_seed(0)

    def matrix(*shape: int, learns: bool = True) -> Any:
        made = torch.randn(*shape, generator=draw, dtype=torch.float64)
        return made.requires_grad_(learns)

    x, weight, bias = matrix(6, 5), matrix(4, 5, learns=False), matrix(4, learns=False)
    a, b = matrix(2, 5), matrix(4, 2)
    assert torch.autograd.gradcheck(
        lambda x, a, b: _product().apply(x, weight, bias, a, b, 1.5), (x, a, b)
    )


def test_recomputing_activations_gives_the_same_gradients(adapted: Callable[..., Any]) -> None:
    import torch

    model = adapted()
    speed_up(model)
    _, gradients = step(model)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    _, recomputed = step(model)
    for name, gradient in gradients.items():
        torch.testing.assert_close(recomputed[name], gradient, atol=1e-6, rtol=1e-3)


def test_a_switched_off_or_merged_adapter_is_left_to_peft(adapted: Callable[..., Any]) -> None:
    import torch

    model = adapted()
    ids = torch.tensor([[5, 6, 7]])
    with model.disable_adapter(), torch.no_grad():
        base = model(input_ids=ids).logits
    speed_up(model)
    with torch.no_grad():
        apart = model(input_ids=ids).logits
        with model.disable_adapter():
            torch.testing.assert_close(model(input_ids=ids).logits, base)
        model.merge_adapter()
        torch.testing.assert_close(model(input_ids=ids).logits, apart, atol=1e-5, rtol=1e-4)
    assert (apart - base).abs().max() > 1e-3


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"use_dora": True}])
def test_what_is_not_plain_keeps_pefts_own(
    adapted: Callable[..., Any], options: dict[str, Any]
) -> None:
    import peft

    model = adapted(**options)
    layers = [m for m in model.modules() if isinstance(m, peft.tuners.lora.Linear)]
    assert layers and not any(is_plain(layer) for layer in layers)
    assert speed_up(model) == 0
