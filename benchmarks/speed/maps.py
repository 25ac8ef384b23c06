"""Neurons behind convolutions: alone, beside the other libraries', and in a network with and without them."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from avalanche_snn.models import SpikingResNet
from avalanche_snn.neurons import LeakyMaps, available_kernels
from benchmarks.speed.contestants import (
    SNNTORCH,
    SPIKINGJELLY,
    Contestant,
    Missing,
    Network,
    now,
    require_kernel,
    try_all,
)

_BETA = 0.5
NO_NEURONS = "convolutions"
"""The name, in records, of the network whose neurons let everything through."""


@dataclass(frozen=True)
class MapsWorkload:
    """Feature maps for neurons, or images for a network of them.

    Attributes:
        title, label: of network and minibatch, for people.
        shape: of the currents, `[T, B, C, H, W]`; of a network, T, B and the images'.
        network: arguments of `SpikingResNet`; none for neurons alone.
    """

    title: str
    label: str
    shape: tuple[int, int, int, int, int]
    network: dict[str, Any] = field(default_factory=dict)


def workloads(device: str = "cpu", *, tiny: bool = False) -> tuple[MapsWorkload, MapsWorkload]:
    """Return the neurons of a large layer, and a network that the device can train."""
    n_steps, maps, batch = 4, (32, 64, 32, 32), 32
    network: dict[str, Any] = {"network": "narrow"}
    if device == "cuda":
        maps, batch, network = (64, 128, 32, 32), 64, {"network": "resnet19", "precision": "bfloat16"}
    if tiny:
        n_steps, maps, batch, network = 2, (2, 4, 4, 4), 2, {"network": "narrow", "width": 0.25}
    n_samples, n_maps, height, width = maps
    return (
        MapsWorkload(
            f"{n_maps} maps of {height} x {width} leaky neurons",
            f"random currents, T = {n_steps}, B = {n_samples}",
            (n_steps, n_samples, n_maps, height, width),
        ),
        MapsWorkload(
            f"SpikingResNet({str(network['network'])!r}, n_classes=100)",
            f"random images of 32 x 32, T = {n_steps}, B = {batch}",
            (n_steps, batch, 3, 32, 32),
            {**network, "n_time_steps": n_steps, "n_classes": 100, "seed": 0},
        ),
    )


def names(workload: MapsWorkload, device: str = "cpu") -> list[str]:
    """Everyone who might take part, in the order of the tables; whom ours are compared with is the first."""
    ours = [f"{kernel}/maps" for kernel in available_kernels(device)]
    if not workload.network:
        return [SNNTORCH, SPIKINGJELLY, *ours]
    return ["reference/maps", *(name for name in ours if name != "reference/maps"), NO_NEURONS]


def make_maps(
    workload: MapsWorkload, chosen: list[str], device: str = "cpu"
) -> Iterator[tuple[str, Contestant | Missing]]:
    """Build contestants by name, and warm them up; one that cannot take part comes back with its reason."""
    generator = torch.Generator().manual_seed(0)
    n_steps, n_samples, *maps = workload.shape
    if not workload.network:
        currents = torch.randn((n_steps, n_samples, *maps), generator=generator).to(device)
        yield from try_all(chosen, lambda name: _Neurons(neurons_of(name, n_steps, device), currents))
        return
    images = torch.rand((n_samples, *maps), generator=generator).to(device)
    labels = torch.randint(workload.network["n_classes"], (n_samples,), generator=generator).to(device)

    def make(name: str) -> Network:
        network = _network(name, workload, device)
        return Network(network, images, labels, lambda x: _spikes_of(network, x))

    yield from try_all(chosen, make)


class _Neurons:
    """Neurons alone: spikes of the same currents again and again, and gradients of the currents.

    Args:
        neurons: maps `[T, B, ...]` to spikes.
        currents: `[T, B, C, H, W]`.
    """

    def __init__(self, neurons: nn.Module, currents: Tensor) -> None:
        self._neurons = neurons.to(currents.device)
        self._currents = currents.clone().requires_grad_()
        self._gradient = torch.ones_like(currents)

    def forward(self) -> float:
        """Seconds of a forward pass without gradients."""
        started = now(self._currents)
        with torch.no_grad():
            self._neurons(self._currents)
        return now(self._currents) - started

    def train(self) -> tuple[float, float]:
        """Seconds of both passes, twice: nothing is trained."""
        self._currents.grad = None
        started = now(self._currents)
        self._neurons(self._currents).backward(self._gradient)
        seconds = now(self._currents) - started
        return seconds, seconds

    def check(self) -> None:
        """Raise ArithmeticError after a pass without a finite gradient."""
        gradient = self._currents.grad
        if gradient is None or not gradient.isfinite().all():
            raise ArithmeticError("the currents have no gradient, or one that is not finite")

    def hidden_density(self) -> list[float]:
        """Share of cells that spike."""
        with torch.no_grad():
            return [float(self._neurons(self._currents).mean())]


class _Ours(nn.Module):
    """`LeakyMaps` on currents that have their time steps apart."""

    def __init__(self, n_steps: int, kernel: str) -> None:
        super().__init__()
        self.maps = LeakyMaps(n_steps, beta=_BETA, reset="zero", reset_delay=False, kernel=kernel)

    def forward(self, currents: Tensor) -> Tensor:
        spikes: Tensor = self.maps(currents.flatten(0, 1))
        return spikes.view_as(currents)


class _SnnTorch(nn.Module):
    """snnTorch's `Leaky`, step by step, with the same reset and the same surrogate gradient."""

    def __init__(self) -> None:
        super().__init__()
        snntorch = importlib.import_module("snntorch")
        surrogate = importlib.import_module("snntorch.surrogate").custom_surrogate(_triangle)
        self.neuron = snntorch.Leaky(_BETA, reset_mechanism="zero", reset_delay=False, spike_grad=surrogate)
        snntorch.SpikingNeuron.instances.clear()

    def forward(self, currents: Tensor) -> Tensor:
        membrane = self.neuron.reset_mem()
        spikes = []
        for current in currents:
            fired, membrane = self.neuron(current, membrane)
            spikes.append(fired)
        return torch.stack(spikes)


