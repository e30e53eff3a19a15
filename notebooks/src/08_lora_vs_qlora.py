# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # QLoRA head to head
# {{colab_badge}}
#
# **What do I pay for less memory?**

# %% [markdown]
# You built LoRA in lesson 06 and NF4 in lesson 07. QLoRA is one on top of the other: adapters on a base in
# four bits. People say that it needs much less memory, is about 30 % slower, and loses nothing.
#
# Three claims, each with a number missing: on which model, at which size of step, judged by what? Here full
# fine-tuning, LoRA and QLoRA get the same examples and the same budget, and you put the numbers in.

# %% [markdown]
# **You will be able to**
#
# - set up a comparison that is fair: same examples, same order, same budget
# - predict the memory of a step by part, and check it before you rent a card
# - say when QLoRA is slow and when it is not
# - tell whether an adapter repairs what four bits broke
# - choose a method for a budget
#
# **Before you start:** lessons 06 and 07. Lesson 04 explains the exam's passages.
#
# | | |
# |---|---|
# | reading time | about 20 minutes (estimated at 200 words a minute), exercises apart |
# | run time, 2 CPU cores | printed at the end |
# | run time, T4 / big GPU | not measured |
# | RAM | printed at the end |
# | VRAM | none needed |
# | download | nothing new after lesson 00 |

# %% tags=["setup"]
# The builder replaces this cell.

# %%
import pathlib
import time
import warnings

import torch

from labkit import catalogue
from labkit.classroom import lesson
from labkit.classroom.checks import lesson_08 as check

started = time.perf_counter()
today = time.strftime("%Y-%m-%d")
torch.manual_seed(0)
warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers in an old way
machine = lesson.detect()
where = lesson.describe(machine)
installed = lesson.versions()
print(f"{where}; torch {installed['torch']}, transformers {installed['transformers']}")

# %% [markdown]
# You will train short runs live. Longer ones, with the exam at their end, were recorded by one command. Each
# figure says which of the two it shows. If nothing is recorded, your live runs stand in.

# %%
from labkit.classroom.reports import methods as methods_report

MODEL = catalogue.SMALL_MODEL
record = methods_report.recorded(MODEL)
NOT_YET = "Not recorded yet. To record it (about ten minutes): python -m labkit bench methods"
print(f"Full, LoRA, QLoRA: {record.origin}." if record else NOT_YET)

# %% [markdown]
# ## 1 One budget, three methods
#
# Fair means: the same examples, in the same order, in the same batches, from the same seed. Some training
# questions are kept back: nobody learns from them, and all are judged by them. The exam's *test* questions stay
# closed.

# %%
n_learn, n_kept = (4, 2) if lesson.fast() else (24, 8)
learn, kept = methods_report.examples(n_learn, n_kept)
shown = next((e for e in learn if not e.answer.startswith("Not documented")), learn[0])
print(shown.messages[-1]["content"])
print(f"\nto learn: {shown.answer}")

# %% [markdown]
# Each example shows one passage and asks for the answer in the house's format. In some, the passage does not
# hold it, and the answer is to say so. Only the answer's tokens are
# graded, as in lesson 06.
#
# The number formats follow the machine: adapters sit on 16-bit weights where the hardware computes in 16
# bits, and on 32-bit weights elsewhere. Here:

# %%
from dataclasses import replace

from labkit import train

METHODS = ("full", "lora", "qlora")
PLAN = train.TrainConfig(MODEL, batch_size=4, rank=16, alpha=32)
for method in METHODS:
    formats = train.precision(method, machine)
    rate = catalogue.learning_rate(replace(PLAN, method=method))
    base = "NF4, computing in " if method == "qlora" else ""
    print(f"{method:6} base in {base}{formats.weights}, learning rate {rate:g}")


# %%
def load(method):
    config = replace(PLAN, method=method)
    llm = train.load_base(config, train.precision(method, machine))
    if lesson.fast():  # a torso, for tests
        llm.model.model.layers = llm.model.model.layers[:2]
    return llm, config


# %% [markdown]
# One thing is *not* the same: the learning rate. Every weight moves in full fine-tuning, so it takes smaller steps.
# Giving all three the same rate would be a race in which one runner wears another's shoes.
#
# Speed is counted in tokens a second. Which tokens? A batch is padded to its longest row. Padding is work
# for the machine and worth nothing to you.

