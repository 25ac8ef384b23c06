"""The script of a user, on tiny data: composed, resumed, trained, evaluated; and a process that dies within it."""

from __future__ import annotations

import io
import multiprocessing
import os
import random
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from avalanche.core import SupervisedPlugin
from avalanche.evaluation.metrics import accuracy_metrics, forgetting_metrics, loss_metrics
from avalanche.training.plugins import EvaluationPlugin, LRSchedulerPlugin
from tiny_learners import NormalisedLeaky, Rasters, Silence, seed_everything

from avalanche_snn.benchmarks.protocols import multi_class_incremental, sample_incremental
from avalanche_snn.checkpointing import resume
from avalanche_snn.datasets import RasterDataset
from avalanche_snn.evaluation import MemoryMetric, memory_metrics
from avalanche_snn.models import RecurrentSNN
from avalanche_snn.training import SeenClassesCrossEntropy
from benchmarks.catalogue import find_strategy, options_of, strategy_names
from strategies import compressed_latent_replay

N_CLASSES = 4
EPOCHS, LATER_EPOCHS = 3, 2
# Speakers of the samples of each class: classes 0 and 1 come first, then 1 and 2, and all of them with class 3.
SPEAKERS = (0, 0, 0, 2, 2), (0, 0, 0, 1, 1), (1, 1, 1, 1, 2), (2, 2, 2, 2, 2)
# They ask for experiences of new classes.
ONLY_NEW_CLASSES = {"bic", "icarl"}
# Room for half of the samples of the stream or so: each experience drives exemplars of earlier ones out. Minibatches of
# replays are smaller than what there is to replay, so that it matters which of them come next.
OPTIONS: dict[str, dict[str, Any]] = {
    "replay": {"memory": "300 B", "replay_share": 0.35, "seed": 5},
    "compressed_latent_replay": {"after": "hidden1", "memory": "300 B"},
    "distilled_latent_replay": {"after": "hidden1", "memory": "300 B"},
    "replay4ncl": {"after": "hidden1", "memory": "300 B"},
    "agem": {"memory": "460 B", "sample_size": 4},
    "bic": {"memory": "300 B"},
    "der": {"memory": "370 B", "train_mb_size": 3},
    "der_plus_plus": {"memory": "370 B", "train_mb_size": 3},
    "er_ace": {"memory": "230 B", "train_mb_size": 3},
    "gem": {"memory": "450 B"},
    "icarl": {"memory": "300 B"},
    "mir": {"memory": "230 B", "candidates": 5, "replayed": 2},
    "rwalk": {"steps_between_scores": 2},
}
BUILDERS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    **{
        name: (
            find_strategy(name).build,
            OPTIONS.get(name, {"memory": "230 B"} if "memory" in options_of(name) else {}),
        )
        for name in strategy_names()
    },
    "rice": (compressed_latent_replay.build, {"after": "hidden1", "memory": "300 B", "codec": "rice"}),
    "herding": (
        compressed_latent_replay.build,
        {"after": "hidden1", "memory": "300 B", "codec": "count/2", "selection": "herding"},
    ),
}


class Reached(Protocol):
    def __call__(self, moment: str) -> None: ...


Death = tuple[str, int]


def nothing(moment: str) -> None:
    """Let a moment pass."""


class Moments(SupervisedPlugin):
    """Says of every hook that it is reached, so that a run can be stopped there."""

    def __init__(self, reached: Reached) -> None:
        super().__init__()
        self.reached = reached

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        assert state == {}


def _hook(name: str) -> Callable[..., None]:
    return lambda self, *args, **kwargs: self.reached(name)


for _name in dir(SupervisedPlugin):
    if _name.startswith(("before_", "after_")):
        setattr(Moments, _name, _hook(_name))


def tiny_data(seed: int, split: str) -> RasterDataset:
    data = Rasters(seed, n_each=5, n_classes=N_CLASSES, largest=3)
    return RasterDataset(
        data.rasters.to(torch.uint8).numpy(),
        np.array(data.targets),
        np.array(SPEAKERS).flatten(),
        class_names=[f"word {label}" for label in range(N_CLASSES)],
        name="Tiny",
        split=split,
    )


def noisy(raster: torch.Tensor) -> torch.Tensor:
    """A transform that draws from all three generators of the process."""
    kept = torch.rand(raster.shape) < 0.9
    return raster * kept * float(random.random() < 0.95) * float(np.random.rand() < 0.95)  # noqa: NPY002


def compose(
    name: str, reached: Reached = nothing, *, data_seed: int = 1, returning: bool = False, **changes: Any
) -> tuple[Any, Any]:
    """Build the strategy and the benchmark of the script: of new classes, or of classes that come again."""
    seed_everything(3)
    build, options = BUILDERS[name]
    data = tiny_data(data_seed, "train"), tiny_data(99, "test")
    if returning:
        benchmark = sample_incremental(*data, new_speaker=2, n_experiences=3, train_transform=noisy)
    else:
        benchmark = multi_class_incremental(*data, n_pretrain_classes=2, train_transform=noisy)
    model = RecurrentSNN(12, changes.pop("hidden", (9, 7)), N_CLASSES, neuron=NormalisedLeaky, readout="mean", seed=0)
    optimizer = torch.optim.Adamax(model.parameters(), lr=changes.pop("lr", 0.02))
    moments = Moments(reached)
    scheduler = LRSchedulerPlugin(torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 5))
    metrics = (
        accuracy_metrics(
            minibatch=True, epoch=True, epoch_running=True, experience=True, stream=True, trained_experience=True
        ),
        loss_metrics(epoch=True, experience=True),
        forgetting_metrics(experience=True, stream=True),
        memory_metrics(),
    )
    composed = {
        "train_mb_size": 6,
        "eval_mb_size": 16,
        "train_epochs": EPOCHS,
        "criterion": SeenClassesCrossEntropy(),
        # That strategy has nothing to optimise, and so no learning rate.
        "plugins": [moments] if name == "streaming_lda" else [moments, scheduler],
        "evaluator": EvaluationPlugin(*metrics, loggers=[Silence()]),
        **options,
        **changes,
    }
    return build(model, optimizer, **composed), benchmark


