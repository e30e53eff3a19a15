"""labkit: the small tested package behind the course.

Importing it loads nothing heavy: every module imports torch, LanceDB and friends on first use.
The file list of this folder is the table of contents; data flows
corpus → embed → store → rag → evaluate.
"""

import os

__version__ = "0.1.0"

# LanceDB warns on the error stream when a table is new; read when it is first imported.
os.environ.setdefault("LANCEDB_LOG", "error")
