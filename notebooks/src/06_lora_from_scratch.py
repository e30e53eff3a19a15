# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # LoRA from scratch
# {{colab_badge}}
#
# **What does LoRA train?**
#
# Your model answers politely and in its own way. Nordvind wants one sentence and a source in square
# brackets. You could train the whole model on that. Or you freeze it, and train two thin matrices beside
# each of its layers. In this lesson you build these, train them on a real model, and prove that you
# built the same as the library.

# %% [markdown]
# You will be able to
#
# - count what full fine-tuning keeps in memory, and what LoRA saves of it
# - say what "low rank" means, and what has it: the weights, or their change
# - write a LoRA layer, put it into a model, and train it
# - tell alpha from the scale, so that a new rank does not spoil your run
# - merge an adapter, save it, and load it with peft
#
# **Before you start:** lesson 00. You have seen a training loop in PyTorch.
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
from peft import __version__ as peft_version

from labkit import answer_metrics, catalogue, exam, hardware, models, settings
from labkit.classroom.checks import lesson_06 as check

started_s = time.perf_counter()
today = time.strftime("%Y-%m-%d")
machine = hardware.describe(hardware.detect())
versions = hardware.versions()
print(machine)
print(f"python {versions['python']}, torch {versions['torch']}, peft {peft_version}")

# %%
device = catalogue.choose(hardware.detect()).device
in_32_bits = catalogue.Choice(catalogue.SMALL_MODEL, device, "float32", False, "exact comparisons")
llm = models.load_language_model(catalogue.SMALL_MODEL, choice=in_32_bits)
model, tokenizer = llm.model, llm.tokenizer
if settings.fast():  # a torso, for tests
    model.model.layers = model.model.layers[:4]
print(f"{llm.name}: {len(model.model.layers)} layers, weights in {model.dtype}, on {device}")

# %% [markdown]
# ## 1. The wrong way first: train everything
#
# What could we train? Let us count the parameters by what they do.

# %%
from collections import Counter

ROLES = {"embed_tokens": "embedding", "self_attn": "attention", "mlp": "feed-forward"}
n_by_role = Counter()
for name, parameter in model.named_parameters():
    role = next((role for part, role in ROLES.items() if part in name), "norms")
    n_by_role[role] += parameter.numel()
n_all = n_by_role.total()
for role, n in n_by_role.most_common():
    print(f"{role:13} {n:11,}  {n / n_all:6.2%}")
print(f"{'together':13} {n_all:11,}")

# %% [markdown]
# And what should it learn? Questions and answers from the course's training set, written in the model's own
# chat template. The label −100 means "do not grade this token": only the answer is graded, with the mark that
# ends it.

