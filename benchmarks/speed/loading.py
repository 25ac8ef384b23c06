"""What loading costs, and what an incremental epoch costs with cached latents or with its front computed anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from copy import copy, deepcopy
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from avalanche.benchmarks.utils.classification_dataset import TaskAwareSupervisedClassificationDataset
from avalanche.core import SupervisedPlugin
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import Naive
from torch import nn
from torch.utils.data import default_collate

from avalanche_snn.models import CuttableSequential
from avalanche_snn.training import CompressedLatentReplayPlugin
from benchmarks.progress import SilentLogger


@dataclass(frozen=True)
class LoadingTimes:
    """Seconds that a minibatch takes to come out of a strategy's own loader, medians.

    Attributes:
        whole_batches: as the benchmarks of this library load it.
        sample_by_sample: as Avalanche loads any other dataset.
    """

    whole_batches: float
    sample_by_sample: float


@dataclass(frozen=True)
class EpochTimes:
    """Seconds of an incremental epoch, medians.

    Attributes:
        cached: on packed latents, computed once before.
        recomputed: on rasters, through the frozen front.
        with_gradients: on rasters, gradients of the front included though nothing is done with them, as in the code
            that was published with latent replay.
    """

    cached: float
    recomputed: float
    with_gradients: float


def time_loading(experience: Any, minibatch: int = 128, n_minibatches: int = 20) -> LoadingTimes:
    """Time the loader that Avalanche's `Naive` makes for an experience, both ways in turn.

    Args:
        experience: of one of this library's benchmarks.
        minibatch: its samples.
        n_minibatches: how many to load each way; the first of each is not counted.
    """
    ordinary = copy(experience)
    ordinary._dataset = TaskAwareSupervisedClassificationDataset([experience.dataset], collate_fn=default_collate)
    loaders = [_minibatches(_strategy(nn.Linear(1, 1), minibatch), source) for source in (experience, ordinary)]
    seconds: list[list[float]] = [[], []]
    for _ in range(n_minibatches + 1):
        for loader, times in zip(loaders, seconds, strict=True):
            started = time.perf_counter()
            next(loader)
            times.append(time.perf_counter() - started)
    return LoadingTimes(*(median(times[1:]) for times in seconds))


def time_incremental_epoch(
    model: CuttableSequential,
    first: Any,
    second: Any,
    *,
    after: str = "hidden2",
    minibatch: int = 128,
    n_rounds: int = 3,
    n_epochs: int = 3,
    optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
) -> EpochTimes:
    """Time epochs of `Naive` on an experience, no replays: latents computed once, and the front run in every minibatch.

    All ways of doing it take turns.

    Args:
        model: is copied.
        first: experience that the front is frozen after; nothing is trained on it.
        second: experience that is trained on.
        after: where the network is cut.
        minibatch: samples of a minibatch.
        n_rounds: turns that each way has.
        n_epochs: how many to time in a turn, after one that is not counted.
        optimizer: of the parameters; Adamax when left out.
    """
    make = optimizer or (lambda parameters: torch.optim.Adamax(parameters, lr=1e-3))
    example = torch.stack([first.dataset[index][0] for index in range(2)])
    strategies, watches = [], []
    for way in ("cached", "recomputed", "with gradients"):
        network, watch = deepcopy(model), _Watch()
        plugins: list[Any] = [watch]
        if way == "cached":
            plugins.insert(0, CompressedLatentReplayPlugin(after, memory=0))
        trained = list(network.parameters())
        if way == "recomputed":
            network.cut(after, example)
            network.freeze_front()
        elif way == "with gradients":
            network.cut(after, example)
            front = {id(tensor) for tensor in network.front_state().values()}
            trained = [parameter for parameter in trained if id(parameter) not in front]
        strategies.append(_strategy(network, minibatch, make(trained), plugins))
        watches.append(watch)
    strategies[0].train_epochs = 0
    strategies[0].train(first, eval_streams=[])
    for _ in range(n_rounds):
        for strategy, watch in zip(strategies, watches, strict=True):
            strategy.train_epochs = n_epochs + 1
            watch.skip_next()
            strategy.train(second, eval_streams=[])
    return EpochTimes(*(median(watch.seconds) for watch in watches))


class _Watch(SupervisedPlugin):
    """Times epochs, but for those that it is told to skip."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._started = 0.0
        self._skips = False

    def skip_next(self) -> None:
        self._skips = True

    def before_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        self._started = time.perf_counter()

    def after_training_epoch(self, strategy: Any, **kwargs: Any) -> None:
        if not self._skips:
            self.seconds.append(time.perf_counter() - self._started)
        self._skips = False


def _strategy(
    model: nn.Module, minibatch: int, optimizer: torch.optim.Optimizer | None = None, plugins: Iterable[Any] = ()
) -> Naive:
    return Naive(
        model=model,
        optimizer=optimizer or torch.optim.SGD(model.parameters(), lr=0.1),
        criterion=nn.CrossEntropyLoss(),
        train_mb_size=minibatch,
        plugins=list(plugins),
        evaluator=EvaluationPlugin(loggers=[SilentLogger()]),
    )


def _minibatches(strategy: Naive, experience: Any) -> Any:
    """Yield minibatches without end, from the loader that the strategy makes."""
    strategy.experience = experience
    strategy.adapted_dataset = experience.dataset.train()
    strategy.make_train_dataloader()
    while True:
        yield from strategy.dataloader
