"""A leaner LoRA layer for training: peft's weights and gradients, fewer passes over memory.

Knows: the product ``x W' + scale · x A' B'`` and its derivatives, written out by hand.
Does not know: how adapters are made or saved (peft does that in ``train``).
Used by ``train``; equal to peft in outputs and gradients (see the tests).

peft computes the update as a tensor of its own, scales it and adds it: three more passes over the
output in each direction. Here the thin product is added into the output where it lies.
"""

from types import MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ADAPTER = "default"
_NAME = "lean_forward"


def speed_up(model: Any) -> int:
    """Give every plain LoRA layer of a peft model the lean forward pass; return how many.

    Layers with dropout, 4-bit weights or any variant of LoRA keep peft's own.
    """
    import peft

    layers = [layer for layer in model.modules() if isinstance(layer, peft.tuners.lora.Linear)]
    chosen = [layer for layer in layers if is_plain(layer)]
    product = _product()
    for layer in chosen:
        layer.forward = MethodType(_forward_with(product), layer)
    return len(chosen)


def restore(model: Any) -> None:
    """Give every layer peft's own forward pass back."""
    for layer in model.modules():
        if is_sped_up(layer):
            del layer.forward


def is_sped_up(layer: Any) -> bool:
    """Tell whether a layer has the lean forward pass."""
    return "forward" in vars(layer) and vars(layer)["forward"].__name__ == _NAME


def is_plain(layer: Any) -> bool:
    """Tell whether a peft layer is one frozen linear layer and one adapter, nothing else."""
    import torch

    base = layer.get_base_layer()
    return (
        type(base) is torch.nn.Linear
        and base.weight.is_floating_point()
        and list(layer.lora_A) == [ADAPTER]
        and not getattr(layer, "lora_variant", None)
        and not layer.use_dora.get(ADAPTER, False)
        and layer.lora_A[ADAPTER].bias is None
        and layer.lora_B[ADAPTER].bias is None
        and isinstance(layer.lora_dropout[ADAPTER], torch.nn.Identity)
    )


def _forward_with(product: Any) -> Any:
    def lean_forward(layer: Any, x: "torch.Tensor", *args: Any, **named: Any) -> "torch.Tensor":
        if layer.disable_adapters or layer.merged or args or named:
            return type(layer).forward(layer, x, *args, **named)
        base = layer.get_base_layer()
        a, b = layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight
        flat = x.reshape(-1, x.shape[-1])  # (n, in)
        out = product.apply(flat, base.weight, base.bias, a, b, layer.scaling[ADAPTER])
        return out.view(*x.shape[:-1], -1)

    return lean_forward


def _product() -> Any:
    import torch

    class LoraProduct(torch.autograd.Function):
        """``x W' + bias + scale · x A' B'``; W is frozen, its gradient is never formed."""

        @staticmethod
        def forward(
            ctx: Any,
            x: torch.Tensor,
            weight: torch.Tensor,
            bias: torch.Tensor | None,
            a: torch.Tensor,
            b: torch.Tensor,
            scale: float,
        ) -> torch.Tensor:
            out = torch.nn.functional.linear(x, weight, bias)  # (n, out)
            narrow = x @ a.to(x.dtype).T  # (n, rank)
            out.addmm_(narrow, b.to(x.dtype).T, alpha=scale)
            ctx.save_for_backward(x, weight, a, b, narrow)
            ctx.scale = scale
            return out

        @staticmethod
        def backward(ctx: Any, grad: torch.Tensor) -> tuple:
            x, weight, a, b, narrow = ctx.saved_tensors
            grad_narrow = ctx.scale * (grad @ b.to(grad.dtype))  # (n, rank)
            grad_b = ctx.scale * (grad.T @ narrow)
            grad_a = grad_narrow.T @ x
            grad_x = None
            if ctx.needs_input_grad[0]:
                grad_x = (grad @ weight).addmm_(grad_narrow, a.to(grad.dtype))
            return grad_x, None, None, grad_a.to(a.dtype), grad_b.to(b.dtype), None

    return LoraProduct
