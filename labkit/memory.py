"""Predict the memory of a training step, by part, before it is spent: arithmetic on a few numbers.

Knows: what weights, quantization constants, adapters, gradients and optimizer states weigh, when in
a step memory is highest, and how FSDP spreads it. Does not know: how a step runs (``rehearsal``
runs it without memory; both are compared in ``bench memory``) or what to do if it does not fit
(``planner.fit``). Used by lessons 08 and 11 and by ``plan``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from labkit.types import Method

Optimizer = Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "sgd"]
Dtype = Literal["fp32", "bf16", "fp16"]
METHODS: tuple[Method, ...] = get_args(Method)
TORCH_DTYPES: dict[str, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
ELEMENT_BYTES: dict[str, int] = {"fp32": 4, "bf16": 2, "fp16": 2}
FP32 = 4
MIB = 2**20
CONTEXT_BYTES = 600 * MIB  # assumed, not measured: CUDA itself, its libraries, fragmentation
LEAST_CONTEXT_BYTES = 200 * MIB
FRAGMENTED = 1.25
NF4_BLOCK, CONSTANTS_BLOCK = 64, 256
SMALLEST_8BIT_TENSOR, SMALLEST_PAGED_TENSOR = 4096, 100_000


@dataclass(frozen=True)
class ModelShape:
    """The numbers of one configuration; ``source`` is where they were published."""

    name: str
    architecture: Literal["llama", "qwen2", "phi3"]
    hidden: int
    intermediate: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    vocabulary: int
    tied: bool
    source: str = ""
    rotary_share: float = 1.0
    window: int | None = None

    @property
    def head_dim(self) -> int:
        """Numbers a head."""
        return self.hidden // self.n_heads

    def linears(self) -> dict[str, tuple[int, int]]:
        """Return the matrices of one block as ``name: (inputs, outputs)``; Phi-3 fuses some."""
        q, kv = self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim
        wide = self.intermediate
        if self.architecture == "phi3":
            return {
                "qkv_proj": (self.hidden, q + 2 * kv),
                "o_proj": (q, self.hidden),
                "gate_up_proj": (self.hidden, 2 * wide),
                "down_proj": (wide, self.hidden),
            }
        return {
            "q_proj": (self.hidden, q),
            "k_proj": (self.hidden, kv),
            "v_proj": (self.hidden, kv),
            "o_proj": (q, self.hidden),
            "gate_proj": (self.hidden, wide),
            "up_proj": (self.hidden, wide),
            "down_proj": (wide, self.hidden),
        }

    def block_parameters(self) -> int:
        """Count the parameters of one block: its matrices, its biases and two norms."""
        return sum(i * o for i, o in self.linears().values()) + sum(self.vectors())

    def vectors(self) -> list[int]:
        """Return the lengths of a block's norms and, for Qwen2, of the biases of q, k and v."""
        biased = ("q_proj", "k_proj", "v_proj") if self.architecture == "qwen2" else ()
        return [self.hidden] * 2 + [self.linears()[name][1] for name in biased]

    def outer_parameters(self) -> int:
        """Count what is outside the blocks: embedding, output layer unless tied, last norm."""
        return (1 if self.tied else 2) * self.vocabulary * self.hidden + self.hidden

    def n_parameters(self) -> int:
        """Count all parameters."""
        return self.n_layers * self.block_parameters() + self.outer_parameters()

    def transformers_config(self) -> Any:
        """Return the transformers configuration of this shape.

        Rope scaling is left out: it changes values, not sizes.
        """
        from transformers import LlamaConfig, Phi3Config, Qwen2Config

        kind = {"llama": LlamaConfig, "qwen2": Qwen2Config, "phi3": Phi3Config}[self.architecture]
        options: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
        if self.architecture == "phi3":
            options["partial_rotary_factor"] = self.rotary_share
            options["sliding_window"] = self.window
        return kind(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=self.intermediate,
            num_hidden_layers=self.n_layers,
            num_attention_heads=self.n_heads,
            num_key_value_heads=self.n_kv_heads,
            max_position_embeddings=131_072,
            tie_word_embeddings=self.tied,
            **options,
        )


