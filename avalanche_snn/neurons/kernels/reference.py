"""The `reference` kernel: step by step, in plain torch operations, differentiated by autograd."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from avalanche_snn.neurons.adaptive import AdaptiveParameters, run_adaptive_reference
from avalanche_snn.neurons.dynamics import NeuronParameters, leaky_step, run_reference
from avalanche_snn.neurons.kernels.base import BaseKernel, Neuron


class ReferenceKernel(BaseKernel):
    """What every other kernel is tested against; runs on every device and in every floating point dtype."""

    name = "reference"

    def why_not(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Return None: it always runs."""
        return None

    def project(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`[B, T, C]` to currents `[B, T, H]`: one matrix product over all time steps."""
        return functional.linear(x.to(weight.dtype), weight, bias)

    def run(self, currents: Tensor, recurrent_weight: Tensor | None, neuron: Neuron) -> Tensor:
        """Currents `[B, T, H]` to spikes `[B, T, H]`."""
        return run_reference(neuron.step, currents.transpose(0, 1), recurrent_weight, neuron.parameters).transpose(0, 1)

    def run_adaptive(self, currents: Tensor, recurrent_weight: Tensor | None, parameters: AdaptiveParameters) -> Tensor:
        """Currents `[B, T, H]` to spikes `[B, T, H]`."""
        return run_adaptive_reference(currents.transpose(0, 1), recurrent_weight, parameters).transpose(0, 1)

    def run_maps(self, currents: Tensor, parameters: NeuronParameters) -> Tensor:
        """Currents `[T, N]` to spikes `[T, N]`."""
        wide = currents.to(torch.promote_types(currents.dtype, torch.float32))
        return run_reference(leaky_step, wide, None, parameters).to(currents.dtype)
