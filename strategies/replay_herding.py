"""Avalanche's replay of the exemplars whose mean is nearest to that of their class (herding, as in iCaRL)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import ReplayPlugin
from avalanche.training.storage_policy import HerdingSelectionStrategy
from avalanche.training.supervised import Naive
from torch import nn
from torch.optim import Optimizer

from avalanche_snn.benchmarks.whole_batches import rasters_of
from strategies._exemplars import ParametricInBytes, RequireRoom
from strategies._features import SpikeCounts


class _HerdingOfSpikeCounts(HerdingSelectionStrategy):
    """Avalanche's herding, on numbers of spikes.

    Avalanche's takes the output of a layer as it is, which for a spiking layer is a sequence, by a hook that stays on
    the network and keeps the output of every step of training.
    """

    def __init__(self) -> None:
        """Need nothing but the strategy's network."""

    @torch.no_grad()
    def make_sorted_indices(self, strategy: Any, data: Any) -> list[int]:
        """Return positions in the data, the first to keep first."""
        size, kept = strategy.eval_mb_size, data.eval()
        network = SpikeCounts(strategy.model).eval()
        features = [
            network(rasters_of(kept, range(start, min(start + size, len(kept)))).to(strategy.device))
            for start in range(0, len(kept), size)
        ]
        strategy.model.train()
        indices: list[int] = self.make_sorted_indices_from_features(torch.cat(features))
        return indices


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    memory: str | int = "1600 kB",
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    To every minibatch of new samples comes one of exemplars, as large, or all of them where they are fewer.

    Args:
        model: layers in a row, the readout last, as in `RecurrentSNN`.
        optimizer: over the model's parameters.
        memory: budget of the exemplars in bytes, like "1600 kB": rasters in the code "rice", with its length and label.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # Exemplars are chosen after an experience: whoever trained it.
    buffer = ParametricInBytes(memory, groupby="class", selection_strategy=_HerdingOfSpikeCounts())
    replay = ReplayPlugin(buffer.max_size, storage_policy=buffer)
    return Naive(model=model, optimizer=optimizer, plugins=[RequireRoom(buffer), replay, *plugins], **template)