# %%
from labkit import training_data

llm, _ = load("lora")
lengths = [len(training_data.encode(e, llm.tokenizer, max_tokens=1024)["input_ids"]) for e in learn]
grouped = training_data.length_grouped_order(lengths, batch_size=4, n_epochs=1, seed=0)
for name, order in (("as they come", range(n_learn)), ("grouped by length", grouped)):
    batches = [[lengths[i] for i in order[k : k + 4]] for k in range(0, n_learn, 4)]
    padded = sum(max(batch) * len(batch) for batch in batches)
    print(f"{name:17} {sum(lengths)} real tokens, {padded} with padding")

# %% [markdown]
# ### Exercise 1 (easy, 10 minutes): real tokens a second
#
# Goal: for each step you get the lengths of its rows, padding excluded, and its seconds. Return the real tokens
# a second of the whole run.
#
# <details><summary>Hint</summary>
#
# Add up all tokens, add up all seconds, divide once.
#
# </details>


# %% tags=["stub"]
def real_tokens_per_s(batches: list[list[int]], seconds: list[float]) -> float:
    """Return real tokens a second, e.g. of batches [[10, 4], [3, 3, 1]] in [2.0, 1.0] seconds."""
    raise NotImplementedError


# %% tags=["solution"]
def real_tokens_per_s(batches: list[list[int]], seconds: list[float]) -> float:
    """Return real tokens a second, e.g. of batches [[10, 4], [3, 3, 1]] in [2.0, 1.0] seconds."""
    return sum(sum(batch) for batch in batches) / sum(seconds)


# %%
check.real_tokens_per_s(real_tokens_per_s)

# %% [markdown]
# **Predict.** LoRA trains a few percent of the parameters. How many times quicker is its step than one of full
# fine-tuning?
#
# - a) about as many times as fewer parameters learn
# - b) a few times at most
# - c) it is many times slower: adapters are a detour
#
# Commit to one before you run.

# %%
import tempfile

from labkit.classroom import widgets

workshop = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
runs, losses = {}, {}
for method in METHODS:
    llm, config = load(method)
    if method != "full":
        losses["base" if method == "lora" else "nf4"] = methods_report.loss(llm, kept)
    show = None if lesson.static() else widgets.live_loss()
    out = pathlib.Path(workshop.name) / method
    runs[method] = train.train(learn, out, config, base=llm, on_step=show)
    losses[method] = methods_report.loss(llm, kept)

# %%
from IPython.display import Markdown, display

now = methods_report.live(runs, losses)
display(Markdown(methods_report.cost_table(now)))
print(f"{n_learn} examples, first step left out of the speed, {today}, {where}")

# %% [markdown]
# **Explain.** (b). Both run all layers forward, and both carry the gradient back through all of them. LoRA
# saves the gradients of the frozen matrices, a third of the large multiplications at best, and nearly all of
# AdamW's work. Its thin matrices cost some of that again. QLoRA does LoRA's work and unpacks every matrix
# first, twice a step. A handful of steps on a busy machine cannot tell small differences.

# %%
for method, run in runs.items():
    print(
        f"{method:6} loss of the first step, before anything was learned: {run.log[0]['loss']:.4f}"
    )

# %% [markdown]
# Here you see that the comparison is fair. Full and LoRA start from the same loss, on the same batch: an adapter
# begins at zero. QLoRA starts from another one. That difference is not the adapter. It is the four bits, and
# section 6 comes back to it.

# %%
from labkit.classroom import figures

comparison = record if record and len(record.trained) == 3 else now
losses_of, seconds_of = comparison.logged("loss"), comparison.logged("seconds")
label = f"{MODEL}, {comparison.origin}"
ends = {name: sum(of[-3:]) / 3 for name, of in losses_of.items()}
last = ", ".join(f"{name} {loss:.2f}" for name, loss in ends.items())
title = f"Mean loss of the last three steps: {last}"
figures.losses(losses_of, window=4, title=title, caption=label).figure

# %% [markdown]
# Every batch is new to the model when it is graded, so this is a loss on unseen examples. Now the same steps
# against the clock.

