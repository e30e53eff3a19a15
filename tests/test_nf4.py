"""NF4: the code book, the packing and every dequantized value are those of bitsandbytes."""

import math

import bitsandbytes.functional as bnb
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import nf4

GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR) * 0.02


def with_outlier() -> torch.Tensor:
    weights = normal(64, 64)
    weights[3, 5] = 9.0
    return weights


def ties() -> torch.Tensor:
    levels = bnb.get_4bit_type("nf4", device="cpu")
    row = torch.zeros(64)
    row[:15] = (levels[:-1] + levels[1:]) / 2
    row[20] = 1.0
    return row


TENSORS = {
    "random": normal(192, 192),
    "zeros": torch.zeros(8, 64),
    "zeros, not a multiple of the block": torch.zeros(257),
    "one outlier": with_outlier(),
    "odd shape": normal(7, 13),
    "rows not a multiple of the block": normal(3, 50),
    "one dimension, odd": normal(1001),
    "one value": normal(1),
    "three dimensions": normal(3, 5, 7),
    "not contiguous": normal(64, 48).t(),
    "ties at the midpoints": ties().repeat(4, 1),
    "ties in a short block": torch.cat([ties(), ties()[:31]]),
    "constant": torch.full((300, 64), 0.5),
    "a short block of zeros": torch.cat([normal(64), torch.zeros(10)]),
    "very small": normal(64, 64) * 1e-36,
    "subnormal": torch.full((64,), 1e-40),
    "very large": normal(64, 64) * 1e38,
    "bfloat16": normal(64, 65).bfloat16(),
    "float16": normal(96, 64).half(),
}


@pytest.mark.parametrize("double", [False, True], ids=["plain", "double"])
@pytest.mark.parametrize("code", ["nf4", "fp4"])
@pytest.mark.parametrize("name", TENSORS)
def test_every_value_is_the_one_of_bitsandbytes(name: str, code: str, double: bool) -> None:
    weights = TENSORS[name]
    stored, state = bnb.quantize_4bit(weights, quant_type=code, compress_statistics=double)
    theirs = bnb.dequantize_4bit(stored, state)
    ours = nf4.quantize(weights, code=code, double=double)
    back = nf4.dequantize(ours)
    assert back.dtype == weights.dtype and back.shape == weights.shape
    assert torch.equal(back.flatten(), theirs.flatten())
    if code == "nf4":  # bitsandbytes numbers the levels of FP4 in another order
        assert torch.equal(ours.packed, stored.flatten())


def test_a_short_block_divides_as_bitsandbytes_does_where_the_inverse_would_tip_a_tie() -> None:
    levels = nf4.nf4_code()
    midpoints = (levels[:-1] + levels[1:]) / 2
    absmax = torch.rand(20_000, 1, generator=GENERATOR) + 0.5
    values = absmax * midpoints
    tips = nf4.nearest_codes(values / absmax, levels) != nf4.nearest_codes(
        values * (1 / absmax), levels
    )
    rows, columns = tips.nonzero(as_tuple=True)
    assert len(rows) > 10
    for row, column in list(zip(rows, columns, strict=True))[:50]:
        for size in (2, 64):  # a short block divides, a whole one multiplies
            weights = torch.zeros(size)
            weights[0], weights[1] = absmax[row, 0], values[row, column]
            theirs = bnb.dequantize_4bit(*bnb.quantize_4bit(weights, quant_type="nf4"))
            assert torch.equal(nf4.round_trip(weights), theirs.flatten())


@pytest.mark.parametrize("block", [32, 64, 128, 4096])
def test_any_block_size_gives_the_bits_of_bitsandbytes(block: int) -> None:
    weights = normal(576, 600)
    stored, state = bnb.quantize_4bit(
        weights, blocksize=block, quant_type="nf4", compress_statistics=True
    )
    ours = nf4.quantize(weights, block=block, double=True)
    assert isinstance(ours.absmax, nf4.Constants)
    assert torch.equal(ours.absmax.codes, state.absmax)
    assert torch.equal(ours.absmax.absmax, state.state2.absmax)
    assert torch.equal(ours.absmax.mean, state.offset)
    assert torch.equal(nf4.dequantize(ours), bnb.dequantize_4bit(stored, state))


def test_the_code_books_are_those_of_bitsandbytes() -> None:
    assert torch.equal(nf4.nf4_code(), bnb.get_4bit_type("nf4", device="cpu"))
    assert torch.equal(nf4.dynamic_code(), bnb.create_dynamic_map())
    theirs = bnb.get_4bit_type("fp4", device="cpu").unique()
    assert torch.equal(nf4.code_book("fp4"), theirs)


