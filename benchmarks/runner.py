"""Carrying out one run: stream, network, strategy, evaluation, record."""

from __future__ import annotations

import platform
import random
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from avalanche.evaluation.metrics import accuracy_metrics, confusion_matrix_metrics
from avalanche.training.plugins import EvaluationPlugin
from torch import nn

from avalanche_snn.evaluation import MemoryMetric
from avalanche_snn.neurons import SpikingLayer
from avalanche_snn.training import BudgetTooSmallError
from benchmarks.catalogue import find_benchmark, find_strategy, takes_seed, why_not
from benchmarks.pretraining import CACHE, key_of, pretrain
from benchmarks.progress import EpochBar, EpochCounter, RunView, SilentLogger
from benchmarks.recipes import make_augmentation, make_loss, make_network, make_optimizer, make_plugins
from benchmarks.records import RESULTS, Record, read_record, write_record
from benchmarks.refusals import forget_refusal, write_refusal
from benchmarks.settings import RunPlan
from benchmarks.sources import source_digest

_EVALUATION_MINIBATCH = 256
_PACKAGES = ("avalanche-snn", "avalanche-lib", "torch", "snntorch", "tonic", "numpy")


def run(
    plan: RunPlan,
    results: Path = RESULTS,
    *,
    again: bool = False,
    cache: Path = CACHE,
    view: RunView | None = None,
    jobs: int = 1,
) -> Record:
    """Carry out a run and write its record; a run that has a record is not repeated.

    Args:
        plan: the run.
        results: folder of records.
        again: repeat it all the same.
        cache: folder of pre-trained networks.
        view: is told how it goes on, and closed; a progress bar by default.
        jobs: runs that are carried out side by side, this one among them, as the record will say.

    Raises:
        ValueError: the strategy cannot run on the benchmark, or not with so little memory. That is written down.
    """
    path = record_path(plan, results)
    if path.exists() and not again:
        return read_record(path)
    view = EpochBar(plan.identifier) if view is None else view
    try:
        prepared = _Run(plan, cache, view, jobs)
        try:
            record = prepared.carry_out()
        except ValueError as error:
            if isinstance(error, (CannotRunError, BudgetTooSmallError)):
                write_refusal(plan, prepared.scenario.dataset_name, error, results)
            raise
    finally:
        view.close()
    write_record(record, path)
    forget_refusal(plan, results)
    return record


class CannotRunError(ValueError):
    """A strategy that cannot run on a benchmark, as its own file says."""


def record_path(plan: RunPlan, results: Path = RESULTS) -> Path:
    """Return where the record of a run is, or will be."""
    return results / f"{plan.identifier}.json"


def shared_network(plan: RunPlan) -> str | None:
    """Return the same text for runs that begin with the same network; None for one that begins with its own."""
    # Runs of one series read the same data: which, need not be known to tell their networks apart.
    return None if _trains_first(find_strategy(plan.strategy)) else key_of(plan, data_sha256="")


def _learns_jointly(strategy: ModuleType) -> bool:
    return bool(getattr(strategy, "LEARNS_JOINTLY", False))


def _trains_from_scratch(strategy: ModuleType) -> bool:
    return bool(getattr(strategy, "TRAINS_FROM_SCRATCH", False))


def _trains_first(strategy: ModuleType) -> bool:
    # What gathers something while it trains (path integrals, say) has to train the first experience itself.
    itself = bool(getattr(strategy, "TRAINS_FIRST_EXPERIENCE", False))
    return itself or _learns_jointly(strategy) or _trains_from_scratch(strategy)


def _seed_everything(seed: int) -> None:
    torch.manual_seed(seed)
    # Some of Avalanche's buffers draw from these.
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002


