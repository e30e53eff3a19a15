# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# # Search at scale
# {{colab_badge}}
#
# **What do I pay for speed?**
#
# Comparing a question with every vector is right, and it gets slower with every vector you add. An
# *index* looks at less. In this lesson you build the two ideas behind most vector indexes by hand,
# hold them against LanceDB's, and measure what they cost: some of the right answers.

# %% [markdown]
# You will be able to
#
# - measure recall, and refuse a latency that comes without it
# - build an inverted file and a product quantizer in NumPy
# - choose an index by recall, latency, bytes and build time, on your own vectors
# - notice rows that an index does not know, and filters that lose results in silence
# - say where the milliseconds of one query go, and share them among many
#
# **Before you start:** lesson 02. You have met cosine, kNN and LanceDB.
#
# | | |
# |---|---|
# | Reading time (estimate, 200 words a minute) | about 15 minutes, exercises apart |
# | Run time on 2 CPU cores | printed at the end |
# | Run time on a T4, on a big GPU | not measured |
# | RAM | printed at the end |
# | VRAM | none needed |
# | Download | the embedding model, about 84 MB, once (lesson 00 brought it) |

# %% tags=["setup"]
# The builder replaces this cell.

# %%
import datetime
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from labkit import hardware, results, settings
from labkit.bench import retrieval as bench_retrieval
from labkit.bench import vectors as bench_vectors
from labkit.classroom import figures
from labkit.classroom.checks import lesson_03 as check
from labkit.store import index as ann_tables

started_s = time.perf_counter()
machine = hardware.describe(hardware.detect())
today = datetime.date.today().isoformat()
versions = hardware.versions()
print(machine)
print(*(f"{name} {versions[name]}" for name in ("python", "numpy", "lancedb")), sep=", ")

# %% [markdown]
# Every number below comes from this machine, except in section 5, where it says "recorded". Random
# numbers are drawn with fixed seeds; times differ from run to run, so look at ratios.

# %% [markdown]
# ## 1. Exact search, the honest baseline
#
# Two sorts of vectors. *Real* ones: the archive's sentences, and new ones made of their halves,
# embedded by the model of lesson 02 (once; then they lie in the cache). The queries are exam questions.
# *Synthetic* ones for large numbers: drawn in clusters, as embeddings lie, but nobody
# wrote them.

# %%
from labkit.embed import load_embedder

n_real = 600 if settings.fast() else 4000
clock_s = time.perf_counter()
real = bench_vectors.embedded(n_real, load_embedder())

# %%
vectors, queries = real.vectors, real.queries  # (n, d), (q, d)
print(f"{len(vectors)} vectors and {len(queries)} queries, {vectors.shape[1]} numbers each")
print(f"{vectors.nbytes / 2**20:.1f} MiB, ready after {time.perf_counter() - clock_s:.0f} s")


# %%
def nearest(query: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    """Return the k rows with the largest cosine, best first (the vectors have length 1)."""
    return np.argsort(-(vectors @ query))[:k]


k = 10
truth = np.array([nearest(query, vectors, k) for query in queries])  # (q, k)
print("the neighbours of the first query:", *truth[0])

# %% [markdown]
# `truth` is what every index in this lesson is held against.
#
# **Predict.** You have ten times as many vectors. How much longer does one question take?
#
# - a) not much, for NumPy is fast
# - b) about ten times
# - c) a hundred times


# %%
def seconds(action, repeats: int = 15) -> float:
    """Return the median time of an action, after one call that does not count."""
    action()
    times_s = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        action()
        times_s.append(time.perf_counter() - start_s)
    return median(times_s)


sizes = (1_000, 3_000, 10_000) if settings.fast() else (1_000, 10_000, 100_000)
timed = []
for n in sizes:
    drawn = bench_vectors.clustered(n)
    timed.append((n, 1e3 * seconds(lambda x=drawn: nearest(x.queries[0], x.vectors, k))))

# %%
times_more = timed[-1][1] / timed[-2][1]
title = f"{sizes[-1] // sizes[-2]} × the vectors: {times_more:.0f} × the time"
figures.lines(
    {"exact": timed},
    title=title,
    xlabel="vectors",
    ylabel="milliseconds a query",
    log="xy",
    caption=f"NumPy, clustered synthetic vectors, {machine}, {today}",
).figure

# %% [markdown]
# **Explain.** It was b, more or less: every number of every vector is read and multiplied once. Small
# sizes profit from the processor's cache. For an archive of some thousand chunks this is all you need,
# and it is never wrong. The rest of this lesson is for the day it is too slow.

# %% [markdown]
# ### Exercise 1 (easy, 5 minutes): recall
#
# An index may miss neighbours, so its speed says nothing alone. *recall@k* is the share of the true k
# neighbours that were found. Goal: compute it for many queries. Both arguments are `(q, k)`; order
# does not matter; `-1` means that nothing was found in this place.
#
# <details><summary>Hint</summary>
#
# For one query: `len(set(found) & set(true)) / len(true)`. Then average over the queries.
#
# </details>


# %% tags=["stub"]
def recall_at_k(found: np.ndarray, true: np.ndarray) -> float:
    """Return the mean share of each query's true neighbours that were found."""
    raise NotImplementedError


# %% tags=["solution"]
def recall_at_k(found: np.ndarray, true: np.ndarray) -> float:
    """Return the mean share of each query's true neighbours that were found."""
    pairs = zip(found.tolist(), true.tolist(), strict=True)
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in pairs]))


