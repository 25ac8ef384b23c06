"""Each neuron against a trace worked out by hand, and the paper's against its equations written out in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from avalanche_snn.neurons import (
    DelayedSynaptic,
    NeuronParameters,
    NeuronState,
    Synaptic,
    delayed_synaptic_step,
    leaky_step,
    parse_surrogate,
    synaptic_step,
)
from avalanche_snn.neurons.dynamics import Step


def trace(
    step: Step, currents: list[float], recurrent_weight: float | None = None, *, alpha: float = 0.5, **constants: object
) -> tuple[list[float], list[float]]:
    """Spikes and membranes of one neuron, alpha = beta = 0.5, threshold 1 (all numbers exact in binary)."""
    parameters = NeuronParameters(
        alpha=alpha,
        beta=0.5,
        threshold=1.0,
        surrogate=parse_surrogate("atan"),
        **constants,  # type: ignore[arg-type]
    )
    weight = None if recurrent_weight is None else torch.tensor([[recurrent_weight]])
    state = NeuronState.at_rest(torch.zeros(1, 1))
    spikes, membranes = [], []
    for current in currents:
        fired, state = step(torch.tensor([[current]]), state, weight, parameters)
        spikes.append(fired.item())
        membranes.append(state.membrane.item())
    return spikes, membranes


LEAKY_CURRENTS = [0.75, 0.75, 0.75, 1.5, 0.75, 0.75]


def test_leaky_by_subtraction() -> None:
    # .75 | .375+.75 | .5625+.75-1 | .15625+1.5 | .828125+.75-1 | .2890625+.75
    spikes, membranes = trace(leaky_step, LEAKY_CURRENTS, reset="subtract")
    assert membranes == [0.75, 1.125, 0.3125, 1.65625, 0.578125, 1.0390625]
    assert spikes == [0, 1, 0, 1, 0, 1]


def test_leaky_to_zero_keeps_the_input_of_the_step_of_the_reset() -> None:
    # .75 | 1.125 | 0+.75 | .375+1.5 | 0+.75 | .375+.75
    spikes, membranes = trace(leaky_step, LEAKY_CURRENTS, reset="zero")
    assert membranes == [0.75, 1.125, 0.75, 1.875, 0.75, 1.125]
    assert spikes == [0, 1, 0, 1, 0, 1]


def test_recurrent_leaky_to_zero_loses_the_input_of_the_step_of_the_reset() -> None:
    # .75 | 1.125 | reset | 1.5 | reset | .75
    spikes, membranes = trace(leaky_step, LEAKY_CURRENTS, 0.0, reset="zero")
    assert membranes == [0.75, 1.125, 0.0, 1.5, 0.0, 0.75]
    assert spikes == [0, 1, 0, 1, 0, 0]


def test_leaky_without_reset() -> None:
    # .75 | 1.125 | .5625+.75 | .65625+1.5 | 1.078125+.75 | .9140625+.75
    spikes, membranes = trace(leaky_step, LEAKY_CURRENTS, reset="none")
    assert membranes == [0.75, 1.125, 1.3125, 2.15625, 1.828125, 1.6640625]
    assert spikes == [0, 1, 1, 1, 1, 1]


def test_leaky_by_subtraction_at_once() -> None:
    # .75 | 1.125-1 | .0625+.75 | .40625+1.5-1 | .453125+.75-1 | .1015625+.75
    spikes, membranes = trace(leaky_step, LEAKY_CURRENTS, reset="subtract", reset_delay=False)
    assert membranes == [0.75, 0.125, 0.8125, 0.90625, 0.203125, 0.8515625]
    assert spikes == [0, 1, 0, 1, 1, 0]


def test_leaky_to_zero_at_once() -> None:
    # .75 | 1.125 -> 0 | .75 | .375+1.5 -> 0 | .75 | .375+.75 -> 0
    spikes, membranes = trace(leaky_step, LEAKY_CURRENTS, reset="zero", reset_delay=False)
    assert membranes == [0.75, 0.0, 0.75, 0.0, 0.75, 0.0]
    assert spikes == [0, 1, 0, 1, 0, 1]


def test_recurrent_leaky_is_inhibited_in_the_step_after_its_spike() -> None:
    # .75 | 1.125 | .5625+.75-.5-1 | -.09375+1.5 | .703125+.75-.5-1 | -.0234375+.75
    spikes, membranes = trace(leaky_step, LEAKY_CURRENTS, -0.5, reset="subtract")
    assert membranes == [0.75, 1.125, -0.1875, 1.40625, -0.046875, 0.7265625]
    assert spikes == [0, 1, 0, 1, 0, 0]


SYNAPTIC_CURRENTS = [1.5, 0.0, 0.0, 1.0, 0.0]  # synaptic current without recurrence: 1.5, .75, .375, 1.1875, .59375


def test_synaptic_by_subtraction() -> None:
    # 1.5 | .75+.75-1 | .25+.375 | .3125+1.1875 | .75+.59375-1
    spikes, membranes = trace(synaptic_step, SYNAPTIC_CURRENTS, reset="subtract")
    assert membranes == [1.5, 0.5, 0.625, 1.5, 0.34375]
    assert spikes == [1, 0, 0, 1, 0]


def test_synaptic_to_zero_keeps_the_synaptic_current() -> None:
    # 1.5 | reset | 0+.375 | .1875+1.1875 | reset
    spikes, membranes = trace(synaptic_step, SYNAPTIC_CURRENTS, reset="zero")
    assert membranes == [1.5, 0.0, 0.375, 1.375, 0.0]
    assert spikes == [1, 0, 0, 1, 0]


def test_recurrent_synaptic_receives_its_spike_in_the_next_step() -> None:
    # synaptic current: 1.5 | .75+2 | 1.375+2 ...; membrane by subtraction: 1.5 | .75+2.75-1 | 1.25+3.375-1
    spikes, membranes = trace(synaptic_step, [1.5, 0.0, 0.0], 2.0, reset="subtract")
    assert membranes == [1.5, 2.5, 3.625]
    assert spikes == [1, 1, 1]


DELAYED_CURRENTS = [1.5, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]


def test_delayed_synaptic_to_zero() -> None:
    # synaptic current after each step: 1.5, .75, .375, 1.1875, .59375, ...
    # membrane: 0 | 0+1.5 | spike, reset | 0+.375 | .1875+1.1875 | spike, reset | 0+.296875
    spikes, membranes = trace(delayed_synaptic_step, DELAYED_CURRENTS, reset="zero")
    assert membranes == [0.0, 1.5, 0.0, 0.375, 1.375, 0.0, 0.296875]
    assert spikes == [0, 0, 1, 0, 0, 1, 0]


def test_delayed_synaptic_receives_its_spike_in_the_next_step_and_fires_two_steps_after_that() -> None:
    # The spike of the third step enters the synaptic current in the fourth: 1.5, .75, .375, .1875+1+2, 1.59375, .796875
    # membrane: 0 | 1.5 | spike, reset | .375 | .1875+3.1875 | spike, reset | .796875
    spikes, membranes = trace(delayed_synaptic_step, DELAYED_CURRENTS, 2.0, reset="zero")
    assert membranes == [0.0, 1.5, 0.0, 0.375, 3.375, 0.0, 0.796875]
    assert spikes == [0, 0, 1, 0, 0, 1, 0]


def test_delayed_synaptic_by_subtraction() -> None:
    # membrane: 0 | 1.5 | .75+.75-1 | .25+.375 | .3125+1.1875 | .75+.59375-1 | .171875+.296875
    spikes, membranes = trace(delayed_synaptic_step, DELAYED_CURRENTS, reset="subtract")
    assert membranes == [0.0, 1.5, 0.5, 0.625, 1.5, 0.34375, 0.46875]
    assert spikes == [0, 0, 1, 0, 0, 1, 0]


def paper_spikes(inputs: np.ndarray, weight: np.ndarray, recurrent: np.ndarray | None) -> np.ndarray:
    """The equations of arXiv 2407.03111, step by step: out = [mem > 1]; syn' = a syn + W in + V out_prev; ..."""
    alpha, beta = np.exp(-1 / 5), np.exp(-1 / 10)
    n_samples, n_steps, _ = inputs.shape
    synapse = np.zeros((n_samples, len(weight)))
    membrane = np.zeros_like(synapse)
    out = np.zeros_like(synapse)
    spikes = np.zeros((n_samples, n_steps, len(weight)))
    for t in range(n_steps):
        out_previous = out
        out = (membrane > 1.0).astype(np.float64)
        drive = inputs[:, t] @ weight.T
        if recurrent is not None:
            drive = drive + out_previous @ recurrent.T
        synapse, membrane = alpha * synapse + drive, (beta * membrane + synapse) * (1.0 - out)
        spikes[:, t] = out
    return spikes


