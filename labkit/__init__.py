"""labkit: the small tested package behind the course.

Importing it loads nothing heavy: every module imports torch, LanceDB and friends on first use.
The file list of this folder is the table of contents; data flows
corpus → embed → store → rag → evaluate.
"""

import logging
import os
import sys

__version__ = "0.1.0"

# LanceDB warns on the error stream when a table is new; read when it is first imported.
os.environ.setdefault("LANCEDB_LOG", "error")

# Where the package `kernels` is installed, bitsandbytes and transformers fetch native code from a
# hub and run it. Nothing is fetched and run unasked here: that package cannot be imported.
sys.modules.setdefault("kernels", None)  # type: ignore[arg-type]
logging.getLogger("bitsandbytes.backends.cpu.ops").addFilter(
    lambda record: "kernels-community" not in str(record.msg)
)
