"""The entry point, also as ``python -m forgetting``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; Ctrl-C while it is imported ends without a traceback, too."""
    try:
        from forgetting.cli.main import app

        app()
    except KeyboardInterrupt:
        sys.exit("forgetting: interrupted; nothing was started")


if __name__ == "__main__":
    main()
