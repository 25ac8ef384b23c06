"""Latent replay with distillation: sparse latents in a code without loss, and old logits kept where they were."""

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
    after: str = "hidden1",
    memory: str | int = "160 kB",
    codec: str = "rice",
    selection: str = "random",
    distillation: float = 2.0,
    temperature: float = 2.0,
    n_augmented: int = 0,
    seed: int = 0,
    plugins: Sequence[SupervisedPlugin] = (),
    **template: Any,
) -> Naive:
    """Compose the strategy.

    What makes latents small belongs to the network and its training: time pooling behind the layer of the cut, and
    `SparseSpikes` while the first experience is trained.

    Args:
        model: a network that can be cut after the layer `after`.
        optimizer: over the model's parameters.
        after: the last layer of the frozen front.
        memory: budget in bytes, like "160 kB".
        codec: how latents are stored, see `avalanche_snn.spikes.make_codec`.
        selection: "random", "herding" or "coverage".
        distillation: weight of the loss that keeps old logits.
        temperature: by which logits are divided in it.
        n_augmented: latents of each new sample under the stream's `train_transform`, beside that of the sample itself.
        seed: of the choice of exemplars.
        plugins: further plugins.
        template: options of Avalanche's template: train_mb_size, train_epochs, evaluator, device, ...
    """
    replay = CompressedLatentReplayPlugin(
        after,
        memory,
        codec,
        selection=selection,
        distillation=distillation,
        temperature=temperature,
        n_augmented=n_augmented,
        evaluation_mode=True,
        seed=seed,
    )
    return Naive(model=model, optimizer=optimizer, plugins=[replay, *plugins], **template)
