"""Rehearsing a training step without its memory: real code, fake tensors, every byte counted.

Knows: how to run the forward pass, the backward pass and the optimizer of transformers, peft and
bitsandbytes on tensors that have shapes but no values, and to add up what is alive at each moment.
Does not know: formulas (``memory``) or GPUs. The step runs on fake CPU tensors, so what a CUDA
kernel takes inside itself (flash attention's scratch, cuBLAS workspaces) is not in the sum.
Used by lesson 08 and ``plan --rehearse``.
"""

from __future__ import annotations

import time
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from labkit.shapes import TORCH_DTYPES, ModelShape, StepConfig, target_names

ALLOCATION_BYTES = 512  # PyTorch's CUDA allocator hands out memory in pieces of this size


@dataclass(frozen=True)
class Rehearsal:
    """What one step needed: ``parts`` add up to ``peak_bytes``, reached during ``moment``."""

    parts: dict[str, int]
    peak_bytes: int
    moment: str
    kept_bytes: int
    wall_s: float


def rehearse(shape: ModelShape, step: StepConfig) -> Rehearsal:
    """Run two training steps under fake tensors and return the second one's peak by part.

    Two, because the optimizer's state appears at the end of the first. Takes seconds and some
    100 MB of RAM for any size of model; a 70B model is only a longer list of shapes.

    Parameters
    ----------
    shape
        The model's numbers; its weights are never made.
    step
        Method, batch, length and the other choices of one training step, on one device.

    Raises
    ------
    ValueError
        If the step asks for what a rehearsal cannot do (several GPUs, CPU offload).

    Source: PyTorch documentation, ``FakeTensorMode`` and ``TorchDispatchMode``.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    if step.n_gpus > 1 or step.cpu_offload:
        raise ValueError("A rehearsal is for one device without offloading; set n_gpus=1.")
    start = time.perf_counter()
    model = _build(shape, step)
    _fill_bitsandbytes_tables()
    with FakeTensorMode(allow_non_fake_inputs=True), _unpacked():
        _make_fake(model)
        optimizer = _optimizer(model, step)
        _fill_states(model, optimizer)
        with _counting(model, optimizer) as count:
            kept = _run_step(model, optimizer, step, count)
    return Rehearsal(
        parts={part: size for part, size in count.peak.items() if size},
        peak_bytes=sum(count.peak.values()),
        moment=count.peak_moment,
        kept_bytes=kept,
        wall_s=time.perf_counter() - start,
    )


def _unpacked() -> Any:
    """Answer for transformers what it cannot read off fake positions: one text a row, no mask."""
    from unittest import mock

    return mock.patch(
        "transformers.masking_utils.find_packed_sequence_indices", lambda position_ids: None
    )


def _build(shape: ModelShape, step: StepConfig) -> Any:
    """Build on the meta device, where peft and bitsandbytes are at home."""
    import torch
    from transformers import AutoModelForCausalLM

    dtype = getattr(torch, TORCH_DTYPES[step.dtype])
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape.transformers_config(), dtype=dtype)
        if step.method == "qlora":
            _use_four_bits(model.model, dtype, step.double_quantization)
        if step.method != "full":
            model = _with_adapters(model, shape, step)
    if step.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def _use_four_bits(module: Any, dtype: Any, double_quantization: bool) -> None:
    import bitsandbytes
    import torch

    for name, child in module.named_children():
        if isinstance(child, torch.nn.Linear):
            layer = bitsandbytes.nn.Linear4bit(
                child.in_features,
                child.out_features,
                bias=False,
                compute_dtype=dtype,
                compress_statistics=double_quantization,
                quant_type="nf4",
            )
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


def _fill_bitsandbytes_tables() -> None:
    """Let bitsandbytes make its code books now: they are kept for good, and must have values."""
    import bitsandbytes
    import torch

    bitsandbytes.functional.quantize_4bit(torch.zeros(64), compress_statistics=True)


def _make_fake(model: Any) -> None:
    """Give every parameter and buffer a storage that exists in name only; keep tied ones tied."""
    import bitsandbytes
    import torch

    made: dict[int, Any] = {}
    for module in model.modules():
        for name, old in module._parameters.items():
            if old is None:
                continue
            if id(old) not in made:
                data = torch.empty(old.shape, dtype=old.dtype)
                state = None
                if isinstance(module, bitsandbytes.nn.Linear4bit):
                    data, state = bitsandbytes.functional.quantize_4bit(
                        data, compress_statistics=old.compress_statistics, quant_type="nf4"
                    )
                new = torch.nn.Parameter(data, requires_grad=old.requires_grad)
                if state is not None:
                    new.quant_state = state
                made[id(old)] = new
            module._parameters[name] = made[id(old)]
        for name, old in module._buffers.items():
            module._buffers[name] = torch.empty(old.shape, dtype=old.dtype)


def _optimizer(model: Any, step: StepConfig) -> Any:
    import torch

    trained = [weight for weight in model.parameters() if weight.requires_grad]
    if step.optimizer == "sgd":
        return torch.optim.SGD(trained, lr=1e-3, fused=True)
    if step.optimizer == "adamw":
        return torch.optim.AdamW(trained, lr=1e-3, fused=True)
    import bitsandbytes
    from torch._subclasses.fake_tensor import unset_fake_temporarily

    with unset_fake_temporarily():  # its code book needs values
        return bitsandbytes.optim.AdamW8bit(trained, lr=1e-3)


def _fill_states(model: Any, optimizer: Any) -> None:
    """Step once on made-up gradients: the optimizer's state is there from the second step on."""
    import torch

    for weight in model.parameters():
        weight.grad = torch.empty_like(weight) if weight.requires_grad else None
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _run_step(model: Any, optimizer: Any, step: StepConfig, count: _LiveBytes) -> int:
    import torch

    ids = torch.zeros(step.batch, step.seq, dtype=torch.int64)
    count.moment = "forward"
    loss = _loss(model, ids, step)
    kept = count.live["activations"] + count.live["logits"]
    count.moment = "loss"
    loss.backward()
    count.moment = "optimizer step"
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return kept


