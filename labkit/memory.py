"""Predict the memory of a training step, by part, before it is spent: arithmetic on a few numbers.

Knows: what weights, quantization constants, adapters, gradients and optimizer states weigh, when in
a step memory is highest, and how FSDP spreads it. Does not know: how a step runs (``rehearsal``
runs it without memory; both are compared in ``bench memory``) or what to do if it does not fit
(``fitting``). Used by lessons 08 and 11 and by ``plan``.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.planner.activations import (
    FP32,
    backward_peak,
    block_operations,
    kept_bytes,
    norm_operation,
)
from labkit.planner.shapes import ELEMENT_BYTES, ModelShape, StepConfig, target_names

MIB = 2**20
CONTEXT_BYTES = 600 * MIB  # assumed, not measured: CUDA itself, its libraries, fragmentation
NF4_BLOCK, CONSTANTS_BLOCK = 64, 256
SMALLEST_8BIT_TENSOR, SMALLEST_PAGED_TENSOR = 4096, 100_000
LOSS_BYTES = 3 * FP32  # a logit's log-probability, its gradient, and the gradient of that
GATHERED_BLOCKS = 2  # FSDP fetches the next block while one computes


@dataclass(frozen=True)
class MemoryPlan:
    """Predicted bytes on one device at the moment when memory is highest.

    ``peak_bytes`` is what ``torch.cuda.max_memory_allocated`` should report; the CUDA context comes
    on top. ``host_bytes`` is what lies in the computer's own memory instead, per device.
    """

    model: str
    step: StepConfig
    moment: str
    weights: int
    constants: int
    adapters: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    gathered: int = 0
    context: int = CONTEXT_BYTES
    host_bytes: int = 0

    @property
    def parts(self) -> dict[str, int]:
        """Bytes by part, without the CUDA context; they add up to ``peak_bytes``."""
        names = "weights constants adapters gradients optimizer activations logits gathered"
        return {name: getattr(self, name) for name in names.split()}

    @property
    def peak_bytes(self) -> int:
        """Bytes that PyTorch allocates at the peak."""
        return sum(self.parts.values())

    @property
    def needed_bytes(self) -> int:
        """Bytes a card must have: the peak and the CUDA context."""
        return self.peak_bytes + self.context

    def fits(self, card_bytes: int) -> bool:
        """Tell whether the step fits on a card of that many bytes."""
        return self.needed_bytes <= card_bytes


def predict(shape: ModelShape, step: StepConfig) -> MemoryPlan:
    """Predict the peak of one training step, by part, per device.

    A step has four moments at which memory can be highest: the loss (everything kept, and the
    logits), a block (the last one in the backward pass, when everything else is still kept), the
    first block (full training: nearly all gradients exist), and the optimizer step. The largest
    decides.

    Parameters
    ----------
    shape
        The model's numbers, from ``shapes.shape(name)``.
    step
        Method, batch (per device), length, formats, optimizer, checkpointing, adapters, devices.

    Returns
    -------
    MemoryPlan
        Bytes by part at the highest moment.

    Examples
    --------
    >>> from labkit.planner.shapes import shape
    >>> plan = predict(shape("Llama-3.1-8B"), StepConfig(method="qlora", checkpointing=True))
    >>> plan.fits(16 * 2**30), plan.fits(6 * 2**30)
    (True, False)
    """
    static = _static_bytes(shape, step)
    moments = _moments(shape, step)
    moment = max(moments, key=lambda name: sum(moments[name].values()))
    parts = static | {"gradients": 0, "activations": 0, "logits": 0} | moments[moment]
    return _spread(shape, step, moment, parts)


def trained_tensors(shape: ModelShape, step: StepConfig) -> list[int]:
    """Return the number of elements of every tensor that is trained."""
    linears = shape.linears()
    if step.method != "full":
        sizes = [linears[name] for name in target_names(shape, step.targets)]
        block = [step.rank * side for pair in sizes for side in pair]
        return block * shape.n_layers
    block = [n_in * n_out for n_in, n_out in linears.values()] + [shape.hidden] * 2
    outer = [shape.vocabulary * shape.hidden] * (1 if shape.tied else 2) + [shape.hidden]
    return block * shape.n_layers + outer


def quantized_bytes(n_elements: int, *, double_quantization: bool = True) -> tuple[int, int]:
    """Return the bytes of one NF4 matrix: its codes, and its constants.

    One float32 absmax for 64 weights is 0.5 bit a weight; quantized in turn to 8 bits, with one
    float32 for 256 of them, it is 0.127 bit. The code book of 16 numbers comes with each matrix.

    Source: Dettmers et al., *QLoRA* (arXiv:2305.14314), section 3; bitsandbytes ``QuantState``.

    Examples
    --------
    >>> sum(quantized_bytes(4096 * 4096)) / 4096**2  # bytes a weight
    0.515869140625
    """
    blocks = -(-n_elements // NF4_BLOCK)
    code_book = 16 * FP32
    if not double_quantization:
        return -(-n_elements // 2), blocks * FP32 + code_book
    constants = blocks + -(-blocks // CONSTANTS_BLOCK) * FP32 + FP32
    return -(-n_elements // 2), constants + code_book


def optimizer_bytes(shape: ModelShape, step: StepConfig) -> tuple[int, int]:
    """Return the optimizer's bytes on the device and, if paged, in the computer's memory.

    Adam keeps two numbers a trained parameter, in the parameter's format; bitsandbytes' 8-bit Adam
    two bytes and two float32 for 256 of them. Paged states visit the device when they are needed.
    """
    if step.optimizer == "sgd":
        return 0, 0
    tensors = trained_tensors(shape, step)
    if step.optimizer == "adamw":
        return 2 * _trained_format(step) * sum(tensors), 0
    device = host = 0
    for size in tensors:
        if size < SMALLEST_8BIT_TENSOR:
            device += 2 * FP32 * size
            continue
        device += 2 * FP32 * -(-size // 256)
        if step.optimizer == "paged_adamw_8bit" and size >= SMALLEST_PAGED_TENSOR:
            host += 2 * size
        else:
            device += 2 * size
    return device, host


def weight_bytes(shape: ModelShape, step: StepConfig) -> tuple[int, int]:
    """Return the bytes of the base model's weights and of their quantization constants."""
    size = ELEMENT_BYTES[step.dtype]
    if step.method != "qlora":
        return size * shape.n_parameters(), 0
    pairs = [
        quantized_bytes(n_in * n_out, double_quantization=step.double_quantization)
        for n_in, n_out in shape.linears().values()
    ]
    block = sum(codes for codes, _ in pairs) + size * 2 * shape.hidden
    constants = sum(constants for _, constants in pairs)
    return shape.n_layers * block + size * shape.outer_parameters(), shape.n_layers * constants


