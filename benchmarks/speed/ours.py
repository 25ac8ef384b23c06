"""Our networks, and the weights that every network of a workload is given."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avalanche_snn.models import RecurrentSNN
from benchmarks.speed.workloads import RESETS, SURROGATES, Minibatch, Workload

#: Share of cells that spike in each hidden layer: about what trained networks have on SHD.
HIDDEN_DENSITY = 0.1
_CALIBRATION_SAMPLES = 32
#: The adaptive neuron with adaptation of either sign, as its layer draws it; "adaptive" alone has none below 0.
ANY_ADAPTATION = "adaptive, a of either sign"


@dataclass(frozen=True)
class Weights:
    """The weights of a network, the same for all that are compared.

    Attributes:
        layers: input weights `[H, C]` and recurrent weights `[H (to), H (from)]` of each hidden layer.
        readout: `[K, H]`.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    readout: Tensor


def our_network(
    workload: Workload, neuron: str, kernel: str, weights: Weights | None = None, *, save_memory: bool = False
) -> RecurrentSNN:
    """Build our network; without weights it draws its own, from seed 0."""
    named = "adaptive" if neuron == ANY_ADAPTATION else neuron
    network = RecurrentSNN(
        n_inputs=workload.n_inputs,
        hidden=workload.hidden,
        n_classes=workload.n_classes,
        neuron=named,
        kernel=kernel,
        reset=RESETS[named],
        surrogate=SURROGATES[named],
        save_memory=save_memory,
        seed=0,
    )
    if neuron == "adaptive":
        # Below 0 the adaptation excites: membranes, and gradients with them, grow without bound, beyond what float32
        # compares within 1e-5 and, in 250 steps, beyond what it holds.
        with torch.no_grad():
            for layer in hidden_layers(network):
                layer.get_parameter("a").abs_()
    if weights is not None:
        with torch.no_grad():
            for layer, (weight, recurrent_weight) in zip(hidden_layers(network), weights.layers, strict=True):
                layer.get_parameter("weight").copy_(weight)
                layer.get_parameter("recurrent_weight").copy_(recurrent_weight)
            network.get_submodule("readout").get_parameter("weight").copy_(weights.readout)
    return network


def hidden_layers(network: nn.Module) -> list[nn.Module]:
    """The spiking layers of our network, the first one first."""
    return [child for name, child in network.named_children() if name.startswith("hidden")]


@torch.no_grad()
def calibrated_weights(workload: Workload, neuron: str, data: Minibatch) -> Weights:
    """Draw weights and scale them until each hidden layer of our network spikes as trained ones do.

    How much a layer spikes decides how long event-driven kernels take, and initial weights make some layers silent.

    Args:
        workload: the network.
        neuron: its neuron.
        data: what the layers are to spike at.
    """
    network = our_network(workload, neuron, "auto")
    layers, x = [], data.rasters[:_CALIBRATION_SAMPLES]
    for layer in hidden_layers(network):
        weight, recurrent_weight = layer.get_parameter("weight"), layer.get_parameter("recurrent_weight")
        drawn, drawn_recurrent = weight.clone(), recurrent_weight.clone()
        low, high = 0.0, 64.0
        for _ in range(12):
            scale = (low + high) / 2
            weight.copy_(scale * drawn)
            recurrent_weight.copy_(scale / 4 * drawn_recurrent)
            spikes = layer(x)
            low, high = (scale, high) if spikes.mean() < HIDDEN_DENSITY else (low, scale)
        layers.append((weight.clone(), recurrent_weight.clone()))
        x = spikes
    readout = network.get_submodule("readout").get_parameter("weight").detach().clone()
    return Weights(tuple(layers), readout)
