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

from labkit.memory import SMALLEST_PAGED_TENSOR, ModelShape, StepConfig
from labkit.planner import random_models

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
    """Run one training step under fake tensors and return its peak by part.

    Not the first step: the optimizer's state is there already. Takes seconds and some 100 MB of RAM
    for any size of model; a 70B model is only a longer list of shapes.

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
    model = random_models.build(shape, step)
    random_models.fill_bitsandbytes_tables()
    with FakeTensorMode(allow_non_fake_inputs=True), _one_text_a_row():
        random_models.materialize(model)
        optimizer = random_models.make_optimizer(model, step)
        _fill_states(model, optimizer)
        with _counting(model, optimizer, step) as count:
            kept = _run_step(model, optimizer, step, count)
    return Rehearsal(
        parts={part: size for part, size in count.peak.items() if size},
        peak_bytes=sum(count.peak.values()),
        moment=count.peak_moment,
        kept_bytes=kept,
        wall_s=time.perf_counter() - start,
    )


@contextmanager
def _one_text_a_row() -> Iterator[None]:
    """Spare transformers a look at the positions: fake ones have no values to read.

    It looks whether several texts are packed into one row, which they never are here, and has no
    option for that; so its function is replaced while a step runs. Tried with transformers 5.23.
    """
    from transformers import __version__, masking_utils

    name = "find_packed_sequence_indices"
    if not hasattr(masking_utils, name):
        raise RuntimeError(
            f"transformers {__version__} has no masking_utils.{name}, which a rehearsal replaces; "
            "use a version from 4.56 to 5.23, or plan without --rehearse."
        )
    original = getattr(masking_utils, name)
    setattr(masking_utils, name, lambda position_ids: None)
    try:
        yield
    finally:
        setattr(masking_utils, name, original)


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
    loss = random_models.step_loss(model, ids, step)
    kept = count.live["activations"] + count.live["logits"]
    count.moment = "loss"
    loss.backward()
    count.moment = "optimizer step"
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return kept


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
def _counting(model: Any, optimizer: Any, step: StepConfig) -> Iterator[_LiveBytes]:
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_map_only

    count = _LiveBytes(model.config.vocab_size)

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            tree_map_only(torch.Tensor, count.see, result)
            return result

    _count_static(model, optimizer, step, count)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.register_post_accumulate_grad_hook(lambda w: count.see(w.grad, "gradients"))
    head = model.get_output_embeddings()
    head.register_forward_pre_hook(lambda _, inputs: _mark_backward(inputs[0], count))
    with Watch():
        yield count


def _count_static(model: Any, optimizer: Any, step: StepConfig, count: _LiveBytes) -> None:
    import torch

    for name, weight in model.named_parameters():
        count.see(weight, "adapters" if "lora_" in name else "weights")
        state = getattr(weight, "quant_state", None)
        while state is not None:
            for constant in filter(torch.is_tensor, (state.absmax, state.code, state.offset)):
                count.see(constant, "constants")
            state = state.state2
    for buffer in model.buffers():
        count.see(buffer, "weights")
    pages = step.optimizer == "paged_adamw_8bit"  # on the CPU, bitsandbytes pages nothing
    for state in optimizer.state.values():
        for value in filter(torch.is_tensor, state.values()):
            if not pages or value.numel() < SMALLEST_PAGED_TENSOR:
                count.see(value, "optimizer")


def _mark_backward(hidden: Any, count: _LiveBytes) -> None:
    def mark(gradient: Any) -> None:
        count.moment = "backward"

    count.moment = "loss"
    hidden.register_hook(mark)