# %%
spent = {name: sum(of) for name, of in seconds_of.items()}
quickest = min(spent, key=spent.get)
told = ", ".join(f"{name} {s / spent[quickest]:.1f}×" for name, s in spent.items())
title = f"The same steps, in time of {quickest}: {told}"
figures.losses(losses_of, seconds=seconds_of, window=4, title=title, caption=label).figure

# %% [markdown]
# In words: the curves keep their heights and change their widths. "Better after as many steps" and "better after
# as many minutes" are two questions. Ask the second one when you pay by the hour.

# %% [markdown]
# Does the *trainer* change the race? All three methods ran in this course's. A recorded run put it beside
# transformers' own `Trainer` and TRL's `SFTTrainer`: the same adapter on the same batches, from a fresh model
# each. *Recomputed* means with checkpointing, which TRL turns on by default.

# %%
print(methods_report.engines())

# %% [markdown]
# Read the losses first: where those of a step differ by more than rounding, the engines do not train the same, and
# their times say nothing. A stock trainer makes logits for the prompt, too, which the loss ignores; this course's
# makes them for the answers only.

# %% [markdown]
# ## 2 Where the bytes are
#
# A step needs weights, gradients, optimizer states, activations kept for the backward pass, and logits.
# `fit.predict` computes each from the model's shape. `rehearsal.rehearse` runs the real step on tensors
# without contents, and adds up what is alive. Neither needs the memory.

# %%
from labkit import memory

small = methods_report.shape(MODEL)
if lesson.fast():
    small = replace(small, n_layers=2)
step = memory.StepConfig(batch=4, seq=512)
n_base = small.n_parameters()
n_adapter = memory.adapter_parameters(small, step)
print(f"{n_base:,} parameters; LoRA of rank 16 trains {n_adapter:,} = {n_adapter / n_base:.1%}")

# %% [markdown]
# ### Exercise 2 (easy, 10 minutes): what learning costs
#
# Goal: return the bytes of gradients and AdamW states for `"full"`, `"lora"` or `"qlora"`. AdamW keeps two running
# means of every gradient. Everything that learns does so in float32, four bytes a number.
#
# <details><summary>Hint</summary>
#
# First ask which parameters learn. Then: how many numbers does each of them drag along?
#
# </details>


# %% tags=["stub"]
def learning_bytes(method: str, n_base: int, n_adapter: int) -> int:
    """Return the bytes of gradients and optimizer states."""
    raise NotImplementedError


# %% tags=["solution"]
def learning_bytes(method: str, n_base: int, n_adapter: int) -> int:
    """Return the bytes of gradients and optimizer states."""
    n_learning = n_base if method == "full" else n_adapter
    return 3 * 4 * n_learning


# %%
check.learning_bytes(learning_bytes)

# %% [markdown]
# **Predict.** LoRA trains a few percent of the parameters. On this small model, in 16 bits, with four rows of 512
# tokens: what is LoRA's *peak*, compared with full fine-tuning's?
#
# - a) a few percent of it
# - b) about half
# - c) no smaller

# %%
bars = methods_report.rehearsed_bars(small, step)
figures.memory_parts(
    bars, caption=f"{MODEL}, 4 × 512 tokens, bf16, no checkpointing, {today}, {where}"
).figure

# %% [markdown]
# **Explain.** (c). Gradients and optimizer states melt away, as exercise 2 says. But they were the small part.
# Most of the bar is activations: they grow with tokens, not with what learns. And float32 adapters keep a
# float32 copy of every input of theirs, so LoRA has more of them, not fewer.
#
# Four bits shrink the weights. On a model this small, the weights were never the problem.

# %%
for checkpointing in (False, True):
    options = {"checkpointing": checkpointing, "answer_tokens": 128}
    plans = methods_report.predicted(small, replace(step, **options))
    told = ", ".join(f"{m} {plan.peak_bytes / lesson.GIB:.2f} GiB" for m, plan in plans.items())
    print(f"logits for the answers only, checkpointing {'on ' if checkpointing else 'off'}: {told}")

# %% [markdown]
# *Checkpointing* keeps only each block's input, and computes the rest again when it is needed. It removes the
# activations' share, and the order turns round: now the adapters' savings are what is left. So "LoRA saves
# memory" is a sentence with a condition.
#
# How near is a prediction to a real process? Each recorded run trained in a process of its own.

