"""Carrying out a run on CIFAR-100, which goes on where it stopped."""

from __future__ import annotations

import json
import platform
import resource
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from avalanche.benchmarks import NCScenario
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.training.plugins import EvaluationPlugin
from tqdm import tqdm

from avalanche_snn.benchmarks import CIFAR100Incremental
from avalanche_snn.checkpointing import resume
from avalanche_snn.evaluation import MemoryMetric, average_incremental_accuracy, final_accuracy
from avalanche_snn.models import ExpandableClassifier, SpikingResNet
from avalanche_snn.models.residual import PRECISIONS
from avalanche_snn.neurons import LeakyMaps
from avalanche_snn.training import ALADE, WA, DataParallel, LearningRateSchedule
from avalanche_snn.training.data_parallel import is_first_process
from avalanche_snn.training.stateless_plugin import StatelessPlugin
from benchmarks.files import write_json
from benchmarks.images.configurations import METHODS, ImageConfiguration
from benchmarks.progress import SilentLogger
from benchmarks.records import Record
from benchmarks.sources import source_digest

_PACKAGES = ("avalanche-snn", "avalanche-lib", "torch", "torchvision", "snntorch", "numpy")
_EVALUATION_MINIBATCH = 256
_CHECKPOINT_EVERY = 10


@dataclass(frozen=True)
class Machine:
    """Where a run is carried out; but for roundings and random draws, none of it decides what comes out.

    Attributes:
        device: like "cuda" or "cpu"; of one of several processes, its own.
        precision: of convolutions, see `SpikingResNet`.
        channels_last: the memory format of weights, and so of feature maps: for GPUs. (On the CPU, torch 2.14 may crash
            on the way back through convolutions of a few channels in it.)
        n_workers: of data loaders.
    """

    device: str = "cpu"
    precision: str = "float32"
    channels_last: bool = False
    n_workers: int = 0


def make_benchmark(configuration: ImageConfiguration, class_order: int, root: str | None = None) -> NCScenario:
    """Return the stream of a configuration in an order of classes."""
    return CIFAR100Incremental(class_order=class_order, dataset_root=root, **configuration.stream)


def make_strategy(
    configuration: ImageConfiguration, method: str, n_classes: int, seed: int, machine: Machine, **more: Any
) -> Any:
    """Return the strategy of a configuration and a method, with a network whose weights are drawn from the seed."""
    chosen = METHODS[method]
    torch.manual_seed(seed)
    network = {**configuration.network, "precision": machine.precision, "seed": seed}
    model = ExpandableClassifier(lambda: SpikingResNet(None, **network), n_classes, expand=chosen.expand)
    if machine.channels_last:
        model = model.to(memory_format=torch.channels_last)
    options: dict[str, Any] = {
        "model": model,
        "optimizer": torch.optim.SGD(model.parameters(), configuration.learning_rate, momentum=0.9, weight_decay=5e-4),
        "n_exemplars": configuration.n_exemplars,
        "n_exemplars_per_class": configuration.n_exemplars_per_class,
        "train_mb_size": configuration.minibatch,
        "train_epochs": configuration.epochs,
        "eval_mb_size": _EVALUATION_MINIBATCH,
        "device": machine.device,
        **more,
    }
    if chosen.aligns_weights:
        return WA(**options)
    own = {
        "second_stage_epochs": configuration.second_stage_epochs,
        "head_reset_epoch": configuration.head_reset_epoch,
        "seed": seed,
        **chosen.options,
    }
    return ALADE(**options, **own)


def run_images(
    name: str,
    configuration: ImageConfiguration,
    method: str,
    *,
    class_order: int = 0,
    seed: int = 0,
    machine: Machine | None = None,
    results: Path,
    checkpoints: Path,
    root: str | None = None,
) -> Record:
    """Carry out a run, or what is missing of it, and write its record.

    Of several processes (`torchrun`), each calls this, and the first one writes.

    Args:
        name: of the configuration.
        configuration: what is run.
        method: name of one of `METHODS`.
        class_order: seed of the order of classes.
        seed: of weights and draws.
        machine: where.
        results: folder of the record.
        checkpoints: folder of the checkpoint, which is removed when the record is there.
        root: folder of the data.
    """
    machine = machine or Machine()
    identifier = f"{name}-{method}-order{class_order}-seed{seed}"
    path = results / f"{identifier}.json"
    checkpoint = checkpoints / f"{identifier}.checkpoint"
    is_first = is_first_process()
    if path.exists():
        if is_first:
            checkpoint.unlink(missing_ok=True)
        return dict(json.loads(path.read_text(encoding="utf-8")))
    benchmark = make_benchmark(configuration, class_order, root)
    n_classes = len(benchmark.class_order)
    memory = MemoryMetric()
    loggers = [SilentLogger()] if is_first else []  # Avalanche has them in the first process only
    bar = _Bar(identifier, len(benchmark.train_stream), shown=is_first)
    strategy = make_strategy(
        configuration,
        method,
        n_classes,
        seed,
        machine,
        plugins=[DataParallel(), LearningRateSchedule("steps"), bar],
        evaluator=EvaluationPlugin(accuracy_metrics(experience=True), memory, loggers=loggers),
    )
    was_begun = checkpoint.exists()
    started = time.perf_counter()
    start = resume(checkpoint, strategy, benchmark, every_epochs=_CHECKPOINT_EVERY)
    for experience in benchmark.train_stream[start:]:
        # Momentum of one experience is none of the next one's.
        strategy.train(experience, eval_streams=[], num_workers=machine.n_workers, reset_optimizer_state=True)
        strategy.eval(benchmark.test_stream, num_workers=machine.n_workers)
    bar.close()
    matrix = _matrix(strategy.evaluator.get_all_metrics(), len(benchmark.test_stream))
    sizes = [len(experience.dataset) for experience in benchmark.test_stream]
    record: Record = {
        "configuration": name,
        "method": method,
        "class_order": list(benchmark.class_order),
        "class_order_seed": class_order,
        "seed": seed,
        "data": benchmark.dataset_name,
        "data_sha256": benchmark.dataset_sha256,
        "settings": configuration.settings,
        "accuracy_matrix": matrix,
        "evaluation_sizes": sizes,
        "average_incremental_accuracy": average_incremental_accuracy(matrix, sizes),
        "final_accuracy": final_accuracy(matrix, sizes),
        "memory_bytes": memory.memory_bytes,
        "seconds": time.perf_counter() - started,
        "resumed": was_begun,
        "machine": {**vars(machine), "kernel": _kernel_of(strategy.model, machine)},
        "versions": {name: version(name) for name in _PACKAGES} | {"python": platform.python_version()},
        "source": source_digest(),
    }
    if is_first:
        write_json(path, record)
        checkpoint.unlink(missing_ok=True)
    return record


