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
# # RAG or fine-tuning?
# {{colab_badge}}
#
# **Which should I choose?**

# %% [markdown]
# You can give a small model what it lacks in two ways. Put the papers into its prompt, which is RAG.
# Or put them into its weights, which is fine-tuning. Everybody has an opinion on which is better.
#
# Before you hear one, you fix three things: how answers are marked, how bad the model is now, and what
# would have to be measured to change your mind.

# %% [markdown]
# **You will be able to**
#
# - mark an answer without a second model as the judge
# - say what an invented answer is made of
# - doubt a score of zero by the right amount
# - turn an opinion into a claim that a measurement can refute
# - ask for a decision whose every reason is a measurement
#
# **Before you start:** lesson 00.
#
# | | |
# |---|---|
# | reading time | about 15 minutes (estimated at 200 words a minute), exercises apart |
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
from labkit.classroom.checks import lesson_01 as check

started = time.perf_counter()
where = lesson.describe(lesson.detect())
versions = lesson.versions()
print(f"{where}; torch {versions['torch']}, transformers {versions['transformers']}")

# %% [markdown]
# ## 1 The exam
#
# Nordvind's technicians ask six kinds of question. *Lookup* wants one fact, *jargon* asks in a newcomer's
# words, *synthesis* needs two papers, *table* a row, *updated* a fact that a bulletin has changed.
# *Unanswerable* has no answer in the papers.

# %%
from collections import Counter

from labkit import answer_metrics, exam

questions = {question.id: question for question in exam.load_exam("test")}
kinds = Counter(question.kind for question in questions.values())
n_held_out = sum(question.held_out for question in questions.values())
print(f"{len(questions)} questions: {dict(kinds)}")
print(f"{n_held_out} of them rest on papers that no training question touches")

# %%
import textwrap


def say(label: str, text: str) -> None:
    print(textwrap.fill(text, 88, initial_indent=f"{label:>13}  ", subsequent_indent=" " * 15))


first_of_kind = {question.kind: question for question in reversed(questions.values())}
for kind in kinds:
    say(kind, first_of_kind[kind].question)
    say("", f"→ {first_of_kind[kind].answer}")

# %% [markdown]
# Each gold answer ends with its sources, and the exam knows the very sentence that proves it. So you need
# not trust the exam's author.

# %%
jargon = first_of_kind["jargon"]
for evidence in jargon.evidence:
    say(evidence.document, evidence.quote)
print(f"{'values':>13}  {list(jargon.values)}")
print(f"{'house terms':>13}  {list(jargon.terms)}")

# %% [markdown]
# Now somebody must mark the answers. The fashionable way is to ask a large model: *is this right?* It is
# convenient, and it likes long, confident prose. This course marks by the values alone.
#
# **Predict.** The gold value is `1.6 kg`. Which of four answers counts as right?
#
# - a) *It takes 1.6kg of grease.*
# - b) *Between 1.2 and 11.6 kg.*
# - c) *Not documented, perhaps 1.6 kg.*
# - d) the right value, at the end of a whole page

# %%
toy = exam.Question("toy", "lookup", "How much grease?", "It takes 1.6 kg. [SM-1]", ("1.6 kg",))
candidates = {
    "a": "It takes 1.6kg of grease.",
    "b": "Between 1.2 and 11.6 kg.",
    "c": "Not documented, perhaps 1.6 kg.",
    "d": "As everybody in the tower knows, " * 8 + "it takes 1.6 kg.",
}
for name, text in candidates.items():
    score = answer_metrics.score_answer(toy, text, citations=[])
    print(f"{name}) right {score.exact_match:.0f}, wrong but confident {score.wrong_but_confident}")

# %% [markdown]
# **Explain.** Only (a). A number must stand alone, a refusal is not an answer, and a page that holds
# everything says nothing. Note (c): it is not right, and it is not *wrong but confident* either. That is
# the measure a technician cares about: a wrong answer in a calm voice.

