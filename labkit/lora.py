"""LoRA from scratch: a frozen matrix, and beside it two thin ones that learn.

Knows: the layer, putting it into a model by name, merging, and peft's file layout.
Does not know: training loops or data, nor what a model is for; equal to peft in outputs, gradients
and merged weights. Used by lesson 06.
"""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

Targets = Sequence[str] | Literal["all-linear"]

ALL_LINEAR: Literal["all-linear"] = "all-linear"
WEIGHTS_FILE = "adapter_model.safetensors"
CONFIG_FILE = "adapter_config.json"
PEFT_PREFIX = "base_model.model."


class LoraLinear(nn.Module):
    """A frozen linear layer plus ``scale * B @ A``, of which only A and B learn.

    ``rank`` is the number of directions that the update may use; ``alpha`` is only a volume knob,
    and means nothing but together with the rank: what multiplies the update is ``scale``.

    Parameters
    ----------
    base
        The layer to adapt; its weight ``(out, in)`` is frozen.
    rank, alpha
        Sizes A ``(rank, in)`` and B ``(out, rank)``, float32; ``scale = alpha / rank``.

    Raises
    ------
    ValueError
        If the rank is below 1 or alpha is not above 0.

    Source: Hu et al. 2021, *LoRA* (arXiv 2106.09685), section 4.1; A starts as in peft.
    """

    def __init__(self, base: nn.Linear, *, rank: int, alpha: float) -> None:
        super().__init__()
        _refuse_unfit(rank, alpha)
        self.base = base.requires_grad_(False)
        self.rank, self.alpha, self.merged = rank, alpha, False
        new = {"dtype": torch.float32, "device": base.weight.device}
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features, **new))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank, **new))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    @property
    def scale(self) -> float:
        """What multiplies ``B @ A``: alpha divided by the rank."""
        return self.alpha / self.rank

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return ``base(x) + scale * B A x``: ``(…, in)`` to ``(…, out)``."""
        out = self.base(x)
        if self.merged:
            return out
        narrow = x.to(self.lora_A.dtype) @ self.lora_A.T  # (…, rank)
        return (out + self.scale * (narrow @ self.lora_B.T)).to(out.dtype)

    def update(self) -> torch.Tensor:
        """Return what merging adds to the weight, ``(out, in)``."""
        return self.scale * (self.lora_B @ self.lora_A)

    @torch.no_grad()
    def merge(self) -> None:
        """Add the update to the base weight, once; in 16 bits the sum is rounded."""
        if not self.merged:
            _refuse_packed(self.base.weight)
            self.base.weight += self.update().to(self.base.weight.dtype)
            self.merged = True

    @torch.no_grad()
    def unmerge(self) -> None:
        """Subtract the update again; what rounding took does not come back."""
        if self.merged:
            self.base.weight -= self.update().to(self.base.weight.dtype)
            self.merged = False

    def extra_repr(self) -> str:
        """Show rank, alpha and what they come to."""
        return f"rank={self.rank}, alpha={self.alpha:g}, scale={self.scale:g}"


def inject(model: nn.Module, *, rank: int, alpha: float, targets: Targets = ALL_LINEAR) -> int:
    """Freeze a model and put a LoRA layer around each linear layer that the targets name.

    More targets learn more for the same rank, and cost more memory than a higher rank would.

    Parameters
    ----------
    model
        Changed in place.
    rank, alpha
        See `LoraLinear`.
    targets
        Last parts of layer names, such as ``("q_proj", "v_proj")``, or ``"all-linear"``: every
        linear layer but the output layer, as peft understands it.

    Returns
    -------
    int
        How many layers were wrapped.

    Raises
    ------
    ValueError
        If a target names no linear layer (the message lists those there are), or the model
        already has LoRA layers.
    """
    _refuse_unfit(rank, alpha)
    if any(lora_layers(model)):
        raise ValueError("The model already has LoRA layers; load a fresh one or go on with these.")
    names = _target_names(model, targets)
    model.requires_grad_(False)
    for name in names:
        parent, _, last = name.rpartition(".")
        base = model.get_submodule(name)
        setattr(model.get_submodule(parent), last, LoraLinear(base, rank=rank, alpha=alpha))
    return len(names)


def lora_layers(model: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    """Yield each LoRA layer of a model with its name."""
    for name, module in model.named_modules():
        if isinstance(module, LoraLinear):
            yield name, module


def merge(model: nn.Module) -> None:
    """Merge every LoRA layer: same answers as before, at the base model's speed."""
    for _, layer in lora_layers(model):
        layer.merge()


