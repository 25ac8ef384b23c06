"""Every fast kernel of the CPU against autograd on the reference."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from layer_pairs import CELLS, N_INPUTS, N_NEURONS, NEURONS, assert_same, gradients, pair
from torch import Tensor, nn

from avalanche_snn.neurons import (
    AdaptiveLeaky,
    AdaptiveParameters,
    AdaptiveState,
    NeuronState,
    SpikingLayer,
    adaptive_leaky_step,
    available_kernels,
    delayed_synaptic_step,
    leaky_step,
    parse_surrogate,
    synaptic_step,
)
from avalanche_snn.neurons.adaptive_layer import RANGES
from avalanche_snn.neurons.kernels import torch_events
from avalanche_snn.neurons.surrogates import SURROGATES

STEPS = {"leaky": leaky_step, "synaptic": synaptic_step, "delayed_synaptic": delayed_synaptic_step}
KERNELS = [
    pytest.param(
        kernel, marks=[] if reason is None else pytest.mark.skip(reason=f"the kernel {kernel!r} does not run: {reason}")
    )
    for kernel, reason in available_kernels().items()
    if kernel in ("torch", "cpp")
]
pytestmark = pytest.mark.parametrize("kernel", KERNELS)


@pytest.fixture
def small_inputs_count_as_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the torch kernel list events of inputs as small as those here."""
    monkeypatch.setattr(torch_events, "_MIN_CELLS", 0)
    monkeypatch.setattr(torch_events, "_MIN_NEURONS", 0)


def rasters(n_samples: int, n_steps: int, n_channels: int = N_INPUTS, density: float = 0.1) -> Tensor:
    """Spike counts of 0 to 3, uint8."""
    generator = torch.Generator().manual_seed(5)
    return torch.poisson(torch.full((n_samples, n_steps, n_channels), density), generator=generator).to(torch.uint8)


@pytest.mark.parametrize(("neuron", "recurrent", "reset"), CELLS)
@pytest.mark.parametrize("n_steps", [1, 2, 3, 4, 5, 60])
def test_spikes_equal_the_reference_and_gradients_autograd(
    kernel: str, neuron: str, recurrent: bool, reset: str, n_steps: int
) -> None:
    reference, fast = pair(kernel, neuron, recurrent, reset)
    inputs = torch.rand(11, n_steps, N_INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = gradients(reference, inputs)
    if n_steps == 60:
        assert 0.02 < expected[0].mean() < 0.95
        assert all(gradient.abs().max() > 0 for gradient in expected[1].values())
    assert_same(gradients(fast, inputs), expected)


@pytest.mark.parametrize("neuron", ["delayed_synaptic", "adaptive"])
@pytest.mark.parametrize(
    "surrogate", ["fast_sigmoid/100", "sigmoid/5", "sigmoid/60", "atan/2", "triangular/1", "box/1"]
)
def test_every_surrogate_reaches_the_gradients(kernel: str, neuron: str, surrogate: str) -> None:
    assert parse_surrogate(surrogate).name in SURROGATES
    reference, fast = pair(kernel, neuron, surrogate=surrogate)
    inputs = torch.rand(11, 30, N_INPUTS, dtype=torch.float64)
    expected = gradients(reference, inputs)
    assert all(gradient.abs().max() > 0 for gradient in expected[1].values())
    assert_same(gradients(fast, inputs), expected)


@pytest.mark.usefixtures("small_inputs_count_as_large")
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float64])
@pytest.mark.parametrize("neuron", ["leaky", "delayed_synaptic", "adaptive"])
def test_spike_counts_come_in_as_events(kernel: str, neuron: str, dtype: torch.dtype) -> None:
    reference, fast = pair(kernel, neuron)
    inputs = rasters(11, 40).to(dtype)
    assert inputs.max() > 1
    assert not inputs[:, :, 0].all(dim=1).any()  # rows without events among them
    expected = gradients(reference, inputs)
    assert expected[0].any()
    assert_same(gradients(fast, inputs), expected)


