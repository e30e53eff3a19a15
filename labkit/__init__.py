"""labkit: the small tested package behind the course.

Importing it loads nothing heavy: every module imports torch, LanceDB and friends on first use.
The file list of this folder is the table of contents; data flows
corpus → embed → store → rag → evaluate.
"""

__version__ = "0.1.0"
