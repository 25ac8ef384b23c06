"""The same layer with two kernels, and what its gradients are: shared by the tests of all kernels."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor, nn

from avalanche_snn.neurons import AdaptiveLeaky, DelayedSynaptic, Leaky, SpikingLayer, Synaptic

N_INPUTS, N_NEURONS = 13, 9
NEURONS: dict[str, Callable[..., SpikingLayer]] = {
    "leaky": Leaky,
    "synaptic": Synaptic,
    "delayed_synaptic": DelayedSynaptic,
    "adaptive": AdaptiveLeaky,
}
CELLS = list(product(NEURONS, (False, True), ("zero", "subtract", "none")))


def pair(
    kernel: str,
    neuron: str,
    recurrent: bool = True,
    reset: str = "zero",
    *,
    surrogate: str = "fast_sigmoid/2",
    dtype: torch.dtype = torch.float64,
    n_inputs: int = N_INPUTS,
    n_neurons: int = N_NEURONS,
    scale: float = 0.5,
) -> tuple[SpikingLayer, SpikingLayer]:
    """The same layer with the reference kernel and with another one; weights from N(0, scale)."""
    reference, fast = (
        NEURONS[neuron](
            n_inputs, n_neurons, recurrent=recurrent, reset=reset, bias=True, surrogate=surrogate, kernel=name
        ).to(dtype)
        for name in ("reference", kernel)
    )
    generator = torch.Generator().manual_seed(1)
    for name, parameter in reference.named_parameters():
        if name in ("weight", "bias", "recurrent_weight"):
            nn.init.normal_(parameter, 0.0, scale, generator=generator)
    if isinstance(reference, AdaptiveLeaky):
        with torch.no_grad():
            # Adaptive neurons weigh their input with 1 - alpha.
            reference.weight.mul_(6.0)
    fast.load_state_dict(reference.state_dict())
    return reference, fast


def gradients(layer: SpikingLayer, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Spikes, and gradients of their weighted sum with respect to the input and every parameter."""
    names = [name for name, parameter in layer.named_parameters() if parameter.requires_grad]
    wanted = [layer.get_parameter(name) for name in names]
    if inputs.is_floating_point():
        inputs = inputs.clone().requires_grad_()
        names, wanted = ["input", *names], [inputs, *wanted]
    spikes = layer(inputs)
    weights = torch.randn(spikes.shape, generator=torch.Generator().manual_seed(3), dtype=spikes.dtype)
    weights = weights.to(spikes.device)
    found: tuple[Tensor | None, ...] = (None,) * len(names)
    if spikes.requires_grad:  # the first steps of a delayed neuron depend on nothing
        found = torch.autograd.grad((weights * spikes).sum(), wanted, allow_unused=True)
    return spikes, {name: torch.zeros(1) if g is None else g for name, g in zip(names, found, strict=True)}


def assert_same(found: tuple[Tensor, dict[str, Tensor]], expected: tuple[Tensor, dict[str, Tensor]]) -> None:
    """Equal spikes, and gradients within 1e-10 of the largest (float64)."""
    assert torch.equal(found[0], expected[0])
    assert found[1].keys() == expected[1].keys()
    for name, gradient in found[1].items():
        error = (gradient - expected[1][name]).abs().max() / expected[1][name].abs().max().clamp_min(1.0)
        assert error < 1e-10, name
