"""Networks that grow, and strategies of them, on tiny data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from tiny_learners import C, K, tiny_benchmark
from torch import Tensor, nn

from avalanche_snn.models import ExpandableClassifier
from avalanche_snn.training import ALADE, WA

N_FEATURES = 7


class Ordinary(nn.Module):
    """Features of the mean raster by layers of no spiking neurons, with batch statistics."""

    n_features = N_FEATURES

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(C, N_FEATURES), nn.BatchNorm1d(N_FEATURES), nn.ReLU())

    def forward(self, rasters: Tensor) -> Tensor:
        features: Tensor = self.layers(rasters.mean(dim=1))
        return features


def composed(
    template: Any = ALADE,
    make: Callable[[], nn.Module] = Ordinary,
    *,
    expand: bool = True,
    groups_of: Callable[[ExpandableClassifier], Any] = ExpandableClassifier.parameters,
    **options: Any,
) -> Any:
    torch.manual_seed(0)
    model = ExpandableClassifier(make, K, expand=expand)
    return template(
        **{
            "model": model,
            "optimizer": torch.optim.SGD(groups_of(model), 0.1, momentum=0.9, weight_decay=5e-4),
            "train_mb_size": 5,
            "train_epochs": 3,
            "n_exemplars": 7,
            "evaluator": None,
            **({} if template is WA else {"second_stage_epochs": 4}),
            **options,
        }
    )


def learn(strategy: Any, benchmark: Any = None) -> Any:
    for experience in (benchmark or tiny_benchmark()).train_stream:
        strategy.train(experience)
    return strategy


class Watch(SupervisedPlugin):
    """Calls a function at some moments."""

    def __init__(self, look: Callable[[Any], None], *moments: str) -> None:
        super().__init__()
        for moment in moments:
            setattr(self, moment, lambda strategy, *args, **kwargs: look(strategy))
