"""One time step of each neuron, written out in full: the semantics that every kernel has to reproduce.

State is explicit: a step takes the state and returns the next one, nothing is kept anywhere else.

Symbols: I input current, V recurrent weights, S spikes, U membrane, J synaptic current, th threshold, a = alpha and
b = beta the decay of J and U in one step (exp(-step / time constant), no unit), [.] 1 where true and 0 elsewhere; a
prime marks the next value. The reset takes no part in back-propagation. One step is one time bin of the input, however
many milliseconds that is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from avalanche_snn.neurons.surrogates import Surrogate

RESETS = ("subtract", "zero", "none")


@dataclass(frozen=True)
class NeuronParameters:
    """The constants of a neuron model.

    Attributes:
        beta: decay of the membrane in one step, 0..1.
        alpha: decay of the synaptic current in one step, 0..1; 0 for a neuron without one.
        threshold: membrane above which a spike is emitted.
        reset: what a spike does to the membrane: `"subtract"` the threshold, set it to `"zero"`, or `"none"`.
        reset_delay: reset in the step after the spike (True, snnTorch's default) or in the step of the spike.
        surrogate: derivative of the spike.

    Raises:
        ValueError: a decay outside 0..1, a threshold below 0 or not finite, an unknown reset.
    """

    beta: float
    threshold: float
    reset: str
    surrogate: Surrogate
    alpha: float = 0.0
    reset_delay: bool = True

    def __post_init__(self) -> None:
        check_decays(alpha=self.alpha, beta=self.beta)
        check_threshold_and_reset(self.threshold, self.reset)


def check_decays(**decays: float) -> None:
    """Raise ValueError for a decay, given by its name, that is not a share of what there was."""
    for name, decay in decays.items():
        if not 0.0 <= decay <= 1.0:
            raise ValueError(f"{name} is the share kept from one step to the next: wanted 0 to 1, came {decay}")


def check_threshold_and_reset(threshold: float, reset: str) -> None:
    """Raise ValueError for a threshold that a neuron at rest has passed, or an unknown reset."""
    if not (math.isfinite(threshold) and threshold >= 0.0):
        raise ValueError(f"threshold: wanted a finite number of 0 or more, came {threshold}")
    if reset not in RESETS:
        raise ValueError(f"unknown reset {reset!r}: choose one of {', '.join(map(repr, RESETS))}")


class NeuronState(NamedTuple):
    """What a layer of neurons carries from one step to the next; each `[B, H]`.

    Attributes:
        synapse: synaptic current (stays 0 for neurons without one).
        membrane: membrane potential.
        spikes: spikes emitted in the step before.
    """

    synapse: Tensor
    membrane: Tensor
    spikes: Tensor

    @classmethod
    def at_rest(cls, current: Tensor) -> NeuronState:
        """All zero, of the shape `[B, H]`, dtype and device of `current`."""
        zeros = torch.zeros_like(current)
        return cls(zeros, zeros, zeros)


Step = Callable[[Tensor, NeuronState, Tensor | None, NeuronParameters], tuple[Tensor, NeuronState]]
"""(current [B, H], state, recurrent weight [H, H] or None, parameters) -> (spikes [B, H], next state)."""


def leaky_step(
    current: Tensor, state: NeuronState, recurrent_weight: Tensor | None, parameters: NeuronParameters
) -> tuple[Tensor, NeuronState]:
    """Leaky integrate-and-fire, equal to snnTorch's `Leaky`, and to its `RLeaky` where there are recurrent weights.

    U' = b U + I + V S, reset where U > th;  S' = [U' > th].
    Reset to zero: without recurrent weights U is cleared before the input is added, with them after
    (the two classes of snnTorch differ in this).

    Args:
        current: I, `[B, H]`.
        state: of the step before.
        recurrent_weight: V, `[H (to), H (from)]`, or None.
        parameters: `alpha` plays no part.

    Returns:
        Spikes S' `[B, H]` and the next state.
    """
    reset = (state.membrane > parameters.threshold).to(current.dtype)
    if parameters.reset == "zero" and recurrent_weight is None:
        membrane = parameters.beta * ((1.0 - reset) * state.membrane) + current
    else:
        membrane = _with_recurrence(parameters.beta * state.membrane + current, state.spikes, recurrent_weight)
        membrane = _reset(membrane, reset, parameters)
    return _fire(state.synapse, membrane, reset, parameters)


def synaptic_step(
    current: Tensor, state: NeuronState, recurrent_weight: Tensor | None, parameters: NeuronParameters
) -> tuple[Tensor, NeuronState]:
    """Leaky integrate-and-fire with a synaptic current, equal to snnTorch's `Synaptic` and `RSynaptic`.

    J' = a J + I + V S;  U' = b U + J', reset where U > th;  S' = [U' > th].

    Args:
        current: I, `[B, H]`.
        state: of the step before.
        recurrent_weight: V, `[H (to), H (from)]`, or None.
        parameters: the constants.

    Returns:
        Spikes S' `[B, H]` and the next state.
    """
    reset = (state.membrane > parameters.threshold).to(current.dtype)
    synapse = _with_recurrence(parameters.alpha * state.synapse + current, state.spikes, recurrent_weight)
    membrane = _reset(parameters.beta * state.membrane + synapse, reset, parameters)
    return _fire(synapse, membrane, reset, parameters)


def delayed_synaptic_step(
    current: Tensor, state: NeuronState, recurrent_weight: Tensor | None, parameters: NeuronParameters
) -> tuple[Tensor, NeuronState]:
    """The neuron of compressed latent replays (arXiv 2407.03111): it spikes first and updates afterwards.

    S' = [U > th];  J' = a J + I + V S;  U' = (b U + J)(1 - S')   (reset to zero; by subtraction U' = b U + J - th S').

    The membrane takes the *old* synaptic current, and V the spikes of the step *before*. An input therefore reaches the
    output two steps later than in `synaptic_step` (without recurrence that is the only difference), and a spike takes
    three steps to come round the recurrent loop, where it takes one in `synaptic_step`.

    Args:
        current: I, `[B, H]`.
        state: of the step before.
        recurrent_weight: V, `[H (to), H (from)]`, or None.
        parameters: the constants; `reset_delay` plays no part.

    Returns:
        Spikes S' `[B, H]` and the next state.
    """
    spikes = parameters.surrogate.spike(state.membrane - parameters.threshold)
    synapse = _with_recurrence(parameters.alpha * state.synapse + current, state.spikes, recurrent_weight)
    membrane = _reset(parameters.beta * state.membrane + state.synapse, spikes.detach(), parameters)
    return spikes, NeuronState(synapse, membrane, spikes)


def run_reference(
    step: Step, currents: Tensor, recurrent_weight: Tensor | None, parameters: NeuronParameters
) -> Tensor:
    """Run a neuron from rest, one step after the other, with autograd: the kernel all others are tested against.

    Args:
        step: the neuron.
        currents: input currents `[T, B, H]`, T >= 1.
        recurrent_weight: `[H (to), H (from)]` or None.
        parameters: the constants.

    Returns:
        Spikes `[T, B, H]`.
    """
    state = NeuronState.at_rest(currents[0])
    spikes_by_step = []
    for current in currents:
        spikes, state = step(current, state, recurrent_weight, parameters)
        spikes_by_step.append(spikes)
    return torch.stack(spikes_by_step)


def _with_recurrence(current: Tensor, spikes: Tensor, recurrent_weight: Tensor | None) -> Tensor:
    if recurrent_weight is None:
        return current
    return current + spikes @ recurrent_weight.T


def _reset(membrane: Tensor, reset: Tensor, parameters: NeuronParameters) -> Tensor:
    if parameters.reset == "subtract":
        return membrane - reset * parameters.threshold
    if parameters.reset == "zero":
        return membrane * (1.0 - reset)
    return membrane


def _fire(synapse: Tensor, membrane: Tensor, reset: Tensor, parameters: NeuronParameters) -> tuple[Tensor, NeuronState]:
    """Spike where the membrane is above the threshold, and reset at once where the reset is not to wait a step."""
    spikes = parameters.surrogate.spike(membrane - parameters.threshold)
    if not parameters.reset_delay:
        # As in snnTorch: no second reset for a neuron that was reset in this step, and gradients do pass through here.
        due = spikes - reset
        if parameters.reset == "subtract":
            membrane = membrane - due * parameters.threshold
        elif parameters.reset == "zero":
            membrane = membrane - due * membrane
    return spikes, NeuronState(synapse, membrane, spikes)