# %% [markdown]
# ### Exercise 1 (easy, 10 minutes): mark an answer
#
# Goal: return whether `answer` is right. It must hold every value of `values`, have at most 40 words, and
# not abstain. `answer_metrics.contains_value(text, value)` and `answer_metrics.abstains(text)` are yours to use.
#
# <details><summary>Hint</summary>
#
# `all(... for value in values)` asks for every value. `len(answer.split())` counts words.
# </details>


# %% tags=["stub"]
def is_right(answer: str, values: list[str]) -> bool:
    raise NotImplementedError


# %% tags=["solution"]
def is_right(answer: str, values: list[str]) -> bool:
    holds = all(answer_metrics.contains_value(answer, value) for value in values)
    return holds and len(answer.split()) <= 40 and not answer_metrics.abstains(answer)


# %%
check.is_right(is_right)

# %% [markdown]
# ## 2 The model alone
#
# The wrong way first: ask the model, without papers. It has 135 million parameters and has never heard of
# Nordvind.
#
# **Predict.** What will most of its answers look like?
#
# - a) *I don't know*, in some form
# - b) a sentence of the right shape with an invented value
# - c) the right value now and then: turbines are alike

# %%
from labkit import models, rag

llm = models.load_language_model(models.SMALL_MODEL)
asked = [first_of_kind[kind] for kind in exam.KINDS][: 2 if lesson.fast() else 6]
print(f"{llm.name} will answer {len(asked)} questions, without any papers")

# %%
live = rag.answer_closed_book([question.question for question in asked], llm)
for question, generation in zip(asked, live, strict=True):
    say(question.kind, question.question)
    say("model", generation.text)
    say("papers", question.answer)
    print()

# %% [markdown]
# A few answers are an anecdote. Here is the whole exam, asked once and recorded.

# %%
from labkit.classroom import reports

sat = reports.exams(llm.name)["closed book"]
answers = sat["figures"]["answers"]
for measure in ("exact_match", "wrong_but_confident", "abstention_recall"):
    print(f"{measure.replace('_', ' '):20} {reports.share(sat, measure)}")
print(f"{len(answers)} questions, recorded {sat['date']}: {sat['config']['command']}")

# %% [markdown]
# What are the wrong answers made of? Take every number with its unit out of them, and look for it in all of
# Nordvind's papers. Numbers that the question holds already do not count.

# %%
from labkit.corpus import read_documents

folders = [lesson.data_dir() / name for name in ("documents", "tables")]
documents = list(read_documents(folders, unreadable=[]))
papers = set().union(*(answer_metrics.numbers_in(document.text) for document in documents))
made_of = answer_metrics.count_answers(questions, answers, papers)
print(f"{len(documents)} documents and table rows hold {len(papers)} different numbers")

# %%
from labkit.classroom import figures

whole = Counter()
for row in made_of.values():
    whole.update(row)
nowhere = whole["a number from nowhere"] / len(answers)
figures.stacked(
    made_of,
    title=f"{nowhere:.0%} of all answers state a number that stands in no paper",
    xlabel="answers (%)",
    counts=True,
    caption=f"{len(answers)} closed-book answers of {llm.name}, recorded {sat['date']}",
).figure

# %%
politely = [answer for answer in answers if "sorry" in answer["text"].lower()]
print(f"{dict(whole)}")
print(f"answers that say sorry: {len(politely)} of {len(answers)}")

# %% [markdown]
# **Explain.** (b). The model has learned what an answer looks like, and nothing holds it back. Where it
# gives no number of its own, it turns the question into a statement. Saying *I don't know* is a skill too,
# and nobody taught it.
#
# *From the papers* does not mean right: the number stands there, about something else.

# %% [markdown]
# ### How sure is a zero?
#
# The score has an interval of zero to zero, because zeros resampled are zeros. Nobody is that certain.
#
# **Predict.** The model got none of the questions right. How good could it really be, if you are ready to be
# wrong one time in twenty?
#
# - a) 0 %, since the interval says so
# - b) about 1 %
# - c) about 5 %

