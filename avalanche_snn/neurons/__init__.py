"""Spiking neurons over whole sequences, stateless between calls, and the surrogate gradients that train them."""

from avalanche_snn.neurons.adaptive import (
    AdaptiveParameters,
    AdaptiveState,
    adaptive_leaky_step,
    run_adaptive_reference,
)
from avalanche_snn.neurons.adaptive_layer import AdaptiveLeaky
from avalanche_snn.neurons.dynamics import (
    NeuronParameters,
    NeuronState,
    delayed_synaptic_step,
    leaky_step,
    run_reference,
    synaptic_step,
)
from avalanche_snn.neurons.kernels import available_kernels
from avalanche_snn.neurons.layers import DelayedSynaptic, Leaky, SpikingLayer, Synaptic
from avalanche_snn.neurons.maps import LeakyMaps
from avalanche_snn.neurons.surrogates import Surrogate, parse_surrogate

__all__ = [
    "AdaptiveLeaky",
    "AdaptiveParameters",
    "AdaptiveState",
    "DelayedSynaptic",
    "Leaky",
    "LeakyMaps",
    "NeuronParameters",
    "NeuronState",
    "SpikingLayer",
    "Surrogate",
    "Synaptic",
    "adaptive_leaky_step",
    "available_kernels",
    "delayed_synaptic_step",
    "leaky_step",
    "parse_surrogate",
    "run_adaptive_reference",
    "run_reference",
    "synaptic_step",
]
