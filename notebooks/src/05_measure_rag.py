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
# # Measure RAG
# {{colab_badge}}
#
# **Is my RAG any good?**

# %% [markdown]
# Somebody shows you a demo: three questions, three good answers. Somebody else has read that
# reranking helps, and chunks of 500 words, and a prompt that says *please*. What do you believe?
#
# You will turn opinions into numbers, numbers into differences, and differences into decisions. Then
# the facts change, and then somebody attacks.

# %% [markdown]
# **You will be able to**
#
# - compute hit@k, recall@k, MRR and nDCG by hand
# - tell a real difference between two systems from luck
# - choose a setting without fooling yourself
# - say where retrieval fails, and let new facts win over old ones
# - put a price on citing, refusing and trusting
#
# **Before you start:** lesson 04, which builds the loop that you measure here.
#
# | | |
# |---|---|
# | reading time | about 25 minutes (estimated at 200 words a minute), exercises apart |
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
from labkit.classroom.checks import lesson_05 as check

started = time.perf_counter()
where, today = lesson.describe(lesson.detect()), time.strftime("%Y-%m-%d")
versions = lesson.versions()
print(f"{where}; torch {versions['torch']}, lancedb {versions['lancedb']}")

# %%
from labkit import answer_metrics, exam, models
from labkit.store import load_embedder, open_course_store

embedder = load_embedder()
store = open_course_store(embedder)
llm = models.load_language_model(models.SMALL_MODEL)
few = 6 if lesson.fast() else 1
test = [q for q in exam.load_exam("test") if q.evidence][::few]
print(f"{store.count()} chunks; {len(test)} answerable test questions")

# %% [markdown]
# ## 1 Four numbers for one ranking
#
# Retrieval returns a ranking. The exam knows the sentences that prove each answer, the *evidence*. So
# you can mark every hit: which pieces of evidence does it hold? All retrieval metrics are made of these
# marks.

# %%
from labkit import retrieval_metrics

modes = ("vector", "text", "hybrid")
asked = [q.question for q in test]
hits = {mode: store.search_many(asked, k=10, mode=mode) for mode in modes}

marks = {
    mode: [retrieval_metrics.relevance(q, h) for q, h in zip(test, found, strict=True)]
    for mode, found in hits.items()
}

# %%
two = [i for i, m in enumerate(marks["hybrid"]) if len(set().union(*m)) == 2]
number = next((i for i in two if not marks["hybrid"][i][0]), two[0])
case, of_case = test[number], marks["hybrid"][number]
print(f"{case.question}\n")
for rank, (hit, pieces) in enumerate(zip(hits["hybrid"][number], of_case, strict=True), 1):
    print(f"{rank:2} {hit.chunk_id:16} {f'holds evidence {sorted(pieces)}' if pieces else ''}")

# %% [markdown]
# **Predict.** This question needs two pieces of evidence, and the ranking above has both. Over the
# whole exam, which number will be the lowest?
#
# - a) hit@5: is any evidence among the first five?
# - b) recall@5: which share of it is?
# - c) MRR: one over the rank of the first evidence, on average
#
# Commit to one before you run.


# %%
def hit_at(marks, k):
    return float(any(marks[:k]))


def recall_at(marks, k, n_relevant):
    return len(set().union(*marks[:k])) / n_relevant


def one_over_rank(marks):
    return next((1 / rank for rank, pieces in enumerate(marks, 1) if pieces), 0.0)


# %%
import numpy as np

for mode, ranked in marks.items():
    hit_1, hit_5 = (np.mean([hit_at(m, k) for m in ranked]) for k in (1, 5))
    recall_5 = np.mean(
        [recall_at(m, 5, len(q.evidence)) for m, q in zip(ranked, test, strict=True)]
    )
    mrr = np.mean([one_over_rank(m[:5]) for m in ranked])
    print(f"{mode:7} hit@1 {hit_1:.2f}  hit@5 {hit_5:.2f}  recall@5 {recall_5:.2f}  MRR {mrr:.2f}")

