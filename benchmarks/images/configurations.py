"""What can be run on CIFAR-100: protocols with networks and lengths of training, and methods, by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from benchmarks.settings import Settings


@dataclass(frozen=True)
class ImageConfiguration:
    """A protocol, a network and how it is trained.

    Attributes:
        title: for people.
        stream: options of `CIFAR100Incremental`.
        network: options of `SpikingResNet`.
        epochs: of each experience.
        second_stage_epochs: of the readout alone.
        head_reset_epoch: after which readouts are drawn anew; None for never.
        n_exemplars: of all classes together; None for `n_exemplars_per_class`.
        n_exemplars_per_class: of each class.
        minibatch: samples in one.
        learning_rate: of SGD with momentum 0.9 and weight decay 5e-4, by a tenth twice, see `LearningRateSchedule`.
    """

    title: str
    stream: Settings
    network: Settings
    epochs: int = 170
    second_stage_epochs: int = 30
    head_reset_epoch: int | None = 10
    n_exemplars: int | None = 2000
    n_exemplars_per_class: int | None = None
    minibatch: int = 64
    learning_rate: float = 0.1

    @property
    def settings(self) -> Settings:
        """All that decides what comes out, as it stands in records."""
        return {name: value for name, value in asdict(self).items() if name != "title"}


_RESNET19 = {"network": "resnet19"}

CONFIGURATIONS: Mapping[str, ImageConfiguration] = MappingProxyType(
    {
        "small": ImageConfiguration(
            "10 classes in 5 steps, a very narrow network, 12 epochs: minutes on a CPU",
            {"n_steps": 5, "n_classes": 10},
            {"network": "narrow", "width": 0.5, "n_time_steps": 2},
            epochs=12,
            second_stage_epochs=8,
            head_reset_epoch=None,
            n_exemplars=200,
        ),
        "half": ImageConfiguration(
            "B0 in 10 steps, ResNet-18 of half the width, shorter: half an hour on a GPU",
            {"n_steps": 10},
            {"network": "resnet18", "width": 0.5},
            epochs=60,
            second_stage_epochs=20,
        ),
        "b0-10": ImageConfiguration(
            "B0 in 10 steps, ResNet-19, as published",
            {"n_steps": 10},
            _RESNET19,
        ),
        "b0-20": ImageConfiguration("B0 in 20 steps, ResNet-19, as published", {"n_steps": 20}, _RESNET19),
        "b50-10": ImageConfiguration(
            "B50 and 10 steps, ResNet-19, as published",
            {"n_steps": 10, "n_base_classes": 50},
            _RESNET19,
            n_exemplars=None,
            n_exemplars_per_class=20,
        ),
    }
)
"""By name."""


@dataclass(frozen=True)
class Method:
    """A way to learn.

    Attributes:
        title: for people.
        expand: whether the network grows.
        aligns_weights: weight alignment instead of a template for networks that grow.
        options: of `ALADE`.
    """

    title: str
    expand: bool = True
    aligns_weights: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


_BARE = {"auxiliary": 0.0, "distillation": 0.0, "suppression": False, "alignment": False}
_STAGE_1 = {"second_stage_epochs": 0}

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "replay": Method("replay of herded exemplars", expand=False, options={**_BARE, **_STAGE_1}),
        "wa": Method("weight alignment", expand=False, aligns_weights=True),
        "expansion": Method("expansion, auxiliary loss", options={**_BARE, "auxiliary": 1.0, **_STAGE_1}),
        "dynamically_expandable": Method("+ second stage", options={**_BARE, "auxiliary": 1.0}),
        "suppression": Method("+ old-to-new suppression", options={**_BARE, "auxiliary": 1.0, "suppression": True}),
        "distillation": Method("+ divergence from the network before", options={"alignment": False}),
        "alade": Method("+ logit alignment: ALADE"),
    }
)
"""By name, each of the ladder with one thing more than the one before it."""
