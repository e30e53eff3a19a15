"""NF4 from scratch: sixteen levels, blocks, two codes a byte, and constants quantized once more.

Knows: the code books (NF4, FP4, E2M1, int4), blockwise absmax, packing, double quantization, with
the same bits as bitsandbytes on a CPU.
Does not know: models or layers, nor fast kernels (bitsandbytes). Used by lesson 07.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import torch

CodeName = Literal["nf4", "fp4", "e2m1", "int4"]

NF4_TAIL = 0.9677083
BLOCK = 64
CONSTANTS_BLOCK = 256
SMALLEST_ABSMAX = 1e-38
TABLE_CELLS = 65_536


@dataclass(frozen=True)
class Constants:
    """The absmax constants, themselves stored in 8 bits each (double quantization).

    ``codes`` is ``(n_blocks,) uint8``, ``absmax`` ``(n_blocks / 256, rounded up) float32``, and
    ``mean``, which was subtracted first, one float32.
    """

    codes: torch.Tensor
    absmax: torch.Tensor
    mean: torch.Tensor


@dataclass(frozen=True)
class Quantized:
    """A tensor in 4 bits: ``packed`` holds two codes a byte, ``absmax`` one constant a block."""

    packed: torch.Tensor
    absmax: torch.Tensor | Constants
    shape: torch.Size
    dtype: torch.dtype
    code: CodeName
    block: int

    @property
    def n_bytes(self) -> int:
        """Bytes of codes and constants together."""
        constants = self.absmax
        stored = [self.packed]
        if isinstance(constants, Constants):
            stored += [constants.codes, constants.absmax, constants.mean]
        else:
            stored.append(constants)
        return sum(tensor.numel() * tensor.element_size() for tensor in stored)


def nf4_code(tail: float = NF4_TAIL) -> torch.Tensor:
    """Derive the NF4 code book: quantiles of the standard normal, scaled to reach -1 and 1.

    Zero must be a level of its own. That leaves fifteen: NF4 takes seven below and eight above.

    Parameters
    ----------
    tail
        The outermost probability; 1 would put the last level at infinity.

    Returns
    -------
    torch.Tensor
        ``(16,) float32``, rising from -1 to 1, with an exact 0.

    Source: Dettmers et al. 2023, *QLoRA* (arXiv 2305.14314), section 3 and appendix E;
    bitsandbytes ``create_normal_map``.
    """
    quantile = NormalDist().inv_cdf
    above = [quantile(p) for p in torch.linspace(tail, 0.5, 9)[:-1].tolist()]
    below = [-quantile(p) for p in torch.linspace(tail, 0.5, 8)[:-1].tolist()]
    levels = torch.tensor([*below, 0.0, *above]).sort().values
    return levels / levels.max()


def code_book(name: CodeName) -> torch.Tensor:
    """Return the rising levels of a 4-bit format, ``(15 or 16,) float32`` within -1 and 1.

    ``e2m1`` is the usual 4-bit float: 2 bits of exponent, 1 of mantissa. ``fp4`` is that of
    bitsandbytes, whose smallest level lies 16 times nearer to zero.

    Raises
    ------
    ValueError
        If there is no such format.
    """
    if name == "nf4":
        return nf4_code()
    halves = {
        "fp4": (0.0625, 2, 3, 4, 6, 8, 12),
        "e2m1": (1, 2, 3, 4, 6, 8, 12),
        "int4": (1, 2, 3, 4, 5, 6, 7),
    }
    if name not in halves:
        raise ValueError(f"There is no code book {name!r}; choose 'nf4' or one of {[*halves]}.")
    half = torch.tensor(halves[name], dtype=torch.float32)
    half = half / half.max()
    return torch.cat([-half.flip(0), torch.zeros(1), half])


def dynamic_code() -> torch.Tensor:
    """Return the 256 levels of the 8-bit format that stores the constants.

    Seven decades from 1e-6 to 1, each with twice the levels of the one below it: fine where most
    values lie, near zero, and still accurate to a few percent at the top.

    Source: Dettmers 2015, *8-Bit Approximations for Parallelism in Deep Learning* (arXiv
    1511.04561); bitsandbytes ``create_dynamic_map``.
    """
    levels = [0.0, 1.0]
    for decade in range(7):
        edges = torch.linspace(0.1, 1, 2**decade + 1, dtype=torch.float32)
        middles = (edges[:-1] + edges[1:]) / 2
        for sign in (1, -1):
            levels += (sign * 10 ** (decade - 6) * middles).tolist()
    return torch.tensor(sorted(levels), dtype=torch.float32)


def nearest_codes(scaled: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Return the number of the nearest level for each value; a tie takes the lower level."""
    midpoints = (levels[:-1] + levels[1:]) / 2
    return torch.bucketize(scaled, midpoints).to(torch.uint8)


def pack(codes: torch.Tensor) -> torch.Tensor:
    """Put two 4-bit codes into a byte, the first into the upper half.

    Parameters
    ----------
    codes
        ``(n,) uint8`` below 16, n even.
    """
    return codes[::2] << 4 | codes[1::2]


def unpack(packed: torch.Tensor, n: int) -> torch.Tensor:
    """Return the first ``n`` codes of packed bytes, ``(n,) uint8``."""
    return torch.stack([packed >> 4, packed & 0xF], dim=1).flatten()[:n]


