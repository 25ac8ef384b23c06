"""Tiny spiking strategies whose evaluator has many metrics and the loggers under test."""

from __future__ import annotations

import torch
from avalanche.evaluation.metrics import (
    accuracy_metrics,
    confusion_matrix_metrics,
    forgetting_metrics,
    images_samples_metrics,
    loss_metrics,
)
from avalanche.training.plugins import EvaluationPlugin
from tiny_learners import C, K, seed_everything, tiny_strategy

from avalanche_snn.evaluation import memory_metrics
from avalanche_snn.models import RecurrentSNN


def spiking_network():
    return RecurrentSNN(C, (9, 7), K, readout="mean", seed=0)


def logged_strategy(loggers, plugins=(), *, metrics=(), **options):
    evaluator = EvaluationPlugin(
        accuracy_metrics(minibatch=True, epoch=True, experience=True, stream=True),
        loss_metrics(minibatch=True, epoch=True),
        forgetting_metrics(stream=True),
        memory_metrics(),
        *metrics,
        loggers=loggers,
    )
    return tiny_strategy(spiking_network(), plugins, evaluator=evaluator, **options)


def pictures():
    return [
        *confusion_matrix_metrics(num_classes=K, stream=True, wandb=True),
        *images_samples_metrics(n_rows=1, n_cols=2, on_train=True),
    ]


def learn_and_test(strategy, benchmark, epochs=(2, 1, 1), *, seed=0):
    """Train two epochs and then one an experience, evaluate after each; return what the strategy reports."""
    seed_everything(seed)
    reports = []
    for experience, n_epochs in zip(benchmark.train_stream, epochs, strict=False):
        strategy.train_epochs = n_epochs
        strategy.train(experience, eval_streams=[])
        reports.append(strategy.eval(benchmark.test_stream))
    return reports


def weights(strategy):
    return torch.cat([parameter.detach().flatten() for parameter in strategy.model.parameters()])
