"""The entry point, also as ``python -m forgetting``."""

from __future__ import annotations

import sys


def main() -> None:
    """The command line; whoever presses Ctrl-C before it is there sees no traceback either."""
    try:
        from forgetting.cli.main import app

        app()
    except KeyboardInterrupt:
        sys.exit("forgetting: interrupted; nothing was begun")


if __name__ == "__main__":
    main()
