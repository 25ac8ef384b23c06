"""What the kernels ask of the C library's memory management, in processes of their own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

#: Whether freed memory is kept, and the pages that the system maps anew for tensors that are made and freed repeatedly.
COUNT = """
import resource, torch
from avalanche_snn.neurons import Leaky
from avalanche_snn.neurons.kernels.freed_memory import keep_freed_memory
torch.set_num_threads(1)
Leaky(3, 4, kernel="torch")(torch.ones(1, 2, 3))
assert keep_freed_memory.cache_info().currsize == 1
for repeat in range(6):
    if repeat == 3:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.zeros(10_000_000, dtype=torch.uint8) for _ in range(8)]
    del tensors
print(keep_freed_memory(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def kept_and_new_pages(**environment: str) -> tuple[bool, int]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | environment
    run = subprocess.run([sys.executable, "-c", COUNT], env=environ, capture_output=True, text=True, check=True)
    kept, n_pages = run.stdout.split()
    return kept == "True", int(n_pages)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_memory_is_used_again() -> None:
    kept, n_pages = kept_and_new_pages()
    assert kept
    assert n_pages < 1000  # of 60 000


@pytest.mark.slow
def test_what_the_user_says_of_memory_management_stands() -> None:
    kept, _ = kept_and_new_pages(MALLOC_ARENA_MAX="2")
    assert not kept
