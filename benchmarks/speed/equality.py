"""Whether every kernel spikes as the reference does, counted over many cells, layer by layer on the same input."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from avalanche_snn.neurons import (
    AdaptiveParameters,
    AdaptiveState,
    NeuronState,
    adaptive_leaky_step,
    available_kernels,
    delayed_synaptic_step,
)
from avalanche_snn.neurons.kernels import KERNELS, Neuron
from avalanche_snn.neurons.kernels.reference import ReferenceKernel
from benchmarks.speed.ours import calibrated_weights, hidden_layers, our_network
from benchmarks.speed.workloads import Workload, minibatch

#: A spike that differs in float32 is explained by rounding where the reference's membrane is this near the threshold.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 0.0}
_REFERENCE = "reference"


def compare_kernels(workload: Workload, neuron: str, n_cells: int, device: str = "cpu") -> Iterator[dict[str, Any]]:
    """Compare the spikes of all kernels with those of the reference, in float64 and float32.

    Args:
        workload: network and data; as many minibatches of it as `n_cells` need.
        neuron: of the network.
        n_cells: neurons x time steps x samples to compare, at least.
        device: to compute on.

    Yields:
        For each kernel and dtype: `cells` compared, `samples` (a sample counts once for each layer), those `rounded`
        (different, and the first difference is explained by rounding) and those `unexplained`; or the `reason` why the
        kernel takes no part.
    """
    first = minibatch(workload)
    weights = calibrated_weights(workload, neuron, first)
    network = our_network(workload, neuron, _REFERENCE, weights)
    n_minibatches = math.ceil(n_cells / (workload.batch * workload.n_steps * sum(workload.hidden)))
    for dtype in TOLERANCE:
        reasons = available_kernels(device, dtype)
        counts = {name: _Count(dtype) for name, reason in reasons.items() if reason is None and name != _REFERENCE}
        for number in range(n_minibatches):
            x = minibatch(workload, number).rasters.to(device, dtype)
            for layer in hidden_layers(network.to(device, dtype)):
                spikes, distances = _run_recorded(layer, x)
                for kernel, count in counts.items():
                    count.add(_run_with(kernel, layer, x), spikes, distances)
                x = spikes
        common = {"neuron": neuron, "dtype": str(dtype).removeprefix("torch.")}
        for name, reason in reasons.items():
            if name in counts:
                yield common | {"kernel": name} | counts[name].result
            elif name != _REFERENCE:
                yield common | {"kernel": name, "reason": reason}


class _Count:
    """What has been compared so far."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.tolerance = TOLERANCE[dtype]
        self.result = {"cells": 0, "samples": 0, "rounded": 0, "unexplained": 0}

    def add(self, spikes: Tensor, expected: Tensor, distances: Tensor) -> None:
        """Compare spikes `[B, T, H]` with the reference's, given the distance of its membranes from the threshold."""
        differs = spikes != expected
        of_sample = differs.flatten(1).any(dim=1)
        first_steps = differs.any(dim=2).int().argmax(dim=1)
        samples = torch.arange(len(differs), device=differs.device)
        decided = torch.where(differs, distances, 0.0)[samples, first_steps].amax(dim=1)
        explained = of_sample & (decided < self.tolerance)
        self.result["cells"] += differs.numel()
        self.result["samples"] += len(differs)
        self.result["rounded"] += int(explained.sum())
        self.result["unexplained"] += int((of_sample & ~explained).sum())


class _Recorder(ReferenceKernel):
    """The reference, step by step, that keeps how far from the threshold each membrane was when it decided."""

    def __init__(self) -> None:
        self.distances: list[Tensor] = []

    def run(self, currents: Tensor, recurrent_weight: Tensor | None, neuron: Neuron) -> Tensor:
        """Currents `[B, T, H]` to spikes `[B, T, H]`."""
        state, spikes = NeuronState.at_rest(currents[:, 0]), []
        for current in currents.unbind(1):
            before = state.membrane
            fired, state = neuron.step(current, state, recurrent_weight, neuron.parameters)
            # The delayed neuron spikes by the membrane that the step starts from, the others by the one it ends with.
            deciding = before if neuron.step is delayed_synaptic_step else state.membrane
            self.distances.append((deciding - neuron.parameters.threshold).abs())
            spikes.append(fired)
        return torch.stack(spikes, dim=1)

    def run_adaptive(self, currents: Tensor, recurrent_weight: Tensor | None, parameters: AdaptiveParameters) -> Tensor:
        """Currents `[B, T, H]` to spikes `[B, T, H]`."""
        state, spikes = AdaptiveState.at_rest(currents[:, 0]), []
        for current in currents.unbind(1):
            fired, state = adaptive_leaky_step(current, state, recurrent_weight, parameters)
            self.distances.append((state.membrane - parameters.threshold).abs())
            spikes.append(fired)
        return torch.stack(spikes, dim=1)


@torch.no_grad()
def _run_recorded(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    recorder = _Recorder()
    with patch.dict(KERNELS, {_REFERENCE: recorder}):
        spikes = _run_with(_REFERENCE, layer, x)
    return spikes, torch.stack(recorder.distances, dim=1)


@torch.no_grad()
def _run_with(kernel: str, layer: nn.Module, x: Tensor) -> Tensor:
    other: Any = copy.copy(layer)
    other.kernel = kernel
    spikes: Tensor = other(x)
    return spikes
