"""Avalanche's own metrics of a run beside those of its accuracy matrix: which can be relied on, and on what terms.

A network that knows its lines: its accuracies after each experience are those of `ACCURACIES`.
"""

from __future__ import annotations

import pytest
import torch
from avalanche.benchmarks import nc_benchmark
from avalanche.core import SupervisedPlugin
from avalanche.evaluation.metrics import (
    accuracy_matrix_metrics,
    accuracy_metrics,
    amca_metrics,
    bwt_metrics,
    forgetting_metrics,
    forward_transfer_metrics,
)
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.supervised import Naive
from tiny_learners import Silence
from torch import nn

from avalanche_snn.evaluation import (
    average_incremental_accuracy,
    backward_transfer,
    final_accuracy,
    forgetting,
    forward_transfer,
)

ACCURACIES = [
    [0.75, 0.50, 0.00],
    [1.00, 0.75, 0.25],
    [0.50, 0.25, 1.00],
]
SIZES = [4, 8, 4]
UNTRAINED = [0.25, 0.0, 0.5]
N_CLASSES = 6


class Samples(torch.utils.data.Dataset):
    """Two classes an experience; a sample is its label, its number in the experience, and the experience."""

    def __init__(self):
        self.rows = [
            (2 * experience + number % 2, number, experience)
            for experience, n_samples in enumerate(SIZES)
            for number in range(n_samples)
        ]
        self.targets = [label for label, _, _ in self.rows]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return torch.tensor(self.rows[index], dtype=torch.float32), self.targets[index]


class Actor(nn.Module):
    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(()))
        self.accuracies = UNTRAINED

    def forward(self, x):
        label, number, experience = x.long().unbind(1)
        right = number < (torch.tensor(self.accuracies) * torch.tensor(SIZES))[experience]
        said = torch.where(right, label, (label + 1) % N_CLASSES)
        return nn.functional.one_hot(said, N_CLASSES) + self.unused


class Prompter(SupervisedPlugin):
    def before_training_epoch(self, strategy, **kwargs):
        strategy.model.accuracies = ACCURACIES[strategy.experience.current_experience]


def play(*metrics, eval_every=-1, while_training=None, after_training=("test",)):
    """Return what is emitted after each experience; streams are named "train" and "test"."""
    samples = Samples()
    benchmark = nc_benchmark(
        samples, samples, 3, task_labels=False, shuffle=False, fixed_class_order=list(range(N_CLASSES))
    )
    model = Actor()
    strategy = Naive(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.0),
        plugins=[Prompter()],
        evaluator=EvaluationPlugin(*metrics, loggers=[Silence()]),
        eval_every=eval_every,
        train_mb_size=4,
        eval_mb_size=3,
    )
    emitted = []
    for number, experience in enumerate(benchmark.train_stream):
        streams = {"test": benchmark.test_stream, "train": benchmark.train_stream[: number + 1]}
        strategy.train(
            experience, eval_streams=None if while_training is None else [streams[name] for name in while_training]
        )
        for name in after_training:
            # What is trained on is known in full.
            model.accuracies = ACCURACIES[number] if name == "test" else [1.0, 1.0, 1.0]
            strategy.eval(streams[name])
        emitted.append(strategy.evaluator.get_last_metrics())
    return emitted


def value(metrics, name, stream="test"):
    (found,) = (v for key, v in metrics.items() if key.startswith(f"{name}/") and f"{stream}_stream" in key)
    return found


def test_accuracies():
    emitted = play(accuracy_metrics(experience=True, stream=True, trained_experience=True))
    for number, row in enumerate(ACCURACIES):
        found = [
            v for name, v in sorted(emitted[number].items()) if name.startswith("Top1_Acc_Exp/eval_phase/test_stream")
        ]
        assert found == pytest.approx(row)
    assert value(emitted[-1], "Top1_Acc_Stream") == pytest.approx(final_accuracy(ACCURACIES, SIZES))
    on_seen = [value(metrics, "Accuracy_On_Trained_Experiences") for metrics in emitted]
    assert sum(on_seen) / 3 == pytest.approx(average_incremental_accuracy(ACCURACIES, SIZES))
    # Before all is learnt, the accuracy of the stream is that on all of it, classes to come included.
    assert value(emitted[0], "Top1_Acc_Stream") == pytest.approx((3 + 4 + 0) / 16)


def test_there_is_no_average_incremental_accuracy_among_them():
    """What is called average mean class accuracy takes the classes to come for wrong from the start."""
    last = play(amca_metrics())[-1]
    assert value(last, "Top1_AMCA_Stream") == pytest.approx((1.25 + 2.0 + 1.75) / 9)
    assert average_incremental_accuracy(ACCURACIES) == pytest.approx((2.25 + 2.625 + 1.75) / 9)


def test_forgetting_is_the_backward_transfer_and_not_that_of_the_literature():
    emitted = play(forgetting_metrics(experience=True, stream=True), bwt_metrics(stream=True))
    for n, metrics in enumerate(emitted[1:], start=2):
        assert value(metrics, "StreamBWT") == pytest.approx(backward_transfer(ACCURACIES[:n]))
        assert value(metrics, "StreamForgetting") == pytest.approx(-backward_transfer(ACCURACIES[:n]))
    assert forgetting(ACCURACIES) == 0.5
    assert value(emitted[-1], "StreamForgetting") == pytest.approx(0.375)
    assert value(emitted[0], "StreamForgetting") == 0.0, "where ours is NaN: there is nothing to forget yet"


def test_forgetting_and_matrix_confuse_streams():
    """They go by the number of an experience, and training data that are evaluated last overwrite the test's."""
    metrics = (forgetting_metrics(stream=True), accuracy_matrix_metrics())
    last = play(*metrics, after_training=("train", "test"))[-1]
    assert value(last, "StreamForgetting") == pytest.approx(-backward_transfer(ACCURACIES))
    assert torch.equal(last["EvalStream/Acc_Matrix"], torch.tensor(ACCURACIES))
    metrics = (forgetting_metrics(stream=True), accuracy_matrix_metrics())
    last = play(*metrics, after_training=("test", "train"))[-1]
    assert value(last, "StreamForgetting") == pytest.approx(((1.0 - 0.5) + (1.0 - 0.25)) / 2)
    assert last["EvalStream/Acc_Matrix"][2].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("eval_every", [0, 1])
def test_forward_transfer_where_the_test_stream_is_evaluated_before_training(eval_every):
    emitted = play(forward_transfer_metrics(stream=True), eval_every=eval_every, while_training=["test"])
    assert value(emitted[-1], "StreamForwardTransfer") == pytest.approx(forward_transfer(ACCURACIES, UNTRAINED))


def test_forward_transfer_elsewhere():
    with pytest.raises(AssertionError, match="eval every > -1"):
        play(forward_transfer_metrics(stream=True))
    with pytest.raises(KeyError):
        play(forward_transfer_metrics(stream=True), eval_every=0)
    # The first evaluation there is passes for that of the untrained network.
    last = play(forward_transfer_metrics(stream=True), eval_every=0, while_training=[])[-1]
    assert value(last, "StreamForwardTransfer") == pytest.approx(0.25 - 0.0)
    assert forward_transfer(ACCURACIES, UNTRAINED) == 0.125