def _trained_format(step: StepConfig) -> int:
    return ELEMENT_BYTES[step.dtype if step.method == "full" else step.adapter_dtype]


def _static_bytes(shape: ModelShape, step: StepConfig) -> dict[str, int]:
    weights, constants = weight_bytes(shape, step)
    trained = _trained_format(step) * sum(trained_tensors(shape, step))
    return {
        "weights": weights,
        "constants": constants,
        "adapters": 0 if step.method == "full" else trained,
        "optimizer": optimizer_bytes(shape, step)[0],
    }


def _moments(shape: ModelShape, step: StepConfig) -> dict[str, dict[str, int]]:
    """Return what each candidate moment needs on top of what is always there."""
    size, full = ELEMENT_BYTES[step.dtype], step.method == "full"
    block, norm = block_operations(shape, step), norm_operation(shape, step)
    state, outer = size * step.tokens * shape.hidden, size * shape.vocabulary * shape.hidden
    left = state if step.checkpointing else kept_bytes(block)
    kept = shape.n_layers * left
    inside, new = backward_peak(block)
    if not step.checkpointing:
        inside -= left  # part of what was kept
    elif step.dtype != "fp32":
        inside += state  # the checkpoint beside the first norm's copy of it in float32
    # A frozen embedding needs no gradient, so the first norm keeps nothing.
    last_norm = norm.kept if full or step.checkpointing else 0
    trained = _trained_format(step) * sum(trained_tensors(shape, step))
    others = trained - sum(operation.gradient for operation in block)
    if full and not shape.tied:
        others -= outer  # the embedding's gradient comes last
    head = outer if full else 0
    arriving = _arriving_bytes(shape, step)
    return {
        "loss": {
            "activations": kept + last_norm + state * full,
            "logits": LOSS_BYTES * step.logit_rows * shape.vocabulary,
        },
        "last norm": {"activations": kept + last_norm + norm.scratch, "gradients": head},
        "last block": {"activations": kept + inside + arriving, "gradients": head + new},
        "first block": {"activations": left + inside + arriving, "gradients": others + new},
        "end of backward": {"gradients": trained + 2 * head * shape.tied},
        "optimizer step": {"gradients": trained},
    }


def _arriving_bytes(shape: ModelShape, step: StepConfig) -> int:
    """Return the gradient that enters a block, and its copy in the last adapter's format."""
    elements = step.tokens * shape.hidden
    arriving = ELEMENT_BYTES[step.dtype] * elements
    cast = step.method != "full" and step.adapter_dtype != step.dtype
    if step.checkpointing and cast and "down_proj" in target_names(shape, step.targets):
        arriving += ELEMENT_BYTES[step.adapter_dtype] * elements
    return arriving


def _spread(shape: ModelShape, step: StepConfig, moment: str, parts: dict[str, int]) -> MemoryPlan:
    """Share the static parts among the devices, as FSDP's full sharding does."""
    host = optimizer_bytes(shape, step)[1]
    gathered = 0
    if step.n_gpus > 1 or step.cpu_offload:
        outer = ELEMENT_BYTES[step.dtype] * shape.outer_parameters()
        blocks = parts["weights"] + parts["constants"] + parts["adapters"] - outer
        if step.method == "full":  # a block's gradients are whole until they are shared out
            blocks += parts["weights"] - outer
        gathered = outer + GATHERED_BLOCKS * blocks // shape.n_layers
        host = -(-host // step.n_gpus)
        for part in ("weights", "constants", "adapters", "gradients", "optimizer"):
            share = -(-parts[part] // step.n_gpus)
            host += share if step.cpu_offload else 0
            parts[part] = 0 if step.cpu_offload else share
    return MemoryPlan(
        model=shape.name, step=step, moment=moment, gathered=gathered, host_bytes=host, **parts
    )