@dataclass(frozen=True)
class StepConfig:
    """The choices of one training step that decide its memory.

    ``answer_tokens`` is how many positions of each sequence get logits: ``None`` for all of them,
    as transformers does by default. ``targets`` are names of matrices, or ``("all-linear",)``.
    ``adapter_dtype`` follows peft: float32 whatever the base is. ``autocast`` is the format that
    matrix products are computed in where it is not the weights' own.
    """

    method: Method = "lora"
    batch: int = 1
    seq: int = 1024
    dtype: Dtype = "bf16"
    optimizer: Optimizer = "adamw"
    checkpointing: bool = False
    rank: int = 16
    targets: tuple[str, ...] = ("all-linear",)
    adapter_dtype: Dtype = "fp32"
    answer_tokens: int | None = None
    double_quantization: bool = True
    n_gpus: int = 1
    cpu_offload: bool = False
    autocast: Dtype | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        for name, allowed in (
            ("method", get_args(Method)),
            ("dtype", get_args(Dtype)),
            ("adapter_dtype", get_args(Dtype)),
            ("optimizer", get_args(Optimizer)),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; choose one of {', '.join(allowed)}."
                )
        for name in ("batch", "seq", "rank", "n_gpus"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; give 1 or more.")
        if self.answer_tokens is not None and not 1 <= self.answer_tokens <= self.seq:
            raise ValueError(
                f"answer_tokens is {self.answer_tokens}; give 1 to {self.seq}, the sequence length."
            )

    @property
    def tokens(self) -> int:
        """Tokens in one step on one device."""
        return self.batch * self.seq

    @property
    def logit_rows(self) -> int:
        """Positions that get logits in one step on one device."""
        return self.batch * (self.seq if self.answer_tokens is None else self.answer_tokens)


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

    @property
    def range_bytes(self) -> tuple[int, int]:
        """The least and the most that a card may have to have.

        At least the peak and a small context. At most what published tables of other stacks show
        beside these formulas: a quarter more for fragments and workspaces, and a loss that holds
        its logits in float32 once, twice and three times more.
        """
        least = self.peak_bytes + LEAST_CONTEXT_BYTES
        return least, int(FRAGMENTED * self.peak_bytes) + self.logits + self.context

    def fits(self, card_bytes: int) -> bool:
        """Tell whether the step fits on a card of that many bytes, with a margin."""
        return self.range_bytes[1] <= card_bytes

    def may_fit(self, card_bytes: int) -> bool:
        """Tell whether the step fits if nothing comes on top of the prediction."""
        return self.range_bytes[0] <= card_bytes


def trained_tensors(shape: ModelShape, step: StepConfig) -> list[int]:
    """Return the number of elements of every tensor that is trained."""
    linears = shape.linears()
    if step.method != "full":
        sizes = [linears[name] for name in target_names(shape, step.targets)]
        block = [step.rank * side for pair in sizes for side in pair]
        return block * shape.n_layers
    block = [n_in * n_out for n_in, n_out in linears.values()] + shape.vectors()
    outer = [shape.vocabulary * shape.hidden] * (1 if shape.tied else 2) + [shape.hidden]
    return block * shape.n_layers + outer


def quantized_bytes(n_elements: int, *, double_quantization: bool = True) -> tuple[int, int]:
    """Return the bytes of one NF4 matrix: its codes, and its constants.

    One float32 absmax for 64 weights is 0.5 bit a weight; quantized in turn to 8 bits, with one
    float32 for 256 of them, it is 0.127 bit. The code book of 16 numbers comes with each matrix.

    Source: Dettmers et al., *QLoRA* (arXiv:2305.14314), section 3; bitsandbytes ``QuantState``.

    Examples
    --------
    >>> round(sum(quantized_bytes(4096 * 4096)) / 4096**2, 4)  # bytes a weight
    0.5159
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
        return 2 * trained_bytes_each(step) * sum(tensors), 0
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
    block = sum(codes for codes, _ in pairs) + size * sum(shape.vectors())
    constants = sum(constants for _, constants in pairs)
    return shape.n_layers * block + size * shape.outer_parameters(), shape.n_layers * constants


def trained_bytes_each(step: StepConfig) -> int:
    """Return the bytes of one trained parameter, and of its gradient."""
    return ELEMENT_BYTES[step.dtype if step.method == "full" else step.adapter_dtype]


def static_bytes(shape: ModelShape, step: StepConfig) -> dict[str, int]:
    """Return the bytes by part that are there during the whole step."""
    weights, constants = weight_bytes(shape, step)
    trained = trained_bytes_each(step) * sum(trained_tensors(shape, step))
    return {
        "weights": weights,
        "constants": constants,
        "adapters": 0 if step.method == "full" else trained,
        "optimizer": optimizer_bytes(shape, step)[0],
    }


def target_names(shape: ModelShape, targets: Sequence[str]) -> tuple[str, ...]:
    """Return which matrices of a block get adapters.

    Raises
    ------
    ValueError
        If a name is not a matrix of this architecture; the message lists those there are.
    """
    names = tuple(shape.linears())
    if tuple(targets) == ("all-linear",):
        return names
    unknown = [name for name in targets if name not in names]
    if unknown or not targets:
        raise ValueError(
            f"{shape.name} has no matrix {', '.join(unknown) or '(none given)'}; "
            f"choose from {', '.join(names)}, or all-linear."
        )
    return tuple(targets)


def adapter_parameters(shape: ModelShape, step: StepConfig) -> int:
    """Count the parameters of the adapters: rank × (inputs + outputs) for each target matrix."""
    if step.method == "full":
        return 0
    linears = shape.linears()
    per_block = sum(sum(linears[name]) for name in target_names(shape, step.targets))
    return shape.n_layers * step.rank * per_block