# %%
check.recall_at_k(recall_at_k)

# %% [markdown]
# ## 2. Look at less: the inverted file
#
# The wrong way first. To be ten times faster, compare with a tenth of the vectors, picked at random.

# %%
from labkit.store import ivf_pq as vector_index

some = np.random.default_rng(0).choice(len(vectors), len(vectors) // 10, replace=False)
lucky = np.array([some[nearest(query, vectors[some], k)] for query in queries])
print(f"a random tenth: recall@{k} is {vector_index.recall_at_k(lucky, truth):.2f}")

# %% [markdown]
# As expected: a tenth of the vectors holds a tenth of the neighbours. We need the *right* tenth. So we
# sort the vectors into partitions beforehand. k-means does it: assign each vector to its nearest centre,
# move each centre to the mean of its vectors, repeat.


# %%
def kmeans(vectors: np.ndarray, n: int, rounds: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return n centres (n, d), and the nearest one to each vector (m,)."""
    start = np.random.default_rng(0).choice(len(vectors), n, replace=False)
    centres = vectors[start].copy()
    for turn in range(rounds + 1):
        # |a - b|² = |a|² - 2ab + |b|², and |a|² is the same for every centre
        owner = ((centres**2).sum(axis=1) - 2 * vectors @ centres.T).argmin(axis=1)
        for i in set(owner) if turn < rounds else ():
            centres[i] = vectors[owner == i].mean(axis=0)
    return centres, owner


n_partitions = round(len(vectors) ** 0.5)
clock_s = time.perf_counter()
centres, owner = kmeans(vectors, n_partitions)
members = [np.flatnonzero(owner == i) for i in range(n_partitions)]  # the inverted file
sizes_of = sorted(len(rows) for rows in members)
print(f"{n_partitions} partitions of {sizes_of[0]} to {sizes_of[-1]} vectors, "
      f"{time.perf_counter() - clock_s:.1f} s")  # fmt: skip

# %% [markdown]
# ### Exercise 2 (easy, 5 minutes): which partitions?
#
# Goal: return the numbers of the `n_probes` centres nearest to the query, nearest first. Use
# the distance, not the dot product: centres are means, and their lengths differ.
#
# <details><summary>Hint</summary>
#
# `((centres - query) ** 2).sum(axis=1)` gives all squared distances; `np.argsort` sorts the numbers.
#
# </details>


# %% tags=["stub"]
def partitions_to_probe(query: np.ndarray, centres: np.ndarray, n_probes: int) -> np.ndarray:
    """Return the numbers of the nearest centres, nearest first."""
    raise NotImplementedError


# %% tags=["solution"]
def partitions_to_probe(query: np.ndarray, centres: np.ndarray, n_probes: int) -> np.ndarray:
    """Return the numbers of the nearest centres, nearest first."""
    return np.argsort(((centres - query) ** 2).sum(axis=1))[:n_probes]


# %%
check.partitions_to_probe(partitions_to_probe)

# %% [markdown]
# The package has the same index. A test holds the functions of this page against it.
#
# **Predict.** Which share of the partitions must you look into to find 95 % of the neighbours?
#
# - a) about a third
# - b) about a tenth
# - c) the nearest one is enough


# %%
def search_ivf(query: np.ndarray, n_probes: int) -> np.ndarray:
    """Search the nearest partitions only; -1 where they hold too few vectors."""
    probed = np.argsort(((centres - query) ** 2).sum(axis=1))[:n_probes]
    rows = np.concatenate([members[i] for i in probed])
    best = rows[nearest(query, vectors[rows], k)]
    return np.pad(best, (0, k - len(best)), constant_values=-1)


probe_counts = sorted({1, 2, 4, 8, n_partitions // 4, n_partitions // 2, n_partitions})
ivf_recall = {
    n: vector_index.recall_at_k(np.array([search_ivf(q, n) for q in queries]), truth)
    for n in probe_counts
}
print(*(f"{n:3} of {n_partitions} partitions: recall {r:.3f}" for n, r in ivf_recall.items()),
      sep="\n")  # fmt: skip

# %%
enough = next(n for n, recall in ivf_recall.items() if recall >= 0.95)
title = f"Recall 0.95 takes {enough} of {n_partitions} partitions"
points = [(100 * n / n_partitions, recall) for n, recall in ivf_recall.items()]
figures.lines(
    {"IVF": points, "random sample": [(0, 0), (100, 1)]},
    title=title,
    xlabel="share of the partitions looked into (%)",
    ylabel=f"recall@{k}",
    caption=f"{len(vectors)} real embeddings, {machine}, {today}",
).figure

# %% [markdown]
# **Explain.** Read your answer off the figure: the curve rises steeply, then slowly. The nearest
# partition holds most neighbours; the last few sit just across a border. Looking into all
# partitions is exact search again. You choose the point on the curve, at every query.

# %% [markdown]
# ## 3. Keep less: product quantization
#
# A million of our vectors take 1.5 GB. *Product quantization* (PQ) cuts each vector into slices and
# replaces each slice by the number of the nearest entry in a small codebook: one byte. The codebooks
# come from k-means again, one for each slice.

# %%
n_slices, n_codes = 48, min(256, len(vectors) // 4)
slices = np.split(vectors, n_slices, axis=1)  # 48 arrays (n, 8)
trained = [kmeans(part, n_codes, rounds=4) for part in slices]

# %%
codebooks = np.stack([book for book, _ in trained])  # (m, c, d / m)
codes = np.stack([owner for _, owner in trained], axis=1).astype(np.uint8)  # (n, m)
print(f"{vectors[0].nbytes} bytes a vector became {codes[0].nbytes}, "
      f"with {codebooks.nbytes / 2**20:.2f} MiB of codebooks for all")  # fmt: skip

# %%
decoded = np.hstack([codebooks[i][codes[:, i]] for i in range(n_slices)])  # (n, d)
lost = ((vectors - decoded) ** 2).sum() / ((vectors - vectors.mean(axis=0)) ** 2).sum()
print("first numbers of a vector:   ", vectors[0][:6].round(3))
print("what its codes stand for:    ", decoded[0][:6].round(3))
print(f"share of the variance that is lost: {lost:.0%}")

# %% [markdown]
# ### Exercise 3 (medium, 15 minutes): distances by look-up
#
# You need not decode anything to search. For one query, make a table: the squared distance of each of
# its slices to each code of that slice. The distance to a vector is then a sum of look-ups. Goal: return
# these distances for all coded vectors.
#
# <details><summary>Hint</summary>
#
# `query.reshape(m, 1, d // m)` lines the slices up with `codebooks` `(m, c, d // m)`. With the table
# `(m, c)`, `table[np.arange(m), codes]` looks up everything at once, `(n, m)`.
#
# </details>


# %% tags=["stub"]
def lookup_distances(query: np.ndarray, codebooks: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return squared distances (n,); codebooks (m, c, d / m), codes (n, m)."""
    raise NotImplementedError


# %% tags=["solution"]
def lookup_distances(query: np.ndarray, codebooks: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return squared distances (n,); codebooks (m, c, d / m), codes (n, m)."""
    parts = query.reshape(len(codebooks), 1, -1)
    table = ((codebooks - parts) ** 2).sum(axis=2)  # (m, c)
    return table[np.arange(len(table)), codes].sum(axis=1)


# %%
check.lookup_distances(lookup_distances)

# %% [markdown]
# **Predict.** We rank by these distances alone: a 32nd of the bytes. What recall@10 do you expect?
#
# - a) above 0.95
# - b) between 0.5 and 0.95
# - c) below 0.5

# %%
quantizer = vector_index.ProductQuantizer(codebooks)
distances = np.array([quantizer.distances(query, codes) for query in queries])  # (q, n)
ranked = np.argsort(distances, axis=1)
pq_recall = vector_index.recall_at_k(ranked[:, :k], truth)
print(f"ranked by codes alone: recall@{k} {pq_recall:.2f}")
for factor in (2, 5, 10):
    best = [
        rows[nearest(query, vectors[rows], k)]
        for query, rows in zip(queries, ranked[:, : factor * k], strict=True)
    ]
    refined = vector_index.recall_at_k(np.array(best), truth)
    print(f"best {factor * k:3} by codes, ranked again by true vectors: recall@{k} {refined:.2f}")

# %% [markdown]
# **Explain.** Your answer is in the first line. Codes blur the order among close neighbours, but the true
# ones are nearly always among the first few dozen. So one *refines*: take more candidates
# than needed, read their true vectors from disk, and rank these exactly.
#
# Both ideas together, IVF and PQ, are an index. Is it LanceDB's? Same vectors, same settings:

# %%
workshop = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
shelf = Path(workshop.name)
table = ann_tables.create_table(shelf / "real", vectors)
ann_tables.build_index(table, "IVF_PQ", n_partitions=n_partitions, n_subvectors=n_slices,
                       n_iterations=8)  # fmt: skip
own = vector_index.build_ivf_pq(vectors, n_partitions, n_slices, n_codes=n_codes)
for n_probes in (2, 8, n_partitions):
    ours = [own.search(query, k, n_probes=n_probes) for query in queries]
    ours = [np.pad(rows, (0, k - len(rows)), constant_values=-1) for rows in ours]
    theirs = ann_tables.search_ids(table, queries, k, nprobes=n_probes)
    print(f"{n_probes:3} partitions: recall {vector_index.recall_at_k(np.array(ours), truth):.2f} "
          f"ours, {vector_index.recall_at_k(theirs, truth):.2f} LanceDB's")  # fmt: skip

# %% [markdown]
# Close, not equal: both start k-means from other random rows. What LanceDB adds is everything around it:
# files, updates, filters, and code in Rust.

# %% [markdown]
# ## 4. LanceDB's kinds, on real vectors
#
# All `IVF_*` kinds look into some partitions. They differ in how they keep vectors there: whole
# (`FLAT`), a byte a number (`SQ`), a byte a slice (`PQ`), a bit a number (`RQ`), or as a graph of
# neighbours (`HNSW`, here with `SQ`).
#
# **Predict.** On some thousand vectors, which answers *one* question fastest?
#
# - a) `flat`, which has no index
# - b) `IVF_HNSW_SQ`, the graph
# - c) there is not much between them

# %%
live = {}
for kind, told in {
    "flat": {},
    "IVF_FLAT": {"nprobes": 8},
    "IVF_SQ": {"nprobes": 8},
    "IVF_PQ": {"nprobes": 8, "refine_factor": 5},
    "IVF_RQ": {"nprobes": 8, "refine_factor": 5},
    "IVF_HNSW_SQ": {"ef": 64},
}.items():
    table = ann_tables.create_table(shelf / kind, vectors)
    clock_s = time.perf_counter()
    ann_tables.build_index(table, kind, n_iterations=8)
    build_s = time.perf_counter() - clock_s
    found = ann_tables.search_ids(table, queries, k, **told)
    one_s = seconds(lambda t=table, x=told: ann_tables.search_ids(t, queries[:1], k, **x))
    many_s = seconds(lambda t=table, x=told: ann_tables.search_ids(t, queries, k, **x), 3)
    size = ann_tables.bytes_on_disk(shelf / kind)["index_bytes"]
    recall = vector_index.recall_at_k(found, truth)
    live[kind] = (recall, 1e3 * one_s, 1e3 * many_s / len(queries), build_s, size / 2**20)

# %%
print(f"{'':12} recall@{k}  one query  in a batch   build  index on disk")
for kind, (recall, one_ms, each_ms, build_s, mib) in live.items():
    print(f"{kind:12} {recall:9.3f} {one_ms:7.1f} ms {each_ms:8.2f} ms {build_s:5.1f} s "
          f"{mib:8.2f} MiB")  # fmt: skip
numpy_ms = 1e3 * seconds(lambda: nearest(queries[0], vectors, k))
print(f"NumPy, one query: {numpy_ms:.2f} ms")

# %% [markdown]
# **Explain.** At this size it is c: all of them cost milliseconds, and your three lines of NumPy beat
# them. The work on the vectors is small beside the fixed work of a call, which section 8 takes apart.
# Look at the last column and at the batch column instead; there the kinds differ.

# %% [markdown]
# ## 5. A hundred thousand vectors, and a million (recorded)
#
# Building every kind at these sizes takes longer than a lesson. So the figures of this section are
# *recorded*: by `python -m labkit bench retrieval`, on synthetic vectors, with other libraries on the
# same vectors, each in processes of its own, with as many threads.


# %%
def recorded(n: int) -> dict | None:
    """Return a recorded benchmark, or say how to make it."""
    run = results.load(bench_retrieval.record_name(n))
    if run is None:
        print(f"{n} vectors: not recorded yet. Record it with:")
        print(f"  python -m labkit bench retrieval --sizes {n}")
    return run


def where_and_when(run: dict) -> str:
    machine_then = hardware.describe(hardware.Hardware(**run["hardware"]))
    return f"recorded {run['date']}, {machine_then}"


middle = recorded(100_000)
if middle:
    print(middle["figures"]["vectors"])
    print(where_and_when(middle))
    loads = [one["load_average"] for one in middle["figures"]["runs"].values()]
    print(f"{max(loads):.0f} processes wanted its {middle['hardware']['n_cores']} cores at worst")

# %% [markdown]
# More processes than cores means that searches had to wait: then read the times as upper bounds.
#
# **Predict.** A point further up finds more, a point further left is faster. The grey line is the *Pareto
# front*: no other search beats these in both. Who stands on it, for single queries?
#
# - a) LanceDB's kinds
# - b) the libraries that keep everything in memory
# - c) exact search

# %%
searches = bench_retrieval.searches(middle["figures"]) if middle else []
front = figures.pareto_front(searches)
on_front = list(dict.fromkeys(search["kind"] for search in front))

# %%
caption = where_and_when(middle) if middle else "not recorded yet"
title = f"One query a call, 100,000 vectors: {', '.join(on_front) or 'nothing'} on the front"
figures.recall_latency(searches, title=title, caption=caption).figure

# %% [markdown]
# The same searches, 200 queries in one call:

# %%
front = figures.pareto_front(searches, latency="batch_s")
on_front = list(dict.fromkeys(search["kind"] for search in front))
title = f"200 queries a call: {', '.join(on_front) or 'nothing'} on the front"
figures.recall_latency(searches, latency="batch_s", title=title, caption=caption).figure

# %%
good = [search for search in searches if search["recall"] >= 0.95]
quickest = {}
for search in sorted(good, key=lambda one: one["batch_s"]):
    quickest.setdefault(search["kind"], search)

# %%
print(f"{'recall@10 ≥ 0.95':22} one query (p50, p95)   batch    build  on disk  resident")
for kind, one in quickest.items():
    print(f"{kind:22} {1e3 * one['p50_s']:7.2f} {1e3 * one['p95_s']:7.2f} ms "
          f"{1e3 * one['batch_s']:8.2f} ms {one['build_s']:5.0f} s "
          f"{one['index_bytes'] / 2**20:4.0f} MiB {one['resident_bytes'] / 2**20:5.0f} MiB")  # fmt: skip

# %% [markdown]
# **Explain.** The table names, for each kind, its fastest setting that finds 95 %. Kinds that never
# reached it are missing. Graphs in memory answer single queries fastest, and hold every vector. LanceDB
# leaves the vectors on disk. Look at its last column all the same: the library's own runtime and its
# buffers for reading are in it.
#
# What `nprobes` and refining buy, for one kind:

# %%
for search in searches:
    if search["kind"] in ("LanceDB IVF_RQ", "LanceDB IVF_HNSW_SQ"):
        told = ", ".join(f"{name} {value}" for name, value in search["settings"].items())
        print(f"{search['kind']:20} {told:28} recall {search['recall']:.3f}, "
              f"{1e3 * search['p50_s']:6.2f} ms, in a batch {1e3 * search['batch_s']:.2f} ms")  # fmt: skip

# %% [markdown]
# `refine_factor` is LanceDB's own refining. `n_candidates` is the package's: all queries' candidates
# are read in one go. And a million vectors?

# %%
from IPython.display import Markdown

largest = recorded(1_000_000)
if largest:
    print(where_and_when(largest))
Markdown(bench_retrieval.render(largest["figures"]) if largest else "")

# %% [markdown]
# Ten times the rows, and exact search takes ten times as long or more: LanceDB reads every
# vector from the disk for a single query. An index hardly notices. It still looks into the same number of
# parts, and each part has grown less than the table. Compare the last column with the exact
# search in NumPy, which holds all vectors: here, at last, leaving them on the disk pays.

# %% [markdown]
# ## 6. New rows that the index does not know
#
# An index is built once; rows keep coming. LanceDB searches new rows too, one by one, until
# `optimize()` takes them into the index. We index half of a table, and add the other half.
#
# **Predict.** What happens to a query after the new rows came?
#
# - a) it finds old rows only
# - b) it finds new rows too, and gets slower
# - c) it finds new rows too, as fast as before

# %%
n_half = 1_500 if settings.fast() else 20_000
drawn = bench_vectors.clustered(2 * n_half)
old, new = drawn.vectors[:n_half], drawn.vectors[n_half:]
growing = ann_tables.create_table(shelf / "growing", old)
ann_tables.build_index(growing, "IVF_SQ", n_iterations=8)


def state(label: str) -> float:
    one_s = seconds(lambda: ann_tables.search_ids(growing, drawn.queries[:1], k, nprobes=20))
    unknown = growing.index_stats("vector_idx").num_unindexed_rows
    probes = new[:100]  # each must find itself
    found = [
        (ann_tables.search_ids(growing, probes, 1, nprobes=20, fast_search=fast)[:, 0] >= n_half)
        for fast in (False, True)
    ]
    print(f"{label:16} {1e3 * one_s:5.1f} ms, {unknown:6} rows unknown to the index, new rows found: "
          f"{found[0].mean():4.0%}, with fast_search {found[1].mean():4.0%}")  # fmt: skip
    return one_s


# %%
before_s = state("half, indexed")
ann_tables.add_vectors(growing, new)
added_s = state("other half added")
growing.optimize()
after_s = state("after optimize()")
print(f"the new rows made a query {added_s / before_s:.1f} × as long")

# %% [markdown]
# **Explain.** It was b. Nothing fails and nothing is missing, so nobody notices; searches only get
# slower, day by day. `fast_search` skips the unknown rows: fast, and blind to everything new. Look at
# `num_unindexed_rows` from time to time, and call `optimize()` after large additions.

# %% [markdown]
# ## 7. Filters and the index
#
# Half a percent of the rows belong to one turbine: here, those whose id divides by 200. We want
# ten of them.
#
# **Predict.** The search finds ten neighbours, and the filter then keeps those of this turbine (a
# *postfilter*). How many remain?
#
# - a) ten
# - b) some
# - c) hardly ever one

# %%
rare, allowed = "id % 200 = 0", np.arange(0, 2 * n_half, 200)
true_rare = np.array([allowed[nearest(q, drawn.vectors[allowed], k)] for q in drawn.queries])
for label, told in {
    "after the search": {"postfilter": True, "nprobes": 20},
    "before, 1 partition": {"nprobes": 1},
    "before, 20 partitions": {"nprobes": 20},
    "before, all partitions": {"nprobes": 10_000},
}.items():
    found = ann_tables.search_ids(growing, drawn.queries, k, where=rare, **told)
    n_found = (found != ann_tables.NO_HIT).sum(axis=1).mean()
    recall = vector_index.recall_at_k(found, true_rare)
    print(f"filter {label:22} {n_found:5.2f} of {k} found on average, recall {recall:.2f}")

# %% [markdown]
# **Explain.** It was c. The filter came too late: ten neighbours among all rows, and nearly none of this
# turbine. A prefilter ranks the allowed rows only, and the list gets full.
#
# But full is not right: look at the recall. The true neighbours among few allowed rows lie further
# away, in partitions that were not probed. The rarer the filter, the more partitions you must probe.
# Measure recall *with* your filters.

# %% [markdown]
# ## 8. Where the milliseconds go
#
# One query to LanceDB takes milliseconds, on any index. Comparing vectors cannot be the reason: we
# time the steps of one query, and then many queries in one call.

# %%
query = drawn.queries[0]
builder = growing.search(query, vector_column_name="vector").distance_type("cosine").limit(k)
steps = {
    "describe the query in Python": seconds(builder.to_query_object),
    "plan it": seconds(lambda: builder.select(["id", "_distance"]).explain_plan()),
    "read 10 rows, no vectors": seconds(lambda: growing.search().limit(10).to_arrow()),
    "the whole query": seconds(lambda: ann_tables.search_ids(growing, query[None], k, nprobes=20)),
    "all vectors in NumPy": seconds(lambda: nearest(query, drawn.vectors, k)),
}
for name, step_s in steps.items():
    print(f"{1e3 * step_s:6.2f} ms  {name}")

# %%
batch_sizes = (1, 5, 20, 50, 200)
curve = []
for n in batch_sizes:
    call_s = seconds(
        lambda m=n: ann_tables.search_ids(growing, drawn.queries[:m], k, nprobes=20), 5
    )
    curve.append((n, 1e3 * call_s / n))
gain = curve[0][1] / curve[-1][1]
figures.lines(
    {"IVF_SQ": curve},
    title=f"{batch_sizes[-1]} queries a call: each takes 1/{gain:.0f} of the time",
    xlabel="queries a call",
    ylabel="milliseconds a query",
    log="xy",
    caption=f"{2 * n_half} clustered synthetic vectors, {machine}, {today}",
).figure

# %% [markdown]
# Planning the query and opening the table cost nearly all of it: reading ten rows without any vector takes
# about as long. A call pays this once, so ask many questions in one call wherever you can: an
# exam, a nightly job. The course's store does, through `search_many`. For a person who waits, some
# milliseconds do not matter: embedding the question takes longer.

# %% [markdown]
# ## Recap
#
# - Exact search is linear, never wrong, and enough for some ten thousand chunks.
# - IVF looks at less, PQ keeps less; refining gives the lost order back.
# - Recall belongs next to every latency, and memory next to both.
# - New rows are searched one by one until `optimize()`; a filter belongs before the search.
# - A LanceDB call has a fixed cost of milliseconds; batches share it.

# %% [markdown]
# ## What this does not show
#
# Synthetic clusters are tidier or untidier than your texts; only your own vectors tell. One machine, few cores,
# files on a local disk: object storage has other latencies. No concurrent users. HNSW has settings of
# its own for building (M, ef_construction) that were not varied. And recall against exact search is not
# the quality of answers: that is lesson 05.

# %% [markdown]
# ## Next
#
# Lesson 04 hands the hits to a language model. Lesson 05 measures whether the hits are the right ones.

# %% [markdown]
# ## Claims
#
# The last cell prints this run's numbers next to the claims.
#
# | claim | how it was tested here |
# |---|---|
# | An index trades recall for speed | recall of IVF by partitions probed |
# | Our IVF and PQ find what LanceDB's find | recall of both, same settings |
# | Batches share LanceDB's fixed cost | milliseconds a query, 1 to 200 a call |

# %%
from labkit.measure import peak_rss_bytes

probed = f"recall {ivf_recall[1]:.2f} from 1, {ivf_recall[enough]:.2f} from {enough} of {n_partitions} partitions"
shared = f"{curve[0][1]:.1f} ms alone, {curve[-1][1]:.2f} ms in a batch of {batch_sizes[-1]}"
quick = min((one["batch_s"] for one in good if one["kind"].startswith("LanceDB")), default=None)
then = f"{1e3 * quick:.2f} ms a query in a batch, LanceDB" if quick else "not recorded yet"
print(f"This lesson took {time.perf_counter() - started_s:.0f} s, "
      f"with a peak of {peak_rss_bytes() / 2**30:.1f} GiB RAM.")  # fmt: skip
Markdown(f"""
| claim | what we measured | hardware and date | kind |
|---|---|---|---|
| Recall for speed | {probed}, {len(vectors)} real vectors | {machine}, {today} | measured |
| Batches share the cost | {shared}, {2 * n_half} synthetic vectors | {machine}, {today} | measured |
| 100,000 vectors, recall@10 ≥ 0.95 | {then} | {caption} | recorded |
""")