# %%
for mode, ranked in marks.items():
    for q, m, found in zip(test, ranked, hits[mode], strict=True):
        labkits = retrieval_metrics.score_retrieval(q, found, k=5)
        mine = (hit_at(m, 1), recall_at(m, 5, len(q.evidence)), one_over_rank(m[:5]))
        assert (labkits.hit_at_1, labkits.recall_at_k, labkits.reciprocal_rank) == mine
print(f"labkit agrees on {len(test) * len(modes)} rankings")

# %% [markdown]
# **Explain.** (c). MRR punishes evidence that comes second or third; hit@5 does not care, and recall@5
# only notices evidence that is missing. None is *the* quality. Ask what reads the hits: a small model
# that is shown one passage lives on hit@1; a person who scans five lives on hit@5.
#
# The fourth number weighs every rank: a proof at rank *r* is worth 1/log2(*r* + 1).

# %%
gains = [bool(pieces) / np.log2(rank + 1) for rank, pieces in enumerate(of_case[:5], 1)]
perfect = [1 / np.log2(rank + 1) for rank in range(1, 3)]
print("worth of the ranks:", " ".join(f"{g:.2f}" for g in gains))
print(f"DCG {sum(gains):.2f}; a perfect ranking has {sum(perfect):.2f}")
print(f"nDCG@5 {sum(gains) / sum(perfect):.2f}")
print(f"labkit {retrieval_metrics.ndcg_at_k(of_case, 5, 2):.2f}")

# %% [markdown]
# ### Exercise 1 (medium, 15 minutes): nDCG
#
# **Goal:** return nDCG@k of a ranking. `relevant` is a list of ones and zeros by rank. `n_relevant`
# says how many relevant passages there are in the whole store, found or not.
#
# <details><summary>Hint</summary>
#
# Add up `relevant[i] / log2(i + 2)` over the first k. Divide by the same sum for a perfect ranking:
# ones in the first `min(k, n_relevant)` places.
# </details>


# %% tags=["stub"]
def ndcg(relevant: list[int], n_relevant: int, k: int) -> float:
    """Return the normalised discounted cumulative gain of the first k ranks."""
    raise NotImplementedError


# %% tags=["solution"]
def ndcg(relevant: list[int], n_relevant: int, k: int) -> float:
    worth = [1 / np.log2(rank + 1) for rank in range(1, k + 1)]
    gain = sum(r * w for r, w in zip(relevant, worth, strict=False))
    return float(gain / sum(worth[:n_relevant]))


# %%
check.ndcg(ndcg)

# %% [markdown]
# labkit's metrics are held to a second opinion: a test compares them with sentence-transformers' own
# evaluator on a public collection of images and on a generated one, to six digits.

# %% [markdown]
# ## 2 Is the difference real?
#
# The wrong way first. You have thirty questions of your own, as most people do who compare two systems.
# You ask both, and keep the winner.
#
# **Predict.** Over the whole exam, hybrid search beats vector search on hit@1. How often will thirty
# random questions of it say something else: a tie, or the opposite?
#
# - a) hardly ever
# - b) about one time in five
# - c) about every other time

# %%
right = {mode: np.array([hit_at(m, 1) for m in ranked]) for mode, ranked in marks.items()}
draw = np.random.default_rng(0)
samples = [draw.choice(len(test), 30, replace=False) for _ in range(2000)]
gaps = [right["hybrid"][s].mean() - right["vector"][s].mean() for s in samples]
print(f"all {len(test)} questions: hybrid {right['hybrid'].mean() - right['vector'].mean():+.1%}")
print(f"thirty questions: {min(gaps):+.0%} to {max(gaps):+.0%}")
print(f"no win for hybrid in {np.mean(np.array(gaps) <= 0):.0%} of the samples")

# %% [markdown]
# **Explain.** (b) comes closest: so often you would have kept the wrong system, or shrugged. Thirty
# questions find big differences only. A demo has three.
#
# So put intervals on it. But look closely at which ones.

# %%
from labkit import measure

for mode in ("vector", "hybrid"):
    print(f"{mode:7} {measure.bootstrap_mean(right[mode])}")
