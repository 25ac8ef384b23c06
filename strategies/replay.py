"""Raw replay: rasters of old data, losslessly packed, mixed into every minibatch; the whole network keeps learning."""

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
    memory: str | int = "1600 kB",
    codec: str = "rice",
    selection: str = "random",
    replay_share: float | str = "balanced",
    seed: int = 0,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    The same plugin as for latent replay, with the input as the "latents", so that both are compared at equal bytes and
    with equal minibatches. Avalanche's own `ReplayPlugin` counts samples instead of bytes.

    Args:
        model: rasters `[B, T, C]` -> logits `[B, K]`.
        optimizer: over the model's parameters.
        memory: budget in bytes, like "1600 kB".
        codec: how rasters are stored, see `avalanche_snn.spikes.make_codec`.
        selection: "random", "herding" or "coverage".
        replay_share: "balanced", or the fraction of a minibatch that is replayed.
        seed: of the choice of exemplars.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    replay = CompressedLatentReplayPlugin(
        "input", memory, codec, selection=selection, replay_share=replay_share, seed=seed
    )
    return Naive(model=model, optimizer=optimizer, plugins=[replay, *plugins], **template)