# %%
questions = [q for q in exam.load_exam("train") if q.kind == "lookup"]
n_lessons = 8 if settings.fast() else 64
lessons, unseen = questions[:n_lessons], questions[64 : 64 + n_lessons // 4]
print(f"{len(lessons)} questions to train on, {len(unseen)} to test with")


# %%
def conversation(question: exam.Question) -> list[dict[str, str]]:
    rule = {"role": "system", "content": "You answer for Nordvind Service."}
    return [rule, {"role": "user", "content": question.question}]


def encode(question: exam.Question) -> tuple[list[int], list[int]]:
    texts = (llm.prompt_text(conversation(question)), question.answer + tokenizer.eos_token)
    asked, answered = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return asked + answered, [-100] * len(asked) + answered


# %%
def batch(questions: list[exam.Question]) -> dict[str, torch.Tensor]:
    rows = [encode(question) for question in questions]
    length = max(len(tokens) for tokens, _ in rows)
    ends = [length - len(tokens) for tokens, _ in rows]
    ids = [tokens + [tokenizer.pad_token_id] * n for (tokens, _), n in zip(rows, ends, strict=True)]
    labels = [labels + [-100] * n for (_, labels), n in zip(rows, ends, strict=True)]
    return {name: torch.tensor(value, device=device)
            for name, value in (("input_ids", ids), ("labels", labels))}  # fmt: skip


# %% [markdown]
# Look at one example: what is graded of it?

# %%
first = lessons[0]
example = batch([first])
graded = example["labels"][0] != -100
print(f"{graded.numel()} tokens, {int(graded.sum())} of them graded:")
print(repr(tokenizer.decode(example["input_ids"][0][graded])))

# %% [markdown]
# Padding goes to the right, where no graded token can see it: a token looks to its left only.
#
# **Predict.** We run one step of full fine-tuning with AdamW. The weights are in memory anyway. How much
# *more* do gradients and optimizer take, in multiples of the weights?
#
# - a) 1 ×
# - b) 2 ×
# - c) 3 ×
#
# Commit to one before you run.


# %%
def training_bytes(optimizer: torch.optim.Optimizer) -> dict[str, int]:
    weights = list(model.parameters())
    gradients = [w.grad for w in weights if w.grad is not None]
    states = [v for s in optimizer.state.values() for v in s.values() if v.ndim > 0]
    parts = {"weights": weights, "gradients": gradients, "optimizer": states}
    return {name: sum(t.numel() * t.element_size() for t in part) for name, part in parts.items()}


# %%
frozen_still = torch.optim.AdamW(model.parameters(), lr=0.0, weight_decay=0.0)  # moves nothing
model(**batch(lessons[:2])).loss.backward()
frozen_still.step()
full_bytes = training_bytes(frozen_still)
del frozen_still
model.zero_grad(set_to_none=True)
for name, n_bytes in full_bytes.items():
    print(
        f"{name:10} {n_bytes / 2**20:7.0f} MiB  {n_bytes / full_bytes['weights']:.2f} × the weights"
    )

# %% [markdown]
# **Explain.** It was c: one gradient for each weight, and AdamW keeps two running means of it. (Activations come
# on top; lesson 08 accounts for them.) All of this is there only for parameters that *learn*. So: let
# fewer learn. But which?

# %% [markdown]
# ## 2. What is low about the rank?
#
# A matrix of *rank* r is a sum of r "columns times rows". Any matrix can be approximated by one of rank r.
# The *singular values* tell how good that gets: their squares sum to the squared entries.

# %% [markdown]
# Here is an experiment. We fully train two matrices of one layer, and look at the *update*: weight
# after, minus weight before.
#
# **Predict.** Which of these does an approximation of rank 8 hold well?
#
# - a) the trained weights, but not the update
# - b) the update, but not the weights
# - c) both

# %%
middle = model.model.layers[len(model.model.layers) // 2]
watched = {"v_proj": middle.self_attn.v_proj, "down_proj": middle.mlp.down_proj}
before = {name: layer.weight.detach().float().clone() for name, layer in watched.items()}
model.requires_grad_(False)
trainable = [layer.weight.requires_grad_(True) for layer in watched.values()]
learner = torch.optim.AdamW(trainable, lr=3e-4, weight_decay=0.0)
for step in range(2 if settings.fast() else 6):
    loss = model(**batch(lessons[4 * step % n_lessons :][:4])).loss
    loss.backward()
    learner.step()
    learner.zero_grad()
print(f"loss of the last batch: {loss.item():.2f}")

# %% [markdown]
# Keep the update, and put the old weights back: the model is to be as it was.

# %%
updates = {name: layer.weight.detach().float() - before[name] for name, layer in watched.items()}
with torch.no_grad():
    for name, layer in watched.items():
        layer.weight.copy_(before[name])
        layer.weight.requires_grad_(False)

# %% [markdown]
# Random numbers of the same shape join in: nothing about them has a low rank.

# %%
matrices = {
    "update of down_proj": updates["down_proj"],
    "weight of down_proj": before["down_proj"],
    "random numbers": torch.randn_like(before["down_proj"]),
}
spectra = {name: torch.linalg.svdvals(m.cpu()).tolist() for name, m in matrices.items()}

# %%
from labkit.classroom import figures

rank = 8
shares = {name: figures.energy(values) for name, values in spectra.items()}
kept = {name: share[rank - 1] for name, share in shares.items()}
ax = figures.lines(
    {name: list(enumerate(100 * share, 1)) for name, share in shares.items()},
    title=f"Rank {rank} holds {kept['update of down_proj']:.0%} of the update "
    f"and {kept['weight of down_proj']:.0%} of the weight",
    xlabel="rank of the approximation",
    ylabel="squared entries kept (%)",
    log="x",
    caption=f"{tuple(before['down_proj'].shape)} matrix, {llm.name}, {today}, {machine}",
)
figures.guide(ax, f"rank {rank}", x=rank).figure

# %% [markdown]
# **Explain.** It was b, with a grain of salt. The weight is spread over its directions nearly as widely as random
# numbers: there is no low rank in it. The update gathers in few directions, since all its steps come from the
# same few dozen answers. It has no *exact* low rank either: AdamW scales each entry by itself, and that blurs it.
# Whether a low rank is enough, training has to show.

# %% [markdown]
# ## 3. The layer
#
# LoRA takes that as its rule. Freeze the weight W. Beside it put A, `rank` rows, and B, `rank` columns. The
# output is `W x + scale · B A x`. The product B A has the shape of W and at most rank `rank`, and it is
# never written out: x goes through the thin A first.

# %%
from torch import nn


class LoraLayer(nn.Module):
    def __init__(self, base: nn.Linear, *, rank: int, alpha: float):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = alpha / rank
        new = {"dtype": torch.float32, "device": base.weight.device}
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features, **new))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank, **new))
        nn.init.kaiming_uniform_(self.lora_A, a=5**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.base(x)  # (…, out)
        narrow = x.to(torch.float32) @ self.lora_A.T  # (…, rank)
        return (out + self.scale * (narrow @ self.lora_B.T)).to(out.dtype)


# %% [markdown]
# That is all of it. A starts random and B starts at zero. Putting it into a model is a matter of names:
# replace every linear layer but the last one, which writes the words.


# %%
def put_in(model: nn.Module, *, rank: int, alpha: float) -> int:
    model.requires_grad_(False)
    wanted = [name for name, module in model.named_modules()
              if isinstance(module, nn.Linear) and name != "lm_head"]  # fmt: skip
    for name in wanted:
        parent, _, last = name.rpartition(".")
        layer = LoraLayer(model.get_submodule(name), rank=rank, alpha=alpha)
        setattr(model.get_submodule(parent), last, layer)
    return len(wanted)


# %%
with torch.no_grad():
    logits_before = model(**example).logits
torch.manual_seed(0)
n_layers = put_in(model, rank=8, alpha=16)
print(f"{n_layers} layers wrapped")

# %% [markdown]
# **Predict.** The model now has new random numbers in every layer. How do its answers change, before any
# training?
#
# - a) not at all
# - b) a little
# - c) it talks nonsense

# %%
with torch.no_grad():
    logits_after = model(**example).logits
n_new = sum(p.numel() for p in model.parameters() if p.requires_grad)
print(f"largest change of an output: {(logits_after - logits_before).abs().max().item()}")
print(f"{n_new:,} parameters learn, {n_new / n_all:.2%} of {n_all:,}")

# %% [markdown]
# **Explain.** It was a, exactly: B is zero, so B A is zero, whatever A is. Training starts from the model you
# know. And a small share of the parameters learns.
#
# If *both* started at zero, nothing would ever move: each one's gradient contains the other as a factor.

# %% [markdown]
# ### Exercise 1 (easy, 5 minutes): count what learns
#
# Goal: for layers with weights of the given shapes `(out, in)`, return how many numbers LoRA trains at a
# `rank`.
#
# <details><summary>Hint</summary>
#
# A has one row for each rank, as wide as the input. B has one column for each rank, as tall as the output.
#
# </details>


# %% tags=["stub"]
def count_trainable(shapes: list[tuple[int, int]], rank: int) -> int:
    """Return how many numbers A and B of all layers hold."""
    raise NotImplementedError


# %% tags=["solution"]
def count_trainable(shapes: list[tuple[int, int]], rank: int) -> int:
    """Return how many numbers A and B of all layers hold."""
    return sum(rank * (n_out + n_in) for n_out, n_in in shapes)


# %%
check.count_trainable(count_trainable)

# %% [markdown]
# ### Exercise 2 (medium, 10 minutes): the forward pass
#
# Goal: return the output of a LoRA layer for inputs `x` `(n, in)`, with plain matrices `W` `(out, in)`,
# `A` `(rank, in)`, `B` `(out, rank)`, and with `alpha` and `rank`.
#
# <details><summary>Hint</summary>
#
# A linear layer computes `x @ W.T`. Do the same with A, then with B, and think about what to multiply the
# result by.
#
# </details>


# %% tags=["stub"]
def lora_forward(x, W, A, B, alpha, rank):
    """Return the output (n, out) of a LoRA layer."""
    raise NotImplementedError


# %% tags=["solution"]
def lora_forward(x, W, A, B, alpha, rank):
    """Return the output (n, out) of a LoRA layer."""
    return x @ W.T + alpha / rank * (x @ A.T @ B.T)


# %%
check.lora_forward(lora_forward)

# %% [markdown]
# ## 4. Train it
#
# First, what does the model say about questions it will *not* be trained on, and how surprised is it by the
# house's answers?


# %%
@torch.no_grad()
def loss_unseen() -> float:
    return float(model(**batch(unseen)).loss)


loss_at_first = loss_unseen()
print(f"loss on {len(unseen)} unseen answers: {loss_at_first:.2f} nats a token")


# %%
def show_answers(n: int) -> list[str]:
    asked = [conversation(question) for question in unseen[:n]]
    said = [reply.text for reply in llm.generate_batch(asked, max_new_tokens=40)]
    for question, text in zip(unseen, said, strict=False):
        print(
            f"{question.question}\n   house: {question.answer}\n   model: {' '.join(text.split())}"
        )
    return said


n_shown = 1 if settings.fast() else 3
said_before = show_answers(n_shown)

# %% [markdown]
# Then the loop. It is the same as for any network; only the list of parameters is shorter.


# %%
def train(n_steps: int, *, lr: float = 2e-3, size: int = 4) -> list[float]:
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=lr, weight_decay=0.0)
    losses = []
    for step in range(n_steps):
        start = step * size % n_lessons
        loss = model(**batch(lessons[start : start + size])).loss
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if step < n_steps - 1:
            optimizer.zero_grad()
    train.bytes = training_bytes(optimizer)
    return losses