change = measure.paired_difference(right["hybrid"], right["vector"])
p = measure.sign_flip_p(right["hybrid"], right["vector"])
print(f"paired difference {change.in_points()}, p = {p:.4f}")

# %% [markdown]
# The two intervals on top ask how far each score would move on another exam. Both would move together:
# a hard exam is hard for both. So subtract question by question first, and put the interval on the
# differences. If it excludes zero, the order of the two is not an accident of these questions.
#
# The *p* answers the same in another way: how often would coin flips do as well? You build that now.

# %% [markdown]
# ### Exercise 2 (medium, 15 minutes): the sign-flip test
#
# **Goal:** `a` and `b` are the scores of two systems, question by question. `signs` has many rows of +1
# and −1, one column a question. Return the share of rows whose flipped differences sum up at least as
# far from zero as the real ones, in either direction.
#
# <details><summary>Hint</summary>
#
# `signs @ (a - b)` gives all flipped sums at once. Compare absolute values, with `>=`; subtract 1e-9
# from the right side, since floats are not exact.
# </details>


# %% tags=["stub"]
def sign_flip(a: np.ndarray, b: np.ndarray, signs: np.ndarray) -> float:
    """Return how often flipped differences get as far from zero as the real ones."""
    raise NotImplementedError


# %% tags=["solution"]
def sign_flip(a: np.ndarray, b: np.ndarray, signs: np.ndarray) -> float:
    changes = a - b
    return float(np.mean(np.abs(signs @ changes) >= abs(changes.sum()) - 1e-9))


# %%
check.sign_flip(sign_flip)

# %% [markdown]
# ## 3 The leaderboard
#
# Now everything at once: chunks of 30 to 240 words, with and without overlap, with and without
# headings; vector, text, two kinds of fusion; two rerankers; questions rewritten with the glossary. Each
# variant met the same test questions, in a recorded run. All weights were tuned on training questions.

# %%
from labkit.classroom.reports import rag as rag_report

board = rag_report.load_board(test, hits)
print(f"{len(board.rows)} variants on {board.n} questions, {board.origin}")
for name, value in board.tuned.items():
    print(f"tuned {name}: {value}")

# %% [markdown]
# - *hybrid* fuses ranks; *linear* adds scores, put on one scale
# - *lexical rerank* counts rare words in common; *late interaction* lets each token of the question find
#   its best match in the passage
# - *rewriting* adds the house term where the glossary's explanation stands in the question

# %% [markdown]
# **Predict.** The course's default is hybrid, 60 words, with headings. Which single change away from it
# costs or brings most?
#
# - a) leaving out headings
# - b) another chunk size
# - c) dropping one side of the hybrid
# - d) adding a reranker or rewriting

# %%
single = [
    "vector", "text", "linear", "hybrid, no headings", "hybrid, 30 words", "hybrid, 120 words",
    "hybrid, 240 words", "hybrid, overlap 15", "hybrid, overlap 30", "hybrid, rewriting",
    "hybrid, lexical rerank", "hybrid, late interaction rerank",
]  # fmt: skip

# %%
from labkit.classroom import figures

changes = rag_report.differences(board, single)
sure = [name for name, gap in changes.items() if gap.excludes_zero]
figures.forest(
    changes,
    title=f"{len(sure)} of {len(changes)} single changes make a difference that excludes zero",
    xlabel="change of hit@1 (percentage points)",
    caption=f"against hybrid, 60 words, headings; {board.n} test questions, {board.origin}",
).figure

# %% [markdown]
# **Explain.** (a) costs most: without its heading path a chunk no longer says which machine it is about. One
# side of the hybrid is close behind. Chunks can be cut too small; overlap does nothing here, since whole
# sentences are packed anyway. Of all additions only late interaction is sure to pay.
#
# Filled markers exclude zero, hollow ones do not: for these the honest answer is "we cannot tell".

# %% [markdown]
# Two comparisons deserve their own line: is hybrid search with headings better than vector search?

