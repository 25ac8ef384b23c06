from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch

from avalanche_snn.neurons import AdaptiveLeaky, DelayedSynaptic, Leaky, SpikingLayer, Synaptic

LAYERS = (Leaky, Synaptic, DelayedSynaptic, AdaptiveLeaky)


def make(cls: type[Leaky] | type[Synaptic] | type[DelayedSynaptic], kernel: str = "auto") -> SpikingLayer:
    layer = cls(20, 15, recurrent=True, kernel=kernel)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.4)
    return layer


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize("kernel", ["reference", "torch", "auto"])
def test_nothing_is_left_on_the_layer_after_a_call(cls: type[Leaky], kernel: str) -> None:
    layer = make(cls, kernel)
    inputs = (torch.rand(6, 30, 20) < 0.3).float()
    attributes, state = set(vars(layer)), copy.deepcopy(layer.state_dict())

    first = layer(inputs)
    first.sum().backward()
    other = layer(1.0 - inputs)
    second = layer(inputs)

    assert first.any()
    assert not torch.equal(first, other)
    assert torch.equal(first, second)
    assert set(vars(layer)) == attributes
    assert not list(layer.buffers())
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, state[name])


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize("kernel", ["reference", "torch", "auto"])
def test_copies_pickles_and_state_dicts_give_the_same_spikes(cls: type[Leaky], kernel: str) -> None:
    layer = make(cls, kernel)
    inputs = (torch.rand(6, 30, 20) < 0.3).float()
    expected = layer(inputs)  # before copying: a graph that hangs on the layer could not be copied
    restored = make(cls, kernel)
    restored.load_state_dict(layer.state_dict())
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), restored):
        assert torch.equal(other(inputs), expected)


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize("kernel", ["reference", "torch", "auto"])
def test_samples_of_a_batch_do_not_mix(cls: type[Leaky], kernel: str) -> None:
    layer = make(cls, kernel).double()
    inputs = (torch.rand(6, 30, 20) < 0.3).double()
    assert torch.equal(layer(inputs)[2:4], layer(inputs[2:4]))
    assert layer(inputs[:0]).shape == (0, 30, 15)


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize("kernel", ["reference", "torch", "auto"])
def test_inputs_are_cast_to_the_dtype_of_the_weights(cls: type[Leaky], kernel: str) -> None:
    layer = make(cls, kernel)
    counts = torch.randint(0, 3, (6, 30, 20), dtype=torch.uint8)
    spikes = layer(counts)
    assert spikes.dtype == torch.float32
    assert torch.equal(spikes, layer(counts.double()))
    double_spikes = layer.double()(counts)
    assert double_spikes.dtype == torch.float64
    assert set(double_spikes.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize("kernel", ["reference", "torch", "auto"])
def test_autocast_changes_nothing(cls: type[Leaky], kernel: str) -> None:
    layer = make(cls, kernel)
    inputs = (torch.rand(6, 30, 20) < 0.3).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(inputs), layer(inputs.bfloat16()))
        assert layer(inputs).dtype == torch.float32


@pytest.mark.parametrize("cls", LAYERS)
@pytest.mark.parametrize("shape", [(4, 30, 21), (30, 20), (4, 0, 20), (4, 2, 30, 20)])
def test_another_input_shape_is_named(cls: type[Leaky], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=rf"{cls.__name__} wanted an input \[B, T, 20\].* came .*{shape[-1]}\]"):
        make(cls)(torch.zeros(shape))


@pytest.mark.parametrize("cls", LAYERS)
def test_the_kernel_is_auto_and_an_unknown_one_is_refused(cls: type[Leaky]) -> None:
    assert cls(4, 3).kernel == "auto"
    assert cls(4, 3, kernel="reference").kernel == "reference"
    with pytest.raises(ValueError, match=r"unknown kernel 'cuda': choose one of 'auto', .*'torch', 'reference'"):
        cls(4, 3, kernel="cuda")


@pytest.mark.parametrize("cls", [Leaky, Synaptic])
def test_a_kernel_that_cannot_run_this_neuron_is_refused_when_named(cls: type[Leaky]) -> None:
    assert cls(4, 3, reset_delay=False)(torch.ones(2, 5, 4)).shape == (2, 5, 3)
    with pytest.raises(ValueError, match="reset_delay=False has no kernel 'torch': choose 'auto' or 'reference'"):
        cls(4, 3, reset_delay=False, kernel="torch")


@pytest.mark.parametrize("cls", LAYERS)
def test_sizes_below_one_are_refused(cls: type[Leaky]) -> None:
    with pytest.raises(ValueError, match="at least 1 input and 1 neuron, came 4 and 0"):
        cls(4, 0)


def test_initial_weights_of_the_paper_have_their_spread() -> None:
    layer = DelayedSynaptic(400, 300, bias=True)
    assert layer.recurrent_weight is not None
    assert layer.bias is not None
    assert layer.weight.std().item() == pytest.approx(0.2 / math.sqrt(400), rel=0.02)
    assert layer.recurrent_weight.std().item() == pytest.approx(0.2 / math.sqrt(300), rel=0.02)
    assert not layer.bias.any()


def test_initial_weights_of_the_others_are_uniform_within_one_over_root_fan_in() -> None:
    layer = Synaptic(400, 300, recurrent=True)
    assert layer.recurrent_weight is not None
    assert layer.weight.abs().max().item() == pytest.approx(1 / math.sqrt(400), rel=0.01)
    assert layer.recurrent_weight.abs().max().item() == pytest.approx(1 / math.sqrt(300), rel=0.01)


def test_a_layer_describes_itself() -> None:
    assert repr(DelayedSynaptic(700, 200)) == (
        "DelayedSynaptic(700, 200, recurrent=True, bias=False, alpha=0.8187, beta=0.9048, threshold=1, reset=zero, "
        "surrogate=fast_sigmoid/100, kernel=auto)"
    )
    assert "beta=0.5, threshold=1, reset=subtract at once" in repr(Leaky(4, 3, beta=0.5, reset_delay=False))
