"""Networks of the past that teach the present one."""

from __future__ import annotations

import pytest
import torch
from exemplar_strategies import composed
from tiny_learners import C, K, tiny_benchmark
from torch import nn

from avalanche_snn.models import RecurrentSNN


@pytest.mark.parametrize("name", ["bic", "icarl", "lfl", "lwf", "wa"])
def test_a_teacher_holds_still(name, monkeypatch):
    passes = {True: 0, False: 0}
    drop = nn.Dropout.forward

    def watched(layer, spikes):
        if not torch.is_grad_enabled() and strategy.is_training and len(spikes) == strategy.mbatch[0].shape[0]:
            passes[layer.training] += 1
        return drop(layer, spikes)

    monkeypatch.setattr(nn.Dropout, "forward", watched)
    model = RecurrentSNN(C, (9, 7), K, threshold=0.05, surrogate="fast_sigmoid/10", dropout=0.5, seed=0)
    strategy = composed(name, model)
    for experience in list(tiny_benchmark(n_each=12).train_stream)[:2]:
        passes.update({True: 0, False: 0})
        strategy.train(experience, eval_streams=[])
    assert passes[True] == 0
    assert passes[False] > 0, "it is asked in every minibatch"
