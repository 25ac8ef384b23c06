"""The triton kernel on the CPU, in Triton's interpreter, against autograd on the reference.

The interpreter has to be switched on before Triton is imported, so `test_triton_kernel.py` runs this file in a process
of its own; by hand: `TRITON_INTERPRET=1 pytest tests/neurons/interpreted_triton.py`. It is slow: sizes are small, and
the programs are cut smaller still, so that there are several of them and every loop goes round more than once.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import pytest
import torch
from layer_pairs import CELLS, N_INPUTS, N_NEURONS, NEURONS, assert_same, gradients, pair
from torch import Tensor, nn

from avalanche_snn.neurons import LeakyMaps, parse_surrogate
from avalanche_snn.neurons.kernels import KERNELS
from avalanche_snn.neurons.kernels.triton_kernel import TritonKernel
from avalanche_snn.neurons.surrogates import SURROGATES

#: With and without recurrent weights, each reset and each program at least once.
IN_SHORT = [
    ("delayed_synaptic", True, "zero"),
    ("synaptic", False, "subtract"),
    ("leaky", True, "none"),
    ("adaptive", True, "subtract"),
    ("adaptive", False, "zero"),
]

IMPORTED_BY_THE_LIBRARY = [name for name in sys.modules if name.startswith("avalanche_snn.neurons.kernels.triton_")]

assert os.environ.get("TRITON_INTERPRET") == "1", "set TRITON_INTERPRET=1"


class InterpretedKernel(TritonKernel):
    def why_not(self, device: torch.device, dtype: torch.dtype) -> None:
        return None

    def why_not_maps(self, device: torch.device, dtype: torch.dtype) -> None:
        return None


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KERNELS, "triton", InterpretedKernel())


@pytest.fixture(autouse=True)
def small_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two samples a program on the way back, eight neurons without recurrent weights, and a few rows at once."""
    from avalanche_snn.neurons.kernels import triton_programs

    monkeypatch.setattr(triton_programs, "_PROGRAMS", 1)
    monkeypatch.setattr(triton_programs, "_COLUMNS_ALONE", 8)
    monkeypatch.setattr(triton_programs, "_MAX_ROWS_FORWARD", 2)
    monkeypatch.setattr(triton_programs, "_MAX_ROWS_BACKWARD", 4)


