"""Keep freed memory instead of giving it back between frames.

A frame at 1024x1024 takes and frees several hundred megabytes. glibc returns blocks of that size
to the kernel at once and spends most of a frame's time in page faults getting them again; told to
keep them, it needs a third.
"""

from __future__ import annotations

import ctypes
import platform

# Numbers of the options in glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4


def keep_memory() -> bool:
    """Tell the allocator of this process to hold on to freed memory.

    False where there is no such allocator.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(
        mallopt(option, value)
        for option, value in ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 1 << 30), (_TOP_PAD, 1 << 28))
    )


def release_memory() -> None:
    """Give what is free back to the system after all.

    Compiling takes and frees more than filming ever needs.
    """
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