def _loss(model: Any, ids: Any, step: StepConfig) -> Any:
    import torch

    if step.answer_tokens is None:
        return model(input_ids=ids, labels=ids, use_cache=False).loss
    base = model.get_base_model() if step.method != "full" else model
    hidden = base.model(input_ids=ids, use_cache=False).last_hidden_state  # (B, T, d)
    rows = torch.zeros(step.batch * step.answer_tokens, dtype=torch.int64)
    logits = base.lm_head(hidden.flatten(0, 1)[rows])  # (rows, vocabulary)
    return torch.nn.functional.cross_entropy(logits.float(), rows)


class _LiveBytes:
    """Bytes alive by part, now and at the peak."""

    def __init__(self, vocabulary: int) -> None:
        self.vocabulary = vocabulary
        self.live: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()
        self.moment = self.peak_moment = ""
        self.part_of: dict[int, str] = {}

    def see(self, tensor: Any, part: str = "") -> None:
        """Count the storage behind a tensor once, until it dies; ``part`` moves it there."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        size = -(-storage.nbytes() // ALLOCATION_BYTES) * ALLOCATION_BYTES
        if key not in self.part_of:
            guess = self._guess(tensor)
            self.part_of[key] = guess
            self.live[guess] += size
            weakref.finalize(storage, self._forget, key, size)
        if part and part != self.part_of[key]:
            self.live[self.part_of[key]] -= size
            self.live[part] += size
            self.part_of[key] = part
        if self.live.total() > self.peak.total():
            self.peak, self.peak_moment = self.live.copy(), self.moment

    def _guess(self, tensor: Any) -> str:
        if tensor.shape[-1:] == (self.vocabulary,):
            return "logits"
        is_outer_gradient = tensor.ndim == 2 and tensor.shape[0] == self.vocabulary
        return "gradients" if is_outer_gradient else "activations"

    def _forget(self, key: int, size: int) -> None:
        self.live[self.part_of.pop(key)] -= size


@contextmanager
def _counting(model: Any, optimizer: Any) -> Iterator[_LiveBytes]:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    count = _LiveBytes(model.config.vocab_size)

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            result = func(*args, **(kwargs or {}))
            for leaf in tree_leaves(result):
                if isinstance(leaf, torch.Tensor):
                    count.see(leaf)
            return result

    _count_static(model, optimizer, count)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.register_post_accumulate_grad_hook(lambda w: count.see(w.grad, "gradients"))
    head = model.get_output_embeddings()
    head.register_forward_pre_hook(lambda _, inputs: _mark_backward(inputs[0], count))
    with Watch():
        yield count


def _count_static(model: Any, optimizer: Any, count: _LiveBytes) -> None:
    import torch

    for name, weight in model.named_parameters():
        count.see(weight, "adapters" if "lora_" in name else "weights")
        state = getattr(weight, "quant_state", None)
        while state is not None:
            for constant in (state.absmax, state.code, state.offset):
                if constant is not None:
                    count.see(constant, "constants")
            state = state.state2
    for buffer in model.buffers():
        count.see(buffer, "weights")
    for state in optimizer.state.values():
        for value in state.values():
            if isinstance(value, torch.Tensor):
                count.see(value, "optimizer")


def _mark_backward(hidden: Any, count: _LiveBytes) -> None:
    def mark(gradient: Any) -> None:
        count.moment = "backward"

    count.moment = "loss"
    hidden.register_hook(mark)
