# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Quantize to NF4
# {{colab_badge}}
#
# **How do weights fit in 4 bits?**
#
# Four bits can name sixteen values. A model of this course has over a hundred million weights, nearly
# all of them different. QLoRA claims that sixteen values are enough. In this lesson you build its number
# format step by step, prove that you got every bit right, and measure what is lost.

# %% [markdown]
# You will be able to
#
# - say why one scale for a whole matrix fails, and what a block costs
# - derive the sixteen levels of NF4 from the normal distribution
# - pack two codes into a byte, and quantize the constants once more
# - count the bits of a weight, constants included
# - measure the damage: in the weights, and in what the model says
#
# **Before you start:** lesson 00. Lesson 06 is a good companion, but not needed.
#
# | | |
# |---|---|
# | Reading time (estimate, 200 words a minute) | about 12 minutes, exercises apart |
# | Run time on 2 CPU cores | printed at the end |
# | Run time on a T4, on a big GPU | not measured |
# | RAM | printed at the end |
# | VRAM | none needed |
# | Download | nothing new after lesson 00 |

# %% tags=["setup"]
# The builder replaces this cell.

# %%
import time

import torch
from bitsandbytes import __version__ as bnb_version

from labkit import catalogue, hardware, models, settings
from labkit.classroom.checks import lesson_07 as check

started_s = time.perf_counter()
torch.manual_seed(0)
machine = hardware.describe(hardware.detect())
versions = hardware.versions()
print(machine)
print(f"python {versions['python']}, torch {versions['torch']}, bitsandbytes {bnb_version}")

# %% [markdown]
# We load the small model in 32 bits, so that no other rounding comes in between. One matrix goes with us
# through the lesson: the output projection of the attention in the fourth layer.

# %%
float32 = catalogue.Choice(catalogue.SMALL_MODEL, "cpu", "float32", False, "for exact comparisons")
llm = models.load_language_model(catalogue.SMALL_MODEL, choice=float32)
layers = llm.model.model.layers
weight = layers[3].self_attn.o_proj.weight.detach()  # (out, in)
print(f"{tuple(weight.shape)} weights, standard deviation {weight.std():.4f}")
print(f"the largest is {weight.abs().max() / weight.std():.1f} standard deviations from zero")

# %% [markdown]
# ## 1. The wrong way first: one scale for all
#
# The plain idea: divide by the largest absolute value, the *absmax*, so that everything lies between −1 and 1.
# Multiply by 7, round to a whole number, keep that. This is 4-bit integer quantization, *int4*.


# %%
def int4(values: torch.Tensor, absmax: torch.Tensor) -> torch.Tensor:
    return (values / absmax * 7).round() / 7 * absmax


def error(values: torch.Tensor, rounded: torch.Tensor) -> float:
    """Return the root mean square error as a share of the root mean square weight."""
    return float((values - rounded).pow(2).mean().sqrt() / values.pow(2).mean().sqrt())


# %% [markdown]
# **Predict.** Fifteen steps for the whole matrix. How large is the typical error, compared to a typical
# weight?
#
# - a) about 1 %
# - b) about 10 %
# - c) more than half of it
#
# Commit to one before you run.

# %%
whole = int4(weight, weight.abs().max())
print(f"error: {error(weight, whole):.0%} of a typical weight")
print(f"{(whole == 0).float().mean():.0%} of the weights became zero")

# %% [markdown]
# **Explain.** It was c. The step is a seventh of the *largest* weight, and the largest is far out. A weight
# smaller than half a step becomes zero. How much of this is the fault of a few? Let us keep all
# weights and only bring the largest down.

# %%
limit = 4 * weight.std()
tamed = weight.clamp(-limit, limit)
n_out = int((weight.abs() > limit).sum())
print(f"{n_out} weights ({n_out / weight.numel():.2%}) are beyond 4 standard deviations")
print(f"error without them: {error(tamed, int4(tamed, tamed.abs().max())):.0%}")

# %% [markdown]
# Fewer than one weight in a thousand, the *outliers*, sets the scale for everybody. You cannot throw them away: large weights tend to
# matter. So keep the scale local.

# %% [markdown]
# ## 2. Blocks
#
# Cut the matrix into blocks of 64 weights in a row, each with its own absmax. An outlier now spoils
# its own 63 neighbours, and nobody else.


