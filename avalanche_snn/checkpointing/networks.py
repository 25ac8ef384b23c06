"""The state of a network: its tensors, what of it is trained and in which mode, and what some layers hold besides."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from avalanche.models import NCMClassifier
from torch import nn

from avalanche_snn.checkpointing.plain import plain_copy
from avalanche_snn.models import CuttableSequential, ExpandableClassifier

# What a cut leaves in a network besides tensors.
_CUT = (
    "_front_length",
    "_front_frozen",
    "_stays_in_evaluation",
    "_n_latent_time_steps",
    "_n_latent_features",
    "_n_latent_planes",
)
# Avalanche's classifier by the nearest mean has no place for its means until there are some.
_MEANS = ("class_means", "class_means_dict", "max_class")


def network_state(network: nn.Module) -> dict[str, Any]:
    """Return the state of a network, as plain data."""
    modules = dict(network.named_modules())
    means = {name: module for name, module in modules.items() if isinstance(module, NCMClassifier)}
    tensors = network.state_dict()
    copied = OrderedDict(plain_copy(dict(tensors), "the state of the network"))
    for name in means:
        copied.pop(_join(name, _MEANS[0]), None)
    # Modules read from it which version of themselves was saved.
    copied._metadata = getattr(tensors, "_metadata", {})  # type: ignore[attr-defined]
    return {
        "tensors": copied,
        "trainable": {name: parameter.requires_grad for name, parameter in network.named_parameters()},
        "training": {name: module.training for name, module in modules.items()},
        "cuts": {
            name: {attribute: getattr(module, attribute) for attribute in _CUT}
            for name, module in modules.items()
            if isinstance(module, CuttableSequential)
        },
        "means": {
            name: plain_copy({attribute: getattr(module, attribute) for attribute in _MEANS}, "the means of classes")
            for name, module in means.items()
        },
    }


def load_network_state(network: nn.Module, state: dict[str, Any]) -> None:
    """Put a network into a state.

    Raises:
        ValueError: the network is of a kind that the state does not fit.
    """
    for name, part in list(network.named_modules()):
        if isinstance(part, ExpandableClassifier):
            part.take_shape(state["tensors"], _join(name, ""))
    modules = dict(network.named_modules())
    for name, cut in state["cuts"].items():
        if not isinstance(modules.get(name), CuttableSequential):
            raise ValueError(
                f"The network of the checkpoint is a CuttableSequential, but a {type(modules.get(name)).__qualname__} "
                "came: make the network one before load()."
            )
        for attribute, value in cut.items():
            setattr(modules[name], attribute, value)
    means = plain_copy(state["means"], "the means of classes")
    for name in means:
        modules[name].class_means = None
    network.load_state_dict(state["tensors"])
    device = next((parameter.device for parameter in network.parameters()), None)
    for name, held in means.items():
        module: Any = modules[name]
        module.max_class = held["max_class"]
        module.class_means_dict = {label: mean.to(device) for label, mean in held["class_means_dict"].items()}
        module.class_means = None if held["class_means"] is None else held["class_means"].to(device)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(state["trainable"][name])
        # Nothing of an earlier backward pass may be left, or weight decay would go on moving what is frozen.
        parameter.grad = None
    for name, mode in state["training"].items():
        modules[name].training = mode


def tensors_of(network: nn.Module) -> dict[str, tuple[str, list[int]]]:
    """Return names, dtypes and shapes of the tensors that a network always has."""
    passing = {_join(name, _MEANS[0]) for name, module in network.named_modules() if isinstance(module, NCMClassifier)}
    return {
        name: (str(tensor.dtype).removeprefix("torch."), list(tensor.shape))
        for name, tensor in network.state_dict().items()
        if hasattr(tensor, "shape") and name not in passing
    }


def _join(module: str, name: str) -> str:
    return f"{module}.{name}" if module else name