@pytest.mark.usefixtures("small_inputs_count_as_large")
def test_events_equal_the_dense_product_for_inputs_that_need_no_gradient(kernel: str) -> None:
    reference, fast = pair(kernel, "leaky", n_inputs=130, n_neurons=70, scale=0.3)
    for inputs in (rasters(5, 40, 130).double(), rasters(5, 40, 130, density=0.0).double()):
        expected, found = (layer(inputs) for layer in (reference, fast))
        assert torch.equal(found, expected)
        for layer, spikes in ((reference, expected), (fast, found)):
            layer.zero_grad()
            (spikes * torch.arange(70)).sum().backward()
        for name, parameter in fast.named_parameters():
            torch.testing.assert_close(parameter.grad, reference.get_parameter(name).grad, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("small_inputs_count_as_large")
@pytest.mark.parametrize("what", ["dense", "negative", "halves", "above 255", "not a number"])
def test_inputs_that_are_no_sparse_spike_counts_are_taken_as_they_are(kernel: str, what: str) -> None:
    reference, fast = pair(kernel, "leaky", reset="subtract", scale=0.1)
    inputs = rasters(7, 20).double()
    if what == "dense":
        inputs = torch.ones(7, 20, N_INPUTS, dtype=torch.float64)
    else:
        inputs[3, 4, 5] = {"negative": -1.0, "halves": 0.5, "above 255": 300.0, "not a number": torch.nan}[what]
    expected, found = reference(inputs), fast(inputs)
    assert expected.any()
    assert torch.equal(found, expected)


@pytest.mark.parametrize("n_neurons", [1, 16, 17, 130, 450])
@pytest.mark.parametrize("neuron", ["delayed_synaptic", "adaptive"])
def test_layers_of_any_width(kernel: str, neuron: str, n_neurons: int) -> None:
    reference, fast = pair(kernel, neuron, n_neurons=n_neurons, scale=1.5 / n_neurons**0.5)
    inputs = torch.rand(9, 12, N_INPUTS, dtype=torch.float64)
    expected = gradients(reference, inputs)
    assert_same(gradients(fast, inputs), expected)


@pytest.mark.parametrize(("neuron", "recurrent", "reset"), CELLS)
def test_float32_spikes_differ_from_the_reference_only_where_rounding_decides(
    kernel: str,
    neuron: str,
    recurrent: bool,
    reset: str,
    samples_decided_by_rounding: Callable[[Tensor, Tensor, Tensor], int],
    record_property: Callable[[str, object], None],
) -> None:
    reference, fast = pair(kernel, neuron, recurrent, reset, dtype=torch.float32)
    if neuron == "adaptive":
        with torch.no_grad():
            for layer in (reference, fast):
                # Adaptation that drives its own membrane lets it grow without bounds, and rounding errors with it.
                layer.get_parameter("a").abs_()
    inputs = torch.rand(64, 60, N_INPUTS)
    with torch.no_grad():
        membranes = membranes_of(reference, neuron, inputs)
        n_rounded = samples_decided_by_rounding(fast(inputs), reference(inputs), membranes)
    record_property("samples_decided_by_rounding", n_rounded)
    assert n_rounded < 16


def membranes_of(layer: SpikingLayer, neuron: str, inputs: Tensor) -> Tensor:
    """The membranes `[B, T, H]` that the reference decides its spikes by."""
    membranes = []
    currents = nn.functional.linear(inputs, layer.weight, layer.bias).unbind(1)
    if isinstance(layer, AdaptiveLeaky):
        per_neuron = [layer.get_parameter(name).clamp(*limits) for name, limits in RANGES.items()]
        parameters = AdaptiveParameters(*per_neuron, layer.threshold, layer.reset, layer.surrogate)
        weight = layer.recurrent_weight
        others = None if weight is None else weight * (1 - torch.eye(len(weight)))
        adaptive = AdaptiveState.at_rest(currents[0])
        for current in currents:
            _, adaptive = adaptive_leaky_step(current, adaptive, others, parameters)
            membranes.append(adaptive.membrane)
        return torch.stack(membranes, dim=1)
    state = NeuronState.at_rest(currents[0])
    for current in currents:
        before = state.membrane
        _, state = STEPS[neuron](current, state, layer.recurrent_weight, layer.neuron)
        # The delayed neuron spikes by the membrane that the step starts from, the others by the one it ends with.
        membranes.append(before if neuron == "delayed_synaptic" else state.membrane)
    return torch.stack(membranes, dim=1)


@pytest.mark.parametrize(("neuron", "recurrent", "reset"), CELLS)
def test_without_gradients_the_spikes_are_the_same(kernel: str, neuron: str, recurrent: bool, reset: str) -> None:
    _, layer = pair(kernel, neuron, recurrent, reset)
    inputs = torch.rand(7, 40, N_INPUTS, dtype=torch.float64)
    expected = layer(inputs)
    with torch.no_grad():
        assert torch.equal(layer(inputs), expected)
    layer.requires_grad_(False)
    frozen = layer(inputs)
    assert torch.equal(frozen, expected)
    assert not frozen.requires_grad


@pytest.mark.parametrize(
    ("neuron", "trained"),
    [("delayed_synaptic", name) for name in ("weight", "bias", "recurrent_weight")]
    + [("adaptive", name) for name in ("weight", "recurrent_weight", "alpha", "beta", "a", "b")],
)
def test_a_partly_frozen_layer_has_the_gradients_that_remain(kernel: str, neuron: str, trained: str) -> None:
    reference, fast = pair(kernel, neuron)
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
def test_input_is_left_alone_and_its_memory_order_does_not_matter(kernel: str, neuron: str) -> None:
    _, layer = pair(kernel, neuron)
    batch_first = torch.rand(7, 40, N_INPUTS, dtype=torch.float64)
    before = batch_first.clone()
    time_first = batch_first.transpose(0, 1).contiguous().transpose(0, 1)

    spikes, found = gradients(layer, batch_first)
    spikes_time_first, found_time_first = gradients(layer, time_first)

    assert torch.equal(batch_first, before)
    assert torch.equal(spikes, spikes_time_first)
    for name, gradient in found.items():
        torch.testing.assert_close(found_time_first[name], gradient, rtol=1e-10, atol=1e-10)


@pytest.mark.usefixtures("small_inputs_count_as_large")
@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("neuron", NEURONS)
def test_membranes_computed_again_on_the_way_back_give_the_same_gradients(
    kernel: str, neuron: str, counts: bool
) -> None:
    reference, fast = pair(kernel, neuron)
    fast.recompute = True
    inputs = rasters(11, 30).double() if counts else torch.rand(11, 30, N_INPUTS, dtype=torch.float64)
    expected = gradients(reference, inputs)
    assert expected[0].any()
    assert_same(gradients(fast, inputs), expected)


@pytest.mark.parametrize("neuron", NEURONS)
def test_one_graph_can_be_walked_back_twice(kernel: str, neuron: str) -> None:
    _, layer = pair(kernel, neuron)
    total = layer(torch.rand(7, 40, N_INPUTS, dtype=torch.float64)).sum()
    parameters = list(layer.parameters())
    first = torch.autograd.grad(total, parameters, retain_graph=True)
    second = torch.autograd.grad(total, parameters)
    for once, again in zip(first, second, strict=True):
        assert torch.equal(once, again)


@pytest.mark.parametrize("neuron", NEURONS)
def test_an_empty_batch_gives_no_spikes_and_gradients_of_zero(kernel: str, neuron: str) -> None:
    _, layer = pair(kernel, neuron)
    spikes, found = gradients(layer, torch.zeros(0, 6, N_INPUTS, dtype=torch.float64))
    assert spikes.shape == (0, 6, N_NEURONS)
    assert not any(gradient.any() for gradient in found.values())


def test_layers_in_a_row_have_the_gradients_of_the_whole(kernel: str) -> None:
    inputs = rasters(11, 40, density=0.4).double()
    results = []
    for name in ("reference", kernel):
        torch.manual_seed(0)
        first, second = pair(name, "delayed_synaptic")[1], pair(name, "adaptive", n_inputs=N_NEURONS)[1]
        parameters = [*first.parameters(), *second.parameters()]
        spikes = second(first(inputs))
        assert spikes.any()
        results.append([spikes, *torch.autograd.grad((spikes * torch.arange(9)).sum(), parameters)])
    assert torch.equal(results[0][0], results[1][0])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