# %%
def int4_blocks(values: torch.Tensor, block: int) -> torch.Tensor:
    blocks = values.reshape(-1, block)  # (n_blocks, block)
    return int4(blocks, blocks.abs().amax(dim=1, keepdim=True)).reshape(values.shape)


print(f"one scale:    {error(weight, whole):.1%}")
print(f"blocks of 64: {error(weight, int4_blocks(weight, 64)):.1%}")

# %% [markdown]
# **Predict.** Each block stores its absmax as a 32-bit number. How many bits does a weight take then, in
# blocks of 64?
#
# - a) 4, the constants do not count
# - b) 4.5
# - c) 6

# %%
from labkit.classroom import figures

block_sizes = (16, 32, 64, 128, 256, 576)
points = [(4 + 32 / b, 100 * error(weight, int4_blocks(weight, b))) for b in block_sizes]
for block, (bits, percent) in zip(block_sizes, points, strict=True):
    print(f"blocks of {block:3}: {bits:.2f} bits a weight, error {percent:4.1f} %")

# %%
today = time.strftime("%Y-%m-%d")
caption = f"attention output of layer 4, {llm.name}, {today}, {machine}"
saved = points[2][1] / points[-1][1]
ax = figures.lines(
    {"int4": points},
    title=f"Blocks of 64 have {saved:.0%} of the error of whole rows",
    xlabel="bits a weight, constants included",
    ylabel="error (% of a typical weight)",
    caption=caption,
)
for block, place in zip(block_sizes, points, strict=True):
    ax.annotate(f" {block}", place, va="bottom")
ax.set_ylim(0, 1.1 * points[-1][1])
ax.figure

# %% [markdown]
# **Explain.** It was b: 32 bits shared by 64 weights are half a bit each. Smaller blocks are more exact and
# cost more. The numbers on the line are block sizes. QLoRA takes 64, and so do we from here on.

# %% [markdown]
# ## 3. Put the levels where the weights are
#
# int4 has evenly spaced levels. Are the weights evenly spread? Divide each by its block's absmax, and look.

# %%
blocks = weight.reshape(-1, 64)
scaled = (blocks / blocks.abs().amax(dim=1, keepdim=True)).flatten()
for low, high in ((0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1.01)):
    share = ((scaled.abs() >= low) & (scaled.abs() < high)).float().mean()
    print(f"between {low:.2f} and {min(high, 1):.2f}: {share:.0%}")

# %% [markdown]
# Mostly near zero, as trained weights usually are: close to a normal distribution. Levels far out are
# rarely used. The idea of *NormalFloat*: choose levels so that each is used about equally often. For
# a normal distribution these are its *quantiles*.
#
# Zero must be exact, since many things in a model are zero. That leaves fifteen levels: seven below and
# eight above.

# %%
from statistics import NormalDist

TAIL = 0.9677083  # the outermost probability; 1 would lie at infinity
quantile = NormalDist().inv_cdf
above = [quantile(p) for p in torch.linspace(TAIL, 0.5, 9)[:-1].tolist()]
below = [-quantile(p) for p in torch.linspace(TAIL, 0.5, 8)[:-1].tolist()]
levels = torch.tensor([*below, 0.0, *above]).sort().values
levels = levels / levels.max()
print(*(f"{level:.4f}" for level in levels))

# %% [markdown]
# Those are the sixteen numbers in every QLoRA model. Are they exactly the library's?

# %%
import bitsandbytes.functional as bnb

assert torch.equal(levels, bnb.get_4bit_type("nf4", device="cpu"))
print("the sixteen levels equal those of bitsandbytes, bit for bit")

# %% [markdown]
# Two more formats to compare with. A 4-bit *float* has a sign, two bits of exponent, one of mantissa
# (E2M1). bitsandbytes has an FP4 of its own, which differs from E2M1 in one level. Look for it.

# %%
from labkit import nf4

books = {name: nf4.code_book(name) for name in ("int4", "fp4", "e2m1", "nf4")}
near_zero = (scaled.abs() < 0.25).float().mean()
n_near = {name: int((book.abs() < 0.25).sum()) for name, book in books.items()}
figures.levels_over_histogram(
    scaled.numpy(),
    {name.upper(): book.tolist() for name, book in books.items()},
    title=f"{near_zero:.0%} of the weights lie within ±0.25. There NF4 has {n_near['nf4']} levels, "
    f"int4 {n_near['int4']}",
    xlabel="weight divided by the absmax of its block of 64",
    caption=caption,
).figure

