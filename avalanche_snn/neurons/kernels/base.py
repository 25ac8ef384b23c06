"""What a kernel is: one way to compute a layer of neurons over whole sequences."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from avalanche_snn.neurons.adaptive import AdaptiveParameters
from avalanche_snn.neurons.dynamics import NeuronParameters, Step
from avalanche_snn.neurons.kernels.integration import integrate


@dataclass(frozen=True)
class Timing:
    """When spikes come back and go out: all neurons of `dynamics` are one recurrence that differs in this.

        h[t] = I[t] + V S[t - loop]
        J[t] = alpha J[t-1] + h[t]                          alpha = 0 for a neuron without synaptic current
        U[t] = beta U[t-1] + J[t], reset where S[t-1]
        S[t] = [U[t] > threshold]
        output[t] = S[t - delay]

    with loop = 1, delay = 0 for `leaky_step` and `synaptic_step`, and loop = 3, delay = 2 for `delayed_synaptic_step`.
    The gradients, with g[t] that of the output for S[t], s' the surrogate derivative, and r[t] = 1 - S[t-1] for a reset
    to zero and 1 otherwise (the reset itself is not differentiated; where it clears the membrane before the input is
    added, dI goes without r):

        dS[t] = g[t] + V^T dI[t + loop]
        dU[t] = s'(U[t] - threshold) dS[t] + beta r[t+1] dU[t+1]
        dI[t] = alpha dI[t+1] + r[t] dU[t]
        dV    = sum over t of dI[t] S[t - loop]^T

    The membrane U[t] tells the spike S[t]: nothing else has to be kept for the way back.

    Attributes:
        loop: steps a spike takes round the recurrent loop, >= 1.
        delay: steps by which the output is late, >= 0 and < loop.
        clear_before_input: a reset to zero clears the membrane before the input is added, not after.
    """

    loop: int
    delay: int
    clear_before_input: bool = False


@dataclass(frozen=True)
class Neuron:
    """A neuron with fixed time constants.

    Attributes:
        parameters: its constants.
        step: its dynamics, for the reference kernel.
        timing: what every other kernel goes by; None for a neuron that runs step by step only.
    """

    parameters: NeuronParameters
    step: Step
    timing: Timing | None

    def timing_for(self, kernel: str) -> Timing:
        """Return the timing, which a kernel needs.

        Raises:
            ValueError: there is none.
        """
        if self.timing is None:
            raise ValueError(f"the {kernel} kernel cannot run this neuron: only the reference steps through it")
        return self.timing


class BaseKernel(ABC):
    """One way to compute a layer; stateless. Everything is batch-first, and differentiable in every tensor."""

    name: str

    @abstractmethod
    def why_not(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Return why this kernel cannot compute on such tensors, or None when it can."""

    def why_not_maps(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Return why this kernel cannot run the neurons of such feature maps, or None when it can."""
        return self.why_not(device, dtype)

    @abstractmethod
    def project(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Input `[B, T, C]`, of any real dtype, to currents `[B, T, H]` in the dtype of the weight `[H, C]`."""

    @abstractmethod
    def run(self, currents: Tensor, recurrent_weight: Tensor | None, neuron: Neuron) -> Tensor:
        """Currents `[B, T, H]`, T >= 1, to spikes `[B, T, H]`, from rest.

        The currents are used up: a kernel may put the membranes in their place in memory. Nobody else may need them.
        """

    @abstractmethod
    def run_adaptive(self, currents: Tensor, recurrent_weight: Tensor | None, parameters: AdaptiveParameters) -> Tensor:
        """As `run`, for adaptive neurons; differentiable in their parameters too."""

    @abstractmethod
    def run_maps(self, currents: Tensor, parameters: NeuronParameters) -> Tensor:
        """Currents `[T, N]` of leaky neurons without connections among each other to spikes `[T, N]`, from rest.

        With u' the surrogate derivative, g[t] the gradient of S[t], and the reset to zero (r[t] = 1 - S[t], else 1):

            U[t] = beta r[t-1] U[t-1] + I[t];   S[t] = [U[t] > threshold]      (by subtraction: - threshold S[t-1])
            dI[t] = u'(U[t] - threshold) (g[t] - beta U[t] dI[t+1]) + beta r[t] dI[t+1]

        where the term with U[t] is there only if gradients pass through the reset, as they do where it comes at once.

        Args:
            currents: `[T, N]` without gaps, T >= 1, in any floating point dtype; they stay as they are. Membranes are
                computed in float32 at least.
            parameters: without `reset_delay`, the reset is to zero or there is none.
        """

    def integrate(self, currents: Tensor, alpha: float, beta: float, reduce: str) -> Tensor:
        """Currents `[B, T, K]` of leaky integrators to their "max" or "mean" over time, `[B, K]`; see `integration`."""
        return integrate(currents, alpha, beta, reduce)

    def layer(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        recurrent_weight: Tensor | None,
        neuron: Neuron | AdaptiveParameters,
    ) -> Tensor:
        """Input `[B, T, C]` to spikes `[B, T, H]`: `project` and `run`."""
        return self.neurons(self.project(x, weight, bias), recurrent_weight, neuron)

    def neurons(self, currents: Tensor, recurrent_weight: Tensor | None, neuron: Neuron | AdaptiveParameters) -> Tensor:
        """As `run` or `run_adaptive`, whichever the neurons need; the currents are used up."""
        if isinstance(neuron, AdaptiveParameters):
            return self.run_adaptive(currents, recurrent_weight, neuron)
        return self.run(currents, recurrent_weight, neuron)

    def recompute(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        recurrent_weight: Tensor | None,
        neuron: Neuron | AdaptiveParameters,
    ) -> Tensor:
        """As `layer`, but of all that the way back needs only the input is kept; the rest is computed again."""
        spikes: Tensor = checkpoint(self.layer, x, weight, bias, recurrent_weight, neuron, use_reentrant=False)
        return spikes
