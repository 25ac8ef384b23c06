"""A tiny stream and network for strategies that keep exemplars, and what its samples cost."""

from __future__ import annotations

import torch
from tiny_learners import C, K, T, tiny_benchmark, tiny_strategy

from avalanche_snn.models import RecurrentSNN
from benchmarks.catalogue import find_strategy

# Of rasters that no code makes shorter: a header and a bit a cell, and two bytes for the length.
PACKED = 1 + T * C // 8 + 2
SAMPLE = PACKED + 1  # and a byte for the label


def even_benchmark():
    """Samples that all cost the same."""
    return with_densities(tiny_benchmark(), lambda n: torch.full((n,), 0.6))


def varied_benchmark(n_each=20):
    """Samples of very different sizes, and more of them."""
    return with_densities(tiny_benchmark(n_each=n_each), lambda n: torch.linspace(0.02, 0.6, n)[torch.randperm(n)])


def with_densities(benchmark, densities):
    """Let a share of the cells of each sample spike, the last one always: a code cannot end before it."""
    torch.manual_seed(7)
    for data in (benchmark.train_data, benchmark.test_data):
        rasters = data.rasters
        rasters[:] = torch.rand(rasters.shape) < densities(len(rasters))[:, None, None]
        rasters[:, -1, -1] = 1
    return benchmark


def spiking_network():
    """A network without dropout or batch statistics, that draws nothing and whose neurons do spike."""
    return RecurrentSNN(C, (9, 7), K, threshold=0.05, surrogate="fast_sigmoid/10", readout="mean", seed=0)


def composed(name, model=None, criterion=None, **options):
    """Build a strategy of this project as `tiny_strategy` builds Avalanche's."""

    def template(*, model, optimizer, **given):
        if criterion is not None:
            given["criterion"] = criterion
        return find_strategy(name).build(model, optimizer, **given)

    return tiny_strategy(model or spiking_network(), template=template, **options)
