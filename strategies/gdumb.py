"""GDumb: a network trained from scratch on nothing but the exemplars, for each experience anew (Prabhu et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import GDumbPlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.optim import Optimizer

from strategies._exemplars import ClassBalancedInBytes

# From the same untrained network each time, so with as many epochs as others need for the first experience.
TRAINS_FROM_SCRATCH = True


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    memory: str | int = "1600 kB",
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        memory: budget of the exemplars in bytes, like "1600 kB": rasters in the code "rice", with its length and label.
            The untrained network is kept beside them.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    gdumb = GDumbPlugin(mem_size=0)
    gdumb.storage_policy = ClassBalancedInBytes(memory)
    return Naive(model=model, optimizer=optimizer, plugins=[gdumb, *plugins], **template)
