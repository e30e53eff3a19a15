"""Shapes of models and steps: the few numbers from which all memory follows.

Knows: layers, widths, heads and vocabularies of the catalogue's language models, which matrices
they are made of, and the choices of one training step. Does not know: bytes (``memory``).
Used by lessons 06 to 08 and 11, and by ``plan``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Method = Literal["full", "lora", "qlora"]
Optimizer = Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "sgd"]
Dtype = Literal["fp32", "bf16", "fp16"]
METHODS: tuple[Method, ...] = get_args(Method)
TORCH_DTYPES: dict[str, str] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
ELEMENT_BYTES: dict[str, int] = {"fp32": 4, "bf16": 2, "fp16": 2}


@dataclass(frozen=True)
class ModelShape:
    """The numbers of one configuration; ``source`` is where they were published."""

    name: str
    architecture: Literal["llama", "phi3"]
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
        """Count the parameters of one block: its matrices and two norms."""
        return sum(i * o for i, o in self.linears().values()) + 2 * self.hidden

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
        from transformers import LlamaConfig, Phi3Config

        kind = Phi3Config if self.architecture == "phi3" else LlamaConfig
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
    ``adapter_dtype`` follows peft: float32 whatever the base is. No autocast.
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


def shape(name: str) -> ModelShape:
    """Return the shape of a catalogue model.

    Raises
    ------
    ValueError
        If there is none of that name, or it is no language model; the message lists the names.
    """
    if name not in SHAPES:
        raise ValueError(f"There is no shape of {name!r}; choose one of {', '.join(SHAPES)}.")
    return SHAPES[name]


_PHI3 = "huggingface.co/microsoft/{}/blob/main/config.json"
_LLAMA = "arXiv:2407.21783, table 3; vocabulary 128,256: its model card"

SHAPES: dict[str, ModelShape] = {
    entry.name: entry
    for entry in (
        ModelShape(
            "SmolLM2-135M-Instruct", "llama", 576, 1536, 30, 9, 3, 49_152, True,
            "huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct/blob/main/config.json",
        ),
        ModelShape(
            "Phi-3.5-mini-instruct", "phi3", 3072, 8192, 32, 32, 32, 32_064, False,
            _PHI3.format("Phi-3.5-mini-instruct"), window=262_144,
        ),
        ModelShape(
            "Phi-3-mini-4k-instruct", "phi3", 3072, 8192, 32, 32, 32, 32_064, False,
            _PHI3.format("Phi-3-mini-4k-instruct"), window=2047,
        ),
        ModelShape(
            "Phi-4-mini-instruct", "phi3", 3072, 8192, 32, 24, 8, 200_064, True,
            _PHI3.format("Phi-4-mini-instruct"), rotary_share=0.75, window=262_144,
        ),
        ModelShape("Llama-3.1-8B", "llama", 4096, 14_336, 32, 32, 8, 128_256, False, _LLAMA),
        ModelShape("Llama-3.1-70B", "llama", 8192, 28_672, 80, 64, 8, 128_256, False, _LLAMA),
    )
}  # fmt: skip
