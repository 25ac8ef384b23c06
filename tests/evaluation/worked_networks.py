"""Networks so small that every spike can be worked out by hand."""

from __future__ import annotations

import torch

from avalanche_snn.models import CuttableSequential, LeakyReadout, TimePooling
from avalanche_snn.neurons import Leaky

# Two samples of four steps and three channels: spikes (6 events), and counts (3 events).
SPIKES = [[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]]
COUNTS = [[2, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 3]]


def relay(weight, recurrent_weight=None, kernel="auto"):
    """Neurons that spike where what comes in is above a half, and remember nothing."""
    weight = torch.tensor(weight)
    layer = Leaky(
        weight.shape[1],
        weight.shape[0],
        recurrent=recurrent_weight is not None,
        beta=0.0,
        threshold=0.5,
        reset="none",
        kernel=kernel,
    )
    with torch.no_grad():
        layer.weight.copy_(weight)
        if recurrent_weight is not None:
            layer.recurrent_weight.copy_(torch.tensor(recurrent_weight))
    return layer


def readout_of(weight, kernel="auto"):
    weight = torch.tensor(weight)
    layer = LeakyReadout(weight.shape[1], weight.shape[0], kernel=kernel)
    with torch.no_grad():
        layer.weight.copy_(weight)
    return layer


def small_network(kernel="auto"):
    """Neuron 0 relays channel 0, neuron 1 channel 1; each inhibits the other, too little to matter."""
    network = CuttableSequential()
    network.add_module("hidden", relay([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], [[0.0, -0.25], [-0.25, 0.0]], kernel=kernel))
    network.add_module("readout", readout_of([[1.0, 1.0], [1.0, 0.0], [1.0, 1.0]], kernel=kernel))
    return network


def pooling_network():
    network = CuttableSequential()
    network.add_module("first", relay([[1.0, 0.0], [0.0, 1.0]]))
    network.add_module("first_pooling", TimePooling(2, "count"))
    network.add_module("second", relay([[1.0, 1.0]]))
    network.add_module("readout", readout_of([[1.0], [1.0], [1.0]]))
    return network


def n_hooks(model):
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())