def test_the_4_bit_float_has_two_bits_of_exponent_and_one_of_mantissa() -> None:
    normal_ones = [2.0**exponent * (1 + bit / 2) for exponent in range(3) for bit in (0, 1)]
    magnitudes = [0.0, 0.5, *normal_ones]
    assert (6 * nf4.code_book("e2m1")[7:]).tolist() == pytest.approx(magnitudes)


def test_the_nf4_levels_are_quantiles_of_the_normal() -> None:
    from scipy.stats import norm

    levels = nf4.nf4_code().double()
    below_tail = norm.cdf(levels.numpy() * norm.ppf(nf4.NF4_TAIL))
    assert below_tail[8:] == pytest.approx(
        [0.5 + (nf4.NF4_TAIL - 0.5) * k / 8 for k in range(1, 9)]
    )
    assert below_tail[:7] == pytest.approx(
        [0.5 - (nf4.NF4_TAIL - 0.5) * k / 7 for k in range(7, 0, -1)]
    )
    assert levels[7] == 0 and levels[0] == -1 and levels[15] == 1


def test_int4_rounds_to_the_nearest_seventh() -> None:
    weights = torch.tensor([0.7, 0.34, -0.16, 0.04, -0.7])
    back = nf4.round_trip(weights, code="int4")
    assert back.tolist() == pytest.approx([0.7, 0.3, -0.2, 0.0, -0.7])


@given(st.lists(st.integers(0, 15), min_size=1, max_size=41))
@settings(max_examples=50, deadline=None)
def test_unpacking_undoes_packing(numbers: list[int]) -> None:
    codes = torch.tensor(numbers * 2, dtype=torch.uint8)
    packed = nf4.pack(codes)
    assert packed.numel() * 2 == codes.numel()
    assert torch.equal(nf4.unpack(packed, codes.numel()), codes)
    assert packed[0] == 16 * codes[0] + codes[1]


NORMAL = st.floats(-(2.0**99), 2.0**99, width=32, allow_subnormal=False)


@given(st.lists(NORMAL, min_size=1, max_size=200))
@settings(max_examples=50, deadline=None)
def test_no_value_is_further_off_than_half_the_widest_gap(values: list[float]) -> None:
    weights = torch.tensor(values)
    levels = nf4.nf4_code()
    half_gap = float((levels[1:] - levels[:-1]).max() / 2)
    padded = torch.nn.functional.pad(weights, (0, -len(values) % 64)).view(-1, 64)
    limit = padded.abs().amax(dim=1).repeat_interleave(64)[: len(values)] * half_gap
    assert ((nf4.round_trip(weights) - weights).abs() <= limit * 1.0001).all()


@pytest.mark.parametrize("code", ["nf4", "fp4", "e2m1", "int4"])
def test_values_on_the_levels_come_back_unchanged(code: str) -> None:
    levels = nf4.code_book(code)
    assert torch.equal(nf4.round_trip(levels, code=code), levels)


@pytest.mark.parametrize("block", [64, 128])
@pytest.mark.parametrize("double", [False, True])
def test_the_bits_per_parameter_are_those_of_the_stored_bytes(block: int, double: bool) -> None:
    weights = normal(1024, 1024)
    counted = 8 * nf4.quantize(weights, block=block, double=double).n_bytes / weights.numel()
    assert counted == pytest.approx(nf4.bits_per_parameter(block=block, double=double), abs=1e-4)


def test_double_quantization_takes_the_constants_from_half_a_bit_to_0_127() -> None:
    assert nf4.bits_per_parameter() - 4 == 0.5
    assert nf4.bits_per_parameter(double=True) - 4 == pytest.approx(8 / 64 + 32 / (64 * 256))
    assert round(nf4.bits_per_parameter(double=True) - 4, 3) == 0.127


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        nf4.quantize(torch.tensor([0.1, bad]))


def test_what_cannot_be_quantized_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="int64 cannot be quantized"):
        nf4.quantize(torch.arange(4))
    with pytest.raises(ValueError, match="empty"):
        nf4.quantize(torch.zeros(0, 3))
    with pytest.raises(ValueError, match="block is 0"):
        nf4.quantize(torch.ones(4), block=0)
    with pytest.raises(ValueError, match="'nf4' or one of .*'fp4', 'e2m1', 'int4'"):
        nf4.quantize(torch.ones(4), code="nf5")
