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
# # RAG plus fine-tuning
# {{colab_badge}}
#
# **Do they add up?**

# %% [markdown]
# Retrieval brings the page. Fine-tuning changes the reader. Each has been measured alone by now. Advice
# columns say: *combine them*. That is cheap to say, and it can be tested: four cells, the same questions
# in each, and a subtraction.
#
# At the end the claims get their verdicts, and your bets from lesson 01 are settled.

# %% [markdown]
# **You will be able to**
#
# - build training examples that teach reading and refusing instead of facts
# - compare the four cells of a two-by-two, question by question, and say whether gains add up
# - say how many examples a fine-tuning takes, and what wrong labels cost
# - test whether a stale model overrules the page in front of it
# - decide between RAG, fine-tuning and both from intervals
#
# **Before you start:** lessons 05 and 08.
#
# | | |
# |---|---|
# | reading time | about 9 minutes (estimated at 200 words a minute), exercises apart |
# | run time, 2 CPU cores | printed at the end |
# | run time, T4 / big GPU | not measured |
# | RAM | printed at the end |
# | VRAM | none needed |
# | download | nothing new after lesson 00 |

# %% tags=["setup"]
# The builder replaces this cell.

# %%
import time

from labkit.classroom import lesson
from labkit.classroom.checks import lesson_09 as check

started = time.perf_counter()
where, today = lesson.describe(lesson.detect()), time.strftime("%Y-%m-%d")
versions = lesson.versions()
print(f"{where}; torch {versions['torch']}, transformers {versions['transformers']}")

# %%
import random
import textwrap

from labkit import answer_metrics, exam, models
from labkit.store import open_course_store

base = models.load_language_model(models.SMALL_MODEL)
store = open_course_store()
train_questions, test_questions = exam.load_exam("train"), exam.load_exam("test")
print(f"{base.name}; {store.count()} chunks; {len(train_questions)} questions to learn from")

# %% [markdown]
# ## 1 What should it learn?
#
# The wrong way first. You have questions and answers, so you train on them: question in, answer out. Here
# is such an example, *closed book*.

# %%
from labkit import training_data
from labkit import training_data as contexts

lookups = [q for q in train_questions if q.kind == "lookup"]
closed = training_data.closed_book_examples(lookups)[0]
print(closed.messages[-1]["content"])
print("→", closed.answer)

# %% [markdown]
# What can a model take from that? The sentence's form, the house words, the habit of citing. And this one
# value, if it sees it often enough. It learns nothing about the next document. It even learns to state a
# value and a source without having seen one: the very habit you want to be rid of.
#
# The other way shows the page, too. Then the answer can be copied, and what is learned is copying.

# %%
opened = training_data.open_book_examples(lookups[:1], store, k=2, absent_share=0)[0]
print(opened.messages[-1]["content"])
print("→", opened.answer)

# %% [markdown]
# ### Exercise 1 (easy, 10 minutes): the evidence among distractors
#
# **Goal:** return the `k` passages of a training example: the `evidence` at position `place`, and around it
# the best of `found` that are not the evidence, in their order.
#
# <details><summary>Hint</summary>
#
# Filter `found`, keep the first k − 1, and `insert` the evidence. Search may have found the evidence as well; it
# must not stand there twice.
# </details>


# %% tags=["stub"]
def passages(evidence: str, found: list[str], k: int, place: int) -> list[str]:
    raise NotImplementedError


# %% tags=["solution"]
def passages(evidence: str, found: list[str], k: int, place: int) -> list[str]:
    shown = [passage for passage in found if passage != evidence][: k - 1]
    shown.insert(place, evidence)
    return shown


# %%
check.passages(passages)

# %% [markdown]
# Why at a random place? A model learns the cheapest rule that fits. If the proof always comes first, the rule
# is *copy from the top*, and reading is never learned.
#
# One thing more: in some examples the proof is taken away, and the right answer is the refusal. Otherwise
# the cheapest rule is *always copy something*.

# %%
from collections import Counter

absent = training_data.open_book_examples(lookups, store, k=2, absent_share=0.15)
lessons = Counter(
    "refuse" if answer_metrics.abstains(e.answer) else "copy the value" for e in absent
)
print(dict(lessons))
taken_away = next(e for e in absent if answer_metrics.abstains(e.answer))
print(f"…{taken_away.messages[-1]['content'][-160:]}\n→ {taken_away.answer}")

