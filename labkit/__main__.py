"""``python -m labkit``: the command line, see ``labkit.cli``."""

import sys

from labkit.cli.main import main

if __name__ == "__main__":
    if sys.platform == "win32":
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    sys.exit(main())
