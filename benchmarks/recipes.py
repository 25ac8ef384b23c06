"""What a network is trained with: loss, optimizer, plugins and augmentation, as the settings of a run say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from torch import nn

from avalanche_snn.models import RecurrentSNN, make_model
from avalanche_snn.spikes import ChannelShift, Composed, EventDrop, TimeShift, TimeStretch
from avalanche_snn.training import (
    GradientClipping,
    LearningRateSchedule,
    SameClassBlending,
    SeenClassesCrossEntropy,
    SeenClassesPrediction,
    SparseSpikes,
)
from benchmarks.settings import Settings, Training

_OPTIMIZERS: Mapping[str, Any] = {"adamax": torch.optim.Adamax, "adam": torch.optim.Adam}
_AUGMENTATIONS: Mapping[str, Any] = {
    "channel_shift": ChannelShift,
    "time_stretch": TimeStretch,
    "time_shift": TimeShift,
    "event_drop": EventDrop,
}
# It needs labels, which a transform does not get: a plugin does it.
_BLEND = "blend"
CONSTANT = "constant"


class Augmentation(Composed):
    """Several random changes of rasters, one after the other, by their names.

    Args:
        extents: name of a change -> its extent, see `Training.augmentation`; "blend" is left to its plugin.

    Raises:
        ValueError: there is no such change.
    """

    def __init__(self, extents: Mapping[str, float]) -> None:
        known = (*_AUGMENTATIONS, _BLEND)
        unknown = [name for name in extents if name not in known]
        if unknown:
            raise ValueError(f"There is no augmentation {unknown[0]!r}; there are {', '.join(known)}.")
        super().__init__(*(make(extents[name]) for name, make in _AUGMENTATIONS.items() if name in extents))


def make_augmentation(training: Training) -> dict[str, Augmentation]:
    """Return the option of a stream that augments its training rasters; none where that is not asked for."""
    augmentation = Augmentation(training.augmentation)
    return {"train_transform": augmentation} if augmentation.changes else {}


def make_network(network: Settings, n_channels: int, n_classes: int, seed: int) -> RecurrentSNN:
    """Return the network of a run: a named model with changes where the settings name one, else `RecurrentSNN`."""
    changes = {name: value for name, value in network.items() if name != "model"}
    if "model" in network:
        return make_model(network["model"], n_channels, n_classes, seed=seed, **changes)
    return RecurrentSNN(n_channels, n_classes=n_classes, seed=seed, **changes)


def make_optimizer(training: Training, model: nn.Module) -> torch.optim.Optimizer:
    """Return a fresh optimizer, at the learning rate of the first experience.

    Raises:
        ValueError: there is no such optimizer.
    """
    if training.optimizer not in _OPTIMIZERS:
        raise ValueError(f"There is no optimizer {training.optimizer!r}; there are {', '.join(_OPTIMIZERS)}.")
    optimizer: torch.optim.Optimizer = _OPTIMIZERS[training.optimizer](
        model.parameters(), lr=training.first_learning_rate
    )
    return optimizer


def make_plugins(training: Training, *, first_is_trained: bool = True, always_first: bool = False) -> list[Any]:
    """Return the plugins that a recipe takes.

    Args:
        training: the recipe.
        first_is_trained: by the strategy that the plugins are for, not before it.
        always_first: it trains every experience as the first one.
    """
    plugins: list[SupervisedPlugin] = []
    later = training.first_schedule if always_first else training.schedule
    if {training.first_schedule, later} != {CONSTANT}:
        plugins.append(LearningRateSchedule(later, first_shape=training.first_schedule))
    if training.gradient_norm is not None:
        plugins.append(GradientClipping(training.gradient_norm))
    if training.sparse_spikes and first_is_trained:
        plugins.append(SparseSpikes(training.sparse_spikes, n_experiences=None if always_first else 1))
    if _BLEND in training.augmentation:
        plugins.append(SameClassBlending(training.augmentation[_BLEND]))
    if training.predict == "seen":
        plugins.append(SeenClassesPrediction())
    return plugins


def make_loss(training: Training) -> Any:
    """Return a fresh loss: one that knows the classes seen so far belongs to one run."""
    if training.loss == "seen":
        return SeenClassesCrossEntropy(training.label_smoothing)
    return nn.CrossEntropyLoss(label_smoothing=training.label_smoothing)