# %%
clock_s = time.perf_counter()
losses = train(4 if settings.fast() else 16)
train_s = time.perf_counter() - clock_s
print(f"{len(losses)} steps in {train_s:.0f} s, {train_s / len(losses):.1f} s a step")

# %%
loss_at_last = loss_unseen()
figures.losses(
    {"training": losses},
    title=f"Loss on unseen questions: {loss_at_first:.2f} before, {loss_at_last:.2f} after",
    caption=f"rank 8, scale 2, {len(losses)} steps of 4 answers, {today}, {machine}",
).figure

# %% [markdown]
# In words: the loss falls steeply at first, then slowly, and single batches jump. The title has the loss on
# questions that were not trained on.
#
# **Predict.** What did the model learn from these questions, for the ones it did not see?
#
# - a) the facts
# - b) the form of an answer
# - c) both
# - d) nothing

# %%
said_after = show_answers(n_shown)

# %%
for when, said in (("before", said_before), ("after", said_after)):
    in_form = sum(answer_metrics.follows_house_format(text) for text in said)
    right = sum(all(answer_metrics.contains_value(text, value) for value in question.values)
                for question, text in zip(unseen, said, strict=False))  # fmt: skip
    print(f"{when}: {in_form} of {len(said)} in house format, {right} of {len(said)} right")