# %%
n_asked = len(answers)
for share in (0.001, 0.01, 0.05):
    chance = (1 - share) ** n_asked
    print(f"if {share:.1%} of its answers were right: no hit in {n_asked} with chance {chance:.2g}")

# %% [markdown]
# **Explain.** (b). A model that is right 5 % of the time would hardly ever miss every question; one that is
# right 0.1 % of the time usually would. Between them lies a share at which the chance is just one in twenty.
# You compute it.

# %% [markdown]
# ### Exercise 2 (medium, 10 minutes): the zero's upper end
#
# Goal: return the largest share of right answers that still gives 0 of `n` with a chance of 0.05.
#
# <details><summary>Hint</summary>
#
# With share p, all n answers are wrong with chance `(1 - p) ** n`. Set it to 0.05 and solve for p; the
# n-th root of x is `x ** (1 / n)`.
# </details>


# %% tags=["stub"]
def highest_share(n: int) -> float:
    raise NotImplementedError


# %% tags=["solution"]
def highest_share(n: int) -> float:
    return 1 - 0.05 ** (1 / n)


# %%
check.highest_share(highest_share)

# %%
sizes = (3, 10, 30, 100, len(answers))
curve = [(n, 100 * answer_metrics.highest_share(n)) for n in sizes]
figures.lines(
    {"highest share": curve},
    title=f"None of {curve[-1][0]} right: still up to {curve[-1][1]:.1f} %; "
    f"none of {curve[1][0]}: up to {curve[1][1]:.0f} %",
    xlabel="questions asked, all answered wrongly",
    ylabel="true share could be (%)",
    caption="exact binomial bound, 95 %",
    log="xy",
).figure

# %% [markdown]
# In words: ten questions say next to nothing, three hundred a good deal. Keep this for every bar at zero in
# this course.

# %% [markdown]
# ## 3 Thirteen claims, thirteen bets
#
# The course grew out of a two-page explainer on RAG and fine-tuning, the kind that is shared a thousand
# times. It gives no evidence. These are its claims, as sentences that a measurement can refute.

# %%
from IPython.display import Markdown, display

from labkit.claims import bets

records = reports.load_records()
judged = reports.judge_all(records)
Markdown(bets.table(bets.load(), judged, reveal=False))

# %% [markdown]
# **Predict.** You can bet on three verdicts: *holds*, *holds only if*, *does not hold here*. Where the records cannot
# tell, or nothing is recorded yet, a bet stays open. How many of the thirteen hold as they stand, on this
# course's corpus and hardware?
#
# - a) nearly all: they are common knowledge
# - b) about half
# - c) hardly any, without an *only if*

# %% [markdown]
# Now bet, claim by claim. Fill in what you believe; a claim that you leave out stays with the believer, who
# bets that everything holds. Your bets are kept on this machine, and lesson 09 settles them.

# %%
my_bets = {}  # for example {"C1": "holds", "C7": "does not hold here"}
kept = bets.place(my_bets)
print(Counter(kept.values()))

# %%
from labkit.classroom import widgets

if lesson.static():
    print("In a live notebook you can also click your bets together here.")
else:
    display(widgets.bets_box(judged))

# %% [markdown]
# Without giving away which: this is where the verdicts stand, from what is recorded so far.

# %%
states = Counter(verdict.state for verdict in judged)
for state, count in states.most_common():
    print(f"{count:2} {state}")

# %% [markdown]
# **Explain.** Compare this with your prediction, and with the claims that are still open. No verdict is
# anybody's opinion. Each has a rule in code, and the rules never look at a mean alone. An interval that holds both
# zero and a difference that matters cannot tell, and the rule says so. Here is one.

# %%
c1 = judged[0]
say("claim", c1.claim.text)
say("rule", c1.claim.rule)
say("measured", c1.finding)
say("verdict", c1.in_words)