def unmerge(model: nn.Module) -> None:
    """Take every merged update out again, to the rounding of the weights' number format."""
    for _, layer in lora_layers(model):
        layer.unmerge()


def remove(model: nn.Module) -> None:
    """Put the base layers back; updates that were merged stay in their weights."""
    for name, layer in list(lora_layers(model)):
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, layer.base)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """Return how many parameters learn, and how many there are in all."""
    parameters = list(model.parameters())
    n_trainable = sum(p.numel() for p in parameters if p.requires_grad)
    return n_trainable, sum(p.numel() for p in parameters)


def adapter_state(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return every A and B, under the names that peft gives them in its files."""
    state = {}
    for name, layer in lora_layers(model):
        state[f"{PEFT_PREFIX}{name}.lora_A.weight"] = layer.lora_A.detach().cpu().contiguous()
        state[f"{PEFT_PREFIX}{name}.lora_B.weight"] = layer.lora_B.detach().cpu().contiguous()
    return state


def save_adapter(model: nn.Module, folder: Path) -> Path:
    """Write the adapter alone, so that ``PeftModel.from_pretrained`` reads it, too.

    Returns
    -------
    Path
        The weight file.

    Raises
    ------
    ValueError
        If the model has no LoRA layers.
    """
    from safetensors.torch import save_file

    layers = list(lora_layers(model))
    if not layers:
        raise ValueError("There is no adapter to save: call inject(model, …) first.")
    folder.mkdir(parents=True, exist_ok=True)
    first = layers[0][1]
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": first.rank,
        "lora_alpha": first.alpha,
        "target_modules": [name for name, _ in layers],
    }
    (folder / CONFIG_FILE).write_text(json.dumps(config, indent=1), encoding="utf-8")
    save_file(adapter_state(model), folder / WEIGHTS_FILE, metadata={"format": "pt"})
    return folder / WEIGHTS_FILE


def load_adapter(model: nn.Module, folder: Path) -> int:
    """Put a saved adapter onto a base model; return how many layers it adapts.

    Raises
    ------
    ValueError
        If the file does not hold exactly what the configuration promises.
    """
    from safetensors.torch import load_file

    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    state = load_file(folder / WEIGHTS_FILE)
    names = config["target_modules"]
    n_layers = inject(model, rank=config["r"], alpha=config["lora_alpha"], targets=names)
    wanted = adapter_state(model)
    if {k: v.shape for k, v in wanted.items()} != {k: v.shape for k, v in state.items()}:
        raise ValueError(
            f"The adapter holds {len(state)} matrices, and this model takes {len(wanted)} of the "
            "same names and shapes. Load it onto the model that it was trained on."
        )
    with torch.no_grad():
        for name, layer in lora_layers(model):
            layer.lora_A.copy_(state[f"{PEFT_PREFIX}{name}.lora_A.weight"])
            layer.lora_B.copy_(state[f"{PEFT_PREFIX}{name}.lora_B.weight"])
    return n_layers


def _target_names(model: nn.Module, targets: Targets) -> list[str]:
    linear = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    if targets == ALL_LINEAR:
        output = getattr(model, "get_output_embeddings", lambda: None)()
        return [name for name, module in linear.items() if module is not output]
    wanted = [targets] if isinstance(targets, str) else list(targets)
    unknown = [t for t in wanted if not any(_is_called(name, t) for name in linear)]
    if unknown or not wanted:
        there = sorted({name.rpartition(".")[2] for name in linear})
        raise ValueError(
            f"No linear layer is called {', '.join(unknown) or 'nothing'}. This model has: "
            f"{', '.join(there)}; or say targets='all-linear'."
        )
    return [name for name in linear if any(_is_called(name, t) for t in wanted)]


def _is_called(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _refuse_unfit(rank: int, alpha: float) -> None:
    if rank < 1 or int(rank) != rank:
        raise ValueError(f"rank is {rank}; give a whole number from 1 up, usually 4 to 64.")
    if not alpha > 0:
        raise ValueError(f"alpha is {alpha}; give a number above 0, usually the rank or twice it.")


def _refuse_packed(weight: torch.Tensor) -> None:
    if not weight.is_floating_point():
        raise ValueError(
            "This layer's weight is packed in 4 or 8 bits, and adding to it would round the update "
            "away. Load the base model in 16 bits, load the adapter onto it, and merge there."
        )
