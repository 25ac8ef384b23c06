"""What a network does with its inputs: spikes, synaptic operations and time steps, counted as it runs.

Forward hooks count, and only while somebody is counting: `record_activity` puts them on the network and takes them off.
They read what goes through and change nothing: no gradient is kept, no random number drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from avalanche_snn.evaluation.connections import (
    Operations,
    count_nonzeros,
    has_known_connections,
    has_unknown_connections,
    operations_of,
    recurrent_operations_of,
)
from avalanche_snn.models import LeakyReadout
from avalanche_snn.neurons import LeakyMaps, SpikingLayer


@dataclass
class Activity:
    """Counts by layer, summed over all samples that a network was given; layers go by their `named_modules` names.

    What is counted is what was computed. A layer that did not run is not there: of a network that is cut and was given
    latents, only the back is.

    Attributes:
        samples: samples given to the network.
        time_steps_given: time steps of their inputs; those that an image is shown for, of networks for images.
        spikes: by spiking layer, outputs that are not zero.
        outputs: by spiking layer, all outputs: neurons times time steps.
        time_steps: by spiking layer and leaky readout, time steps that it ran for.
        acs: by connection, effective accumulates; see `connections`. The recurrent connections of layer "hidden1" are
            "hidden1.recurrent".
        macs: by connection, effective multiply-accumulates.
        dense: by connection, operations with those on zeros.
        uncounted: layers that hold weights of a kind whose operations are not counted, by name, with the kind.
    """

    samples: int = 0
    time_steps_given: int = 0
    spikes: Counter[str] = field(default_factory=Counter)
    outputs: Counter[str] = field(default_factory=Counter)
    time_steps: Counter[str] = field(default_factory=Counter)
    acs: Counter[str] = field(default_factory=Counter)
    macs: Counter[str] = field(default_factory=Counter)
    dense: Counter[str] = field(default_factory=Counter)
    uncounted: dict[str, str] = field(default_factory=dict)

    def add(self, other: Activity) -> None:
        """Add the counts of other samples."""
        self.samples += other.samples
        self.time_steps_given += other.time_steps_given
        # `Counter.update` keeps the layers that count 0, which `+=` would drop.
        self.spikes.update(other.spikes)
        self.outputs.update(other.outputs)
        self.time_steps.update(other.time_steps)
        self.acs.update(other.acs)
        self.macs.update(other.macs)
        self.dense.update(other.dense)
        self.uncounted.update(other.uncounted)


class ActivityRecorder:
    """Hooks on a network that count what it does, until they are closed.

    Args:
        model: the network, batch-first: `[B, T, ...]`.
        token: what the recording is of; see `on`.

    Raises:
        ValueError: the network has no spiking layer.
    """

    def __init__(self, model: nn.Module, token: object = None) -> None:
        modules = dict(model.named_modules())
        if not any(isinstance(module, (SpikingLayer, LeakyMaps)) for module in modules.values()):
            raise ValueError(
                f"Activity: wanted a network with spiking layers (avalanche_snn.neurons.SpikingLayer or LeakyMaps; "
                f"neurons of other libraries are not counted), but {type(model).__name__} has none."
            )
        # Networks of neurons of feature maps take images, which have no time of their own.
        maps = (module.n_time_steps for module in modules.values() if isinstance(module, LeakyMaps))
        self._n_time_steps = next(maps, None)
        self.activity = Activity()
        self.token = token
        self._running = False
        self._handles = [
            model.register_forward_pre_hook(self, with_kwargs=True),
            model.register_forward_hook(self._stop, always_call=True),
        ]
        for name, module in modules.items():
            if has_known_connections(module) or isinstance(module, LeakyMaps):
                self._handles.append(module.register_forward_hook(partial(self._count, name), with_kwargs=True))
            elif has_unknown_connections(module):
                self._handles.append(module.register_forward_hook(partial(self._note, name)))

    @classmethod
    def on(cls, model: nn.Module, token: object) -> ActivityRecorder:
        """Return the recorder of `token` that is on the network already, or a new one in the place of any other.

        Several metrics count with one recorder so. One of another token was left there by a pass that broke off.
        """
        for hook in list(model._forward_pre_hooks.values()):
            if isinstance(hook, cls):
                if hook.token is token:
                    return hook
                hook.close()
        return cls(model, token)

    def close(self) -> None:
        """Take the hooks off the network; `activity` stays."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def __call__(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Count the samples that the network is given, and what its layers do from here to its output."""
        batch = _first(args, kwargs)
        if batch.dim() < 3:
            raise ValueError(
                f"Activity: wanted a network that takes sequences [B, T, C], but {list(batch.shape)} was given to "
                f"{type(model).__name__}."
            )
        self._running = True
        self.activity.samples += batch.shape[0]
        self.activity.time_steps_given += batch.shape[0] * (self._n_time_steps or batch.shape[1])

    def _stop(self, model: nn.Module, args: tuple[Any, ...], output: object) -> None:
        self._running = False

    def _count(
        self, name: str, layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], outputs: Tensor
    ) -> None:
        # A layer, or the front, that is called on its own is no pass through the network.
        if not self._running:
            return
        inputs, activity = _first(args, kwargs), self.activity
        if isinstance(layer, LeakyMaps):
            activity.time_steps[name] += len(outputs)
            activity.spikes[name] += int(torch.count_nonzero(outputs))
            activity.outputs[name] += outputs.numel()
            return
        if isinstance(layer, (SpikingLayer, LeakyReadout)):
            activity.time_steps[name] += inputs.shape[0] * inputs.shape[1]
        with torch.no_grad():
            self._add_operations(name, operations_of(layer, inputs))
            if isinstance(layer, SpikingLayer):
                spikes = count_nonzeros(outputs)
                activity.spikes[name] += int(spikes.sum())
                activity.outputs[name] += outputs.numel()
                came_back = spikes - count_nonzeros(outputs[:, -1:])
                recurrent = recurrent_operations_of(layer, came_back, outputs.shape[1])
                if recurrent is not None:
                    self._add_operations(f"{name}.recurrent", recurrent)

    def _add_operations(self, connection: str, operations: Operations) -> None:
        self.activity.acs[connection] += operations.acs
        self.activity.macs[connection] += operations.macs
        self.activity.dense[connection] += operations.dense

    def _note(self, name: str, layer: nn.Module, args: tuple[Any, ...], outputs: Tensor) -> None:
        if self._running:
            self.activity.uncounted[name] = type(layer).__name__


@contextmanager
def record_activity(model: nn.Module) -> Iterator[Activity]:
    """Count what a network does inside a `with` block, in passes through the whole of it, `model(batch)`.

    Args:
        model: a network with spiking layers, batch-first: of sequences `[B, T, ...]`, or of images where its neurons
            are `LeakyMaps`.

    Yields:
        The counts so far, of everything that the network was given since the block began.

    Raises:
        ValueError: the network has no spiking layer, or was not given sequences `[B, T, ...]`.
    """
    recorder = ActivityRecorder(model)
    try:
        yield recorder.activity
    finally:
        recorder.close()


def _first(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    first: Tensor = args[0] if args else next(iter(kwargs.values()))
    return first
