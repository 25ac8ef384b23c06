"""CWR*: after the first experience only the readout learns, and consolidates each class (Lomonaco et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import CWRStarPlugin
from avalanche.training.supervised import Naive
from torch.optim import Optimizer


class _CopyWeightsWithReinit(CWRStarPlugin):
    """Avalanche's plugin, in which a class that comes for the first time starts from the weights that it has.

    Avalanche's starts it from 0, where the maximum of a membrane over time has no gradient, so that the class would
    never be learned; and it would wipe out what a network has learned of the first experience before.
    """

    def reset_weights(self, cur_clas: Sequence[int]) -> None:
        """Begin an experience of these classes."""
        readout = self.get_cwr_layer()
        before = readout.weight.detach().clone()
        super().reset_weights(cur_clas)
        new = [label for label in cur_clas if label not in self.model.saved_weights]
        with torch.no_grad():
            readout.weight[new] = before[new]


def build(
    model: Any,
    optimizer: Optimizer,
    *,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    Args:
        model: layers in a row, the readout last and with a `weight` `[K, H]`, as in `RecurrentSNN`.
        optimizer: over the model's parameters.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # What is kept are the weights of the readout as they are after an experience, whoever trained it.
    (*_, (name, _readout)) = model.named_children()
    return Naive(model=model, optimizer=optimizer, plugins=[_CopyWeightsWithReinit(model, name), *plugins], **template)
