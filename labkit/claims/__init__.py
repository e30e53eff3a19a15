"""Claims: rules, verdicts, leaderboard and advice, all from recorded runs.

Does not know: how anything was measured (``bench``, ``evaluate``).
"""
