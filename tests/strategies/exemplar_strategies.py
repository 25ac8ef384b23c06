"""A tiny stream and network for strategies that keep exemplars, and what its samples cost."""

from __future__ import annotations

from tiny_learners import C, K, T, tiny_strategy

from avalanche_snn.models import RecurrentSNN
from benchmarks.catalogue import find_strategy

SAMPLE = T * C // 8 + 1  # a bit a cell, and a byte for the label


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
