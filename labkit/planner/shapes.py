"""Shapes of models and steps: the few numbers from which all memory follows.

Knows: layers, widths, heads and vocabularies of the catalogue's language models, which matrices
they are made of, and the choices of one training step. Does not know: bytes (``memory``).
Used by lessons 06 to 08 and 11, and by ``plan``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from labkit.memory import ModelShape


def shape(name: str) -> ModelShape:
    """Return the shape of a catalogue model, or the one that a ``config.json`` describes.

    Parameters
    ----------
    name
        A catalogue name, a ``config.json`` or its folder, or a hub's ``organisation/name``, of
        which nothing but that file is read.

    Raises
    ------
    ValueError
        If there is none of that name, or its blocks are not built as these formulas know them.
    OSError
        If the hub does not answer.
    """
    if name in SHAPES:
        return SHAPES[name]
    path = Path(name, "config.json") if Path(name).is_dir() else Path(name)
    if path.is_file():
        return from_config(
            json.loads(path.read_text(encoding="utf-8")), path.absolute().parent.name
        )
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise ValueError(
            f"There is no shape of {name!r}; choose one of {', '.join(SHAPES)}, or name a "
            "config.json or a model of the hub, organisation/name."
        )
    return from_config(_hub_config(name), name)


def from_config(config: Mapping[str, Any], name: str) -> ModelShape:
    """Return the shape that a transformers configuration describes.

    Raises
    ------
    ValueError
        If the model is of another architecture, or a number is missing; the message names it.
    """
    kind = config.get("model_type")
    if kind not in BLOCKS:
        raise ValueError(
            f"{name} is of model type {kind!r}; the formulas know {', '.join(BLOCKS)}."
        )
    try:
        hidden, intermediate, n_layers, n_heads, vocabulary = (int(config[key]) for key in _NUMBERS)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"The configuration of {name} has no usable {error}.") from error
    if config.get("head_dim") not in (None, hidden // n_heads):
        raise ValueError(f"{name} has heads of {config['head_dim']}; {hidden // n_heads} is known.")
    return ModelShape(
        name,
        BLOCKS[kind],
        hidden,
        intermediate,
        n_layers,
        n_heads,
        int(config.get("num_key_value_heads") or n_heads),
        vocabulary,
        bool(config.get("tie_word_embeddings", False)),
        "its config.json",
        rotary_share=float(config.get("partial_rotary_factor") or 1),
        window=config.get("sliding_window") if kind == "phi3" else None,
    )


def _hub_config(name: str) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(name, "config.json")
    except Exception as error:  # the hub's HTTP library, and so its errors, differ by release
        told = " ".join(str(error).split())[:200]
        raise OSError(f"The hub did not give the config.json of {name} ({told}).") from error
    return json.loads(Path(path).read_text(encoding="utf-8"))


BLOCKS: dict[str, Literal["llama", "qwen2", "phi3"]] = {
    "llama": "llama", "mistral": "llama", "qwen2": "qwen2", "phi3": "phi3",
}  # fmt: skip
_NUMBERS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "vocab_size",
)
_PHI3 = "huggingface.co/microsoft/{}/blob/main/config.json"
_QWEN = "huggingface.co/Qwen/Qwen2.5-Coder-{}-Instruct/blob/main/config.json"
_LLAMA = "arXiv:2407.21783, table 3; vocabulary 128,256: its model card"

SHAPES: dict[str, ModelShape] = {
    entry.name: entry
    for entry in (
        ModelShape(
            "SmolLM2-135M-Instruct", "llama", 576, 1536, 30, 9, 3, 49_152, True,
            "huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct/blob/main/config.json",
        ),
        ModelShape(
            "Qwen2.5-Coder-0.5B-Instruct", "qwen2", 896, 4864, 24, 14, 2, 151_936, True,
            _QWEN.format("0.5B"),
        ),
        ModelShape(
            "Qwen2.5-Coder-1.5B-Instruct", "qwen2", 1536, 8960, 28, 12, 2, 151_936, True,
            _QWEN.format("1.5B"),
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
