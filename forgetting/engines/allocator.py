"""Settings of glibc's allocator: it keeps freed memory between frames.

A frame at 1024x1024 takes and frees several hundred megabytes. By default glibc returns blocks of
that size to the kernel at once, and page faults take most of a frame's time when they are allocated
again. With these settings a frame takes a third of the time.
"""

from __future__ import annotations

import ctypes
import platform

# Numbers of the options in glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_memory() -> bool:
    """Let the allocator of this process keep freed memory; return False where it cannot."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    options = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 1 << 30), (_TOP_PAD, 1 << 28))
    return all(mallopt(option, value) for option, value in options)


def release_memory() -> None:
    """Return free memory to the system: compiling a graph frees more than rendering ever needs."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