def _triangle(distance: Tensor, gradient: Tensor, _spikes: Tensor) -> Tensor:
    return gradient * (1 - distance.abs()).clamp(min=0)


class _SpikingJelly(nn.Module):
    """SpikingJelly's `LIFNode` over all time steps, with the same reset and a surrogate gradient of the same shape."""

    def __init__(self) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            neuron = importlib.import_module("spikingjelly.activation_based.neuron")
            surrogate = importlib.import_module("spikingjelly.activation_based.surrogate")
            self.functional = importlib.import_module("spikingjelly.activation_based.functional")
        self.neuron = neuron.LIFNode(
            tau=1 / (1 - _BETA),
            decay_input=False,
            v_threshold=1.0,
            v_reset=0.0,
            surrogate_function=surrogate.PiecewiseQuadratic(alpha=1.0),
            step_mode="m",
        )

    def forward(self, currents: Tensor) -> Tensor:
        spikes: Tensor = self.neuron(currents)
        self.functional.reset_net(self.neuron)
        return spikes


def neurons_of(name: str, n_steps: int, device: str) -> nn.Module:
    """Return the neurons of a contestant: currents `[T, B, ...]` to spikes."""
    if name == SNNTORCH:
        return _SnnTorch()
    if name == SPIKINGJELLY:
        return _SpikingJelly()
    return _Ours(n_steps, _kernel(name, device))


def _network(name: str, workload: MapsWorkload, device: str) -> SpikingResNet:
    kernel = "auto" if name == NO_NEURONS else _kernel(name, device)
    network = SpikingResNet(**workload.network, kernel=kernel)
    if name == NO_NEURONS:
        for module in [module for module in network.modules() if not isinstance(module, LeakyMaps)]:
            for child, neurons in module.named_children():
                if isinstance(neurons, LeakyMaps):
                    setattr(module, child, nn.Identity())
    return network.to(memory_format=torch.channels_last) if device == "cuda" else network


def _kernel(name: str, device: str) -> str:
    """Return the kernel of one of ours.

    Raises:
        UnableError: it does not run here.
    """
    kernel = name.partition("/")[0]
    require_kernel(kernel, device)
    return kernel


def _spikes_of(network: SpikingResNet, images: Tensor) -> list[Tensor]:
    """Return the spikes of all neurons, layer by layer; none of a network that has none."""
    spikes: list[Tensor] = []
    handles = [
        module.register_forward_hook(lambda _module, _args, output: spikes.append(output))
        for module in network.modules()
        if isinstance(module, LeakyMaps)
    ]
    try:
        network(images)
    finally:
        for handle in handles:
            handle.remove()
    return spikes