def measure_images(
    name: str,
    configuration: ImageConfiguration,
    *,
    machine: Machine | None = None,
    results: Path,
    n_steps: int = 2,
    root: str | None = None,
) -> Record:
    """Take a few steps of ALADE in its first and in its second experience, and write how long they took.

    The record says that the configuration was not run.
    """
    machine = machine or Machine()
    benchmark = make_benchmark(configuration, 0, root)
    n_classes = len(benchmark.class_order)
    timer = _Timer(n_steps)
    strategy = make_strategy(configuration, "alade", n_classes, 0, machine, plugins=[timer], evaluator=None)
    seconds = []
    for experience in benchmark.train_stream[:2]:
        timer.seconds.clear()
        try:
            strategy.train(experience, eval_streams=[])
        except _EnoughError:
            seconds.append(min(timer.seconds))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    record: Record = {
        "configuration": name,
        "not_run": True,
        "settings": configuration.settings,
        "step_seconds": seconds,
        "minibatch": configuration.minibatch,
        "peak_bytes": torch.cuda.max_memory_allocated() if machine.device.startswith("cuda") else peak,
        "threads": torch.get_num_threads(),
        "machine": {**vars(machine), "kernel": _kernel_of(strategy.model, machine)},
        "versions": {name: version(name) for name in _PACKAGES} | {"python": platform.python_version()},
        "source": source_digest(),
    }
    write_json(results / f"{name}-not_run.json", record)
    return record


class _EnoughError(Exception):
    """The steps that were to be taken have been."""


class _Timer(StatelessPlugin):
    """Takes the time of each step, and breaks off after some."""

    def __init__(self, n_steps: int) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self._n_steps = n_steps
        self._since = 0.0

    def before_training_iteration(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Begin."""
        self._since = time.perf_counter()

    def after_training_iteration(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """End."""
        strategy.loss.item()  # waits for the device
        self.seconds.append(time.perf_counter() - self._since)
        if len(self.seconds) == self._n_steps:
            raise _EnoughError


class _Bar(StatelessPlugin):
    """A bar for all experiences, a step an epoch."""

    def __init__(self, label: str, n_experiences: int, *, shown: bool) -> None:
        super().__init__()
        self._bar: tqdm[Any] = tqdm(desc=label, total=n_experiences, unit="experience", disable=not shown)

    def after_training_epoch(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        """Move on by a part of an experience."""
        done = strategy.clock.train_exp_counter + (strategy.clock.train_exp_epochs + 1) / strategy.train_epochs
        self._bar.n = round(min(done, self._bar.total), 2)
        self._bar.set_postfix(loss=f"{strategy.loss.item():.3f}")

    def close(self) -> None:
        """The run is over."""
        self._bar.close()


def _matrix(metrics: dict[str, Any], n_experiences: int) -> list[list[float]]:
    """Return the accuracies on each test experience after each training experience, 0..1."""
    columns = []
    for number in range(n_experiences):
        (values,) = (
            values
            for name, (_, values) in metrics.items()
            if name.startswith("Top1_Acc_Exp/eval_phase/") and name.endswith(f"Exp{number:03d}")
        )
        columns.append([float(value) for value in values])
    return [list(row) for row in zip(*columns, strict=True)]


def _kernel_of(model: ExpandableClassifier, machine: Machine) -> str:
    """Return the name of the kernel that the neurons are computed by."""
    dtype = PRECISIONS[machine.precision] or torch.float32
    neurons = next(module for module in model.modules() if isinstance(module, LeakyMaps))
    return neurons.kernel_for(torch.device(machine.device), dtype).name
