"""Spiking neurons over whole sequences, stateless between calls, and the surrogate gradients that train them."""

from avalanche_snn.neurons.dynamics import (
    NeuronParameters,
    NeuronState,
    delayed_synaptic_step,
    leaky_step,
    run_reference,
    synaptic_step,
)
from avalanche_snn.neurons.layers import DelayedSynaptic, Leaky, SpikingLayer, Synaptic
from avalanche_snn.neurons.surrogates import Surrogate, parse_surrogate

__all__ = [
    "DelayedSynaptic",
    "Leaky",
    "NeuronParameters",
    "NeuronState",
    "SpikingLayer",
    "Surrogate",
    "Synaptic",
    "delayed_synaptic_step",
    "leaky_step",
    "parse_surrogate",
    "run_reference",
    "synaptic_step",
]