# %% [markdown]
# In words: NF4's levels are dense in the middle and thin out to both sides, as the weights do. FP4 of
# bitsandbytes has three levels almost on top of each other at zero.
#
# **Predict.** Order the four by their error on this matrix, in blocks of 64.
#
# - a) NF4, E2M1, int4, FP4
# - b) NF4, FP4, E2M1, int4
# - c) int4, E2M1, FP4, NF4


# %%
def round_to(values: torch.Tensor, book: torch.Tensor, block: int = 64) -> torch.Tensor:
    blocks = values.reshape(-1, block)
    absmax = blocks.abs().amax(dim=1, keepdim=True)
    midpoints = (book[:-1] + book[1:]) / 2
    codes = torch.bucketize(blocks / absmax, midpoints)  # the number of the nearest level
    return (book[codes] * absmax).reshape(values.shape)


for name, book in sorted(books.items(), key=lambda pair: error(weight, round_to(weight, pair[1]))):
    print(f"{name:5} {error(weight, round_to(weight, book)):.1%}")

# %% [markdown]
# **Explain.** It was a. The order of the last two is a surprise: bitsandbytes' FP4 does worse than plain
# integers. It spends two of its levels so close to zero that they are hardly better than zero.
#
# `torch.bucketize` with the midpoints finds the nearest level. Do it in your own way now.

# %% [markdown]
# ### Exercise 1 (easy, 10 minutes): the nearest level
#
# Goal: for each of `values` `(n,)`, return the number (0, 1, 2, …) of the nearest of the `levels`. They may
# lie anywhere.
#
# <details><summary>Hint</summary>
#
# `values[:, None] - levels` has one row a value and one column a level. You want the column with the
# smallest distance.
#
# </details>