# %% [markdown]
# Here the refusal is the first word. So the model must decide before it has said what it is looking for. The
# recipe called *contrast* puts the refusal where the value would stand, and shows a question twice: with its
# proof and without. Up to that place both answers are the same. (`rag` shows readers the plain refusal in
# place of such half sentences.)

# %%
for example in training_data.contrast_examples(lookups[:1], store, k=2):
    print(f"{textwrap.shorten(example.messages[-1]['content'], 230)}\n→ {example.answer}\n")

# %% [markdown]
# ## 2 A reader, before and after
#
# If `labkit finetune --data contrast` left a trained reader on this machine, it is used here. If not, you train a
# small one now, on pairs like the one above.

# %%
answerable = [q for q in train_questions if q.kind in ("lookup", "jargon", "table", "updated")]
chosen = random.Random(0).sample(answerable, 4 if lesson.fast() else 108)
examples = training_data.contrast_examples(chosen, store, k=2)
print(f"{len(examples)} examples, {len(examples) - len(chosen)} of them to refuse")

# %%
from labkit import train
from labkit import train as adapters

folder = adapters.find(base.name)
if folder is None:
    config = train.TrainConfig(base.name, batch_size=4)
    folder = adapters.train_once(examples, config).folder
tuned = models.load_language_model(base.name, tuned=folder)

# %%
import json

training = json.loads((folder / train.RESULT_FILE).read_text("utf-8"))
log, used = training["log"], training["config"]
print(f"{used['method']}, rank {used['rank']}: {len(log)} steps, {training['n_tokens']} tokens")
print(f"{training['train_s']:.0f} s when it was trained")
print(f"loss {log[0]['loss']:.2f} → {log[-1]['loss']:.2f} nats a token")

# %% [markdown]
# Now ask both about documents that no training question touched. Four settings: nothing, the proof, the proof
# among distractors, the distractors alone. The proof is handed over, not searched: here only reading is on
# trial.
#
# **Predict.** Where will the tuned reader gain most over the base model?
#
# - a) with nothing: it has learned the domain
# - b) with the proof, alone or among distractors: it has learned to copy
# - c) with distractors only: it has learned to refuse

# %%
held_out = [q for q in test_questions if q.held_out and q.kind == "lookup"]
asked = held_out[:: 20 if lesson.fast() else 2]
n_new = 8 if lesson.fast() else 40
readers = {"base": base, "tuned": tuned}
shown = {s: [contexts.passages(q, store, s) for q in asked] for s in contexts.SETTINGS}
said = {
    (setting, name): contexts.ask(llm, asked, hits, max_new_tokens=n_new)
    for setting, hits in shown.items()
    for name, llm in readers.items()
}

# %%
print(f"{asked[0].question}\npapers: {asked[0].answer}")
for (setting, name), answers in said.items():
    print(f"{setting:22} {name:6} {textwrap.shorten(answers[0], 110)}")

# %%
from labkit import measure
from labkit.classroom import figures

right = {setting.replace(" and ", "\nand "): {} for setting in contexts.SETTINGS}
for (setting, name), answers in said.items():
    pairs = zip(asked, answers, strict=True)
    does = [contexts.does_right(question, answer, setting) for question, answer in pairs]
    right[setting.replace(" and ", "\nand ")][name] = measure.bootstrap_mean(does)

# %%
gained = {setting: row["tuned"].mean - row["base"].mean for setting, row in right.items()}
most = max(gained, key=gained.get)
figures.bars(
    right,
    title=f"Largest gain, {100 * gained[most]:+.0f} points: {' '.join(most.split())}",
    ylabel="does what the setting asks for (%)",
    caption=f"{len(asked)} lookups about held-out documents, {today}, {where}",
).figure

# %% [markdown]
# **Explain.** The title names the largest gain. *Right* means the value in the first three settings, and
# the refusal in the last. Look at the first group: no training question touched these documents, so
# whatever is right there is a guess. Now set *the proof* beside *distractors only*: who learned to refuse may
# refuse what stands there, and pay for one gain with another.
#
# So few questions tell large differences only. The recorded exam asks them all.

