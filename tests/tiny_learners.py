"""Tiny rasters, spiking networks and Avalanche strategies, for tests that train."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from avalanche.benchmarks import nc_benchmark
from avalanche.logging import BaseLogger
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import Naive
from torch import nn

from avalanche_snn.models import CuttableSequential, RecurrentSNN
from avalanche_snn.neurons import Leaky

T, C, K = 8, 12, 6
N_EACH = 6


class Rasters(torch.utils.data.Dataset):
    """Spike counts `[N, T, C]`, no two samples alike; every reading of a sample is counted in `reads`."""

    def __init__(self, seed, *, n_each=N_EACH, n_classes=K, largest=1):
        generator = torch.Generator().manual_seed(seed)
        self.targets = [label for label in range(n_classes) for _ in range(n_each)]
        rates = torch.rand(n_classes, 1, C, generator=generator)[self.targets]
        spikes = (torch.rand(len(self.targets), T, C, generator=generator) < rates).float()
        self.rasters = spikes * torch.randint(1, largest + 1, spikes.shape, generator=generator)
        self.reads = Counter()

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        self.reads[index] += 1
        return self.rasters[index], self.targets[index]


def tiny_benchmark(n_experiences=3, *, task_labels=False, seed=1, **options):
    """Two classes an experience, in label order."""
    train, test = Rasters(seed, **options), Rasters(seed + 100, **options)
    benchmark = nc_benchmark(
        train, test, n_experiences, task_labels=task_labels, shuffle=False, fixed_class_order=list(range(K))
    )
    benchmark.train_data, benchmark.test_data = train, test
    return benchmark


class NormalisedLeaky(nn.Module):
    """Dropout, a linear map, batch statistics, spikes: a front whose training mode would be noticed."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.dropout = nn.Dropout(0.2)
        self.linear = nn.Linear(n_inputs, n_outputs)
        self.norm = nn.BatchNorm1d(n_outputs)
        self.spikes = Leaky(n_outputs, n_outputs, recurrent=True, threshold=0.3)

    def forward(self, x):
        currents = self.linear(self.dropout(x))
        return self.spikes(self.norm(currents.transpose(1, 2)).transpose(1, 2))


class Mean(nn.Module):
    """Mean over time and a linear map, `[B, T, H] -> [B, K]`."""

    def __init__(self, n_inputs, n_outputs=K):
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)

    def forward(self, x):
        return self.linear(x.mean(1))


def tiny_network(*, time_pooling=None, hidden=(9, 7)) -> RecurrentSNN:
    return RecurrentSNN(C, hidden, K, neuron=NormalisedLeaky, time_pooling=time_pooling, readout="mean", seed=0)


def tiny_sequential(kind=CuttableSequential):
    torch.manual_seed(0)
    layers = {"spikes": Leaky(C, 9, threshold=0.3), "more": Leaky(9, 7, threshold=0.3), "readout": Mean(7)}
    network = kind()
    for name, layer in layers.items():
        network.add_module(name, layer)
    return network


class Silence(BaseLogger):
    """A logger that says nothing: without one, Avalanche warns."""


def tiny_strategy(model, plugins: Sequence = (), template=Naive, *, evaluator=None, optimizer=None, **options):
    """Compose a strategy that trains two epochs of minibatches of 8."""
    return template(
        model=model,
        optimizer=optimizer or torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3),
        plugins=list(plugins),
        evaluator=evaluator or EvaluationPlugin(loggers=[Silence()]),
        **{"criterion": nn.CrossEntropyLoss(), "train_mb_size": 8, "train_epochs": 2, "eval_mb_size": 16, **options},
    )


def seed_everything(seed=0):
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - Avalanche draws from it


def learn(strategy, benchmark, seed=0):
    """Train on the whole stream, an experience at a time."""
    seed_everything(seed)
    for experience in benchmark.train_stream:
        strategy.train(experience, eval_streams=[])
    return strategy.model
