"""Shapes of models and steps: the few numbers from which all memory follows.

Knows: layers, widths, heads and vocabularies of the catalogue's language models, which matrices
they are made of, and the choices of one training step. Does not know: bytes (``memory``).
Used by lessons 06 to 08 and 11, and by ``plan``.
"""

from __future__ import annotations

from labkit.memory import ModelShape


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