@pytest.mark.parametrize("kernel", ["reference", "torch", "auto"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_delayed_synaptic_equals_the_equations_of_the_paper(kernel: str, recurrent: bool) -> None:
    generator = np.random.default_rng(0)
    inputs = generator.poisson(0.1, (12, 80, 50)).astype(np.float64)
    layer = DelayedSynaptic(50, 30, recurrent=recurrent, weight_scale=1.5, kernel=kernel).double()

    spikes = layer(torch.from_numpy(inputs)).detach().numpy()

    recurrent_weight = None
    if layer.recurrent_weight is not None:
        recurrent_weight = layer.recurrent_weight.detach().numpy()
    expected = paper_spikes(inputs, layer.weight.detach().numpy(), recurrent_weight)
    assert 0.02 < expected.mean() < 0.5
    np.testing.assert_array_equal(spikes, expected)


@pytest.mark.parametrize("kernel", ["reference", "torch", "auto"])
@pytest.mark.parametrize("reset", ["zero", "subtract", "none"])
def test_without_recurrence_delayed_synaptic_is_synaptic_two_steps_later(kernel: str, reset: str) -> None:
    inputs = (torch.rand(8, 60, 40) < 0.1).double()
    undelayed = Synaptic(40, 25, reset=reset, kernel=kernel).double()
    torch.nn.init.normal_(undelayed.weight, 0.0, 0.3)
    delayed = DelayedSynaptic(40, 25, recurrent=False, reset=reset, kernel=kernel).double()
    delayed.load_state_dict(undelayed.state_dict())

    early, late = undelayed(inputs), delayed(inputs)

    assert early.mean() > 0.02
    assert torch.equal(late[:, 2:], early[:, :-2])
    assert not late[:, :2].any()


def test_with_recurrence_delayed_synaptic_is_a_neuron_of_its_own() -> None:
    inputs = (torch.rand(8, 60, 40) < 0.1).double()
    undelayed = Synaptic(40, 25, recurrent=True, reset="zero").double()
    for parameter in undelayed.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.3)
    delayed = DelayedSynaptic(40, 25).double()
    delayed.load_state_dict(undelayed.state_dict())
    assert not torch.equal(delayed(inputs)[:, 2:], undelayed(inputs)[:, :-2])


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"beta": 1.1}, "beta is the share kept .* wanted 0 to 1, came 1.1"),
        ({"beta": float("nan")}, "beta .* came nan"),
        ({"alpha": -0.1}, "alpha is the share kept .* came -0.1"),
        ({"threshold": float("inf")}, "threshold: wanted a finite number of 0 or more, came inf"),
        ({"threshold": -0.5}, "threshold: wanted a finite number of 0 or more, came -0.5"),
        ({"reset": "hard"}, "unknown reset 'hard': choose one of 'subtract', 'zero', 'none'"),
    ],
)
def test_impossible_constants_are_refused(constants: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Synaptic(3, 2, **constants)  # type: ignore[arg-type]