# %% [markdown]
# Each part is a *paired difference*: both systems answered the same questions, so their
# scores are subtracted question by question. The brackets say how far the mean would move on another exam of
# this size.

# %%
rag_exam, closed_book = "exam-rag-{model}", "exam-base-{model}"
gains = {
    kind: records.difference(rag_exam, closed_book, "exact_match", kinds=[kind])
    for kind in exam.KINDS
}
n_sure = sum(gain.low > 0 for gain in gains.values())

# %%
figures.forest(
    gains,
    title=f"RAG helps surely in {n_sure} of {len(gains)} kinds of question",
    xlabel="right answers, RAG minus closed book (percentage points)",
    caption=f"{llm.name}, one passage; {c1.origin}",
).figure

# %% [markdown]
# Filled markers exclude zero: the passages help where one sentence holds the answer. For the hollow ones
# nothing is sure, with this reader. Would you have written *choose RAG*, or *choose RAG if …*?

# %% [markdown]
# ### Exercise 3 (easy, 10 minutes): judge a claim
#
# Goal: `intervals` holds the lower and upper end of one difference for each part of a claim. A part is sure
# if its whole interval lies above zero. Return `"holds"` if all parts are sure, `"holds only if"` if some
# are, else `"does not hold here"`.
#
# <details><summary>Hint</summary>
#
# Collect `low > 0` for each pair. `all(...)` and `any(...)` do the rest.
# </details>


# %% tags=["stub"]
def judge_claim(intervals: list[tuple[float, float]]) -> str:
    raise NotImplementedError


# %% tags=["solution"]
def judge_claim(intervals: list[tuple[float, float]]) -> str:
    sure = [low > 0 for low, _ in intervals]
    if all(sure):
        return "holds"
    return "holds only if" if any(sure) else "does not hold here"


# %%
check.judge_claim(judge_claim)

# %% [markdown]
# ## 4 Which one for whom?
#
# The wrong way first, again. This is how the question is usually answered.


# %%
def rule_of_thumb(house_language: bool) -> str:
    return "fine-tuning: it is about style" if house_language else "RAG: it is about facts"


print(rule_of_thumb(house_language=True))
print(rule_of_thumb(house_language=False))

# %% [markdown]
# It fits on a slide, and cannot be wrong: it names nothing that could be measured.
#
# The course's helper works the other way round. You describe a case. For each of its traits the helper looks
# for a recorded measurement. A trait that nobody has measured yet gets no vote.
#
# **Predict.** Nordvind's papers change monthly, every answer needs a source, and answers come in house
# format. Which remedies can the records support today?
#
# - a) RAG
# - b) fine-tuning
# - c) both

# %%
from labkit.claims import decide

nordvind = decide.Case(changes="monthly", n_passages=1000, house_language=True, n_examples=448)
advice = decide.advise(nordvind, records)
print(f"Try first: {advice.choice}")
Markdown(decide.table(advice))

# %%
n_open = sum(decide.NOT_YET in reason.measured for reason in advice.reasons)
print(f"{n_open} of {len(advice.reasons)} reasons have a measurement outstanding")

# %% [markdown]
# **Explain.** The line above the table is the answer. Read the second column: it says which rows voted, and for what. A row without a vote is either
# a cost, or not measured yet; it then shows the command that would change that. So the advice is not final.
# It is as good as its records, and each later lesson adds some.

# %% [markdown]
# Now move the case about. Which traits change the advice, and which only its price?

# %%
cases = {
    "Nordvind": nordvind,
    "style, no facts": decide.Case(
        facts_in_documents=False, changes="never", traceable=False, n_examples=448
    ),
    "0.1 s an answer": decide.Case(n_examples=448, max_seconds=0.1),
    "1 M passages": decide.Case(n_passages=1_000_000, n_examples=448),
    "24 GiB card": decide.Case(gpu_gib=24, n_examples=448),
}
for name, case in cases.items():
    print(f"{name:16} {decide.advise(case, records).choice}")

