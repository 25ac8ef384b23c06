"""Initial weights that are drawn from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def drawn_from(seed: int | None) -> Iterator[None]:
    """Have weights drawn from a seed, and put torch's generator back; None leaves everything as it is."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        # Not torch.manual_seed, which seeds the generators of GPUs too.
        torch.default_generator.manual_seed(seed)
        yield
