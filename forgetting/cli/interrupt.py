"""Ctrl-C: one sentence, and the exit code that shells know."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from forgetting.errors import Interrupted

INTERRUPT_SECONDS = 1.5
"""Seconds after Ctrl-C until the process ends by itself."""

KEPT = "interrupted; what is finished is kept, and the same command continues"
"""What is true of every verb, whatever it was doing."""


@contextmanager
def exit_after_interrupt(say: Callable[[str], None]) -> Iterator[None]:
    """End the process soon after Ctrl-C, whatever is running: compilers do not react to it.

    Nothing is lost: what is unfinished has no finished name, and the next run resumes what is
    finished.

    Args:
        say: prints a sentence.
    """
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    wakeup = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    handler = signal.getsignal(signal.SIGINT)
    if handler is not signal.SIG_IGN:  # a process in the background ignores it
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def watch() -> None:
        with reading:
            while received := reading.recv(1):
                if received[0] == signal.SIGINT:
                    time.sleep(INTERRUPT_SECONDS)
                    exit_now(say, KEPT)

    threading.Thread(target=watch, name="watching for Ctrl-C", daemon=True).start()
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.set_wakeup_fd(wakeup)
        writing.close()


def exit_now(say: Callable[[str], None], sentence: str) -> NoReturn:
    """Print a sentence and end the process without waiting for threads."""
    say(sentence)
    sys.stdout.flush()
    os._exit(Interrupted.exit_code)
