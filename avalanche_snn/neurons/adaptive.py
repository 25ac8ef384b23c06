"""One time step of the adaptive neuron, written out in full, and its run over a sequence: as `dynamics`, for one more.

The symbols of `dynamics`, and W the adaptation current. Time constants and adaptation are of each neuron and trained
with the weights, so here they are tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from avalanche_snn.neurons.dynamics import check_threshold_and_reset
from avalanche_snn.neurons.surrogates import Surrogate


@dataclass(frozen=True)
class AdaptiveParameters:
    """The parameters of adaptive neurons: four numbers a neuron, and what all of them share.

    Attributes:
        alpha: decay of the membrane in one step, 0 <= alpha < 1, `[H]`.
        beta: decay of the adaptation current in one step, `[H]`.
        a: how much the membrane drives the adaptation current, `[H]`.
        b: what a spike adds to the adaptation current, `[H]`.
        threshold: membrane above which a spike is emitted.
        reset: what a spike does to the membrane of the next step: `"subtract"` the threshold, start from `"zero"`, or
            `"none"`.
        surrogate: derivative of the spike.

    Raises:
        ValueError: a threshold below 0 or not finite, or an unknown reset.
    """

    alpha: Tensor
    beta: Tensor
    a: Tensor
    b: Tensor
    threshold: float
    reset: str
    surrogate: Surrogate

    def __post_init__(self) -> None:
        check_threshold_and_reset(self.threshold, self.reset)

    @property
    def per_neuron(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """alpha, beta, a, b."""
        return self.alpha, self.beta, self.a, self.b


class AdaptiveState(NamedTuple):
    """What a layer of adaptive neurons carries from one step to the next; each `[B, H]`.

    Attributes:
        membrane: membrane potential.
        adaptation: adaptation current.
        spikes: spikes emitted in the step before.
    """

    membrane: Tensor
    adaptation: Tensor
    spikes: Tensor

    @classmethod
    def at_rest(cls, current: Tensor) -> AdaptiveState:
        """All zero, of the shape `[B, H]`, dtype and device of `current`."""
        zeros = torch.zeros_like(current)
        return cls(zeros, zeros, zeros)


def adaptive_leaky_step(
    current: Tensor, state: AdaptiveState, recurrent_weight: Tensor | None, parameters: AdaptiveParameters
) -> tuple[Tensor, AdaptiveState]:
    """Adaptive leaky integrate-and-fire (Bittar & Garner 2022, Frontiers in Neuroscience 16:865897).

    W' = beta W + a U + b S;  U' = alpha (U - th S) + (1 - alpha)(I + V S - W');  S' = [U' > th].
    Reset to zero: alpha U (1 - S) instead of alpha (U - th S). As in the paper's code, and unlike in `dynamics`,
    gradients do pass through the reset.

    Args:
        current: I, `[B, H]`.
        state: of the step before.
        recurrent_weight: V, `[H (to), H (from)]`, or None.
        parameters: of the neurons.

    Returns:
        Spikes S' `[B, H]` and the next state.
    """
    adaptation = parameters.beta * state.adaptation + parameters.a * state.membrane + parameters.b * state.spikes
    kept = state.membrane
    if parameters.reset == "subtract":
        kept = kept - parameters.threshold * state.spikes
    elif parameters.reset == "zero":
        kept = kept * (1.0 - state.spikes)
    drive = current - adaptation
    if recurrent_weight is not None:
        drive = drive + state.spikes @ recurrent_weight.T
    membrane = parameters.alpha * kept + (1.0 - parameters.alpha) * drive
    spikes = parameters.surrogate.spike(membrane - parameters.threshold)
    return spikes, AdaptiveState(membrane, adaptation, spikes)


def run_adaptive_reference(currents: Tensor, recurrent_weight: Tensor | None, parameters: AdaptiveParameters) -> Tensor:
    """Run adaptive neurons from rest, one step after the other, with autograd: what all other kernels are tested with.

    Args:
        currents: input currents `[T, B, H]`, T >= 1.
        recurrent_weight: `[H (to), H (from)]` or None.
        parameters: of the neurons.

    Returns:
        Spikes `[T, B, H]`.
    """
    state = AdaptiveState.at_rest(currents[0])
    spikes_by_step = []
    for current in currents:
        spikes, state = adaptive_leaky_step(current, state, recurrent_weight, parameters)
        spikes_by_step.append(spikes)
    return torch.stack(spikes_by_step)
