"""Gradients that are shortened where they are too long."""

from __future__ import annotations

import pytest
import torch
from avalanche.core import SupervisedPlugin
from tiny_learners import tiny_benchmark, tiny_network, tiny_strategy

from avalanche_snn.training import GradientClipping


class Norms(SupervisedPlugin):
    def __init__(self):
        super().__init__()
        self.before, self.after = [], []

    def _norm(self, strategy):
        return torch.cat([p.grad.flatten() for p in strategy.model.parameters() if p.grad is not None]).norm().item()

    def after_backward(self, strategy, **kwargs):
        self.before.append(self._norm(strategy))

    def after_update(self, strategy, **kwargs):
        self.after.append(self._norm(strategy))


def test_long_gradients_are_shortened_and_short_ones_left_alone():
    free, clipped = Norms(), Norms()
    experience = tiny_benchmark().train_stream[0]
    torch.manual_seed(0)
    tiny_strategy(tiny_network(), [free]).train(experience)
    limit = free.before[0] / 2
    torch.manual_seed(0)
    tiny_strategy(tiny_network(), [GradientClipping(limit), clipped]).train(experience)
    assert clipped.before[0] == pytest.approx(free.before[0])
    for before, after in zip(clipped.before, clipped.after, strict=True):
        assert after == pytest.approx(min(before, limit), rel=1e-4)


@pytest.mark.parametrize("norm", [0, -1.0, float("inf"), float("nan")])
def test_other_norms_are_refused(norm):
    with pytest.raises(ValueError, match="max_norm must be a number above 0"):
        GradientClipping(norm)
