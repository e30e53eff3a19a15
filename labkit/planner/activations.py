"""What the forward pass leaves behind: the activations of one block, operation by operation.

Knows: which tensors transformers' Llama and Phi-3 blocks keep for the backward pass, which they
need only for a moment, and what a LoRA adapter adds. Found by rehearsing (``rehearsal``), checked
against it. Does not know: weights, optimizers or whole models (``memory``).
Used by lessons 08 and 11 and by ``plan``.
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.memory import ELEMENT_BYTES, FP32, ModelShape, StepConfig, target_names


@dataclass(frozen=True)
class Operation:
    """One operation of a block, in bytes for all tokens of a step.

    ``kept`` stays until the backward pass has used it; ``scratch`` lives only while the operation
    runs, forward or backward, on top of what was kept up to and including it; ``gradient`` is what
    the backward pass leaves in the trained weights.
    """

    name: str
    kept: int
    scratch: int = 0
    gradient: int = 0


def block_operations(shape: ModelShape, step: StepConfig) -> list[Operation]:
    """Return the operations of one block in forward order, with sdpa attention and no mask.

    Norms work in float32 whatever the model's format is. Attention keeps its output and one
    number a head, not the T × T scores. The MLP keeps three wide tensors, full training four.

    Source: transformers 5.23, ``modeling_llama.py`` and ``modeling_phi3.py``.
    """
    number = product_bytes(step) * step.tokens  # one number a token
    q, kv = shape.n_heads * shape.head_dim, shape.n_kv_heads * shape.head_dim
    norm, linear = norm_operation(shape, step), _Linears(shape, step)
    attention, mlp = _projections(shape, linear, number)
    # Phi-3's heads lie in another order than the output matrix reads, so it keeps a copy.
    copy = number * q if shape.architecture == "phi3" else 0
    mask = number * step.seq if shape.window and step.seq > shape.window else 0
    scores = FP32 * step.tokens * shape.n_heads
    return [
        norm,
        *attention,
        Operation("rotary", number * (q + kv), number * (q + kv)),
        Operation("attention", number * q + scores + mask, number * (2 * q + 2 * kv)),
        linear.operation("o_proj", inputs=linear.input_bytes("o_proj", shared=copy)),
        norm,
        *mlp,
        linear.operation("down_proj", first=True),
    ]


def _projections(
    shape: ModelShape, linear: _Linears, number: int
) -> tuple[list[Operation], list[Operation]]:
    """Return the matrices before attention and in the MLP.

    Of Llama's q, k and v only v is kept as it is. Phi-3's v is a view of the fused output, so all
    of that is kept.
    """
    operation, wide = linear.operation, number * shape.intermediate
    if shape.architecture == "phi3":
        fused = number * shape.linears()["qkv_proj"][1]
        return (
            [operation("qkv_proj", first=True, output=fused)],
            [operation("gate_up_proj", first=True, output=2 * wide), Operation("silu", wide, wide)],
        )
    v = number * shape.n_kv_heads * shape.head_dim
    attention = [
        operation("q_proj", first=True),
        operation("k_proj"),
        operation("v_proj", output=v),
    ]
    gate = [operation("gate_proj", first=True, output=wide), Operation("silu", wide)]
    return attention, [*gate, operation("up_proj", output=wide)]


def kept_bytes(operations: list[Operation]) -> int:
    """Return what a block's forward pass leaves behind."""
    return sum(operation.kept for operation in operations)


def backward_peak(operations: list[Operation]) -> tuple[int, int]:
    """Return activations and gradients at the highest moment of a block's backward pass.

    What was kept falls from the last operation to the first, while the gradients rise.
    """
    kept, gradients = kept_bytes(operations), 0
    highest = (0, 0)
    for operation in reversed(operations):
        gradients += operation.gradient
        highest = max(highest, (kept + operation.scratch, gradients), key=sum)
        kept -= operation.kept
    return highest


def norm_operation(shape: ModelShape, step: StepConfig) -> Operation:
    """Return a norm: the input in float32 and one factor a token; full training also the result.

    Its backward pass makes five tensors of that size, which is why the last norm can be the peak.
    """
    gradient = ELEMENT_BYTES[step.dtype] * shape.hidden if step.method == "full" else 0
    upcast, result = FP32 * step.tokens * shape.hidden, gradient * step.tokens
    return Operation("norm", upcast + FP32 * step.tokens + result, 5 * upcast - result, gradient)


def product_bytes(step: StepConfig) -> int:
    """Return the bytes of one number of a matrix product: autocast's format, else the weights'."""
    return ELEMENT_BYTES[step.autocast or step.dtype]


class _Linears:
    """The matrices of a block: what each keeps of its input, and its adapter's scratch.

    Under autocast every product casts its input for itself, and keeps that copy.
    """

    def __init__(self, shape: ModelShape, step: StepConfig) -> None:
        self.step, self.sizes = step, shape.linears()
        self.targets = () if step.method == "full" else target_names(shape, step.targets)
        self.base, self.cast = product_bytes(step), step.autocast not in (None, step.dtype)
        self.adapter = self.base if step.autocast else ELEMENT_BYTES[step.adapter_dtype]
        self.residual = ELEMENT_BYTES[step.dtype] * step.tokens * shape.hidden
        self.input_kept = False
        same_format = self.targets if step.adapter_dtype == step.dtype else ()
        self.kept_as_is = tuple(self.sizes) if step.method == "full" else same_format

    def input_bytes(self, name: str, *, shared: int) -> int:
        """Return what is kept of the input; ``shared`` if it is kept as it is."""
        if name in self.kept_as_is:
            return shared
        return self.adapter * self.step.tokens * self.sizes[name][0] * (name in self.targets)

    def operation(
        self, name: str, *, first: bool = False, inputs: int | None = None, output: int = 0
    ) -> Operation:
        """Return the operation; several matrices in a row read one input, ``first`` starts it."""
        n_in, n_out = self.sizes[name]
        tokens = self.step.tokens
        if inputs is None:
            self.input_kept = self.input_kept and not first
            shared = 0 if self.input_kept and not self.cast else self.base * tokens * n_in
            inputs = self.input_bytes(name, shared=shared)
            self.input_kept = self.input_kept or inputs > 0
        rank = gradient = 0
        if self.step.method == "full":
            gradient = ELEMENT_BYTES[self.step.dtype] * n_in * n_out
        if name in self.targets:
            rank = self.adapter * tokens * self.step.rank
            gradient = ELEMENT_BYTES[self.step.adapter_dtype] * self.step.rank * (n_in + n_out)
        scratch = self._scratch(name, output)
        return Operation(name, inputs + rank + output, scratch, gradient)

    def _scratch(self, name: str, output: int) -> int:
        """Return the larger of two needs.

        Forward: the residual, the input unless it is kept as it is, the output, and an adapter's
        output before and after scaling. Backward: two gradients of the input, or one and the
        dequantized matrix. (On CUDA, NF4 matrices are dequantized in the forward pass too.)
        """
        n_in, n_out = self.sizes[name]
        tokens, base = self.step.tokens, self.base
        forward = self.residual + base * tokens * n_out - output
        forward += 0 if name in self.kept_as_is else base * tokens * n_in
        backward = 2 * base * tokens * n_in
        if self.step.method == "qlora":
            backward = base * max(2 * tokens * n_in, tokens * n_in + n_in * n_out)
        if name in self.targets:
            forward += 2 * self.adapter * tokens * n_out
        return max(forward, backward)
