"""What frames a lesson: the machine it runs on, the mode it runs in, and the memory that it took.

Knows: which functions of ``hardware``, ``settings`` and ``measure`` a lesson's first and last cells
need. Does not know: what any lesson teaches. Used by lessons that need many modules.
"""

from labkit.hardware import GIB, describe, detect, versions
from labkit.measure import peak_rss_bytes
from labkit.settings import data_dir, fast, static

__all__ = ["GIB", "data_dir", "describe", "detect", "fast", "peak_rss_bytes", "static", "versions"]