class _Run:
    """The parts of one run."""

    def __init__(self, plan: RunPlan, cache: Path, view: RunView, jobs: int) -> None:
        self.plan = plan
        self.cache = cache
        self.view = view
        self.jobs = jobs
        # Spike counts as bytes: the networks read them fastest so, and a minibatch is a quarter of the size.
        self.scenario = find_benchmark(plan.benchmark).build[plan.data](
            seed=plan.seed, dtype=torch.uint8, **make_augmentation(plan.training), **plan.stream
        )
        self.file: ModuleType = find_strategy(plan.strategy)
        self.jointly = _learns_jointly(self.file)
        self.trains_first = _trains_first(self.file)
        self.from_scratch = _trains_from_scratch(self.file)
        self.memory = MemoryMetric()
        self.confusions: list[list[list[int]]] = []

    def carry_out(self) -> Record:
        """Train and evaluate, and return the record."""
        plan, scenario = self.plan, self.scenario
        if reason := why_not(plan.strategy, plan.benchmark):
            raise CannotRunError(f"{plan.strategy} cannot run on {plan.benchmark}: {reason}")
        model = make_network(plan.network, scenario.n_channels, len(scenario.class_names), plan.seed)
        n_later = 0 if self.jointly else len(scenario.train_stream) - 1
        n_epochs = plan.training.first_epochs if self.from_scratch else plan.training.epochs
        progress = EpochCounter(plan.training.first_epochs + n_later * n_epochs, self.view)
        first_seconds = 0.0
        if not self.trains_first:
            first = scenario.train_stream[0]
            first_seconds = pretrain(model, first, plan, scenario.dataset_sha256, [progress], self.cache)
            progress.reach(plan.training.first_epochs)
            self.view.network_is_ready()
        started = time.perf_counter()
        # The same draws follow, whether the network was trained just now or came from the cache.
        _seed_everything(plan.seed)
        strategy = self._compose(model, [progress])
        rows = self._learn(strategy)
        seconds = time.perf_counter() - started
        return self._record(strategy, rows, first_seconds, seconds)

    def _compose(self, model: nn.Module, plugins: Sequence[Any]) -> Any:
        plan = self.plan
        own = dict(plan.options)
        if takes_seed(plan.strategy):
            own["seed"] = plan.seed
        as_first = self.jointly or self.from_scratch
        minibatch = plan.training.minibatch_of_first if as_first else plan.training.minibatch
        return self.file.build(
            model,
            make_optimizer(plan.training, model),
            train_mb_size=minibatch,
            eval_mb_size=_EVALUATION_MINIBATCH,
            criterion=make_loss(plan.training),
            plugins=[
                *make_plugins(plan.training, first_is_trained=self.trains_first, always_first=self.from_scratch),
                *plugins,
            ],
            evaluator=EvaluationPlugin(
                accuracy_metrics(experience=True),
                confusion_matrix_metrics(len(self.scenario.class_names), save_image=False, stream=True),
                self.memory,
                loggers=[SilentLogger()],
            ),
            **own,
        )

    def _learn(self, strategy: Any) -> list[list[float]]:
        """Train on the stream; return the accuracy on each test experience after each training experience."""
        training, scenario = self.plan.training, self.scenario
        if self.jointly:
            strategy.train_epochs = training.first_epochs
            strategy.train(scenario.train_stream, eval_streams=[])
            return [self._accuracies(strategy)]
        rows = []
        for number, experience in enumerate(scenario.train_stream):
            strategy.train_epochs = training.epochs
            learning_rate, strategy.train_mb_size = training.learning_rate, training.minibatch
            if number == 0 or self.from_scratch:
                strategy.train_mb_size = training.minibatch_of_first
                strategy.train_epochs = training.first_epochs if self.trains_first else 0
                learning_rate = training.first_learning_rate
            # A strategy that does not train the network has no optimizer.
            for group in strategy.optimizer.param_groups if strategy.optimizer else ():
                group["lr"] = learning_rate
            strategy.train(experience, eval_streams=[], reset_optimizer_state=True)
            rows.append(self._accuracies(strategy))
        return rows

    def _accuracies(self, strategy: Any) -> list[float]:
        metrics = strategy.eval(self._evaluation_stream)
        self.confusions.append(_confusion(metrics))
        return [_experience_accuracy(metrics, number) for number in range(len(self._evaluation_stream))]

    @property
    def _evaluation_stream(self) -> Any:
        return self.scenario.test_stream if self.plan.evaluate_on == "test" else self.scenario.valid_stream

    def _record(self, strategy: Any, rows: list[list[float]], first_seconds: float, seconds: float) -> Record:
        plan, scenario = self.plan, self.scenario
        sizes = [len(experience.dataset) for experience in self._evaluation_stream]
        record: Record = {
            "benchmark": plan.benchmark,
            "strategy": plan.strategy,
            "seed": plan.seed,
            "data": plan.data,
            "data_name": scenario.dataset_name,
            "data_sha256": scenario.dataset_sha256,
            "split": scenario.split,
            "settings": plan.settings,
            "final_accuracy": _weighted(rows[-1], sizes),
            "seen_accuracy": [_weighted(row[: n + 1], sizes[: n + 1]) for n, row in enumerate(rows)]
            if not self.jointly
            else [_weighted(rows[-1], sizes)],
            "accuracy_matrix": rows,
            "evaluation_sizes": sizes,
            "confusion": {"first": self.confusions[0], "last": self.confusions[-1]},
            "memory_bytes": self.memory.memory_bytes,
            "working_bytes": self.memory.working_bytes,
            "training_steps": strategy.clock.train_iterations,
            "seconds": first_seconds + seconds,
            "first_seconds": first_seconds,
            "threads": torch.get_num_threads(),
            "kernels": sorted({m.kernel_in_use for m in strategy.model.modules() if isinstance(m, SpikingLayer)}),
            "jobs": self.jobs,
            "versions": {name: version(name) for name in _PACKAGES} | {"python": platform.python_version()},
            "source": source_digest(),
        }
        if hasattr(scenario, "unseen_stream"):
            record["unseen_accuracy"] = _experience_accuracy(strategy.eval(scenario.unseen_stream), 0)
        return record


def _experience_accuracy(metrics: dict[str, Any], number: int) -> float:
    """Find the accuracy on one experience among Avalanche's metrics, whose names differ between generators."""
    found = [
        float(value)
        for name, value in metrics.items()
        if name.startswith("Top1_Acc_Exp/eval_phase/") and name.endswith(f"Exp{number:03d}")
    ]
    if not found:
        raise ValueError(f"No accuracy of experience {number} among the metrics {', '.join(metrics)}.")
    return found[-1]


def _confusion(metrics: dict[str, Any]) -> list[list[int]]:
    """Find the confusion matrix of the whole stream: rows are the true classes, columns what they were taken for."""
    (found,) = (value for name, value in metrics.items() if name.startswith("ConfusionMatrix_Stream/eval_phase/"))
    matrix: list[list[int]] = found.to(torch.int64).tolist()
    return matrix


def _weighted(accuracies: list[float], sizes: list[int]) -> float:
    return sum(a * n for a, n in zip(accuracies, sizes, strict=True)) / sum(sizes)