# %% [markdown]
# **Explain.** It was b. A few dozen answers teach how Nordvind speaks: one sentence, then a source in square
# brackets. They do not teach what it knows. The answers to unseen questions now look right and cite a
# document, with values that are made up. That is more dangerous than before, and the reason why lesson 09 brings
# retrieval and training together.

# %% [markdown]
# And the memory? We count again, on the real tensors, right after the last step.

# %%
lora_bytes = train.bytes
for name in full_bytes:
    was, now = full_bytes[name] / 2**20, lora_bytes[name] / 2**20
    print(f"{name:10} full {was:7.1f} MiB   LoRA {now:7.1f} MiB")
parts = [name.rpartition(".")[2] for name, p in model.named_parameters() if p.grad is not None]
print("parameters with a gradient:", dict(Counter(parts)))

# %%
in_mib = {
    name: {how: b[name] / 2**20 for how, b in (("full", full_bytes), ("LoRA", lora_bytes))}
    for name in full_bytes
}
saved = 1 - sum(lora_bytes.values()) / sum(full_bytes.values())
figures.bars(
    in_mib,
    title=f"LoRA saves {saved:.0%} of these bytes: gradients and optimizer, not weights",
    ylabel="MiB",
    form="{:.0f}",
    caption=f"counted tensors, without activations; {llm.name}, {today}, {machine}",
).figure

