"""Who is measured: our network with every kernel, the other libraries, and the floor."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from avalanche_snn.neurons import available_kernels
from benchmarks.speed.ours import Weights, calibrated_weights, hidden_layers, our_network
from benchmarks.speed.peers import NorseNetwork, SnnTorchNetwork, SpikingJellyNetwork
from benchmarks.speed.products import Products
from benchmarks.speed.workloads import Minibatch, Workload

#: Behind the name of our network where it computes membranes again instead of keeping them.
SAVING = ", saving memory"
#: Names in the records; those of our own network are "<kernel>/<neuron>".
SNNTORCH, SNNTORCH_ZERO, NORSE, SPIKINGJELLY = "snntorch", "snntorch reset to zero", "norse", "spikingjelly"
PRODUCTS = "products"
#: What is measured of each, in seconds.
MEASURES = ("forward", "forward and backward", "step")


class Contestant(Protocol):
    """Something that can be timed."""

    def forward(self) -> float:
        """Seconds of a forward pass without gradients."""

    def train(self) -> tuple[float, float]:
        """Seconds of forward and backward pass, and of the whole training step."""

    def check(self) -> None:
        """Raise ArithmeticError after a step that cannot be repeated as it was."""

    def hidden_density(self) -> list[float]:
        """Share of cells that spike, by hidden layer."""


def now(inputs: Tensor) -> float:
    """Seconds on a clock, when all is done that the device of the inputs was given to do."""
    if inputs.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter()


Made = TypeVar("Made", bound=Contestant)


class Network:
    """A network in training, on one minibatch again and again.

    The learning rate is 0: the optimizer does all of its work, and the same step comes again.

    Args:
        network: maps `inputs` to logits `[B, K]`.
        inputs: rasters in the memory order that the network wants.
        labels: `[B]`.
        hidden_spikes: the spikes of the hidden layers.
    """

    def __init__(
        self, network: nn.Module, inputs: Tensor, labels: Tensor, hidden_spikes: Callable[[Tensor], list[Tensor]]
    ) -> None:
        self.network = network.to(inputs.device)
        self.inputs = inputs
        self.labels = labels
        self._hidden_spikes = hidden_spikes
        self._optimizer = torch.optim.Adamax(network.parameters(), lr=0.0)

    def forward(self) -> float:
        """Seconds of a forward pass without gradients."""
        started = now(self.inputs)
        with torch.no_grad():
            self.network(self.inputs)
        return now(self.inputs) - started

    def train(self, n_samples: int | None = None) -> tuple[float, float]:
        """Seconds of forward and backward pass, and of the whole step; on the first samples only where so asked."""
        inputs, labels = self.inputs, self.labels
        if n_samples is not None:
            inputs = inputs[:n_samples] if len(inputs) == len(labels) else inputs[:, :n_samples]
            labels = labels[:n_samples]
        started = now(self.inputs)
        self._optimizer.zero_grad(set_to_none=True)
        loss: Any = functional.cross_entropy(self.network(inputs), labels)
        loss.backward()
        passed = now(self.inputs)
        self._optimizer.step()
        return passed - started, now(self.inputs) - started

    def hidden_density(self) -> list[float]:
        """Share of cells that spike, by hidden layer."""
        with torch.no_grad():
            return [float(spikes.mean()) for spikes in self._hidden_spikes(self.inputs)]

    def check(self) -> None:
        """Raise ArithmeticError after a step with a gradient that is not finite: it would take the weights with it."""
        for name, parameter in self.network.named_parameters():
            if parameter.grad is None or not (parameter.grad.isfinite().all() and parameter.isfinite().all()):
                raise ArithmeticError(f"{name} has no gradient, or one that is not finite")


class Floor:
    """The dense products alone, timed as if they were a network."""

    def __init__(self, products: Products) -> None:
        self._products = products

    def forward(self) -> float:
        """Seconds of the products of a forward pass."""
        return self._timed(self._products.forward)

    def train(self) -> tuple[float, float]:
        """Seconds of the products of both passes, twice: there is no optimizer."""
        seconds = self._timed(self._products.forward) + self._timed(self._products.backward)
        return seconds, seconds

    def check(self) -> None:
        """Nothing can go wrong."""

    def hidden_density(self) -> list[float]:
        """Nothing: there are no spikes."""
        return []

    @staticmethod
    def _timed(work: Callable[[], None]) -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - started


@dataclass(frozen=True)
class Missing:
    """Who takes no part, and why."""

    reason: str


def names(workload: Workload, device: str = "cpu") -> list[str]:
    """Everyone who might take part in a workload, in the order of the tables."""
    ours = [f"{kernel}/{neuron}" for neuron in workload.neurons for kernel in available_kernels(device)]
    snntorch = [SNNTORCH] if "adaptive" in workload.neurons else [SNNTORCH, SNNTORCH_ZERO]
    saving = [f"cpp/{workload.neurons[0]}{SAVING}"] if device == "cpu" else []
    return [*snntorch, NORSE, SPIKINGJELLY, *ours, *saving, PRODUCTS]


def make_all(
    workload: Workload, data: Minibatch, chosen: list[str], device: str = "cpu", *, warm_up: bool = False
) -> Iterator[tuple[str, Network | Floor | Missing]]:
    """Build contestants by name, and warm them up where so asked; one that cannot take part comes back with its reason.

    Everyone gets the same weights, or, with another neuron, weights that make it spike as much.
    """
    on_device = data.to(device)
    weights: dict[str, Weights] = {}

    def make(name: str) -> Network | Floor:
        neuron = name.partition("/")[2].removesuffix(SAVING) or workload.neurons[0]
        if neuron not in weights:
            weights[neuron] = calibrated_weights(workload, neuron, data)
        return _make(name, workload, on_device, weights[neuron], device)

    return try_all(chosen, make, warm_up=warm_up)


def try_all(
    chosen: Iterable[str], make: Callable[[str], Made], *, warm_up: bool = True
) -> Iterator[tuple[str, Made | Missing]]:
    """Make contestants by name, and warm them up where so asked; one that cannot take part comes back with its reason.

    Whatever a library fails with, the others are measured all the same, and the table names it.
    """
    for name in chosen:
        yield name, _try(name, make, warm_up)


def _try(name: str, make: Callable[[str], Made], warm_up: bool) -> Made | Missing:
    try:
        made = make(name)
        if warm_up:
            made.forward()
            made.train()
            made.check()
    except Exception as error:
        known = isinstance(error, UnableError)
        return Missing(str(error) if known else f"{type(error).__name__}: {error}")
    return made


class UnableError(Exception):
    """A contestant that is known not to be able to take part."""


def require_kernel(kernel: str, device: str) -> None:
    """Raise UnableError for a kernel that does not run here."""
    reason = available_kernels(device)[kernel]
    if reason is not None:
        raise UnableError(reason)


def _make(name: str, workload: Workload, data: Minibatch, weights: Weights, device: str) -> Network | Floor:
    if name == PRODUCTS:
        return Floor(Products(weights, data.rasters))
    kernel, _, neuron = name.partition("/")
    if neuron:
        require_kernel(kernel, device)
        ours = our_network(workload, neuron.removesuffix(SAVING), kernel, weights, save_memory=neuron.endswith(SAVING))
        return Network(ours, data.rasters, data.labels, lambda x: _run_hidden(ours, x))
    peer = _peer(name, "adaptive" in workload.neurons, weights)
    return Network(peer, data.time_first, data.labels, peer.hidden_spikes)


def _peer(name: str, adaptive: bool, weights: Weights) -> SnnTorchNetwork | NorseNetwork | SpikingJellyNetwork:
    if name == NORSE:
        return NorseNetwork(weights, adaptive)
    if adaptive:
        raise UnableError("has no recurrent adaptive neuron")
    if name == SPIKINGJELLY:
        return SpikingJellyNetwork(weights)
    return SnnTorchNetwork(weights, reset="zero" if name == SNNTORCH_ZERO else "subtract")


def _run_hidden(network: nn.Module, x: Tensor) -> list[Tensor]:
    spikes = []
    for layer in hidden_layers(network):
        x = layer(x)
        spikes.append(x)
    return spikes
