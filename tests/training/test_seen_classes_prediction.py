"""Predictions among the classes that have come."""

from __future__ import annotations

from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from tiny_learners import K, seed_everything, tiny_benchmark, tiny_network, tiny_strategy

from avalanche_snn.training import SeenClassesCrossEntropy, SeenClassesPrediction


class Told(SupervisedPlugin):
    """Keeps what samples were taken for, and the logits of training."""

    def __init__(self) -> None:
        super().__init__()
        self.classes: set[int] = set()
        self.trained: list[torch.Tensor] = []

    def after_eval_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self.classes.update(strategy.mb_output.argmax(1).tolist())

    def after_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
        self.trained.append(strategy.mb_output.detach().clone())


def trained(plugins: list[Any]) -> tuple[Told, list[set[int]], Any]:
    seed_everything()
    told, network = Told(), tiny_network()
    with torch.no_grad():
        network.readout.weight[K - 1] = 1.0
    strategy = tiny_strategy(network, [*plugins, told], criterion=SeenClassesCrossEntropy())
    benchmark, found = tiny_benchmark(), []
    for experience in benchmark.train_stream:
        strategy.train(experience, eval_streams=[])
        told.classes = set()
        strategy.eval(benchmark.test_stream)
        found.append(told.classes)
    return told, found, strategy


def test_no_class_is_told_before_it_has_come_and_training_is_left_alone() -> None:
    _, freely, _ = trained([])
    assert not freely[0] <= {0, 1}, "or there would be nothing to prevent"
    plain, _, _ = trained([])
    told, found, strategy = trained([plugin := SeenClassesPrediction()])
    for number, classes in enumerate(found, start=1):
        assert classes <= set(range(2 * number))
    assert plugin.classes == list(range(K))
    for one, other in zip(plain.trained, told.trained, strict=True):
        assert torch.equal(one, other)
    assert all(torch.isfinite(logits).all() for logits in told.trained)
    assert strategy.clock.train_exp_counter == 3


def test_its_state_is_the_classes_and_another_run_begins_anew() -> None:
    plugin, other = SeenClassesPrediction(), SeenClassesPrediction()
    strategy = tiny_strategy(tiny_network(), [plugin])
    first, second, _ = tiny_benchmark().train_stream
    strategy.train(second)
    assert plugin.classes == [2, 3]
    other.load_state_dict(plugin.state_dict())
    assert other.classes == [2, 3]
    tiny_strategy(tiny_network(), [plugin]).train(first)
    assert plugin.classes == [0, 1]


def test_before_any_training_all_classes_are_within() -> None:
    told = Told()
    strategy = tiny_strategy(tiny_network(), [SeenClassesPrediction(), told])
    without = Told()
    strategy.eval(tiny_benchmark().test_stream)
    tiny_strategy(tiny_network(), [without]).eval(tiny_benchmark().test_stream)
    assert told.classes == without.classes