# %%
pairs = [("hybrid", "vector"), ("hybrid", "vector, no headings"), ("linear", "vector")]
pairs += [("hybrid", "hybrid, no headings"), ("vector", "vector, no headings")]
for one, other in (pair for pair in pairs if set(pair) <= board.rows.keys()):
    gap = rag_report.compare(board.rows[one], board.rows[other])
    print(f"{one} − {other}: {measure.Interval.of(gap).in_points()}, p = {gap['p']:.4f}")

# %% [markdown]
# Now choose. If you take the row that is best on the *test* questions, you have tuned on the test: with
# this many rows, one is lucky. So rank by the *training* questions, take the best, and only then
# look at its test score.

# %%
from IPython.display import Markdown

Markdown(rag_report.choice_table(board))

# %%
chosen, lucky = board.by_training[0], board.best_on_test
gap = board.rows[chosen]["difference"]
print(f"chosen on training: {chosen}: {measure.Interval.of(gap).in_points()}, p = {gap['p']:.4f}")
print(f"best on the test, with hindsight: {lucky}")

# %% [markdown]
# What does the winner cost? A search is one question against many vectors; a reranker reads every candidate.

# %%
from labkit import rerank

stopwatch, reader = measure.Stopwatch(), rerank.late_interaction(embedder)
for text in asked[:: len(asked) // 3][:3]:
    with stopwatch.stage("search"):
        candidates = store.search(text, k=20)
    with stopwatch.stage("late interaction"):
        rerank.rerank(text, candidates, reader)
for stage, seconds in stopwatch.seconds.items():
    print(f"{stage:17} {1000 * seconds / 3:6.0f} ms a question, 20 candidates, on {where}")

# %% [markdown]
# The reader's time can be paid in advance: keep the token vectors beside the passages, at the price of
# dozens of vectors a passage.
#
# Compare each row's training score with its test score: the leaders lose a little. Part of a winner's lead
# is luck, and it stays behind. What is left is the number to report.
#
# And k, how many passages to take? The ranks of the evidence were recorded, so every k can be read off.

# %%
by_k = rag_report.found_by_k(board, dict.fromkeys(("vector", "text", "hybrid", chosen)))
ahead = [best - plain for (_, best), (_, plain) in zip(by_k[chosen], by_k["vector"], strict=True)]
figures.lines(
    by_k,
    title=f"Ahead of vector search by {ahead[0]:.0f} points at k = 1, by {ahead[-1]:.0f} at k = 10",
    xlabel="passages taken (k)",
    ylabel="questions with some evidence found (%)",
    caption=f"{board.n} test questions, {board.origin}",
).figure

# %% [markdown]
# In words: what search and reranking improve is the order. Who reads ten passages needs them less.
#
# Chunk size is unfairly compared by hit@1. A longer chunk holds more, so it hits more easily, and it
# costs more to read. Give every variant the same 240 words of passages instead.

# %%
sizes = ("hybrid, 30 words", "hybrid", "hybrid, 120 words", "hybrid, 240 words")
Markdown(rag_report.reading_table(board, sizes))

# %% [markdown]
# So the verdict turns round. Per passage, long chunks look as good as any; per word read, small ones find
# more. Which matters depends, again, on who reads.

# %% [markdown]
# ## 4 Where does it fail?
#
# An average hides its failures. Split it by kind of question.
#
# **Predict.** Which kind is hardest for every variant?
#
# - a) *jargon*: layman's words for house terms
# - b) *table*: one cell of one row
# - c) *updated*: a bulletin changed the manual

# %%
shown = ["vector", "text", "hybrid", "hybrid, no headings", "linear", "hybrid, rewriting", chosen]
by_kind = rag_report.by_kind(board, shown)
hardest, lowest = min(by_kind["hybrid"].items(), key=lambda item: item[1].mean)
figures.heat(
    by_kind,
    title=f"Hardest for the default: {hardest}, {lowest.mean:.0%} have their evidence first",
    xlabel="hit@1 (%), best of each column in bold",
    best=True,
    caption=f"{board.n} test questions, {board.origin}",
).figure

# %% [markdown]
# **Explain.** (c) for the default. Now look at the bottom row: the variant with the best average is *worse*
# on changed facts than the default. It reads so closely that it finds the old manual's sentence.

# %% [markdown]
# Vector search alone fails on tables just as badly: a row of numbers has
# little meaning to be near to, while a part number matches word for word. For jargon it is the other way
# round, and fusing the two gets more than either. That is claim C7, both halves of it.
#
# Read the failures themselves. What stands in the place of the proof?

# %%
from labkit import corpus

papers = [lesson.data_dir() / name for name in ("documents", "tables")]
documents = {d.id: d for d in corpus.read_documents(papers, unreadable=[])}
asked_of = zip(test, hits["hybrid"], marks["hybrid"], strict=True)
failed = [(q, found[0]) for q, found, m in asked_of if not m[0]]
causes = rag_report.causes(failed, documents)
stale = sum(row.get("old manual", 0) for row in causes.values())
figures.stacked(
    causes,
    title=f"{len(failed)} first passages are wrong; {stale} of them are superseded manuals",
    xlabel="what stands first instead (% of the failures of each kind, counts in the bars)",
    counts=True,
    caption=f"hybrid, {len(test)} test questions, {today}, {where}",
).figure

# %%
import textwrap

for kind in ("updated", "lookup", "table"):
    question, first = next(pair for pair in failed if pair[0].kind == kind)
    print(f"{kind}: {question.question}\n   right: {question.answer}")
    print(textwrap.shorten(f"   first: [{first.document_id}] {first.text}", 180) + "\n")

# %% [markdown]
# Three patterns, and each asks for another remedy. *Right paper*: the paragraph next to the proof came
# first. *Old manual* and *twin*: the words fit, the machine or the year does not; no similarity will ever
# see that, but metadata can. *Other*, mostly for tables: prose about the machine is nearer to a question
# than a bare row is.

# %% [markdown]
# ## 5 A bulletin arrives
#
# Build a small store with the three pitch manuals, and ask.
#
# **Predict.** A bulletin lands in the folder: more grease for the NV-90. You ingest again. How long
# does it take until the answer *can* change, and what happens to the old text?
#
# - a) seconds; the manual is overwritten
# - b) seconds; both stand in the store, and compete
# - c) minutes, since everything is embedded again

# %%
import shutil
import tempfile
from pathlib import Path

from labkit.store import open_store

workshop = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
inbox = Path(workshop.name) / "papers"
inbox.mkdir()
for name in ("SM-90-PIT", "SM-117-PIT", "SM-140-PIT"):
    shutil.copy(lesson.data_dir() / "documents" / "manuals" / f"{name}.md", inbox)
small = open_store(Path(workshop.name) / "db", embedder)
first_report = small.ingest(inbox)
small.tag("before")
print(f"{first_report.chunks_embedded} chunks in {first_report.wall_s:.1f} s")

# %%
shutil.copy(lesson.data_dir() / "documents" / "bulletins" / "SB-2019-04.md", inbox)
report = small.ingest(inbox)
print(f"{report.added} new, {report.unchanged} unchanged, {report.wall_s:.2f} s")
grease = "How much grease does each NV-90 pitch bearing take?"
for name, version in (("before", small.at_version("before")), ("now", small)):
    for hit in version.search(grease, k=2):
        values = [
            value
            for value in ("1.2 kg", "1.6 kg")
            if answer_metrics.contains_value(hit.text, value)
        ]
        print(f"{name:7} [{hit.document_id}, {hit.date}] holds {values}")

# %% [markdown]
# **Explain.** (b). Only the new paper is embedded, and every earlier state stays reachable by its tag: you
# can still show what a technician was told last week. But the store does not know that one paper
# *replaces* another. Manual and bulletin say nearly the same in nearly the same words, and the search
# takes whichever is nearer.
#
# The bulletin's front matter does know: `supersedes: SM-90-PIT`.

# %% [markdown]
# ### Exercise 3 (medium, 15 minutes): newer wins
#
# **Goal:** `hits` are dicts with `id`, `document`, `supersedes` and `date`, best first. Return the ids in
# a new order: a hit that supersedes a document moves up to just before that document's first hit.
# Nothing is dropped, and all others keep their order.
#
# <details><summary>Hint</summary>
#
# Copy the list. For each hit, look whether a hit above it has the `document` that it supersedes. If so,
# `pop` it and `insert` it there.
# </details>


# %% tags=["stub"]
def newer_wins(hits: list[dict]) -> list[str]:
    """Return the ids with every newer hit before what it supersedes."""
    raise NotImplementedError


# %% tags=["solution"]
def newer_wins(hits: list[dict]) -> list[str]:
    ordered = list(hits)
    for newer in hits:
        at = ordered.index(newer)
        above = [hit["document"] for hit in ordered[:at]]
        if newer["supersedes"] in above:
            ordered.insert(above.index(newer["supersedes"]), ordered.pop(at))
    return [hit["id"] for hit in ordered]


# %%
check.newer_wins(newer_wins)

# %% [markdown]
# A bulletin replaces two values of a manual, not the manual. Does your rule know? `rerank.newer_wins`
# has one number more: how many words the two chunks must share before it acts. At 0 it is your rule,
# blind. The careful one uses what the training questions chose.

# %%
deep = store.search_many(asked, k=20, mode="hybrid")
updates = rag_report.recorded("updates", llm.name)
careful = updates["figures"]["min_overlap"] if updates else 0.35
for name, share in (("blind", 0.0), ("careful", careful)):
    ruled = [rerank.newer_wins(found, min_overlap=share) for found in deep]
    for kind, row in rag_report.rule_by_kind(test, deep, ruled).items():
        if kind in ("updated", "lookup", "all"):
            print(f"{name:8} {kind:8} hit@1 {row['difference']['mean']:+.0%}, p = {row['p']:.4f}")

# %% [markdown]
# Blind, the rule helps changed facts and hurts all the rest: most of a superseded manual is still true,
# and its chunks lose their places to a bulletin about something else. The careful rule keeps the gain.
# Mind its *p*, though: with so few changed questions, even a gain of this size could be luck.
#
# The recorded run did this with all bulletins and all questions that one of them changed, and let the
# small model answer each time.

# %%
if updates:
    changed = updates["figures"]
    n_new, seconds = changed["bulletins"]["n_documents"], changed["reingest_s"]
    print(f"{n_new} bulletins, {changed['bulletins']['n_chunks']} chunks: {seconds:.1f} s")
    print(f"old version gives the old hits: {changed['old_version_gives_old_hits']}")
else:
    print("not recorded yet; run: python -m labkit bench updates. Retrieval alone, live:")

# %%
states = rag_report.update_states(updates, right["hybrid"])
told = (f"{state} {share.mean:.0%}" for state, share in states["passage: new"].items())
figures.bars(
    states,
    title="New value first: " + ", ".join(told),
    ylabel="questions of kind updated (%)",
    caption=f"recorded {updates['date']}, {llm.name}" if updates else f"live, {today}",
).figure

# %% [markdown]
# In words: ingesting is not enough. After the bulletins arrive, old and new values come first about equally
# often; the careful rule turns that round, in the passages and in the answers. The answers lag behind:
# the small reader loses most of what it is shown.

# %% [markdown]
# ## 6 Citing and refusing
#
# The recorded RAG exam kept every answer and what it cites. Ask it two questions. Of the cited documents,
# how many hold the proof (*precision*)? Of the documents that hold it, how many were cited (*recall*)?

# %%
exams = rag_report.exams(llm.name)
if exams["RAG"] is None:
    print("not recorded yet; run: python -m labkit exam --system rag. A live sample stands in.")
    exams |= rag_report.live_exams(4, {"RAG": "rag"}, store=store, llm=llm)
sat = exams["RAG"]
answers = {row["id"]: row for row in sat["figures"]["answers"]}
sat_questions = [q for q in exam.load_exam("test") if q.id in answers]

# %%
for name in ("citation_precision", "citation_recall", "wrong_but_confident"):
    share = rag_report.share(sat, name)
    print(name, f"{share} of {share.n}" if share else "nothing to judge")
for cites in (True, False):
    group = [r["exact_match"] for r in answers.values() if bool(r["cited"]) is cites]
    print(f"with a citation: {cites!s:5} {len(group):4} answers, right {np.mean(group or [0]):.0%}")

# %% [markdown]
# A citation is worth something: with one, an answer is right several times as often as without. It is not
# proof: most cited answers are still wrong, since the right paper was read wrongly.

# %% [markdown]
# An answer that is wrong and does not say so is the expensive kind. Refusing would help, if you knew
# when. Three signals cost nothing: the cosine of the best passage, its lead over the second, and the
# share of the question's words, rare ones first, that the best passages cover.
#
# **Predict.** Which signal tells questions with an answer from those without?
#
# - a) the cosine, clearly
# - b) the words covered, clearly
# - c) none of them, much

# %%
scorer = rerank.lexical([c.passage for d in documents.values() for c in corpus.chunk_document(d)])
train, whole = (exam.load_exam(part)[::few] for part in ("train", "test"))
can_train, can_test = ([bool(q.evidence) for q in part] for part in (train, whole))
on_train = retrieval_metrics.signals(store, [q.question for q in train], scorer)
on_test = retrieval_metrics.signals(store, [q.question for q in whole], scorer)

# %%
for name in on_train:
    here = retrieval_metrics.share_of_pairs_won(on_test[name], can_test)
    there = retrieval_metrics.share_of_pairs_won(on_train[name], can_train)
    print(f"{name:14} answerable wins {there:.0%} of pairs on training, {here:.0%} on test")

# %%
points = {
    name: retrieval_metrics.choose_threshold(values, can_train) for name, values in on_train.items()
}
curves = {
    name: retrieval_metrics.precision_recall(on_test[name], can_test) for name in ("cosine", "lead")
}
reached = {
    name: retrieval_metrics.at_threshold(c, points[name].value) for name, c in curves.items()
}
base_rate = 1 - np.mean(can_test)
figures.precision_recall(
    curves,
    base_rate=base_rate,
    chosen=reached,
    title=f"At the chosen threshold {reached['cosine'].precision:.0%} of the abstentions are right;\n"
    f"abstaining by coin: {base_rate:.0%}",
    caption=f"{len(whole)} test questions, thresholds from {len(train)} training questions, {today}",
).figure

# %%
low = np.array(on_test["cosine"]) < points["cosine"].value
refused = {q.id for q, silent in zip(whole, low, strict=True) if silent}
for name, silent in (("as recorded", set()), ("with threshold", refused)):
    said = [exam.ABSTENTION if q.id in silent else answers[q.id]["text"] for q in sat_questions]
    scores = [
        answer_metrics.score_answer(q, t, citations=[])
        for q, t in zip(sat_questions, said, strict=True)
    ]
    wrong = measure.bootstrap_mean([s.wrong_but_confident for s in scores])
    kept = measure.bootstrap_mean([s.exact_match for s in scores if s.answerable])
    print(f"{name:15} wrong but confident {wrong}; answerable and right {kept}")

# %% [markdown]
# **Explain.** (c). The best balance on the training questions is to refuse most questions: precision
# stays close to the coin's. Wrong-but-confident falls, and the right answers fall with it. Words covered is
# no better than chance: an unanswerable question uses the house's words, about the wrong machine.
#
# To know that an answer is *not* there, somebody has to read. Lesson 09 trains the reader.

# %% [markdown]
# ## 7 Somebody attacks
#
# An *injection* is a document that speaks to the model. Plant one for each of a few questions: it repeats
# the question, so that it is found. Then it gives an order in plain words, or opens a turn with the
# marks of the chat template, or simply states a false answer.
#
# **Predict.** Against which of these is the course's prompt helpless?
#
# - a) the order
# - b) the template's marks
# - c) the false answer

# %%
lookups = [q for q in exam.load_exam("test") if q.kind == "lookup"]
victims = lookups[:: 60 if lesson.fast() else 16]
print(rag_report.planted_text(victims[0].question, "forged fact"))
planted = Path(workshop.name) / rag_report.PLANTED
planted.mkdir()
for q in victims:
    text = rag_report.planted_text(q.question, "forged fact")
    (planted / f"{rag_report.PLANTED}-{q.id}.md").write_text(text, encoding="utf-8")
small.ingest([inbox, planted])
bait = small.search_many([q.question for q in victims], k=1)

# %%
n_tokens = 16 if lesson.fast() else 48
live = []
for prompt in ("raw", "delimited"):
    live += rag_report.ask(
        victims, bait, llm, attack="forged fact", prompt=prompt, max_new_tokens=n_tokens
    )
for attempt in live[:: len(victims)]:
    print(f"{attempt.prompt}: {textwrap.shorten(attempt.text, 150)}")
for name, row in rag_report.rates(live).items():
    print(f"{name}: {row['obeyed']['mean']:.0%} of {len(victims)} obey")

# %% [markdown]
# That was a small store and a small sample. The recorded run plants its documents among the whole corpus,
# attacks in all three ways, and asks two questions more of each answer. Does a citation stand behind it
# (*backed*)? And does it stand if uploads do not count as sources (*trusted*)?

# %%
attacks = rag_report.recorded("injection", llm.name)
rates = attacks["figures"]["rates"] if attacks else rag_report.rates(live)
if not attacks:
    print("not recorded yet; run: python -m labkit bench injection. The live sample stands in.")
shares = rag_report.attack_shares(rates)
n_attacked = next(iter(shares.values()))["obeyed"].n
worst, unseen = (max(row[k].mean for row in shares.values()) for k in ("obeyed", "trusted"))
figures.bars(
    shares,
    title=f"Up to {worst:.0%} obey; {unseen:.0%} get past a check that trusts no uploads",
    ylabel="attacked questions (%)",
    caption=f"{n_attacked} questions a group, {llm.name}, {attacks['date'] if attacks else today}",
).figure

# %% [markdown]
# **Explain.** (c). The template's marks work where they are let through; `rag.plain` nearly closes that
# door. But the prompt that makes the model read also makes it believe: the careless one resists lies
# only because little is read through it. The citation check stops next to nothing: the planted paper
# *is* the source.
#
# What helps is to know who wrote a paper. With uploads not counted, nothing gets through. (With one
# passage shown, that had to be so.)

# %% [markdown]
# ## Recap
#
# - Pick the metric by who reads the hits; one passage for a small model means hit@1.
# - Compare question by question, with an interval on the difference. Choose on training questions.
# - An average hides the kinds. Read the failures; most have a name.
# - New facts arrive in seconds, and old ones stay. Which of them wins is a rule that you write.
# - Similarity cannot tell whether an answer exists, and a citation is a place to look, not a proof.

# %% [markdown]
# ## What this does not show
#
# One corpus, written by one model; your papers may rank these variants otherwise. One embedding model, and
# no cross-encoder: none comes with the course (`rerank.cross_encoder` takes yours). Late interaction used
# a model that was not trained for it. The attacks are two of many, and simple. A larger reader obeys
# and refuses differently.

# %% [markdown]
# ## Next
#
# **06 LoRA from scratch: what does LoRA train?** Retrieval finds the page. Now you teach the reader.

# %% [markdown]
# ## Claims
#
# | | claim | final verdict in |
# |---|---|---|
# | C1 | When answers need outside data, choose RAG | lesson 09 |
# | C4 | When data change often, RAG is flexible | lesson 09, against re-training |
# | C5 | RAG lets you find the source and reduces hallucination | lesson 09 |
# | C7 | A vector database searches by similarity, and is what makes RAG work | here |

# %%
Markdown(rag_report.claims(board, exams, updates))

# %%
workshop.cleanup()
print(f"This run took {time.perf_counter() - started:.0f} s on {where}.")
print(f"Peak memory of this process: {lesson.peak_rss_bytes() / lesson.GIB:.1f} GiB.")
