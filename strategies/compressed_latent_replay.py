"""Compressed latent replay: the front frozen, packed hidden spike trains replayed to the back (arXiv 2407.03111)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from avalanche.core import SupervisedPlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.optim import Optimizer

from avalanche_snn.training import CompressedLatentReplayPlugin


def build(
    model: nn.Module,
    optimizer: Optimizer,
    *,
    after: str = "hidden2",
    memory: str | int = "160 kB",
    codec: str = "bits",
    selection: str = "random",
    replay_share: float | str = "balanced",
    seed: int = 0,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    Args:
        model: a network that can be cut after the layer `after`.
        optimizer: over the model's parameters.
        after: the last layer of the frozen front.
        memory: budget in bytes, like "160 kB".
        codec: how latents are stored, see `avalanche_snn.spikes.make_codec`.
        selection: "random", "herding" or "coverage".
        replay_share: "balanced", or the fraction of a minibatch that is replayed.
        seed: of the choice of exemplars.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    replay = CompressedLatentReplayPlugin(
        after, memory, codec, selection=selection, replay_share=replay_share, seed=seed
    )
    return Naive(model=model, optimizer=optimizer, plugins=[replay, *plugins], **template)