# %% [markdown]
# In words: weights stay, they even grow by the adapter. Gradients and optimizer state nearly vanish. QLoRA
# is about the bar that is left; see lesson 07.

# %% [markdown]
# ## 5. Is it the real thing?
#
# `labkit.lora` is your layer with checks around it. It saves adapters in peft's own file format. So let peft
# read what you trained, on a freshly loaded model, and compare everything.

# %%
import tempfile
from pathlib import Path as FilePath

from labkit import lora

trained = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}
for name, module in list(model.named_modules()):
    if isinstance(module, LoraLayer):
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, module.base)

# %%
lora.inject(model, rank=8, alpha=16)
model.load_state_dict(trained, strict=False)
workshop = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
adapter_file = lora.save_adapter(model, FilePath(workshop.name))
print(next(layer for _, layer in lora.lora_layers(model)))

# %% [markdown]
# **Predict.** peft has thousands of lines, your layer has some twenty. How far apart are they?
#
# - a) identical up to the rounding of 32-bit numbers
# - b) close, but peft's results differ visibly

# %%
import warnings

from peft import PeftModel

warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers in an old way
fresh = models.load_language_model(catalogue.SMALL_MODEL, choice=in_32_bits).model
fresh.model.layers = fresh.model.layers[: len(model.model.layers)]
theirs = PeftModel.from_pretrained(fresh, workshop.name, is_trainable=True)

# %%
outputs = {"ours": model(**example), "peft": theirs(**example)}
gap = (outputs["ours"].logits - outputs["peft"].logits).abs().max().item()
largest = outputs["peft"].logits.abs().max().item()
print(f"largest difference of an output {gap:.1e}, of outputs up to {largest:.0f}")

# %% [markdown]
# Equal outputs could still hide unequal learning. So compare the gradients, matrix by matrix.

# %%
model.zero_grad()
for result in outputs.values():
    result.loss.backward()

peft_gradients = {
    name.replace("base_model.model.", "").replace(".default.weight", ""): p.grad
    for name, p in theirs.named_parameters()
    if p.requires_grad
}
distances = [float((p.grad - peft_gradients[name]).norm() / p.grad.norm())
             for name, p in model.named_parameters() if p.requires_grad]  # fmt: skip
print(f"{len(distances)} gradients, largest relative difference {max(distances):.1e}")
assert gap < 1e-3 and max(distances) < 1e-3

