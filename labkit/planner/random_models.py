"""Models of a given shape with random weights: for memory and speed, which values do not change.

Knows: transformers, peft and bitsandbytes; how to build a model on the meta device and fill it
where it is wanted: on a GPU, on the CPU, or as fake tensors. Does not know: what is measured.
Used by ``rehearsal`` and ``bench.gpu``.
"""

from __future__ import annotations

from typing import Any

from labkit.memory import TORCH_DTYPES, ModelShape, StepConfig, target_names


def build(shape: ModelShape, step: StepConfig, *, attention: str = "sdpa") -> Any:
    """Return the model with its adapters on the meta device, in training mode, not yet filled.

    QLoRA quantizes every matrix of the blocks; norms, embedding and output layer keep their format.
    """
    import torch
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, TORCH_DTYPES[step.dtype])
    config = shape.transformers_config()
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention)
        if step.method == "qlora":
            _use_four_bits(model.model, dtype, step.double_quantization)
        if step.method != "full":
            model = _with_adapters(model, shape, step)
    set_checkpointing(model, step.checkpointing)
    return model.train()


def set_checkpointing(model: Any, on: bool) -> None:
    """Turn the recomputation of activations on or off."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # newer transformers have a second name
        if on:
            model.gradient_checkpointing_enable({"use_reentrant": False})
        else:
            model.gradient_checkpointing_disable()


def materialize(model: Any, *, device: str = "cpu") -> None:
    """Give every parameter and buffer of a meta model memory and random values; quantize NF4 ones.

    One matrix at a time, so that a 70B model never exists in 16 bits. Tied parameters stay tied.
    """
    import bitsandbytes
    import torch

    made: dict[int, tuple[Any, Any]] = {}  # the old one too: a dead object's id is used again
    for module in model.modules():
        nf4 = isinstance(module, bitsandbytes.nn.Linear4bit)
        for name, old in module._parameters.items():
            if old is not None:
                if id(old) not in made:
                    made[id(old)] = (old, _filled(old, nf4, device))
                module._parameters[name] = made[id(old)][1]
        for name, old in module._buffers.items():
            module._buffers[name] = torch.zeros(old.shape, dtype=old.dtype, device=device)


def make_optimizer(model: Any, step: StepConfig) -> Any:
    """Return the optimizer over the trained parameters; fused, as ``Trainer`` uses it."""
    import torch

    trained = [weight for weight in model.parameters() if weight.requires_grad]
    if step.optimizer == "sgd":
        return torch.optim.SGD(trained, lr=1e-5, fused=True)
    if step.optimizer == "adamw":
        return torch.optim.AdamW(trained, lr=1e-5, fused=True)
    import bitsandbytes
    from torch._subclasses.fake_tensor import unset_fake_temporarily

    paged = step.optimizer == "paged_adamw_8bit"
    with unset_fake_temporarily():  # its code book needs values
        return bitsandbytes.optim.AdamW8bit(trained, lr=1e-5, is_paged=paged)


def step_loss(model: Any, ids: Any, step: StepConfig) -> Any:
    """Return the loss of one batch; logits everywhere, or at ``answer_tokens`` places a row.

    Parameters
    ----------
    model
        From ``build``, filled.
    ids
        Token ids ``(B, T)``; no mask and no padding.
    """
    import torch

    short = getattr(torch, TORCH_DTYPES[step.autocast or "bf16"])
    with torch.autocast(ids.device.type, short, enabled=step.autocast is not None):
        if step.answer_tokens is None:
            return model(input_ids=ids, labels=ids, use_cache=False).loss
        base = model if step.method == "full" else model.get_base_model()
        hidden = base.model(input_ids=ids, use_cache=False).last_hidden_state  # (B, T, d)
        rows = torch.arange(step.logit_rows, device=ids.device)
        logits = base.lm_head(hidden.flatten(0, 1)[rows])  # (rows, vocabulary)
        return torch.nn.functional.cross_entropy(logits.float(), ids.flatten()[rows])


def fill_bitsandbytes_tables() -> None:
    """Let bitsandbytes make its code books now: they are kept for good, and must have values."""
    import bitsandbytes
    import torch

    bitsandbytes.functional.quantize_4bit(torch.zeros(64), compress_statistics=True)


def _use_four_bits(module: Any, dtype: Any, double_quantization: bool) -> None:
    import bitsandbytes
    import torch

    for name, child in module.named_children():
        if isinstance(child, torch.nn.Linear):
            sizes = child.in_features, child.out_features
            layer = bitsandbytes.nn.LinearNF4(*sizes, False, dtype, double_quantization)
            setattr(module, name, layer.to(dtype))
        else:
            _use_four_bits(child, dtype, double_quantization)


def _with_adapters(model: Any, shape: ModelShape, step: StepConfig) -> Any:
    import torch
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=step.rank, target_modules=list(target_names(shape, step.targets)))
    model = get_peft_model(model, config, autocast_adapter_dtype=False)
    for name, module in model.named_modules():
        if "lora_" in name:
            module.to(getattr(torch, TORCH_DTYPES[step.adapter_dtype]))
    return model


def _filled(old: Any, nf4: bool, device: str) -> Any:
    """Return a parameter with values: small normal ones for matrices, ones for norms."""
    import bitsandbytes
    import torch

    data = torch.ones(old.shape, dtype=old.dtype, device=device)
    if old.ndim > 1:
        data.normal_(std=0.02)
    if not nf4:
        return torch.nn.Parameter(data, requires_grad=old.requires_grad)
    data, state = bitsandbytes.functional.quantize_4bit(
        data, compress_statistics=old.compress_statistics, quant_type="nf4"
    )
    new = torch.nn.Parameter(data, requires_grad=False)
    new.quant_state = state
    return new