# %% [markdown]
# ## 3 The two-by-two
#
# Two readers, two books, four cells. All sat the whole exam, with what the search found. Each LoRA cell was
# trained for its own exam: for the closed book with and without passages, for RAG on contrast pairs.
#
# **Predict.** You know RAG alone from lesson 05. Fine-tuning alone saw many of the facts. What will both
# together reach?
#
# - a) about the better of the two
# - b) about the sum of their gains
# - c) clearly more than the sum

# %%
from labkit.classroom.reports import combine as combine_report

records = combine_report.load_records()
print((combine_report.missing(records) or "all four cells are recorded").replace("; ", "\n"))
print(combine_report.origin(records))

# %%
shares = combine_report.four(records)
figures.heat(
    shares,
    title=combine_report.four_finding(shares),
    xlabel="right answers (%, 95 % interval in brackets)",
    intervals=True,
    absent="not recorded\nyet",
    caption=f"{len(test_questions)} test questions, {base.name}, one passage",
).figure

# %% [markdown]
# To see whether gains *add up*, subtract question by question. If RAG and LoRA did not care about each
# other, both together would bring what each brings alone. What is left after that is called the interaction.

# %%
gains = combine_report.effects(records)
if gains:
    cells = [records.scores(pattern) for pattern in combine_report.FOUR.values()]
    alone, rag, lora, both = (
        [cell[q.id].exact_match for q in test_questions] for cell in cells
    )  # fmt: skip
    left = [b - r - lo + a for b, r, lo, a in zip(both, rag, lora, alone, strict=True)]
    mine = measure.bootstrap_mean(left)
    assert abs(mine.mean - gains["both − sum of the gains"].mean) < 1e-9
    print(f"by hand: {mine.in_points()}")
print(f"So: {combine_report.sums_up(gains)}.")

# %%
finding = combine_report.sums_up(gains)
ax = (
    figures.forest(
        gains,
        title=f"RAG and LoRA: {finding}",
        xlabel="right answers (percentage points)",
        caption=f"{len(test_questions)} test questions, paired; filled markers exclude zero",
    )
    if gains
    else figures.not_recorded(combine_report.missing(records))
)
ax.figure

# %% [markdown]
# **Explain.** The line *both − sum of the gains* decides between your choices: above zero means (c), around
# zero (b), below it (a) or less. There is a reason to expect (c). A page is worth nothing to a reader that
# does not read it, and reading is worth nothing without a page. The two are not two helpings of the same
# thing; each is the other's condition.

# %% [markdown]
# One number hides the kinds. Here is every recorded cell, QLoRA's too. Compare
# the rows *k = 3, reranked* with those of one passage: which reader profits from a better search?

# %%
table = combine_report.by_kind(records)
best = max(table, key=lambda cell: table[cell]["all"].mean)
figures.heat(
    table,
    title=f"Highest score over all kinds:\n{best}",
    xlabel="right answers by kind of question (%); the best of a column is bold",
    best=True,
    caption=combine_report.origin(records, list(combine_report.cells(records).values())),
).figure

# %% [markdown]
# **Predict.** Ten documents were held out: no training question touches them. For which cell will their
# questions be clearly harder than those about the others?
#
# - a) LoRA, closed book
# - b) LoRA with RAG
# - c) both of these

# %%
places = combine_report.by_place(records)
drops = {cell: row["held-out documents"].mean - row["seen documents"].mean
         for cell, row in places.items()}  # fmt: skip
changes = (f"{' '.join(cell.split())} {100 * drop:+.0f}" for cell, drop in drops.items())
figures.bars(
    places,
    title=f"Held-out minus seen, in points:\n{', '.join(changes)}",
    ylabel="right answers (%)",
    caption="answerable questions without tables; 95 % intervals",
).figure

# %% [markdown]
# **Explain.** Compare the whiskers before you believe a difference: there are far fewer held-out questions. A
# reader that recites must do worse where it has nothing to recite. A reader that copies need not care, as long
# as the page is found. If the cell with RAG holds its level on held-out documents, it has learned a
# skill, and the skill will last when the documents change.

# %% [markdown]
# Being right is one thing. What does a cell do when it is not right? Read *wrong but confident* beside
# *refuses the answerable*: a system can always buy fewer errors with more silence.
#
# **Predict.** One adapter learned to refuse at the first word (*early refusal*), the other where the value would
# stand. Which refuses more of the questions that *have* an answer?
#
# - a) the early one
# - b) the late one: it has seen more refusals
# - c) both alike