# %%
measured = methods_report.memory_bars(record) if record else []
figure = Markdown(NOT_YET)
if measured:
    caption = f"peak of the process above its imports, longest batch, {record.origin}"
    ax = figures.memory_parts(measured, measured_name="process", caption=caption)
    figure = ax.figure
figure

# %% [markdown]
# Freed memory was given back at once for these bars. Without that, C's allocator keeps blocks for later,
# and the process is larger than what is in it:

# %%
for name, of in (record.trained if record else {}).items():
    exact = record.exact_peaks.get(name)
    if exact:
        kept_back = of["peak_above_imports_bytes"] - exact
        print(f"{name:6} {kept_back / lesson.GIB:5.2f} GiB more as it usually runs")
print("Linux (glibc): MALLOC_MMAP_THRESHOLD_=1048576 gives freed blocks back, and costs some time.")

# %% [markdown]
# ## 3 The same methods where weights weigh
#
# Now take a model for which one would rent a card: Phi-3.5-mini, with billions of parameters. You need neither the
# weights nor the card: a rehearsal takes shapes only.
#
# **Predict.** One row of 1024 tokens, with checkpointing. How much memory does QLoRA need there, of what LoRA
# needs?
#
# - a) a quarter: four bits in place of sixteen
# - b) more than a third
# - c) nearly all of it, as on the small model

# %%
phi = methods_report.shape(catalogue.GPU_MODEL)
if lesson.fast():
    phi = replace(phi, n_layers=2)
row = memory.StepConfig(seq=1024, checkpointing=True)
large = methods_report.rehearsed_bars(phi, row)
caption = f"{phi.name}, 1 × 1024 tokens, bf16, checkpointing, {today}, {where}"
figures.memory_parts(large, card_bytes=16 * lesson.GIB, caption=caption).figure

# %% [markdown]
# **Explain.** (b). The weights shrink by more than three times. What does not shrink: embedding and output
# layer stay in 16 bits, adapters and their optimizer are the same, and so are the activations. The longer the
# rows, the more of the bar is activations, and the less QLoRA saves.
#
# What fits on which card is your question. The planner answers it with a margin, for what a card really gives: a
# T4 14.7 of its 16 GiB.

# %%
print(f"Longest row that fits, {phi.name}, batch 1, checkpointing (predicted):")
Markdown(methods_report.fits_table(phi, row, (8, 14.7, 23.5, 79.1)))

# %% [markdown]
# These are predictions for a GPU. Were they ever compared with one? If `make bench-gpu` was run on a card, its
# record lies here:

# %%
cards = methods_report.gpu_runs()
error = methods_report.gpu_error(cards)
print(methods_report.NO_GPU_YET if error is None else f"peaks within {error:.1%} on a GPU")

# %%
at = {"batch": 1, "seq": 1024, "checkpointing": True}
seen_bars = methods_report.gpu_bars(cards[0], phi.name, **at) if cards else []
figure = Markdown(methods_report.NO_GPU_YET)
if seen_bars:
    caption = f"{phi.name}, {cards[0]['hardware']['gpu_name']}, recorded {cards[0]['date']}"
    ax = figures.memory_parts(seen_bars, measured_name="allocated", caption=caption)
    figure = ax.figure
figure

# %% [markdown]
# ## 4 "About 30 % slower"
#
# Where does that number come from? The likely source is one widely read measurement: Llama-2-7B on one card, the same
# run with LoRA and with QLoRA.

# %%
from labkit.claims import published

lora_s, qlora_s = published.RASCHKA_S
print(f"cited: {lora_s:.0f} s with LoRA, {qlora_s:.0f} s with QLoRA ({published.RASCHKA})")
print(f"{qlora_s / lora_s - 1:+.0%} time, or {lora_s / qlora_s - 1:+.0%} examples an hour")

# %% [markdown]
# Two numbers for the same thing already: so much *more time* is so much *less throughput*, and they differ.
# And it is one model, one card, one size of step.
#
# **Predict.** You time QLoRA and LoRA on the same steps, from tiny ones to large ones. What happens to the ratio
# of their times as a step holds more tokens?
#
# - a) it falls towards 1
# - b) it stays the same
# - c) it grows

