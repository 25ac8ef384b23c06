"""A growing network trained by however many processes there are; each writes what came out.

torchrun --nproc-per-node 2 parallel_run.py FILE, or `train` in processes that have torchrun's variables.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]

import torch  # noqa: E402
from avalanche.core import SupervisedPlugin  # noqa: E402
from avalanche.distributed.distributed_helper import DistributedHelper  # noqa: E402
from avalanche.evaluation.metrics import accuracy_metrics  # noqa: E402
from avalanche.training.plugins import EvaluationPlugin  # noqa: E402
from tiny_learners import C, K, tiny_benchmark  # noqa: E402

from avalanche_snn.models import ExpandableClassifier, RecurrentSNN, SpikeRates  # noqa: E402
from avalanche_snn.training import ALADE, DataParallel  # noqa: E402

MINIBATCH = 20  # all samples of an experience and all exemplars: their order plays no part then


class Seeds(SupervisedPlugin):
    """Seeds the generator wherever something is about to be drawn: data loaders draw from it as they please.

    The first process draws what a single one does, the others something else.
    """

    def __init__(self) -> None:
        super().__init__()
        for moment in ("before_train_dataset_adaptation", "before_training_epoch", "after_training_epoch"):
            setattr(self, moment, lambda *_, **__: torch.manual_seed(1 + int(os.environ.get("RANK", "0"))))


def train(path: str) -> None:
    """Train three experiences."""
    torch.set_num_threads(1)
    if "RANK" in os.environ:
        DistributedHelper.init_distributed(random_seed=0, backend="gloo", use_cuda=False)
    torch.manual_seed(0)
    network = RecurrentSNN(C, (9, 7), K, threshold=0.05, surrogate="fast_sigmoid/10", seed=0)
    model = ExpandableClassifier(lambda: SpikeRates(network), K).double()
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
    outcome = {
        "weights": strategy.model.state_dict(),
        "shift": strategy.plugins[2].last_shift,
        "accuracy": [value for name, value in metrics.items() if name.startswith("Top1_Acc_Stream/eval")],
        "exemplars": {label: [sample[0] for sample in group] for label, group in strategy.exemplars.groups.items()},
    }
    torch.save(outcome, f"{path}-{os.environ.get('RANK', 'alone')}")


if __name__ == "__main__":
    train(sys.argv[1])
