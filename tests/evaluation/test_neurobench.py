"""Synaptic operations and activation sparsity beside NeuroBench's own, of snnTorch networks with the same weights."""

from __future__ import annotations

from itertools import pairwise

import pytest
import snntorch
import torch
from torch import nn

from avalanche_snn.evaluation import record_activity
from avalanche_snn.evaluation.connections import operations_of
from avalanche_snn.models import LeakyReadout
from avalanche_snn.neurons import Leaky, Synaptic

neurobench_models = pytest.importorskip(
    "neurobench.models", reason="neurobench is not installed: pip install --no-deps neurobench"
)
neurobench_metrics = pytest.importorskip("neurobench.metrics.workload")
macs = pytest.importorskip("neurobench.metrics.utils.layers")

N_STEPS, SIZES, N_CLASSES = 12, (10, 8, 6), 4
# Weights are multiples of 1/4 (some of them 0) and decays 1/2: all sums are exact, whatever their order.
CONSTANTS = {"beta": 0.5, "threshold": 1.0}


def ours(neuron, recurrent):
    kind, constants = (Synaptic, {**CONSTANTS, "alpha": 0.5}) if neuron == "synaptic" else (Leaky, CONSTANTS)
    layers = [
        kind(n_inputs, n_outputs, recurrent=recurrent, reset="subtract", **constants)
        for n_inputs, n_outputs in pairwise(SIZES)
    ]
    network = nn.Sequential(*layers, LeakyReadout(SIZES[-1], N_CLASSES))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_((torch.randn(parameter.shape, generator=generator) * 4).round() / 4)
    assert any((parameter == 0).any() for parameter in network.parameters())
    return network


class Theirs(nn.Module):
    """The same network of `nn.Linear` and snnTorch's neurons."""

    def __init__(self, network, recurrent):
        super().__init__()
        self.projections, self.neurons = nn.ModuleList(), nn.ModuleList()
        for layer in network[:-1]:
            constants = {**CONSTANTS, **({"alpha": 0.5} if isinstance(layer, Synaptic) else {})}
            if recurrent:
                constants["linear_features"] = layer.n_outputs
            kind = {
                (Leaky, False): snntorch.Leaky,
                (Leaky, True): snntorch.RLeaky,
                (Synaptic, False): snntorch.Synaptic,
                (Synaptic, True): snntorch.RSynaptic,
            }[type(layer), recurrent]
            neuron = kind(**constants, reset_mechanism="subtract")
            if recurrent:
                neuron.recurrent = linear(layer.recurrent_weight)
            self.neurons.append(neuron)
            self.projections.append(linear(layer.weight))
        self.readout = linear(network[-1].weight)

    def forward(self, x):
        for projection, neuron in zip(self.projections, self.neurons, strict=True):
            currents = projection(x)
            at_rest = torch.zeros_like(currents[:, 0])
            n_states = 1 + ("Synaptic" in type(neuron).__name__) + hasattr(neuron, "recurrent")
            state = (at_rest,) * n_states
            spikes = []
            for step in range(currents.shape[1]):
                output = neuron(currents[:, step], *state)
                spikes.append(output[0])
                state = output if hasattr(neuron, "recurrent") else output[1:]
            x = torch.stack(spikes, dim=1)
        self.spikes = x
        return self.readout(x)


def linear(weight):
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = nn.Parameter(weight.detach().clone())
    return layer


def neurobench_figures(network, samples):
    model = neurobench_models.TorchModel(network)
    model.add_activation_module(snntorch.SpikingNeuron)
    model.register_hooks()
    operations, sparsities = neurobench_metrics.SynapticOperations(), []
    for sample in samples:
        model.reset_hooks()
        with torch.no_grad():
            predictions = model(sample)
        data = (sample, torch.zeros(len(sample)))
        operations(model, predictions, data)
        sparsities.append(neurobench_metrics.ActivationSparsity()(model, predictions, data))
    model.cleanup_hooks()
    return operations.compute(), sum(sparsities) / len(sparsities)


@pytest.mark.parametrize("largest", [1, 3])
@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("neuron", ["leaky", "synaptic"])
def test_synaptic_operations_and_sparsity_are_neurobenchs(neuron, recurrent, largest):
    network = ours(neuron, recurrent)
    theirs = Theirs(network, recurrent)
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, largest + 1, (6, N_STEPS, SIZES[0]), generator=generator).float()
    x *= torch.rand(x.shape, generator=generator) < 0.4
    x[0].clamp_(max=1)  # a sample of spikes among samples of counts

    with record_activity(network) as activity:
        network(x)
    # Minibatches of one: NeuroBench decides for a whole minibatch whether its inputs are spikes.
    expected, sparsity = neurobench_figures(theirs, x.split(1))

    theirs(x)
    assert torch.equal(network[:-1](x), theirs.spikes), "the networks are the same"
    assert 0.05 < theirs.spikes.mean() < 0.6
    assert activity.acs.total() / activity.samples == pytest.approx(expected["Effective_ACs"], rel=1e-12)
    assert activity.macs.total() / activity.samples == pytest.approx(expected["Effective_MACs"], rel=1e-12)
    assert activity.dense.total() / activity.samples == pytest.approx(expected["Dense"], rel=1e-12)
    assert 1 - activity.spikes.total() / activity.outputs.total() == pytest.approx(sparsity, rel=1e-12)
    assert (activity.macs.total() > 0) == (largest > 1)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(5, 3), (2, 7, 5)),
        (nn.Linear(5, 3), (2, 5)),
        (nn.Conv1d(4, 6, 3, padding=1, groups=2), (2, 4, 9)),
        (nn.Conv2d(3, 2, (3, 2), stride=2), (2, 3, 8, 7)),
        (nn.Conv3d(1, 2, 2, dilation=2), (2, 1, 5, 4, 6)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else str(value),
)
@pytest.mark.parametrize("largest", [1, 2])
def test_linear_maps_and_convolutions(layer, shape, largest):
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        layer.weight *= torch.rand(layer.weight.shape, generator=generator) < 0.7
    x = largest * (torch.rand(shape, generator=generator) < 0.3).float()
    effective, spiking = macs.single_layer_MACs(x, layer)
    dense, _ = macs.single_layer_MACs(x, layer, total=True)
    counted = operations_of(layer, x)
    assert (counted.acs, counted.macs) == ((effective, 0) if spiking else (0, effective))
    assert counted.dense == dense
    assert spiking == (largest == 1)
    assert effective > 0
