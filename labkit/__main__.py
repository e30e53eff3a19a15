"""``python -m labkit``: the command line, see ``labkit.cli``."""

from labkit.cli.main import run

if __name__ == "__main__":
    run()