def quantize(
    weights: torch.Tensor, *, code: CodeName = "nf4", block: int = BLOCK, double: bool = False
) -> Quantized:
    """Store a tensor in 4 bits a value, with one absolute maximum a block.

    A smaller block follows outliers more closely and stores more constants.

    Parameters
    ----------
    weights
        Any shape, float16, bfloat16 or float32; blocks run over its rows, one after the other.
    code
        The code book.
    block
        Values that share a constant.
    double
        Quantize the constants, too: 0.127 instead of 0.5 bit a value at the usual block sizes.

    Raises
    ------
    ValueError
        If a value is not finite, the tensor is empty or not of a float type, or the block below 1.

    Source: QLoRA (arXiv 2305.14314), section 3.
    """
    _refuse_unfit(weights, block)
    scaled, absmax = _scale_weights(weights.detach().flatten().float(), block)
    codes = nearest_codes(scaled, code_book(code).to(weights.device))
    constants = _quantize_constants(absmax) if double else absmax
    return Quantized(pack(codes), constants, weights.shape, weights.dtype, code, block)


def dequantize(quantized: Quantized) -> torch.Tensor:
    """Return the values that 4 bits stand for, in the shape and number format of the original."""
    n = quantized.shape.numel()
    levels = code_book(quantized.code).to(quantized.packed.device)
    constants = quantized.absmax
    absmax = _constants(constants) if isinstance(constants, Constants) else constants
    values = levels[unpack(quantized.packed, n).long()]
    values = values * absmax.repeat_interleave(quantized.block)[:n]
    return values.reshape(quantized.shape).to(quantized.dtype)


def round_trip(weights: torch.Tensor, **options: object) -> torch.Tensor:
    """Quantize and dequantize: the weights as a 4-bit model sees them; options of ``quantize``."""
    return dequantize(quantize(weights, **options))  # type: ignore[arg-type]


def bits_per_parameter(*, block: int = BLOCK, double: bool = False) -> float:
    """Return the bits that one weight takes, its share of the constants included.

    Examples
    --------
    >>> bits_per_parameter()
    4.5
    >>> round(bits_per_parameter(double=True), 3)
    4.127
    """
    constant_bits = 8 + 32 / CONSTANTS_BLOCK if double else 32
    return 4 + constant_bits / block


def _scale_blocks(values: torch.Tensor, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the values divided by their block's absmax, ``(n,)``, and the constants."""
    n = values.numel()
    blocks = torch.nn.functional.pad(values, (0, -n % block)).view(-1, block)
    absmax = blocks.abs().amax(dim=1)
    scaled = blocks * (1 / absmax.clamp(min=SMALLEST_ABSMAX)[:, None])
    return scaled.flatten()[:n].clamp(-1, 1), absmax


def _scale_weights(values: torch.Tensor, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    scaled, absmax = _scale_blocks(values, block)
    n_short = values.numel() % block
    if n_short:  # bitsandbytes multiplies by the inverse, but in a last, short block it divides
        scaled[-n_short:] = values[-n_short:] / absmax[-1].clamp(min=SMALLEST_ABSMAX)
    return torch.nn.functional.pad(scaled, (0, scaled.numel() % 2)), absmax


def _quantize_constants(absmax: torch.Tensor) -> Constants:
    mean = absmax.mean()
    scaled, second = _scale_blocks(absmax - mean, CONSTANTS_BLOCK)
    # bitsandbytes on a CPU reads the code from a table, so values snap to its cells first.
    cells = torch.floor((scaled + 1) / 2 * (TABLE_CELLS - 1) + 0.5)
    snapped = cells * 2 / (TABLE_CELLS - 1) - 1
    return Constants(nearest_codes(snapped, dynamic_code().to(absmax.device)), second, mean)


def _constants(stored: Constants) -> torch.Tensor:
    n = stored.codes.numel()
    levels = dynamic_code().to(stored.codes.device)
    values = levels[stored.codes.long()] * stored.absmax.repeat_interleave(CONSTANTS_BLOCK)[:n]
    return values + stored.mean


def _refuse_unfit(weights: torch.Tensor, block: int) -> None:
    if block < 1:
        raise ValueError(f"block is {block}; give 1 or more values that share a constant.")
    if weights.dtype not in (torch.float16, torch.bfloat16, torch.float32):
        raise ValueError(f"{weights.dtype} cannot be quantized; give float16, bfloat16 or float32.")
    if weights.numel() == 0:
        raise ValueError("The tensor is empty; give at least one value.")
    if not torch.isfinite(weights).all():
        raise ValueError(
            "The tensor holds NaN or infinity, and one such value would ruin its whole block. "
            "Find out where it comes from before you quantize."
        )


def bitsandbytes_config(dtype: str) -> Any:
    """Return the configuration that loads weights as NF4 with double quantization.

    Raises
    ------
    ModuleNotFoundError
        If bitsandbytes is missing; the message says how to install it.
    """
    import importlib.util

    from transformers import BitsAndBytesConfig

    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModuleNotFoundError(
            "This card needs 4-bit weights, and bitsandbytes is missing. Install it with: "
            "pip install 'bitsandbytes>=0.45' 'accelerate>=1.0'"
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def never_repack(model: Any) -> None:
    """Keep bitsandbytes from repacking 4-bit weights for a CPU with AVX-512-bf16.

    It does so in the first evaluation: the constants are rounded, so that the same weights answer
    otherwise than on other CPUs, and the product has no gradient, so that training after an
    evaluation passes over these weights with no more than a warning.
    """
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
