"""Benchmarks: each measures one thing, records one JSON in ``data/results`` and renders it.

Does not know: what a record proves (``claims``) or how a lesson shows it (``classroom``).
"""