# %% [markdown]
# **Explain.** It was a. The adapter that you trained, in a file that you wrote, means the same to peft; and it would
# go on learning in the same way. The tests of the package prove it on other shapes, too, with Phi-3's
# fused layers among them.

# %% [markdown]
# ## 6. Rank and alpha
#
# Two knobs, and a trap. `rank` is the number of directions. What multiplies the update is not `alpha` but
# `scale = alpha / rank`. Some programs ask for the one, some report the other.
#
# **Predict.** You change the rank from 2 to 32 and want to keep the learning rate. What do you keep the same,
# so that training goes on as before?
#
# - a) alpha
# - b) the scale

# %%
del theirs, fresh, outputs, peft_gradients
recipes = {"rank 2, alpha 4": (2, 4), "rank 32, alpha 64": (32, 64),
           "rank 2, alpha 64": (2, 64), "rank 32, alpha 4": (32, 4)}  # fmt: skip
runs = {}
for name, (r, alpha) in list(recipes.items())[: 2 if settings.fast() else None]:
    lora.remove(model)
    torch.manual_seed(0)
    lora.inject(model, rank=r, alpha=alpha)
    runs[name] = train(2 if settings.fast() else 8, size=2)
    print(f"{name:17} scale {alpha / r:6.3f}  last four losses {sum(runs[name][-4:]) / 4:.2f}")

# %% [markdown]
# How far apart are two curves on average, if they share alpha, and if they share the scale?


# %%
def apart_by(one: str, other: str) -> float:
    pairs = zip(runs.get(one, losses), runs.get(other, losses), strict=False)
    return sum(abs(a - b) for a, b in pairs) / min(len(run) for run in runs.values())


same_scale = apart_by("rank 2, alpha 4", "rank 32, alpha 64")
same_alpha = [apart_by(f"rank 2, alpha {a}", f"rank 32, alpha {a}") for a in (4, 64)]

# %%
figures.losses(
    runs,
    title=f"Ranks 2 and 32: {max(same_alpha):.2f} apart with the same alpha,\n"
    f"{same_scale:.2f} apart with the same scale",
    window=4,
    caption=f"{llm.name}, learning rate 0.002, {today}, {machine}",
).figure

# %% [markdown]
# **Explain.** It was a. AdamW moves each number by about the learning rate, however small its gradient is. So each of
# the `rank` directions adds a piece of the same size, and the pieces point the same way. Sixteen times the
# directions make sixteen times the update; dividing by the rank takes that back.
#
# That is what the division is *for*: keep alpha when you change the rank. Whoever keeps the scale instead has
# changed the learning rate.

# %% [markdown]
# This holds for the beginning of training with AdamW. In the long run, a higher rank can hold more, and other
# rules for the scale have been proposed (rsLoRA divides by the root of the rank). `labkit.lora` prints rank, alpha
# and scale, and takes the first two by name only: whichever rule you follow, you see what you get.

# %% [markdown]
# ## 7. Merge and ship
#
# After training you may add `scale · B A` to W once and for all. The model is then an ordinary one again:
# same speed, no new code. Or you ship the adapter alone.
#
# ### Exercise 3 (easy, 5 minutes): merge
#
# Goal: return the one matrix `(out, in)` that does the work of `W`, `A` and `B` together.
#
# <details><summary>Hint</summary>
#
# `B @ A` has the shape of W. Do not forget what it is multiplied by.
#
# </details>


# %% tags=["stub"]
def merged_weight(W, A, B, alpha, rank):
    """Return the weight of the merged layer."""
    raise NotImplementedError


# %% tags=["solution"]
def merged_weight(W, A, B, alpha, rank):
    """Return the weight of the merged layer."""
    return W + alpha / rank * (B @ A)


# %%
check.merged_weight(merged_weight)
# %% [markdown]
# We load the adapter of section 4 from its file, and merge it. Do the outputs stay the same? And what is left of
# the update if the merged weights are then stored in 16 bits, as models usually are?

