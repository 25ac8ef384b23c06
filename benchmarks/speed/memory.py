"""How much memory a training step needs at its peak, measured in a process of its own."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Mapping
from pathlib import Path

import torch

from benchmarks.speed.contestants import Network

#: Environment of a process that measures: every block of a page or more goes back to the system when it is freed.
#: Otherwise the C library keeps and splits blocks as it likes, and twice the bytes in use may be resident.
ENVIRONMENT: Mapping[str, str] = {"MALLOC_MMAP_THRESHOLD_": "4096", "MALLOC_TRIM_THRESHOLD_": "4096"}
_REPEATS = 2


def peak_of_a_step(network: Network) -> int:
    """Bytes by which memory rises during a training step, over what network, minibatch and optimizer hold before it.

    On the CPU that is the peak of the process's resident memory, whoever asked for it (torch, C++ code, Python); on a
    GPU that of torch's allocator. The smaller of two steps counts, after one on two samples that leaves the
    optimizer's state behind.

    Raises:
        OSError: a system that does not tell a process the peak of its resident memory (Linux does).
    """
    network.train(n_samples=2)
    return min(_rise(network) for _ in range(_REPEATS))


def _rise(network: Network) -> int:
    gc.collect()
    if network.inputs.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        network.train()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL(None).malloc_trim(0)
    # Sets the peak back to what is resident now.
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    network.train()
    return _resident("VmHWM") - before


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return 1024 * int(value.split()[0])
    raise OSError(f"/proc/self/status does not tell {field}")
