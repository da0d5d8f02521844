"""The entry point, also as ``python -m forgetting``."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the command line; Ctrl-C while it is imported ends with one sentence, too."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _quit)
    from forgetting.cli.quick_imports import quick_imports

    with quick_imports():
        from forgetting.cli.main import app

    app(prog_name="forgetting")


def _quit(number: int, frame: FrameType | None) -> None:
    """End at once: imports and threads of libraries would turn an exception into a traceback."""
    sys.stderr.write("forgetting: interrupted; nothing was started\n")
    sys.stderr.flush()
    os._exit(130)


if __name__ == "__main__":
    main()