# %%
batches, rows = ((1, 2), (8, 16)) if lesson.fast() else ((1, 4), (32, 128))
bases = {method: load(method) for method in ("lora", "qlora")}
repeats = 1 if lesson.fast() else 3
live_ratios = methods_report.live_ratios(bases, batches, rows, repeats=repeats)
for batch, of_batch in live_ratios.items():
    print(f"{batch} rows: " + ", ".join(f"{n} tokens {r:.2f} ×" for n, r in of_batch.items()))

# %%
del bases
ratios = methods_report.ratios(record) or live_ratios
points = [(batch * n, ratio) for batch, row in ratios.items() for n, ratio in row.items()]
origin = record.origin if methods_report.ratios(record) else f"measured now, {today}, {where}"
smallest, largest = min(points), max(points)
figures.heat(
    ratios,
    title=f"QLoRA takes {smallest[1]:.2f}× the time at {smallest[0]} tokens a step, "
    f"{largest[1]:.2f}× at {largest[0]}",
    xlabel="tokens a sequence (in the cells: step time, QLoRA / LoRA)",
    ylabel="sequences a step",
    form="{:.2f}×",
    caption=f"{MODEL}, rank 16, {origin}",
).figure

# %% [markdown]
# **Explain.** (a). Before a matrix is used it must be unpacked, and this costs the same whether one token
# or a thousand wait for it. The multiplication grows with the tokens. So the overhead is a fixed sum, shared by the
# tokens of a step. Small steps pay most of it each. "30 %" is one point on this surface.

# %%
gpu_points = methods_report.gpu_ratios(cards)
cited = {"Qwen-7B, A100 (cited)": published.QWEN_RATIOS}
ax = figures.lines(
    {f"{MODEL}, CPU": points} | gpu_points | cited,
    title="One claim, many ratios: between "
    f"{min(r for _, r in points):.2f}× and {max(r for _, r in points):.2f}× here",
    xlabel="tokens a step",
    ylabel="step time, QLoRA / LoRA",
    log="x",
    joined=False,
    hollow=cited,
    caption=f"ours: {origin}; cited: {published.QWEN}",
)
figures.guide(figures.guide(ax, y=1), "“30 % slower”", y=1.3).figure

# %%
print("Our GPU is in the figure above." if gpu_points else methods_report.NO_GPU_YET)
Markdown(published.cited_table("C11"))

# %% [markdown]
# Others' numbers, cited, not repeated by us. Notice how far they spread, and in which direction: bigger
# models at batch 1 pay more, longer rows pay less. To compare yours with any of them, compare tokens a step first.

# %% [markdown]
# ## 5 Is it as good?
#
# Loss is what training sees. What you want is right answers. In the recorded run each method sat the same part of
# the exam, with one passage to read.
#
# **Predict.** A system answers half of 32 questions. How wide is the 95 % interval around its 50 %?
#
# - a) about ±3 points
# - b) about ±8 points
# - c) about ±17 points

# %%
from labkit.measure import bootstrap_mean

for n in (32, 128, 512):
    print(f"{n:4} questions, half of them right: {bootstrap_mean([0.0, 1.0] * (n // 2))}")

# %% [markdown]
# **Explain.** (c). So a short exam cannot rank methods that lie close together. It can tell what is far
# apart. Keep that in mind when a table on the web ranks methods by half a point.

# %%
scores = methods_report.scores(record) if record else {}
figure = Markdown(NOT_YET)
if scores:
    exact = scores["exact match"]
    told = ", ".join(f"{name} {share.mean:.0%}" for name, share in exact.items())
    caption = (
        f"{next(iter(exact.values())).n} test questions, one passage, {MODEL}, {record.origin}"
    )
    title = f"Exact match: {told}"
    figure = figures.bars(scores, title=title, ylabel="answers (%)", caption=caption).figure
figure

# %%
gaps = methods_report.score_differences(record) if record else {}
for pair, gap in gaps.items():
    verdict = "a difference" if gap.excludes_zero else "no difference that these questions show"
    print(f"{pair:18} {gap.in_points()}: {verdict}")
