"""The same networks as users of other libraries write them, at their best; each module says what differs from ours.

The readout of all is a leaky integrator and the maximum of its membrane over time.

A library is imported when its network is built: where that fails, the bench goes on without it and says why.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from avalanche_snn.neurons.layers import ALPHA, BETA
from benchmarks.speed.ours import Weights
from benchmarks.speed.workloads import SURROGATE_SLOPE


class SnnTorchNetwork(nn.Module):
    """snnTorch: `RSynaptic`, step by step, states passed in and out as in its tutorials. Spikes equal our `synaptic`.

    Args:
        weights: of the network.
        reset: "subtract" (snnTorch's default) or "zero", which computes the step twice, recurrent product included.
    """

    def __init__(self, weights: Weights, reset: str = "subtract") -> None:
        super().__init__()
        snntorch = importlib.import_module("snntorch")
        fast_sigmoid = importlib.import_module("snntorch.surrogate").fast_sigmoid(slope=SURROGATE_SLOPE)
        constants: dict[str, Any] = {"alpha": ALPHA, "beta": BETA, "spike_grad": fast_sigmoid}
        self.projections = nn.ModuleList(linear(weight) for weight, _ in weights.layers)
        self.neurons = nn.ModuleList()
        for weight, recurrent_weight in weights.layers:
            neuron = snntorch.RSynaptic(linear_features=len(weight), reset_mechanism=reset, **constants)
            neuron.recurrent = linear(recurrent_weight)
            self.neurons.append(neuron)
        self.readout = linear(weights.readout)
        self.integrator = snntorch.Synaptic(reset_mechanism="none", **constants)
        # It would keep every neuron ever built alive.
        snntorch.SpikingNeuron.instances.clear()

    def forward(self, rasters: Tensor) -> Tensor:
        """Rasters `[T, B, C]` to logits `[B, K]`."""
        synapse, membrane = self.integrator.reset_mem()
        membranes = []
        for spikes in self._run(rasters):
            _, synapse, membrane = self.integrator(self.readout(spikes[-1]), synapse, membrane)
            membranes.append(membrane)
        return torch.stack(membranes).amax(dim=0)

    def hidden_spikes(self, rasters: Tensor) -> list[Tensor]:
        """Spikes `[T, B, H]` of each hidden layer."""
        return [torch.stack(steps) for steps in zip(*self._run(rasters), strict=True)]

    def _run(self, rasters: Tensor) -> Iterator[list[Tensor]]:
        """Yield the spikes of all hidden layers, step by step."""
        neurons: list[Any] = list(self.neurons)
        states = [neuron.reset_mem() for neuron in neurons]
        for spikes in rasters:
            for number, (projection, neuron) in enumerate(zip(self.projections, neurons, strict=True)):
                states[number] = neuron(projection(spikes), *states[number])
                spikes = states[number][0]
            yield [state[0] for state in states]


class NorseNetwork(nn.Module):
    """norse: `LIFRecurrent` or, adaptive, `LSNNRecurrent` layers over the whole sequence in a `SequentialState`.

    Euler steps with the same decays as ours; the membrane takes its input times 1 - beta (made up for in the weights
    where ours does not), the reset is to zero and at once, and the adaptation moves the threshold by a fixed amount.

    Args:
        weights: of the network.
        adaptive: `LSNNRecurrent` in place of `LIFRecurrent`.
    """

    def __init__(self, weights: Weights, adaptive: bool = False) -> None:
        super().__init__()
        norse = _import_quietly("norse.torch")
        step_seconds = 1e-3
        synapse, membrane = torch.tensor((1 - ALPHA) / step_seconds), torch.tensor((1 - BETA) / step_seconds)
        # Our adaptive neuron weights its input in the same way.
        gain = 1.0 if adaptive else 1 / (1 - BETA)
        if adaptive:
            functional = _import_quietly("norse.torch.functional.lsnn")
            parameters = functional.LSNNParameters(
                tau_syn_inv=synapse, tau_mem_inv=membrane, tau_adapt_inv=torch.tensor(5.0), alpha=SURROGATE_SLOPE
            )
            layer = norse.LSNNRecurrent
        else:
            parameters = norse.LIFParameters(
                tau_syn_inv=synapse, tau_mem_inv=membrane, alpha=torch.tensor(SURROGATE_SLOPE)
            )
            layer = norse.LIFRecurrent
        hidden = [
            layer(
                weight.shape[1],
                weight.shape[0],
                p=parameters,
                input_weights=nn.Parameter(gain * weight),
                recurrent_weights=nn.Parameter(gain * recurrent_weight),
                autapses=True,
            )
            for weight, recurrent_weight in weights.layers
        ]
        integrator = norse.LI(p=norse.LIParameters(tau_syn_inv=synapse, tau_mem_inv=membrane))
        self.hidden = norse.SequentialState(*hidden, return_hidden=True)
        self.network = norse.SequentialState(*hidden, linear(gain * weights.readout), integrator)

    def forward(self, rasters: Tensor) -> Tensor:
        """Rasters `[T, B, C]` to logits `[B, K]`."""
        membranes, _ = self.network(rasters)
        highest: Tensor = membranes.amax(dim=0)
        return highest

    def hidden_spikes(self, rasters: Tensor) -> list[Tensor]:
        """Spikes `[T, B, H]` of each hidden layer."""
        spikes: list[Tensor]
        spikes, _ = self.hidden(rasters)
        return spikes


class SpikingJellyNetwork(nn.Module):
    """SpikingJelly: multi-step `Linear`, and `CUBALIFNode` in the container that feeds its spikes back.

    The same decays as ours; the threshold is subtracted at once, before the membrane decays. The input of a layer is
    one product over all time steps; the container itself goes step by step, on the CPU as on any device.
    """

    def __init__(self, weights: Weights) -> None:
        super().__init__()
        layer = _import_quietly("spikingjelly.activation_based.layer")
        neuron = _import_quietly("spikingjelly.activation_based.neuron")
        surrogate = _import_quietly("spikingjelly.activation_based.surrogate")
        self.functional = _import_quietly("spikingjelly.activation_based.functional")
        self.projections = nn.ModuleList(linear(weight) for weight, _ in weights.layers)
        self.containers = nn.ModuleList()
        for _, recurrent_weight in weights.layers:
            node = neuron.CUBALIFNode(
                c_decay=ALPHA,
                v_decay=BETA,
                v_threshold=1.0,
                v_reset=None,
                surrogate_function=surrogate.SoftSign(alpha=2.0),
            )
            node.detach_reset = True
            self.containers.append(
                layer.ElementWiseRecurrentContainer(node, _Feedback(recurrent_weight), step_mode="m")
            )
        self.readout = linear(weights.readout)
        # A threshold that is never reached leaves the membrane.
        self.integrator = neuron.CUBALIFNode(c_decay=ALPHA, v_decay=BETA, v_threshold=1e9, v_reset=None)
        self.integrator.step_mode = "m"
        self.integrator.store_v_seq = True

    def forward(self, rasters: Tensor) -> Tensor:
        """Rasters `[T, B, C]` to logits `[B, K]`."""
        self.integrator(self.readout(self._hidden(rasters)[-1]))
        highest: Tensor = self.integrator.v_seq.amax(dim=0)
        self.functional.reset_net(self)
        return highest

    def hidden_spikes(self, rasters: Tensor) -> list[Tensor]:
        """Spikes `[T, B, H]` of each hidden layer."""
        spikes = self._hidden(rasters)
        self.functional.reset_net(self)
        return spikes

    def _hidden(self, rasters: Tensor) -> list[Tensor]:
        x, layers = rasters, []
        for projection, container in zip(self.projections, self.containers, strict=True):
            x = container(projection(x))
            layers.append(x)
        return layers


class _Feedback(nn.Module):
    """Adds what comes back through the recurrent weights to the input of a step."""

    def __init__(self, recurrent_weight: Tensor) -> None:
        super().__init__()
        self.recurrent = linear(recurrent_weight)

    def forward(self, spikes: Tensor, current: Tensor) -> Tensor:
        """Spikes of the step before and current of this one, each `[B, H]`, to the current of both."""
        fed_back: Tensor = current + self.recurrent(spikes)
        return fed_back


def linear(weight: Tensor) -> nn.Linear:
    """A linear layer of the given weights `[H, C]`, without bias."""
    module = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    module.weight = nn.Parameter(weight.clone())
    return module


def _import_quietly(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)
