"""A growing network trained by however many processes there are; each writes what came out.

torchrun --nproc-per-node 2 parallel_run.py FILE, or `train` and `go_on` in processes that have torchrun's variables.
"""

from __future__ import annotations

import os
import sys
import zlib
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

import torch  # noqa: E402
from avalanche.core import SupervisedPlugin  # noqa: E402
from avalanche.distributed.distributed_helper import DistributedHelper  # noqa: E402
from avalanche.evaluation.metrics import accuracy_metrics  # noqa: E402
from avalanche.training.plugins import EvaluationPlugin  # noqa: E402
from tiny_learners import C, K, tiny_benchmark  # noqa: E402

from avalanche_snn.checkpointing import resume  # noqa: E402
from avalanche_snn.models import ExpandableClassifier, RecurrentSNN, SpikeRates  # noqa: E402
from avalanche_snn.training import ALADE, WA, DataParallel  # noqa: E402

MINIBATCH = 20  # all samples of an experience and all exemplars: their order plays no part then


class Seeds(SupervisedPlugin):
    """Seeds the generator wherever something is about to be drawn: data loaders draw from it as they please.

    The first process draws what a single one does, the others something else.
    """

    def __init__(self) -> None:
        super().__init__()
        for moment in ("before_train_dataset_adaptation", "before_training_epoch", "after_training_epoch"):
            setattr(self, moment, lambda *_, **__: torch.manual_seed(1 + int(os.environ.get("RANK", "0"))))


def begin(seed: int = 0) -> None:
    torch.set_num_threads(1)
    if "RANK" in os.environ:
        DistributedHelper.init_distributed(random_seed=seed, backend="gloo", use_cuda=False)
    torch.manual_seed(seed)


def tiny_model(**options: Any) -> ExpandableClassifier:
    network = RecurrentSNN(C, (9, 7), K, threshold=0.05, surrogate="fast_sigmoid/10", seed=0)
    return ExpandableClassifier(lambda: SpikeRates(network), K, **options)


def train(path: str) -> None:
    """Train three experiences."""
    begin()
    model = tiny_model().double()
    strategy = ALADE(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4),
        n_exemplars=6,
        second_stage_epochs=6,
        head_reset_epoch=2,
        train_mb_size=MINIBATCH,
        train_epochs=4,
        evaluator=EvaluationPlugin(accuracy_metrics(stream=True), loggers=[]),
    )
    strategy.plugins[:0] = [DataParallel(), Seeds()]
    benchmark = tiny_benchmark()
    for experience in benchmark.train_stream:
        strategy.train(experience)
        metrics = strategy.eval(benchmark.test_stream)
    leave(
        path,
        weights=strategy.model.state_dict(),
        shift=strategy.plugins[2].last_shift,
        accuracy=[value for name, value in metrics.items() if name.startswith("Top1_Acc_Stream/eval")],
        exemplars={label: [sample[0] for sample in group] for label, group in strategy.exemplars.groups.items()},
    )


def leave(path: str, **outcome: Any) -> None:
    torch.save(outcome, f"{path}-{os.environ.get('RANK', 'alone')}")


class Noted(SupervisedPlugin):
    """Notes which samples come in each epoch, and a random draw; stops at an epoch if it is told to."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.epochs: list[list[int]] = []
        self.draws: list[float] = []
        self._stop_at = stop_at

    def before_training_epoch(self, strategy: Any, **_: Any) -> None:
        if len(self.epochs) == self._stop_at:
            raise InterruptedError
        self.epochs.append([])
        self.draws.append(float(torch.rand(1)))

    def after_training_iteration(self, strategy: Any, **_: Any) -> None:
        self.epochs[-1] += [zlib.crc32(sample.numpy().tobytes()) for sample in strategy.mb_x]

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "draws": self.draws}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epochs, self.draws = state["epochs"], state["draws"]


def go_on(path: str, seed: int = 0, stop_at: int | None = None) -> None:
    """Learn two experiences, the second one with a teacher, from a checkpoint on if there is one."""
    begin(seed)
    model, noted = tiny_model(expand=False), Noted(stop_at)
    strategy = WA(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), 0.1, momentum=0.9),
        n_exemplars=6,
        train_mb_size=4,
        train_epochs=3,
        plugins=[DataParallel(), noted],
        evaluator=EvaluationPlugin(loggers=[]),
    )
    benchmark = tiny_benchmark()
    start = resume(f"{path}.checkpoint", strategy, benchmark, every_epochs=1)
    try:
        for experience in benchmark.train_stream[start:2]:
            strategy.train(experience)
    except InterruptedError:
        return
    leave(path, weights=strategy.model.state_dict(), epochs=noted.epochs, draws=noted.draws)


if __name__ == "__main__":
    train(sys.argv[1])