if not gaps:
    print(NOT_YET)
Markdown(published.cited_table("C8"))

# %% [markdown]
# The differences are paired: both systems met the same questions, as in lesson 05. Read "no difference
# shown" as just that. It is not "equal".
#
# The recorded cost of each method, beside its loss:

# %%
costs = methods_report.cost_table(record) if record else NOT_YET
Markdown(costs)

# %% [markdown]
# ## 6 Does LoRA repair the four bits?
#
# QLoRA's base is damaged by rounding. The adapter learns on top of it, so it could learn to undo some. To see
# that, you need a control. Take the adapter that was trained on the *whole* base, and move it onto the
# rounded one. It knows the task as well, and nothing of the damage.

# %% [markdown]
# **Predict.** On the kept answers, the moved adapter is
#
# - a) as good as QLoRA's own
# - b) better than no adapter, worse than QLoRA's own
# - c) worse than no adapter

# %%
from labkit import models

llm, _ = load("qlora")
moved = models.with_adapter(llm.model, pathlib.Path(workshop.name) / "lora")
now.parts["nf4"]["moved_adapter_held_out_loss"] = methods_report.loss(
    models.LanguageModel(MODEL, moved, llm.tokenizer), kept
)
for state, loss in methods_report.repair(now).items():
    print(f"{state:24} loss on {n_kept} kept answers {loss:.3f}")

# %%
found = record if record and len(methods_report.repair(record)) == 5 else now
repair = methods_report.repair(found)
share = methods_report.repaired_share(found)
won = f"{share:.0%} of it" if share and share > 0 else "nothing"
title = f"What moving loses, training on the rounded base wins back: {won}"
figures.bars(
    {name: {"loss": x} for name, x in repair.items()},
    title=title,
    ylabel="loss on kept answers (nats a token)",
    form="{:.2f}",
    caption=f"{MODEL}, {found.origin}",
).figure

# %% [markdown]
# **Explain.** Compare the three bars with an adapter. What QLoRA's own wins over the moved one is the repair; the
# rest of its gain is the task, which LoRA learns as well. If the two stand level, (a), nothing was
# repaired. The title computes the share. It may come out small, below zero, or above 100 %: few examples, few
# steps.
#
# So "QLoRA repairs the error" needs that control. A lower loss alone shows only that something was learned.

# %% [markdown]
# ## 7 The knobs, and the file
#
# Rank, alpha, targets, learning rate: everyone has a favourite. `bench sweeps` turns one at a time around a
# middle setting, with the same examples each time.

# %%
swept = methods_report.knobs(MODEL)
SWEEPS = "Not recorded yet. To record it (about ten minutes): python -m labkit bench sweeps"
figure = Markdown(SWEEPS)
if swept:
    (first, apart), *_ = methods_report.spread(swept.parts).items()
    title = f"What matters most is the {first}: {apart:.2f} nats between best and worst"
    xlabel = "loss on kept answers (nats a token)"
    found_losses = methods_report.knob_losses(swept.parts)
    ax = figures.dots(found_losses, title=title, xlabel=xlabel, caption=f"{MODEL}, {swept.origin}")
    best = min(loss for row in found_losses.values() for loss in row.values())
    figure = figures.guide(ax, "best", x=best).figure
figure

# %%
Markdown(methods_report.knob_table(swept.parts) if swept else SWEEPS)

# %% [markdown]
# The learning rate and alpha both set how far a step moves the weights. The ranks were tried at one
# alpha (lesson 06), so their line shows the rank by itself.
#
# **Predict.** You want ten experts: ten fine-tuned copies of the model. What do the ten take on the disk with
# adapters, compared with ten full copies?
#
# - a) about half
# - b) a few percent
# - c) the same: each needs the base

# %%
for method, run in runs.items():
    print(f"{method:6} {run.saved_bytes / 2**20:7.1f} MiB on disk")
for rank in (2, 16, 64):
    n = memory.adapter_parameters(phi, replace(row, rank=rank))
    print(f"{phi.name}, rank {rank:2}: {4 * n / 2**20:6.0f} MiB in float32 (computed)")

