"""What is computed: networks, and the minibatches that they are given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avalanche_snn.datasets import SHD

#: How a spike resets the membrane, by neuron: what is usual with each.
RESETS = {"synaptic": "subtract", "delayed_synaptic": "zero", "leaky": "subtract", "adaptive": "subtract"}
#: The surrogate of all neurons but the adaptive one (which has its paper's), here and in the other libraries.
SURROGATE_SLOPE = 100.0
SURROGATES = dict.fromkeys(RESETS, f"fast_sigmoid/{SURROGATE_SLOPE:g}") | {"adaptive": "box/1"}


@dataclass(frozen=True)
class Workload:
    """A network, and a minibatch for it.

    Attributes:
        neurons: names of the neurons that our network is measured with, the one to compare with other libraries first.
        hidden: neurons of each recurrent layer.
        data: "SHD" (the recorded digits) or "random" (each cell spikes with a probability of `density`).
        n_steps: T.
        batch: B.
        density: share of cells that spike, "random" data only.
        n_inputs: C, input channels.
        n_classes: K.
    """

    neurons: tuple[str, ...]
    hidden: tuple[int, ...]
    data: str
    n_steps: int
    batch: int = 128
    density: float = 0.02
    n_inputs: int = 700
    n_classes: int = 20

    @property
    def title(self) -> str:
        """The network, for people."""
        sizes = "-".join(str(size) for size in (self.n_inputs, *self.hidden, self.n_classes))
        return f"{sizes}, recurrent{', adaptive' if 'adaptive' in self.neurons else ''}"

    @property
    def label(self) -> str:
        """Data, time steps and minibatch, for people."""
        data = self.data if self.data == "SHD" else f"random, {100 * self.density:g} %"
        return f"{data}, T = {self.n_steps}, B = {self.batch}"


@dataclass(frozen=True)
class Minibatch:
    """What every network is given.

    Attributes:
        rasters: float32 `[B, T, C]`, as Avalanche's minibatches are.
        labels: int64 `[B]`.
    """

    rasters: Tensor
    labels: Tensor

    @property
    def time_first(self) -> Tensor:
        """The rasters as `[T, B, C]`, contiguous: the memory order that the other libraries' users work in."""
        return self.rasters.transpose(0, 1).contiguous()

    @property
    def density(self) -> float:
        """Share of cells with a spike."""
        return float((self.rasters > 0).float().mean())

    def to(self, device: str) -> Minibatch:
        """The same on another device."""
        return Minibatch(self.rasters.to(device), self.labels.to(device))


_PAPER: dict[str, Any] = {"neurons": ("synaptic", "delayed_synaptic"), "hidden": (200, 100, 50)}
_ADAPTIVE: dict[str, Any] = {"neurons": ("adaptive",), "hidden": (512, 512)}

#: By name; the first of each network is the one that memory and equality are measured on.
WORKLOADS = {
    "paper": Workload(data="SHD", n_steps=100, **_PAPER),
    "paper-random": Workload(data="random", n_steps=100, **_PAPER),
    "paper-long": Workload(data="SHD", n_steps=250, **_PAPER),
    "adaptive": Workload(data="SHD", n_steps=100, **_ADAPTIVE),
    "adaptive-long": Workload(data="SHD", n_steps=250, batch=64, **_ADAPTIVE),
}

#: What the sweeps start from.
SWEEP_BASE = Workload(("synaptic",), (256,), "random", 100, batch=64, density=0.05)
#: What is varied, in the unit of the axis -> its values.
SWEEPS = {
    "time steps": (25, 50, 100, 200, 400),
    "neurons": (64, 128, 256, 512, 1024),
    "density (%)": (0.5, 1, 2, 5, 10, 20),
}


def sweep_workload(varied: str, value: float) -> Workload:
    """A network of one recurrent layer, with one of its sizes changed: a key of `SWEEPS`."""
    if varied == "time steps":
        return replace(SWEEP_BASE, n_steps=int(value))
    if varied == "neurons":
        return replace(SWEEP_BASE, hidden=(int(value),))
    return replace(SWEEP_BASE, density=value / 100)


def tiny(workload: Workload) -> Workload:
    """The same with so little to do that it takes no time: to try the bench itself."""
    return replace(workload, hidden=tuple(8 for _ in workload.hidden), n_steps=6, batch=4, n_inputs=70)


def minibatch(workload: Workload, number: int = 0) -> Minibatch:
    """Make a minibatch: the same each time, for the same `number`.

    Raises:
        FileNotFoundError: real data, and no file of it here.
        ValueError: real data, and fewer samples than asked for.
    """
    if workload.data == "random":
        generator = torch.Generator().manual_seed(number)
        shape = (workload.batch, workload.n_steps, workload.n_inputs)
        rasters = (torch.rand(shape, generator=generator) < workload.density).float()
        labels = torch.randint(workload.n_classes, (workload.batch,), generator=generator)
        return Minibatch(rasters, labels)
    data = SHD(n_time_steps=workload.n_steps, n_channels=workload.n_inputs, download=False)
    order = np.random.default_rng(0).permutation(len(data))
    chosen = order[number * workload.batch : (number + 1) * workload.batch]
    if len(chosen) < workload.batch:
        raise ValueError(f"minibatch {number} of {workload.batch} samples was wanted, there are {len(data)} samples")
    return Minibatch(data.rasters_of(chosen), torch.tensor([data.targets[index] for index in chosen]))
