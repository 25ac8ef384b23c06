"""Latents replayed on fewer time steps, with lower thresholds (after Replay4NCL, arXiv 2503.17061)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avalanche.core import SupervisedPlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.optim import Optimizer

from avalanche_snn.training import CompressedLatentReplayPlugin

GRID = {"threshold_scale": (0.6, 0.8, 1.0)}


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    after: str = "hidden2",
    memory: str | int = "160 kB",
    codec: str = "bits",
    threshold_scale: float = 0.8,
    seed: int = 0,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    The network says on how many time steps: `time_pooling={"hidden2": "any/5/late"}` of `RecurrentSNN` is trained on
    all of them in the first experience, and on a fifth from then on. The publication lowers the learning rate too,
    which is the optimizer's.

    Args:
        model: a network that can be cut after the layer `after`, with a time pooling there that begins late.
        optimizer: over the model's parameters.
        after: the last layer of the frozen front.
        memory: budget in bytes, like "160 kB".
        codec: how latents are stored, see `avalanche_snn.spikes.make_codec`.
        threshold_scale: by how much the thresholds behind the cut rise when the front is frozen.
        seed: of the choice of exemplars.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    replay = CompressedLatentReplayPlugin(after, memory, codec, threshold_scale=threshold_scale, seed=seed)
    return Naive(model=model, optimizer=optimizer, plugins=[replay, *plugins], **template)