# %%
for name, case in cases.items():
    for reason in decide.advise(case, records).reasons:
        if reason not in advice.reasons:
            say(name, f"{reason.trait}: {reason.measured}")

# %% [markdown]
# *Measure first* is an advice too. It means that no recorded measurement speaks for anything, or that one
# speaks against every remedy: on this machine no reader, with passages or without, answers in 0.1 s. Try your
# own case; the box asks the same function.

# %%
if lesson.static():
    print("In a live notebook a box asks about your case here.")
else:
    display(widgets.decision_box(records, case=nordvind))

# %% [markdown]
# ## 5 The board
#
# Whatever you build in this course sits the same exam, and gets a row.
#
# **Predict.** RAG shows the model the right page for about half of the questions. How many will it get right?
#
# - a) about half as well: it only has to copy
# - b) clearly fewer
# - c) more: it also knows things

# %%
runs = [
    run
    for run in reports.leaderboard()
    if run["config"]["system"] in ("base", "rag") and run["config"]["model"] == llm.name
]
measures = {"exact_match": "right", "wrong_but_confident": "wrong but confident"}
shares = {
    reports.name_of(run): {name: reports.share(run, key) for key, name in measures.items()}
    for run in runs
}
first, *_, last = shares
figures.dots(
    shares,
    title=f"{first}: {shares[first]['right'].mean:.0%} right;\n"
    f"{last}: {shares[last]['right'].mean:.0%}",
    xlabel="share of all exam questions (%)",
    caption=f"95 % bootstrap intervals over questions; recorded {runs[0]['date']}",
).figure

# %%
found = reports.right_page_first(runs[0])["all"]
best = reports.share(runs[0])
print(f"right page first: {found}; answered rightly: {best}")
print(reports.in_words(runs))

# %% [markdown]
# **Explain.** (b). Finding and reading are two skills, and this reader is weak. What you see is the gap that the
# course is about: lessons 02 to 05 work on finding, 06 to 09 on reading.
#
# Below each row stands the command that repeats it. In a terminal, `python -m labkit leaderboard` shows all
# rows, and `--verdicts` the claims.

# %% [markdown]
# ## Recap
#
# - Mark by values, not by taste: whole numbers, short answers, refusals apart.
# - Alone, this model answers everything and knows nothing; often its number stands in no paper.
# - A zero is not certainty: none of n leaves room for about 3 / n.
# - A claim is worth something once you can say which measurement would refute it.
# - An advice is as good as the measurements behind it; what is not measured has no vote.

# %% [markdown]
# ## What this does not show
#
# One model, one corpus, one exam; a larger model may invent less. Numbers were looked for by their
# spelling: a right value in other units counts as one from nowhere. Matching values misses an answer that
# is right in other words. And nothing was fine-tuned yet.

# %% [markdown]
# ## Next
#
# [Lesson 02: what does a vector database do?](02_build_a_vector_db.ipynb)

# %% [markdown]
# ## Claims
#
# All thirteen begin here, as bets. The verdicts so far are in `data/results/VERDICTS.md`; if you want to bet
# fairly, look later. This lesson measured one thing itself, the starting point for all of them.
#
# | | claim | verdict in |
# |---|---|---|
# | C1 | When answers need outside data, choose RAG | lessons 05 and 09 |
# | C5 | RAG lets you find the source and reduces hallucination | lessons 05 and 09 |

# %%
rows = [
    (claim, measure, {"closed book": reports.share(sat, measure)}, reports.origin(sat), "recorded")
    for claim, measure in (("C1", "exact_match"), ("C5", "wrong_but_confident"))
]
Markdown(reports.exam_table(rows, when="recorded"))

# %%
print(f"This run took {time.perf_counter() - started:.0f} s on {where}.")
print(f"Peak memory of this process: {lesson.peak_rss_bytes() / lesson.GIB:.1f} GiB.")
