"""The hand-written kernel against autograd on the reference."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from avalanche_snn.neurons import (
    DelayedSynaptic,
    Leaky,
    NeuronState,
    SpikingLayer,
    Synaptic,
    delayed_synaptic_step,
    leaky_step,
    synaptic_step,
)

N_INPUTS, N_NEURONS = 13, 9
NEURONS: dict[str, type[Leaky] | type[Synaptic] | type[DelayedSynaptic]] = {
    "leaky": Leaky,
    "synaptic": Synaptic,
    "delayed_synaptic": DelayedSynaptic,
}
STEPS = {"leaky": leaky_step, "synaptic": synaptic_step, "delayed_synaptic": delayed_synaptic_step}
CELLS = list(product(NEURONS, (False, True), ("zero", "subtract", "none")))


def pair(
    neuron: str, recurrent: bool, reset: str, *, surrogate: str = "fast_sigmoid/2", dtype: torch.dtype = torch.float64
) -> tuple[SpikingLayer, SpikingLayer]:
    """The same layer with the reference kernel and with the torch kernel."""
    reference, fast = (
        NEURONS[neuron](
            N_INPUTS, N_NEURONS, recurrent=recurrent, reset=reset, bias=True, surrogate=surrogate, kernel=kernel
        ).to(dtype)
        for kernel in ("reference", "torch")
    )
    generator = torch.Generator().manual_seed(1)
    for parameter in reference.parameters():
        nn.init.normal_(parameter, 0.0, 0.5, generator=generator)
    fast.load_state_dict(reference.state_dict())
    return reference, fast


def gradients(layer: SpikingLayer, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Spikes, and gradients of their weighted sum with respect to the input and every parameter."""
    inputs = inputs.clone().requires_grad_()
    spikes = layer(inputs)
    weights = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(3), dtype=spikes.dtype)
    names = ["input", *(name for name, _ in layer.named_parameters())]
    found: tuple[Tensor | None, ...] = (None,) * len(names)
    if spikes.requires_grad:  # the first steps of a delayed neuron depend on nothing
        found = torch.autograd.grad((weights * spikes).sum(), [inputs, *layer.parameters()], allow_unused=True)
    return spikes, {name: torch.zeros(1) if g is None else g for name, g in zip(names, found, strict=True)}


@pytest.mark.parametrize(("neuron", "recurrent", "reset"), CELLS)
@pytest.mark.parametrize("n_steps", [1, 2, 3, 4, 5, 60])
def test_spikes_equal_the_reference_and_gradients_autograd(
    neuron: str, recurrent: bool, reset: str, n_steps: int
) -> None:
    reference, fast = pair(neuron, recurrent, reset)
    inputs = torch.rand(7, n_steps, N_INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    expected_spikes, expected = gradients(reference, inputs)
    spikes, found = gradients(fast, inputs)

    assert torch.equal(spikes, expected_spikes)
    if n_steps == 60:
        assert 0.05 < spikes.mean() < 0.95
    for name, gradient in found.items():
        error = (gradient - expected[name]).abs().max() / expected[name].abs().max().clamp_min(1.0)
        assert error < 1e-10, name


@pytest.mark.parametrize("surrogate", ["fast_sigmoid/100", "sigmoid/5", "atan/2", "triangular/1", "box/1"])
def test_every_surrogate_reaches_the_hand_written_gradients(surrogate: str) -> None:
    reference, fast = pair("delayed_synaptic", True, "zero", surrogate=surrogate)
    inputs = torch.rand(7, 30, N_INPUTS, dtype=torch.float64)
    _, expected = gradients(reference, inputs)
    _, found = gradients(fast, inputs)
    for name, gradient in found.items():
        assert expected[name].abs().max() > 0, name
        torch.testing.assert_close(gradient, expected[name], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("neuron", "recurrent", "reset"), CELLS)
def test_float32_spikes_differ_from_the_reference_only_where_rounding_decides(
    neuron: str,
    recurrent: bool,
    reset: str,
    samples_decided_by_rounding: Callable[[Tensor, Tensor, Tensor], int],
    record_property: Callable[[str, object], None],
) -> None:
    reference, fast = pair(neuron, recurrent, reset, dtype=torch.float32)
    inputs = torch.rand(64, 60, N_INPUTS)
    with torch.no_grad():
        state = NeuronState.at_rest(torch.zeros(64, N_NEURONS))
        membranes = []
        for current in nn.functional.linear(inputs, reference.weight, reference.bias).unbind(1):
            before = state.membrane
            _, state = STEPS[neuron](current, state, reference.recurrent_weight, reference.neuron)
            # The delayed neuron spikes by the membrane that the step starts from, the others by the one it ends with.
            membranes.append(before if neuron == "delayed_synaptic" else state.membrane)
        n_rounded = samples_decided_by_rounding(fast(inputs), reference(inputs), torch.stack(membranes, dim=1))
    record_property("samples_decided_by_rounding", n_rounded)
    assert n_rounded < 16


@pytest.mark.parametrize(("neuron", "recurrent", "reset"), CELLS)
def test_without_gradients_the_spikes_are_the_same(neuron: str, recurrent: bool, reset: str) -> None:
    _, layer = pair(neuron, recurrent, reset)
    inputs = torch.rand(7, 40, N_INPUTS, dtype=torch.float64)
    expected = layer(inputs)
    with torch.no_grad():
        assert torch.equal(layer(inputs), expected)
    layer.requires_grad_(False)
    frozen = layer(inputs)
    assert torch.equal(frozen, expected)
    assert not frozen.requires_grad


@pytest.mark.parametrize("trained", ["weight", "bias", "recurrent_weight"])
def test_a_partly_frozen_layer_has_the_gradients_that_remain(trained: str) -> None:
    reference, fast = pair("delayed_synaptic", True, "zero")
    inputs = torch.rand(7, 40, N_INPUTS, dtype=torch.float64)
    for layer in (reference, fast):
        layer.requires_grad_(False)
        layer.get_parameter(trained).requires_grad_()
        layer(inputs).sum().backward()
    for name, parameter in fast.named_parameters():
        assert (parameter.grad is None) == (name != trained)
    torch.testing.assert_close(
        fast.get_parameter(trained).grad, reference.get_parameter(trained).grad, rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("neuron", NEURONS)
def test_input_is_left_alone_and_its_memory_order_does_not_matter(neuron: str) -> None:
    _, layer = pair(neuron, True, "zero")
    batch_first = torch.rand(7, 40, N_INPUTS, dtype=torch.float64)
    before = batch_first.clone()
    time_first = batch_first.transpose(0, 1).contiguous().transpose(0, 1)

    spikes, found = gradients(layer, batch_first)
    spikes_time_first, found_time_first = gradients(layer, time_first)

    assert torch.equal(batch_first, before)
    assert torch.equal(spikes, spikes_time_first)
    for name, gradient in found.items():
        torch.testing.assert_close(found_time_first[name], gradient, rtol=1e-10, atol=1e-10)


def test_one_graph_can_be_walked_back_twice() -> None:
    _, layer = pair("delayed_synaptic", True, "zero")
    total = layer(torch.rand(7, 40, N_INPUTS, dtype=torch.float64)).sum()
    parameters = list(layer.parameters())
    first = torch.autograd.grad(total, parameters, retain_graph=True)
    second = torch.autograd.grad(total, parameters)
    for once, again in zip(first, second, strict=True):
        assert torch.equal(once, again)
