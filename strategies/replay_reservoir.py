"""Avalanche's replay from a uniform draw of everything seen so far (reservoir sampling)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import ReplayPlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.optim import Optimizer

from strategies._exemplars import RequireRoom, ReservoirInBytes


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
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        memory: budget of the exemplars in bytes, like "1600 kB": rasters in the code "rice", with its length and label.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    # Exemplars are drawn after an experience: whoever trained it.
    buffer = ReservoirInBytes(memory)
    replay = ReplayPlugin(buffer.max_size, storage_policy=buffer)
    return Naive(model=model, optimizer=optimizer, plugins=[RequireRoom(buffer), replay, *plugins], **template)