# %%
from IPython.display import Markdown

Markdown(combine_report.behaviour_table(records))

# %%
ANSWERABLE = [kind for kind in exam.KINDS if kind != "unanswerable"]
cell = combine_report.cells(records)
late, early = cell["LoRA, RAG"], cell["LoRA, RAG, early abstention"]
told = records.difference(late, early, "abstained", kinds=ANSWERABLE)
print(f"late minus early, abstained although answerable: {told.in_points()}")

# %% [markdown]
# **Explain.** The story is a good one: at the first word silence is the safe guess; once the model has written *the
# axial play is*, it knows what to look for. Now read the paired difference above. If its interval holds
# zero, the exam cannot tell the two apart, however good the story. And the adapters differ in more than
# that: the early one also practised with the book closed.

# %% [markdown]
# And what does silence buy at all? A third adapter saw the proof in every example (`finetune --data evidence`) and
# never learned to refuse. Both it and the late one were shown three reranked passages.

# %%
late = cell["LoRA, RAG, k = 3, reranked"]
never = cell["LoRA, RAG, k = 3, reranked, never abstains"]
for what, kinds in {"exact_match": ANSWERABLE, "wrong_but_confident": exam.KINDS}.items():
    told = records.difference(never, late, what, kinds=kinds)
    print(f"never minus late, {what} of {told.n}: {told.in_points()}")

# %% [markdown]
# The first line counts the questions that have an answer, the second all. What one line gains the other pays: right
# answers against confident errors. The whole exam's score hides it, since it counts a rightly refused question like a
# right value. Only you know what an error costs in your house. A wrong torque is dearer than a phone call.

# %% [markdown]
# The course set itself three goals for the combination, before it was measured. What is reached is bold.

# %%
Markdown(combine_report.goals(records))

# %% [markdown]
# ## 4 How much data, how clean?
#
# "Fine-tuning needs a large, high-quality data set." A recorded run tests it: 10, 30, 100 and 300 open-book
# examples, and 100 in which every fifth answer belongs to another question. The small sets were seen more often,
# so that all but the largest took about the same number of steps.
#
# **Predict.** What do the first 30 examples bring?
#
# - a) hardly anything: too few
# - b) the form of the answers, and little else
# - c) most of what 300 bring

# %%
size_run = combine_report.run_of(records, combine_report.SIZES)
no_sizes = combine_report.missing(records, combine_report.SIZES)
points = combine_report.size_series(size_run) if size_run else {}
ax = (
    figures.lines(
        points,
        title=combine_report.size_finding(points),
        xlabel="training examples",
        ylabel="right answers (%)",
        log="x",
        caption=f"{points[combine_report.CLEAN][0][1].n} test questions, one passage, recorded {size_run['date']}",
    )
    if points
    else figures.not_recorded(no_sizes)
)
ax.figure

# %%
for row in size_run["figures"]["runs"] if size_run else []:
    form, wrong = (measure.Interval.of(row[m]) for m in ("house_format", "wrong_but_confident"))
    silent = measure.bootstrap_mean([answer_metrics.abstains(a["text"]) for a in row["answers"]])
    print(f"{row['n_examples']:3} examples, {row['noise']:3.0%} wrong: house format {form}, "
          f"refuses {silent}, wrong but confident {wrong}")  # fmt: skip
if not size_run:
    print(no_sizes)

# %% [markdown]
# **Explain.** Read the lines in this order: form, silence, errors, and then the curve above. They need not come
# together. A refusal is the easiest house answer of all, the same sentence each time. So a short training can
# reach full marks for form, and few confident errors, by refusing most questions. Only the
# curve of right answers tells a reader from a mute. And look how wide its whiskers are.

# %% [markdown]
# ### Exercise 2 (medium, 15 minutes): spoil the labels
#
# **Goal:** return the answers with a `share` of them replaced, each by the answer of another question that is
# not the same. The same `seed` must spoil the same ones.
#
# <details><summary>Hint</summary>
#
# Make `chance = random.Random(seed)`. Draw `round(share * len(answers))` positions with `chance.sample`, and
# for each of them `chance.choice` among the answers that differ. Work on a copy.
# </details>