def dense(n_steps: int, n_samples: int = 2) -> Tensor:
    return torch.rand(n_samples, n_steps, N_INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def test_the_programs_are_imported_on_first_use_only() -> None:
    assert IMPORTED_BY_THE_LIBRARY == ["avalanche_snn.neurons.kernels.triton_kernel"]


@pytest.mark.parametrize(
    ("neuron", "recurrent", "reset"),
    [cell if cell in IN_SHORT else pytest.param(*cell, marks=pytest.mark.slow) for cell in CELLS],
)
def test_spikes_equal_the_reference_and_gradients_autograd(neuron: str, recurrent: bool, reset: str) -> None:
    reference, fast = pair("triton", neuron, recurrent, reset)
    inputs = dense(8, n_samples=3 if recurrent else 1)  # of three, the second program on the way back has one
    expected = gradients(reference, inputs)
    assert 0.02 < expected[0].mean() < 0.95
    assert all(gradient.abs().max() > 0 for gradient in expected[1].values())
    assert_same(gradients(fast, inputs), expected)


@pytest.mark.slow
@pytest.mark.parametrize("neuron", ["leaky", "delayed_synaptic", "adaptive"])
@pytest.mark.parametrize("n_steps", [1, 3, 4])
def test_sequences_as_short_as_the_loop(neuron: str, n_steps: int) -> None:
    reference, fast = pair("triton", neuron)
    assert_same(gradients(fast, dense(n_steps)), gradients(reference, dense(n_steps)))


@pytest.mark.parametrize(
    "surrogate", ["fast_sigmoid/100", "sigmoid/5", "sigmoid/60", "atan/2", "triangular/1", "box/1"]
)
def test_every_surrogate_reaches_the_gradients(surrogate: str) -> None:
    assert parse_surrogate(surrogate).name in SURROGATES
    reference, fast = pair("triton", "delayed_synaptic", surrogate=surrogate)
    expected = gradients(reference, dense(8))
    assert all(gradient.abs().max() > 0 for gradient in expected[1].values())
    assert_same(gradients(fast, dense(8)), expected)


@pytest.mark.parametrize("neuron", ["delayed_synaptic", "adaptive"])
def test_programs_as_they_are_cut_for_a_gpu(neuron: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setitem(KERNELS, "triton", InterpretedKernel())
    reference, fast = pair("triton", neuron, n_neurons=35, scale=0.3)
    assert_same(gradients(fast, dense(6)), gradients(reference, dense(6)))


@pytest.mark.parametrize("neuron", NEURONS)
def test_a_threshold_keeps_all_its_digits_in_float64(neuron: str) -> None:
    # 0.3 is 1.2e-8 more in float32.
    reference, fast = (
        NEURONS[neuron](1, 1, recurrent=False, threshold=0.3, kernel=kernel).double()
        for kernel in ("reference", "triton")
    )
    nn.init.ones_(reference.weight)
    fast.load_state_dict(reference.state_dict())
    share = 1.0 - reference.get_parameter("alpha").item() if neuron == "adaptive" else 1.0
    membranes = 0.3 + torch.linspace(-1e-8, 1e-8, 4, dtype=torch.float64)
    inputs = torch.zeros(4, 3 if neuron == "delayed_synaptic" else 1, 1, dtype=torch.float64)
    inputs[:, 0, 0] = membranes / share
    assert fast(inputs)[:, -1, 0].tolist() == [0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("neuron", NEURONS)
def test_float32_feed_forward_spikes_equal_the_reference_bit_by_bit(neuron: str) -> None:
    reference, fast = pair("triton", neuron, False, dtype=torch.float32)
    inputs = dense(9).float()
    expected = gradients(reference, inputs)
    spikes, found = gradients(fast, inputs)
    assert torch.equal(spikes, expected[0])
    for name, gradient in found.items():
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, expected[1][name], rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("neuron", ["delayed_synaptic", "adaptive"])
def test_without_gradients_the_spikes_are_the_same(neuron: str) -> None:
    _, layer = pair("triton", neuron)
    expected = layer(dense(7))
    with torch.no_grad():
        assert torch.equal(layer(dense(7)), expected)
    layer.requires_grad_(False)
    frozen = layer(dense(7))
    assert torch.equal(frozen, expected)
    assert not frozen.requires_grad


@pytest.mark.slow
@pytest.mark.parametrize(
    ("neuron", "trained"),
    [("delayed_synaptic", name) for name in ("bias", "recurrent_weight")]
    + [("adaptive", name) for name in ("weight", "recurrent_weight", "beta")],
)
def test_a_partly_frozen_layer_has_the_gradients_that_remain(neuron: str, trained: str) -> None:
    reference, fast = pair("triton", neuron)
    for layer in (reference, fast):
        layer.requires_grad_(False)
        layer.get_parameter(trained).requires_grad_()
        layer(dense(7)).sum().backward()  # its gradient is one number, expanded
    for name, parameter in fast.named_parameters():
        assert (parameter.grad is None) == (name != trained)
    found, expected = (layer.get_parameter(trained).grad for layer in (fast, reference))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("neuron", ["delayed_synaptic", "adaptive"])
def test_input_is_left_alone_and_its_memory_order_does_not_matter(neuron: str) -> None:
    _, layer = pair("triton", neuron)
    batch_first = dense(7)
    before = batch_first.clone()
    spikes, found = gradients(layer, batch_first)
    assert torch.equal(batch_first, before)
    assert_same(gradients(layer, batch_first.transpose(0, 1).contiguous().transpose(0, 1)), (spikes, found))


@pytest.mark.slow
@pytest.mark.parametrize("neuron", ["delayed_synaptic", "adaptive"])
def test_one_graph_can_be_walked_back_twice(neuron: str) -> None:
    _, layer = pair("triton", neuron)
    total = layer(dense(7)).sum()
    parameters = list(layer.parameters())
    first = torch.autograd.grad(total, parameters, retain_graph=True)
    second = torch.autograd.grad(total, parameters)
    for once, again in zip(first, second, strict=True):
        assert torch.equal(once, again)


@pytest.mark.parametrize("neuron", NEURONS)
def test_an_empty_batch_gives_no_spikes_and_gradients_of_zero(neuron: str) -> None:
    _, layer = pair("triton", neuron)
    spikes, found = gradients(layer, dense(6, n_samples=0))
    assert spikes.shape == (0, 6, N_NEURONS)
    assert not any(gradient.any() for gradient in found.values())


def maps(kernel: str, x: Tensor, **constants: Any) -> tuple[Tensor, Tensor]:
    """Spikes of neurons of feature maps over four steps, and the gradient of their input."""
    x = x.clone().requires_grad_()
    spikes = LeakyMaps(4, threshold=0.8, beta=0.7, kernel=kernel, **constants)(x)
    (spikes * torch.linspace(-1, 2, spikes.numel(), dtype=x.dtype).view(spikes.shape)).sum().backward()
    assert x.grad is not None
    return spikes.detach(), x.grad


@pytest.mark.parametrize(("reset", "delay"), [("zero", False), ("zero", True), ("subtract", True), ("none", True)])
def test_neurons_of_feature_maps_are_those_of_the_reference(
    reset: str, delay: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from avalanche_snn.neurons.kernels import triton_maps

    monkeypatch.setattr(triton_maps, "_BLOCK", 16)
    constants = {"reset": reset, "reset_delay": delay}
    x = torch.randn(12, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(3)).add_(0.4)
    (spikes, gradient), (own, own_gradient) = maps("reference", x, **constants), maps("triton", x, **constants)
    assert 0 < spikes.mean() < 1
    torch.testing.assert_close(own, spikes, rtol=0, atol=0)
    torch.testing.assert_close(own_gradient, gradient, rtol=1e-12, atol=1e-12)
    half = x.to(torch.float16)
    torch.testing.assert_close(maps("triton", half, **constants)[0], maps("reference", half, **constants)[0])
    with torch.no_grad():
        assert torch.equal(LeakyMaps(4, kernel="triton")(half), LeakyMaps(4, kernel="reference")(half))
