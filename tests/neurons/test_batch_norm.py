"""Layers that normalise their input currents over minibatch and time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from avalanche_snn.neurons import AdaptiveLeaky, DelayedSynaptic, Leaky, SpikingLayer, Synaptic
from avalanche_snn.neurons.kernels import KERNELS

LAYERS = (Leaky, Synaptic, DelayedSynaptic, AdaptiveLeaky)
INPUTS = (torch.rand(6, 25, 20, generator=torch.Generator().manual_seed(3)) < 0.3).double()


def make(cls: type[Leaky], *, batch_norm: bool = True, bias: bool = False, kernel: str = "reference") -> SpikingLayer:
    torch.manual_seed(0)
    layer = cls(20, 15, recurrent=True, bias=bias, batch_norm=batch_norm, kernel=kernel).double()
    if layer.batch_norm is not None:
        nn.init.uniform_(layer.batch_norm.weight, 1.0, 5.0)
        nn.init.uniform_(layer.batch_norm.bias, -0.5, 1.0)
    return layer


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize("bias", [False, True])
def test_in_training_the_currents_are_those_of_torchs_own_normalisation(cls: type[Leaky], bias: bool) -> None:
    layer = make(cls, bias=bias)
    norm = nn.BatchNorm1d(15).double()
    assert layer.batch_norm is not None
    norm.load_state_dict(layer.batch_norm.state_dict())
    currents = INPUTS @ layer.weight.T + (0.0 if layer.bias is None else layer.bias)
    normalised = norm(currents.reshape(-1, 15)).reshape(6, 25, 15)
    expected = KERNELS["reference"].neurons(normalised, layer._recurrent_weight(), layer._neuron())
    spikes = layer(INPUTS)
    assert spikes.mean() > 0.02
    assert torch.equal(spikes, expected)
    assert torch.equal(layer.batch_norm.running_mean, norm.running_mean)
    assert torch.equal(layer.batch_norm.running_var, norm.running_var)


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kernel", ["reference", "torch", "auto"])
def test_in_evaluation_the_statistics_stand_still_and_are_part_of_the_weights(
    cls: type[Leaky], bias: bool, kernel: str
) -> None:
    layer = make(cls, bias=bias, kernel=kernel)
    for _ in range(3):
        layer(INPUTS)
    layer.eval()
    assert layer.batch_norm is not None
    before = layer.batch_norm.running_mean.clone()
    currents = INPUTS @ layer.weight.T + (0.0 if layer.bias is None else layer.bias)
    normalised = layer.batch_norm(currents.reshape(-1, 15)).reshape(6, 25, 15)
    expected = KERNELS["reference"].neurons(normalised, layer._recurrent_weight(), layer._neuron())
    spikes = layer(INPUTS)
    assert spikes.mean() > 0.02
    assert torch.equal(spikes, expected)
    assert torch.equal(layer(INPUTS[:1]), expected[:1]), "a sample's spikes do not depend on the others"
    assert torch.equal(layer.batch_norm.running_mean, before)


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("kernel", ["torch", "cpp"])
@pytest.mark.parametrize("cls", LAYERS)
def test_kernels_have_the_gradients_of_the_reference(cls: type[Leaky], kernel: str, mode: bool) -> None:
    if KERNELS[kernel].why_not(torch.device("cpu"), torch.float64) is not None:
        pytest.skip("this kernel does not run here")
    target = torch.rand(6, 25, 15, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    gradients = []
    for name in ("reference", kernel):
        layer = make(cls, kernel=name).train(mode)
        (layer(INPUTS) * target).sum().backward()
        gradients.append({key: parameter.grad for key, parameter in layer.named_parameters()})
    assert "batch_norm.weight" in gradients[0]
    for key, expected in gradients[0].items():
        assert expected.abs().max() > 0
        torch.testing.assert_close(gradients[1][key], expected, msg=key)


def test_without_it_nothing_changes() -> None:
    torch.manual_seed(0)
    plain = Leaky(20, 15)
    assert plain.batch_norm is None
    assert list(plain.state_dict()) == ["weight"]


def test_recomputing_takes_the_statistics_of_a_minibatch_once() -> None:
    layer = make(Leaky)
    layer.recompute = True
    layer(INPUTS).sum().backward()
    assert layer.batch_norm is not None
    assert layer.batch_norm.num_batches_tracked == 1
    frozen = make(Leaky).eval()
    frozen.recompute = True
    frozen(INPUTS).sum().backward()
    assert frozen.weight.grad is not None
    assert frozen.weight.grad.abs().sum() > 0


def test_new_parameters_are_new_statistics_too() -> None:
    layer = make(DelayedSynaptic)
    layer(INPUTS)
    layer.reset_parameters()
    assert layer.batch_norm is not None
    assert torch.equal(layer.batch_norm.running_mean, torch.zeros(15).double())
    assert torch.equal(layer.batch_norm.weight, torch.ones(15).double())