# %% tags=["stub"]
def spoil(answers: list[str], share: float, seed: int) -> list[str]:
    raise NotImplementedError


# %% tags=["solution"]
def spoil(answers: list[str], share: float, seed: int) -> list[str]:
    chance = random.Random(seed)
    spoiled = list(answers)
    for i in chance.sample(range(len(answers)), round(share * len(answers))):
        spoiled[i] = chance.choice([other for other in answers if other != answers[i]])
    return spoiled


# %%
check.spoil(spoil)

# %% [markdown]
# Wrong labels of this kind contradict the page. What they could teach is: *the page does not always matter*. Did
# they, in the recorded run? The verdict on C3 below compares the two runs question by question, and says whether
# so few questions and seeds can tell. Labels that are badly worded would teach something else. "Quality" is not
# one thing, so say which fault you mean.

# %% [markdown]
# ## 5 The facts change
#
# In lesson 05 the bulletins were indexed in seconds. Now there is also a model that was trained before them. Two such
# models were made for a recorded run. *Stale* learned the old values by heart, and nothing else. *Stale reader*
# learned them, and learned to read other pages as well.

# %% [markdown]
# **Predict.** You show them the bulletin's passage with the new value. Who still says the old one?
#
# - a) both: what was trained in overrules the page
# - b) the first, which never learned to read
# - c) neither: the page wins

# %%
effects_run = combine_report.run_of(records, combine_report.EFFECTS)
no_effects = combine_report.missing(records, combine_report.EFFECTS)
if effects_run:
    for context in combine_report.CONTEXTS:
        for reader, row in combine_report.stale_shares(effects_run, context=context).items():
            values = ", ".join(f"{what.split()[2]} {part}" for what, part in row.items())
            print(f"{context:12} {reader:13} {values}")
else:
    print(no_effects)

# %%
stale = combine_report.stale_shares(effects_run, context="new passage") if effects_run else {}
ax = (
    figures.bars(
        stale,
        title=combine_report.stale_finding(stale),
        ylabel="questions about changed facts (%)",
        caption=f"the bulletin's passage is shown; {base.name}, recorded {effects_run['date']}",
    )
    if stale
    else figures.not_recorded(no_effects)
)
ax.figure

# %% [markdown]
# **Explain.** The second bars are the price of stale weights. A low one does not acquit: is the *new* value said, or
# something else altogether? Both stale models hold the same old facts, and only one has practised copying.
# The lines under *no passage* show how well the old values were learned: what was never learned cannot
# overrule anything.

# %%
if effects_run:
    costs = effects_run["figures"]["trained"]
    again, index = costs["retrain_s"], costs["reindex_s"]
    print(f"train again: {again:.0f} s for {costs['retrain_tokens']} tokens")
    print(f"index again: {index:.1f} s, 1/{again / index:.0f} of the time" if index else "")
else:
    print(f"this reader took {training['train_s']:.0f} s; re-indexing: see lesson 05")

# %% [markdown]
# And seconds are the smaller part of it. Somebody has to notice that the model is stale, write new examples, and
# examine the result. A new document needs none of that.

# %% [markdown]
# ## 6 What it forgot
#
# A fine-tuned model has spent hundreds of steps on one house's papers. Has it become worse at everything else? The
# recorded check reads twelve plain paragraphs and completes forty everyday sentences, such as these.
#
# **Predict.** What happens to its loss on the plain paragraphs?
#
# - a) it falls: more training is more training
# - b) it rises a little
# - c) it rises a lot, as in the stories of *catastrophic forgetting*

# %%
clozes = combine_report.load_clozes()
for cloze in clozes[::16]:
    print(f"{cloze.start} … {cloze.right}; or {', '.join(cloze.wrong)}?")

# %%
n_clozes, n_texts = (3, 2) if lesson.fast() else (40, 12)
for name, llm in readers.items():
    done, loss = combine_report.general_now(llm, n_clozes, n_texts)
    print(f"{name:6} completes {done}; loss {loss.mean:.3f} ({loss.low:.3f}–{loss.high:.3f}) nats")

# %%
Markdown(combine_report.general_table(effects_run) if effects_run else no_effects)