# %% tags=["stub"]
def nearest_code(values: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Return the number of the nearest level for each value."""
    raise NotImplementedError


# %% tags=["solution"]
def nearest_code(values: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Return the number of the nearest level for each value."""
    return (values[:, None] - levels).abs().argmin(dim=1)


# %%
check.nearest_code(nearest_code)
# %% [markdown]
# ## 4. Two codes in a byte
#
# A code is a number from 0 to 15. The smallest thing a computer stores is a byte, from 0 to 255. So put
# two codes into one: the first times 16, plus the second.

# %%
codes = nf4.nearest_codes(scaled, levels)  # (n,) uint8, each below 16
packed = codes[::2] << 4 | codes[1::2]  # (n / 2,) uint8
first, second, byte = int(codes[0]), int(codes[1]), int(packed[0])
print(f"codes {first} and {second} become {first} × 16 + {second} = {byte}, in bits {byte:08b}")
print(f"{weight.numel() * 4} bytes in 32 bits, {packed.numel()} bytes packed")

# %% [markdown]
# ### Exercise 2 (easy, 10 minutes): unpack
#
# Goal: from `packed` `(n,)`, bytes as `uint8`, return the codes `(2 n,)` in their first order.
#
# <details><summary>Hint</summary>
#
# `packed >> 4` moves the upper half down. `packed & 15` keeps the lower half. `torch.stack` with `dim=1`
# puts them side by side; then `flatten`.
#
# </details>


# %% tags=["stub"]
def unpack(packed: torch.Tensor) -> torch.Tensor:
    """Return the two codes of each byte, in order."""
    raise NotImplementedError


# %% tags=["solution"]
def unpack(packed: torch.Tensor) -> torch.Tensor:
    """Return the two codes of each byte, in order."""
    return torch.stack([packed >> 4, packed & 15], dim=1).flatten()


# %%
check.unpack(unpack)
# %% [markdown]
# ## 5. Quantize the constants, too
#
# Half a bit a weight goes into constants. QLoRA's *double quantization* stores each constant in 8 bits. For
# that, 256 constants share one 32-bit constant of their own, after their mean was subtracted.
#
# **Predict.** How many bits a weight do the constants take then?
#
# - a) 0.25
# - b) 0.127
# - c) 0.008

# %%
constants = blocks.abs().amax(dim=1)  # (n_blocks,)
single = nf4.quantize(weight)
double = nf4.quantize(weight, double=True)
for name, stored in (("one level", single), ("two levels", double)):
    bits = 8 * stored.n_bytes / weight.numel()
    print(f"{name}: {stored.n_bytes} bytes, {bits:.4f} bits a weight")
print(f"by the formula: {nf4.bits_per_parameter()} and {nf4.bits_per_parameter(double=True):.4f}")

# %% [markdown]
# **Explain.** It was b: 8 bits for 64 weights are 1/8, and 32 bits for 64 × 256 weights next to nothing. The
# bytes are counted, not calculated. What does the second rounding do to the weights?

# %%
print(f"one level:  error {error(weight, nf4.dequantize(single)):.3%}")
print(f"two levels: error {error(weight, nf4.dequantize(double)):.3%}")
stored_bits = {"nf4": nf4.bits_per_parameter(), "double": nf4.bits_per_parameter(double=True)}
for name, n_parameters in (("3.8 billion", 3_821_079_552), ("70 billion", 70_553_706_496)):
    gib = {kind: n_parameters * bits / 8 / 2**30 for kind, bits in stored_bits.items()}
    print(f"{name} weights: {gib['nf4']:.2f} GiB, with double quantization {gib['double']:.2f} GiB")

# %% [markdown]
# Almost free. (The two sizes are calculated as if every weight were quantized; real models keep embeddings
# and norms in 16 bits.)
#
# ### Exercise 3 (medium, 10 minutes): what constants cost
#
# Goal: return the bits a weight that the constants take. `block` weights share a constant. With
# `second_block=None` it has 32 bits; else it has 8, and `second_block` constants share one of 32 bits.
#
# <details><summary>Hint</summary>
#
# Ask of each constant: how many bits has it, and how many *weights* share it?
#
# </details>


# %% tags=["stub"]
def constant_bits(block: int, second_block: int | None) -> float:
    """Return the bits of constants per weight."""
    raise NotImplementedError


# %% tags=["solution"]
def constant_bits(block: int, second_block: int | None) -> float:
    """Return the bits of constants per weight."""
    if second_block is None:
        return 32 / block
    return 8 / block + 32 / (block * second_block)


# %%
check.constant_bits(constant_bits)
# %% [markdown]
# ## 6. Is it the real thing?
#
# You have built the pieces; `labkit.nf4` puts them together. bitsandbytes is what QLoRA runs in practice.
# First your inline version against the package, on the real matrix.

# %%
assert torch.equal(packed, single.packed)
gap = (round_to(weight, levels) - nf4.dequantize(single)).abs().max()
print(f"packed bytes equal; largest difference of a weight {gap:.0e}")

# %% [markdown]
# **Predict.** Now `labkit.nf4` against the library, on friendly and on nasty tensors. How large will the
# largest difference be?
#
# - a) exactly zero
# - b) around 1e-7, the rounding of 32-bit numbers
# - c) larger for the nasty ones

# %%
ties = torch.zeros(64)
ties[:15], ties[20] = (levels[:-1] + levels[1:]) / 2, 1.0
outlier = torch.randn(64, 64)
outlier[3, 5] = 1000.0
nasty = {
    "the real matrix": weight,
    "zeros": torch.zeros(8, 64),
    "one huge outlier": outlier,
    "odd shape, short last block": torch.randn(7, 13),
    "values halfway between levels": ties,
    "16-bit numbers": torch.randn(96, 65).bfloat16(),
    "very small numbers": torch.randn(64, 64) * 1e-36,
}

# %%
differences = []
for name, values in nasty.items():
    stored, state = bnb.quantize_4bit(values, quant_type="nf4", compress_statistics=True)
    theirs = bnb.dequantize_4bit(stored, state).flatten()
    ours = nf4.dequantize(nf4.quantize(values, double=True)).flatten()
    differences.append(float((theirs.float() - ours.float()).abs().max()))
    print(f"{name:30} largest difference {differences[-1]}")
assert max(differences) == 0

# %% [markdown]
# **Explain.** It was a: every bit agrees, double quantization included. That takes care. It matters, for example,
# whether you divide by the absmax or multiply by its inverse. One thing we do on purpose: a tensor with "not
# a number" in it is refused.

# %%
try:
    nf4.quantize(torch.tensor([0.1, float("nan")]))
except ValueError as problem:
    print(problem)

# %% [markdown]
# ## 7. What is lost?
#
# First, the weights. One layer's matrices, of two models. The second is the embedding model of lesson 02.
# Why two? You will see.

# %%
from safetensors import safe_open

from labkit.fetch import model_dir

file = model_dir(catalogue.EMBEDDING_MODEL) / "model.safetensors"
with safe_open(file, "pt") as stored:
    minilm = {name: stored.get_tensor(f"encoder.layer.3.{name}.weight")
              for name in ("attention.self.query", "output.dense")}  # fmt: skip
samples = {
    "attention\n(SmolLM2)": weight,
    "feed-forward\n(SmolLM2)": layers[3].mlp.down_proj.weight.detach(),
    "attention\n(MiniLM)": minilm["attention.self.query"],
    "feed-forward\n(MiniLM)": minilm["output.dense"],
    "drawn from\na normal": torch.randn(576, 576),
}
errors = {
    label: {name.upper(): 100 * error(w, nf4.round_trip(w, code=name)) for name in books}
    for label, w in samples.items()
}

# %%
worst_nf4 = max(row["NF4"] for row in errors.values())
figures.bars(
    errors,
    title=f"NF4 has the smallest error on all {len(errors)}: at most {worst_nf4:.1f} % of a weight",
    ylabel="error (% of a typical weight)",
    form="{:.1f}",
    caption=f"blocks of 64, {today}, {machine}",
).figure

# %%
assert all(min(row, key=row.get) == "NF4" for row in errors.values())
ratio = sum(row["INT4"] / row["NF4"] for row in errors.values()) / len(errors)
print(f"int4 has {ratio:.2f} × the error of NF4, on average over these matrices")

# %% [markdown]
# In words: NF4 is best everywhere. By how much depends on how long the tails are.
#
# **Predict.** Now a check of our own honesty. Take 32 neighbouring weights of the small language model as we
# loaded it, before any rounding of ours. How many *different* values are among them?
#
# - a) 32, or nearly
# - b) at most 16


# %%
def distinct(values: torch.Tensor) -> float:
    rows = values.reshape(-1, 32)[:1000]
    return max(len(row.unique()) for row in rows)


for label, values in samples.items():
    print(f"{label.replace(chr(10), ' '):25} at most {distinct(values)} different values in 32")

# %% [markdown]
# **Explain.** It was b. The small model comes out of a package that stores it in 4 bits already (a format
# called Q4_1: 16 even steps for 32 weights), so that it can be fetched without a model hub. We quantize
# what was quantized before. That is why MiniLM is in the figure: its weights are
# the original ones, and the errors are much the same.

# %% [markdown]
# Now what counts: does the model still predict text? We round every linear layer, and let the model
# read the manuals. The *loss* is how surprised it is by each next token.

# %%
from labkit.corpus import read_documents

folder = settings.data_dir() / "documents"
texts = [d.text for d in read_documents(folder, unreadable=[]) if d.id.startswith("SM")]
n_windows, n_layers = (2, 2) if settings.fast() else (8, len(layers))
tokens = llm.tokenizer(texts[:: max(1, len(texts) // n_windows)][:n_windows])["input_ids"]
windows = torch.tensor([ids[:128] for ids in tokens if len(ids) >= 128])  # (n, 128)
rounded_layers = [m for layer in layers[:n_layers] for m in layer.modules() if hasattr(m, "weight")]
matrices = [m.weight for m in rounded_layers if m.weight.ndim == 2]
originals = [matrix.detach().clone() for matrix in matrices]
print(
    f"{windows.numel()} tokens; {len(matrices)} matrices, {sum(map(torch.numel, matrices)):,} weights"
)


# %%
@torch.no_grad()
def losses() -> list[float]:
    """Return the mean loss of each window, in nats a token."""
    found = []
    for window in windows:
        logits = llm.model(window[None, :-1]).logits[0]
        found.append(float(torch.nn.functional.cross_entropy(logits, window[1:])))
    return found


@torch.no_grad()
def losses_rounded(**how) -> list[float]:
    for matrix, original in zip(matrices, originals, strict=True):
        matrix.copy_(nf4.round_trip(original, **how))
    return losses()


# %% [markdown]
# **Predict.** The typical weight is off by a tenth. By how much does the loss rise with NF4?
#
# - a) less than 10 %
# - b) 10 % to 50 %
# - c) the model no longer works

# %%
from labkit.measure import bootstrap_mean

formats = {
    "NF4": {"double": True},
    "E2M1": {"code": "e2m1"},
    "INT4": {"code": "int4"},
    "FP4": {"code": "fp4"},
}
base = losses()
loss = {"original": sum(base) / len(base)}
rises = {}
for name, how in formats.items():
    found = losses_rounded(**how)
    loss[name] = sum(found) / len(found)
    rises[name] = bootstrap_mean([b - a for a, b in zip(base, found, strict=True)])
    r = rises[name]
    print(
        f"{name:5} loss {loss[name]:.3f}, rise {r.mean:+.3f} (95 %: {r.low:+.3f} to {r.high:+.3f})"
    )

# %%
figures.bars(
    {name: {"rise": rise.mean} for name, rise in rises.items()},
    title=f"NF4 costs {rises['NF4'].mean:+.2f} nats a token, int4 {rises['INT4'].mean:+.2f}",
    ylabel="rise of the loss (nats a token)",
    form="{:+.2f}",
    caption=f"{windows.numel()} tokens of the manuals, {llm.name}, {today}, {machine}",
).figure

# %% [markdown]
# In words: the formats that hold the weights better hurt the model less. And the wrong way of section 1?

# %%
found = losses_rounded(code="int4", block=max(map(torch.numel, matrices)))
guessing = torch.tensor(float(llm.model.config.vocab_size)).log()
print(f"one scale for each matrix: loss {sum(found) / len(found):.2f}")
print(f"guessing each of {llm.model.config.vocab_size} tokens alike: {guessing:.2f}")
with torch.no_grad():
    for matrix, original in zip(matrices, originals, strict=True):
        matrix.copy_(original)

# %% [markdown]
# **Explain.** It was a: typical errors of a tenth, in every matrix, and the loss rises by a few percent. The
# errors are many and independent, so most of them cancel in a sum. It is not nothing: a loss can be
# trained down again, and C12 claims that LoRA does just that. With one scale for a matrix the
# model is worse than blind guessing.

# %% [markdown]
# ## Recap
#
# - One scale for a matrix lets a few outliers ruin all; blocks of 64 keep the damage local.
# - NF4's sixteen levels are quantiles of the normal distribution, with an exact zero.
# - A weight takes 4 bits, plus 0.5 for its constant, or 0.127 with double quantization.
# - Ours and bitsandbytes agree in every bit, on friendly and on nasty tensors.
# - Small errors of the weights are not small errors of the model: measure both.

# %% [markdown]
# ## What this does not show
#
# A small model suffers more from rounding than a large one, and this one had been rounded once before. A few
# windows of one kind of text are little: look at the intervals. Nothing here was faster or smaller while
# it ran, since we rounded and went back to 32 bits. Memory and speed are lesson 08.

# %% [markdown]
# ## Next
#
# **08 LoRA against QLoRA: what do I pay for less memory?** NF4 holds the frozen base, a LoRA adapter
# learns on top, and you measure bytes, seconds and quality side by side.

# %% [markdown]
# ## Claims
#
# The QLoRA paper (arXiv 2305.14314) reports a mean perplexity of 34.34 for Int4, 31.07 for FP4 (E2M1), 29.48
# for FP4 (E3M0) and 27.41 for NF4 with double quantization: *cited*, other models and other text. A perplexity
# is e to the power of the loss. Here NF4, E2M1 and int4 come in the same order. The last cell prints this run's
# numbers.
#
# | claim | how it was tested here |
# |---|---|
# | C10: QLoRA stores weights in 4 bits | bytes counted, with and without double quantization; memory in use follows in lesson 08 |
# | C12: quantization has an error to repair | loss of the same text, before and after; whether LoRA repairs it is lesson 08 |

# %%
from IPython.display import Markdown

from labkit.measure import peak_rss_bytes

bits = [8 * stored.n_bytes / weight.numel() for stored in (single, double)]
rise = rises["NF4"]
print(f"This lesson took {time.perf_counter() - started_s:.0f} s, "
      f"with a peak of {peak_rss_bytes() / 2**30:.1f} GiB RAM.")  # fmt: skip
order = ", ".join(f"{name} {torch.tensor(value).exp():.2f}" for name, value in loss.items())
Markdown(f"""
| claim | what we measured | hardware and date | kind |
|---|---|---|---|
| C10 | {bits[0]:.3f} bits a weight, {bits[1]:.3f} with double quantization | {machine}, {today} | measured |
| NF4 = bitsandbytes | largest difference {max(differences)} on {len(nasty)} tensors | {machine}, {today} | measured |
| C12 | loss {rise.mean:+.3f} ({rise.low:+.3f} to {rise.high:+.3f}) nats a token with NF4 | {machine}, {today} | measured |
| order of the formats | perplexity: {order} | {machine}, {today} | measured |
| order of the formats | perplexity: Int4 34.34, FP4 (E2M1) 31.07, NF4 27.41 | QLoRA paper | cited |
""")
