"""What a state may refer to instead of holding it: samples of the training stream, and the network itself."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from avalanche.benchmarks.utils import AvalancheDataset
from torch import nn

from avalanche_snn.checkpointing.networks import load_network_state, network_state, tensors_of
from avalanche_snn.checkpointing.plain import plain_copy
from avalanche_snn.checkpointing.stream_samples import ForeignSamplesError, StreamSamples
from avalanche_snn.training import CompressedLatentReplayPlugin
from avalanche_snn.training.data_parallel import unwrapped

_SAMPLES, _NETWORK = "<samples of the stream>", "<copy of the network>"
_PARAMETER, _TENSOR = "<parameter of the network>", "<tensor elsewhere>"


class References:
    """Writes the parts of a strategy's state as plain data, and makes them of it again.

    Args:
        strategy: whose network others are copies of; on loading, it has its own state already.
        samples: those of the training stream.
    """

    def __init__(self, strategy: Any, samples: StreamSamples) -> None:
        self._strategy = strategy
        self._samples = samples
        self._network = unwrapped(strategy.model)
        self._parameters = dict(self._network.named_parameters())
        self._names = {parameter.data_ptr(): name for name, parameter in self._parameters.items()}

    def written(self, state: Any, name: str) -> Any:
        """Return a state as plain data that share no memory with it.

        Args:
            state: what an object returned.
            name: of the object, for errors.

        Raises:
            TypeError: something in it can be no part of a checkpoint.
        """
        return plain_copy(self._written(state, name), f"the state of {name}")

    def made(self, written: Any) -> Any:
        """Return the state that was written; nothing in it is shared with what came."""
        return self._made(plain_copy(written, "the state"))

    def _written(self, value: Any, name: str) -> Any:
        if isinstance(value, AvalancheDataset):
            return {_SAMPLES: self._written(self._describe(value, name), name)}
        if isinstance(value, nn.Module):
            return {_NETWORK: self._written_network(value, name)}
        if isinstance(value, torch.Tensor):
            return self._written_tensor(value)
        if isinstance(value, Mapping):
            return {key: self._written(item, name) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._written(item, name) for item in value)
        return value

    def _made(self, value: Any) -> Any:
        if isinstance(value, dict):
            if _SAMPLES in value:
                return self._samples.rebuild(self._made(value[_SAMPLES]))
            if _NETWORK in value:
                network = deepcopy(self._network)
                load_network_state(network, value[_NETWORK])
                return network
            if _PARAMETER in value:
                parameter, shape = value[_PARAMETER]
                return self._parameters[parameter].detach().view(shape)
            if _TENSOR in value:
                device, tensor = value[_TENSOR]
                # Another process of the same run has another device of the same type.
                mine = self._strategy.device
                return tensor.to(mine if mine.type == torch.device(device).type else device)
            return {key: self._made(item) for key, item in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._made(item) for item in value)
        return value

    def _describe(self, dataset: AvalancheDataset, name: str) -> dict[str, Any]:
        if any(isinstance(plugin, CompressedLatentReplayPlugin) for plugin in self._strategy.plugins):
            raise TypeError(
                f"{name} with a CompressedLatentReplayPlugin cannot be saved, since it keeps the latents of past "
                "experiences: take one of them alone."
            )
        try:
            return self._samples.describe(dataset)
        except ForeignSamplesError as error:
            raise TypeError(
                f"{name} cannot be saved, since it holds {error}. A checkpoint refers to samples of "
                "benchmark.train_stream, and stores none."
            ) from None

    def _written_tensor(self, tensor: torch.Tensor) -> Any:
        name = self._names.get(tensor.data_ptr()) if tensor.numel() and tensor.is_contiguous() else None
        if name is not None and tensor.numel() == self._parameters[name].numel():
            # It follows the weights, and goes on doing so.
            return {_PARAMETER: [name, list(tensor.shape)]}
        return tensor if tensor.device.type == "cpu" else {_TENSOR: [str(tensor.device), tensor]}

    def _written_network(self, network: nn.Module, name: str) -> dict[str, Any]:
        if tensors_of(network) != tensors_of(self._network):
            raise TypeError(
                f"{name} cannot be saved, since it holds a {type(network).__qualname__} that is no copy of the "
                "network: let its state_dict() return the tensors."
            )
        return network_state(network)
