"""Freed memory that stays with the process, for the next training step to use."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import lru_cache

_KEPT_BYTES = 2**29
#: Numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_LARGEST_OF_OLD_VERSIONS = 2**25


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Have the C library keep up to `_KEPT_BYTES` of freed memory instead of giving it back to the system at once.

    Otherwise the large tensors of every step, whoever makes them, are of new pages that the system fills with zeros
    first: a sixth of the step of the `torch` kernel, a quarter of that of `cpp`. It is done once a process, by the
    first layer that computes on the CPU with one of them. Any variable MALLOC_... in the environment leaves it as it
    is, and so does a C library that is not glibc.

    Returns:
        Whether it does from now on.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    set_option = ctypes.CDLL(None).mallopt
    taken = [
        set_option(_MMAP_THRESHOLD, _LARGEST_OF_OLD_VERSIONS),
        set_option(_MMAP_THRESHOLD, _KEPT_BYTES),
        set_option(_TRIM_THRESHOLD, _KEPT_BYTES),
    ]
    return bool(taken[0] and taken[-1])