# %%
lora.remove(model)
lora.load_adapter(model, FilePath(workshop.name))
with torch.no_grad():
    apart = model(**example).logits
    lora.merge(model)
    merge_gap = (model(**example).logits - apart).abs().max().item()
print(f"largest change of an output by merging: {merge_gap:.1e}")

# %%
lost = []
for _, layer in lora.lora_layers(model):
    merged, update = layer.base.weight.detach(), layer.update().detach()
    in_16_bits = merged.bfloat16().float() - (merged - update)
    lost.append(float((in_16_bits - update).norm() / update.norm()))
print(f"error of the update after rounding to bfloat16: {sum(lost) / len(lost):.0%} on average")

# %% [markdown]
# In 32 bits merging changes nothing but the last digits. In 16 bits the sum is rounded to the few digits of
# the large weight, and part of the small update goes. Into 4-bit weights `labkit.lora` refuses to merge at all.
# Lesson 10 comes back to this.

# %%
adapter_bytes = adapter_file.stat().st_size
model_bytes = full_bytes["weights"]
print(f"adapter on disk {adapter_bytes / 2**20:.1f} MiB, model {model_bytes / 2**20:.0f} MiB: "
      f"{model_bytes / adapter_bytes:.0f} adapters in the space of one model")  # fmt: skip

# %% [markdown]
# ## Recap
#
# - LoRA freezes W and trains `scale · B A`, two thin matrices; B starts at zero.
# - It saves gradients and optimizer state, not weights and not activations.
# - `scale = alpha / rank` multiplies the update, so that a new rank needs no new learning rate: keep alpha.
# - A few dozen examples teach a form, not the facts.
# - Merged and unmerged are the same model, up to rounding; the adapter is a small file.

# %% [markdown]
# ## What this does not show
#
# Dozens of steps on one small model are no comparison of methods: full fine-tuning was not trained to the end
# here. The bytes leave out activations, which are the larger part for a small model. The low-rank update was
# seen in one layer, after a few steps of training.

# %% [markdown]
# ## Next
#
# **07 Quantize to NF4: how do weights fit in 4 bits?** LoRA left the weights as large as they were. Quantization
# takes them on.

# %% [markdown]
# ## Claims
#
# The last cell prints this run's numbers next to the claims.
#
# | claim | how it was tested here |
# |---|---|
# | C8: LoRA is fast and close to full fine-tuning in quality | learns the form in dozens of steps; the comparison is lesson 08 |
# | C9: LoRA cuts memory by a low-rank update | bytes counted on the tensors, full against LoRA; activations follow in lesson 08 |

# %%
from IPython.display import Markdown

from labkit.measure import peak_rss_bytes

mib = {
    how: sum(list(b.values())[1:]) / 2**20
    for how, b in (("full", full_bytes), ("LoRA", lora_bytes))
}
c8 = f"loss on unseen answers {loss_at_first:.2f} → {loss_at_last:.2f} in {len(losses)} steps, {train_s:.0f} s"
print(f"This lesson took {time.perf_counter() - started_s:.0f} s, "
      f"with a peak of {peak_rss_bytes() / 2**30:.1f} GiB RAM.")  # fmt: skip
Markdown(f"""
| claim | what we measured | hardware and date | kind |
|---|---|---|---|
| C8 | {c8} | {machine}, {today} | measured |
| C9 | gradients and optimizer: full {mib["full"]:.0f} MiB, LoRA {mib["LoRA"]:.0f} MiB; {n_new / n_all:.2%} of the parameters learn | {machine}, {today} | measured |
| C9 | rank {rank} holds {kept["update of down_proj"]:.0%} of an update, {kept["weight of down_proj"]:.0%} of a weight | {machine}, {today} | measured |
| ours = peft | outputs within {gap:.0e}, gradients within {max(distances):.0e} | {machine}, {today} | measured |
""")