# %% [markdown]
# **Explain.** The lines above come from the reader of section 2, live; the table from the recorded one. Compare by
# the paired difference: the two models read the same texts, so even a small rise can be sure. Whether it
# matters depends on the use: the exam asks about Nordvind, and a drop here costs nothing there. LoRA leaves the
# base as it was. Take the adapter off, and everything forgotten is back.

# %% [markdown]
# ## 7 The verdicts
#
# Now decide as the rules do: from intervals of paired differences, never from means.

# %% [markdown]
# ### Exercise 3 (medium, 15 minutes): decide
#
# **Goal:** each argument is the (low, high) interval of a difference: RAG minus base, LoRA minus base, both minus
# RAG, both minus LoRA. Return `"both"` if it surely beats each of the two; else `"RAG"` if that surely
# helps, else `"LoRA"` if that does, else `"neither"`.
#
# <details><summary>Hint</summary>
#
# *Surely* means: the lower end lies above zero. Four comparisons and three `if`s do.
# </details>


# %% tags=["stub"]
def decide(
    rag: tuple[float, float],
    lora: tuple[float, float],
    both_over_rag: tuple[float, float],
    both_over_lora: tuple[float, float],
) -> str:
    raise NotImplementedError


# %% tags=["solution"]
def decide(
    rag: tuple[float, float],
    lora: tuple[float, float],
    both_over_rag: tuple[float, float],
    both_over_lora: tuple[float, float],
) -> str:
    if both_over_rag[0] > 0 and both_over_lora[0] > 0:
        return "both"
    if rag[0] > 0:
        return "RAG"
    return "LoRA" if lora[0] > 0 else "neither"


# %%
check.decide(decide)

# %% [markdown]
# Your bets from lesson 01 (in the saved notebook those of somebody who believes everything), and what
# became of them:

# %%
from labkit.claims import bets

judged = combine_report.judge_all(records)
Markdown(bets.table(bets.load(), judged))

# %%
settled = Counter(bets.settle(bets.load()[v.claim.name], v.state) for v in judged)
print(dict(settled))
for verdict in judged:
    for command in verdict.missing:
        print(f"{verdict.claim.name} waits for: {command}")

# %% [markdown]
# Look at the verdicts that say *only if*. The condition is the part that the two-page explainer left out, and the
# part that you need when somebody asks you: *should we?* And *cannot tell* is not *no*: the interval holds zero
# and a difference that matters, or a training was judged on too few questions or seeds. Such a bet stays open.

# %% [markdown]
# ## Recap
#
# - Examples with the page in them teach reading; examples without it teach reciting.
# - Whether gains add up is a subtraction: both − RAG − LoRA + base, question by question.
# - Count refusals beside errors. Silence is the first thing a short training learns.
# - Weights remember what the papers no longer say. Test your stale model against the new page.
# - A verdict needs an interval, and most claims need a condition.

# %% [markdown]
# ## What this does not show
#
# One small model, one corpus, one seed a cell: another seed moves each trained cell by some points, and no
# interval here holds that. Larger models read without being taught; for them the gap between the rows may close.
# The noise is of one kind. The general check is short and simple, and sees coarse damage only. Training and test
# questions have the same author.

# %% [markdown]
# ## Next
#
# **10 Ship it: how do I put it to work?** You have a reader and a library. Now they need a door.

# %% [markdown]
# ## Claims
#
# | | claim | measured in |
# |---|---|---|
# | C1 | When answers need outside data, choose RAG | section 3, lesson 05 |
# | C2 | For stable, exact domain language, fine-tuning is better | section 3 |
# | C3 | Fine-tuning needs a high-quality data set | section 4 |
# | C4 | When data change often, RAG is flexible | section 5, lesson 05 |
# | C5 | RAG lets you find the source and reduces hallucination | section 3, lesson 05 |
# | C6 | Combining RAG and fine-tuning is best | section 3 |

# %%
Markdown(
    combine_report.claims_table(
        (verdict.claim.name, f"**{verdict.in_words}**: {verdict.finding}",
         f"recorded: {verdict.origin}" if verdict.origin else "–")
        for verdict in judged[:6]
    )
)  # fmt: skip

# %%
print(f"This run took {time.perf_counter() - started:.0f} s on {where}.")
print(f"Peak memory of this process: {lesson.peak_rss_bytes() / lesson.GIB:.1f} GiB.")