# %% [markdown]
# **Explain.** (b). The base lies on the disk once, and each expert adds its adapter. QLoRA's file is as large
# as LoRA's: its adapter is the same kind of adapter. What differs is the base it belongs to, and that is why an
# adapter should be kept together with the name *and* the format of its base.

# %% [markdown]
# ### Exercise 3 (medium, 15 minutes): choose
#
# Goal: `costs` gives for each method `peak_bytes`, `train_s` and `loss`. Return the name of the method with the
# lowest loss among those that keep both limits, or `None` if none does.
#
# <details><summary>Hint</summary>
#
# Filter first, then take the `min` of what is left, with `key=`. And if nothing is left?
#
# </details>


# %% tags=["stub"]
def choose_method(costs: dict[str, dict], memory_bytes: float, seconds: float) -> str | None:
    """Return the best method within a budget."""
    raise NotImplementedError


# %% tags=["solution"]
def choose_method(costs: dict[str, dict], memory_bytes: float, seconds: float) -> str | None:
    """Return the best method within a budget."""
    fitting_ones = [
        name
        for name, cost in costs.items()
        if cost["peak_bytes"] <= memory_bytes and cost["train_s"] <= seconds
    ]
    return min(fitting_ones, key=lambda name: costs[name]["loss"], default=None)


# %%
check.choose_method(choose_method)

# %% [markdown]
# ## Recap
#
# - Compare on the same examples, order and budget, and judge by answers that nobody learned from.
# - LoRA removes gradients and optimizer states. QLoRA removes weights. Neither removes activations.
# - On a small model activations decide; on a large one, weights do. Predict before you choose.
# - QLoRA's overhead is a fixed price a step, shared by its tokens: a surface, not 30 %.
# - A lower loss is not a repair. The control is an adapter that never saw the damage.

# %% [markdown]
# ## What this does not show
#
# The runs are short and the model is small: a longer training may rank the methods otherwise. One seed each.
# Learning rates are usual ones, not the best for each method. Memory of a process is not memory of a card. A CPU's
# ratio of unpacking to multiplying is not a GPU's. The exam's part is short, as its intervals say.

# %% [markdown]
# ## Next
#
# **09 RAG and fine-tuning together: when does which one win?** You have a reader that finds and one that
# learns. Now both sit the exam.

# %% [markdown]
# ## Claims
#
# | | claim |
# |---|---|
# | C8 | LoRA is fast and close to full fine-tuning in quality |
# | C9 | LoRA cuts memory by a low-rank update of the weight matrix |
# | C10 | QLoRA stores weights in 4 bits and needs much less memory |
# | C11 | QLoRA training is about 30 % slower than LoRA |
# | C12 | QLoRA uses LoRA to repair the quantization error |

# %%
speed = ", ".join(f"{name} {tokens:.0f}" for name, tokens in comparison.speeds.items())
peaks = {
    size: ", ".join(f"{b.label} {sum(b.predicted.values()) / 2**30:.2f}" for b in of)
    for size, of in ((MODEL, bars), (phi.name, large))
}
off = methods_report.peak_error(record) if record else None
claims = [
    ("C8", f"real tokens/s: {speed}; last losses: {last}", comparison.origin),
    ("C8", "; ".join(f"{pair} {g.in_points()}" for pair, g in gaps.items()), comparison.origin),
    *(("C9, C10", f"GiB, {size}: {x}", f"predicted, {today}") for size, x in peaks.items()),
    ("C9", f"prediction and process {off:.1%} apart" if off else "", comparison.origin),
    ("C11", f"{smallest[1]:.2f}× at {smallest[0]}, {largest[1]:.2f}× at {largest[0]}", origin),
    ("C12", f"of what moving an adapter loses, won back: {won}", found.origin),
]
if record and record.stale:
    claims.append(("C8, C12", f"the recorded runs are stale: {record.stale}", record.origin))
Markdown(methods_report.claims_table(claims))

# %%
print("C10, C11 on a GPU: sections 3 and 4." if cards else methods_report.NO_GPU_YET)
Markdown(published.cited_table("C8", "C9", "C10", "C11", "C12"))

# %%
workshop.cleanup()
print(f"This run took {time.perf_counter() - started:.0f} s on {where}.")
print(f"Peak memory of this process: {lesson.peak_rss_bytes() / lesson.GIB:.1f} GiB.")