def go_on(
    name: str, path: Path, reached: Reached = nothing, *, every_epochs: int | None = 1, returning: bool = False
) -> Any:
    """Run the script from wherever its checkpoint stands; return the strategy in the end."""
    strategy, benchmark = compose(name, reached, returning=returning)
    start = resume(path, strategy, benchmark, every_epochs=every_epochs)
    if name == "joint":
        strategy.train(benchmark.train_stream)
        strategy.eval(benchmark.test_stream)
        return strategy
    for experience in benchmark.train_stream[start:]:
        strategy.train(experience)
        strategy.train_epochs = LATER_EPOCHS
        strategy.eval(benchmark.test_stream)
    return strategy


def outcome_of(strategy: Any) -> dict[str, Any]:
    """What two equal runs have in common: weights, optimizer, every metric ever emitted, the next random draws."""
    memories = [plugin.memory.state_dict() for plugin in strategy.plugins if hasattr(plugin, "memory")]
    return {
        "weights": dict(strategy.model.state_dict()),
        "trainable": {name: parameter.requires_grad for name, parameter in strategy.model.named_parameters()},
        "modes": {name: module.training for name, module in strategy.model.named_modules()},
        "optimizer": None if strategy.optimizer is None else _in_order(strategy.optimizer.state_dict()),
        "metrics": dict(strategy.evaluator.get_all_metrics()),
        "last metrics": strategy.evaluator.get_last_metrics(),
        "memories": memories,
        "exemplars": [_samples_of(holder) for holder in (strategy, *strategy.plugins)],
        "bytes": [metric.state_dict() for metric in strategy.evaluator.metrics if isinstance(metric, MemoryMetric)],
        "epochs": [strategy.clock.train_exp_counter, strategy.clock.train_iterations, strategy.clock.total_iterations],
        "draws": [torch.rand(3), random.random(), float(np.random.rand())],  # noqa: NPY002
    }


def _samples_of(holder: Any) -> list[Any]:
    """The exemplars that a plugin or a strategy keeps in one of Avalanche's buffers."""
    policy = getattr(holder, "storage_policy", None)
    if policy is None:
        return []
    return [[sample[0], *(int(label) for label in sample[1:3])] for sample in policy.buffer.eval()]


def _in_order(state: dict[str, Any]) -> dict[str, Any]:
    """The state of an optimizer, parameter by parameter: those that came late were the last to be stepped."""
    return {**state, "state": dict(sorted(state["state"].items()))}


def assert_same(one: Any, other: Any, where: str = "outcome") -> None:
    """Equal down to the last bit."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype, where
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key, value in one.items():
            assert_same(value, other[key], f"{where}[{key!r}]")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for place, value in enumerate(one):
            assert_same(value, other[place], f"{where}[{place}]")
    else:
        assert one == other, where


def _with_moments_while_writing(reached: Reached) -> None:
    """Let the writing of a file have moments too: half written, before it is on disk, before and after its renaming."""
    save, sync, replace = torch.save, os.fsync, os.replace

    def save_in_halves(content: Any, file: Any) -> None:
        whole = io.BytesIO()
        save(content, whole)
        half = len(whole.getvalue()) // 2
        file.write(whole.getvalue()[:half])
        file.flush()
        reached("half written")
        file.write(whole.getvalue()[half:])

    def sync_later(handle: int) -> None:
        reached("written")
        sync(handle)

    def replace_and_tell(*paths: Any) -> None:
        reached("before renaming")
        replace(*paths)
        reached("renamed")

    torch.save, os.fsync, os.replace = save_in_halves, sync_later, replace_and_tell


def _live(name: str, folder: Path, dies_at: Death | None) -> None:
    """In a process of its own: run the script, and die at a moment or leave the outcome."""
    moments: list[str] = []
    store = torch.save

    def reached(moment: str) -> None:
        if dies_at == (moment, moments.count(moment)):
            os.kill(os.getpid(), signal.SIGKILL)
        moments.append(moment)

    try:
        torch.set_num_threads(1)
        _with_moments_while_writing(reached)
        strategy = go_on(name, folder / "run.checkpoint", reached)
        store({**outcome_of(strategy), "moments": moments}, folder / "outcome")
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def live(name: str, folder: Path, dies_at: Death | None = None) -> dict[str, Any] | None:
    """Run the script in a process of its own.

    Returns:
        The outcome, or None when the process was killed: at a moment of that name, the first one if the number is 0.
    """
    process = multiprocessing.get_context("fork").Process(target=_live, args=(name, folder, dies_at))
    sys.stdout.flush()
    process.start()
    process.join()
    if process.exitcode == -signal.SIGKILL:
        return None
    assert process.exitcode == 0, f"the run {name} failed"
    return torch.load(folder / "outcome", weights_only=True)


if __name__ == "__main__":
    _live(sys.argv[1], Path(sys.argv[2]), None)
