"""Where a network of named layers can be cut in two."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from avalanche_snn.models.pooling import TimePooling


def front_length(model: nn.Sequential, after: str) -> int:
    """Return how many layers the front has when `model` is cut after the layer named `after`.

    Raises:
        ValueError: there is no such layer, or nothing would be left for the back.
    """
    names = list(model._modules)
    if after not in names:
        raise ValueError(f"There is no layer {after!r} to cut after; this network has {_listed(names[:-1])}.")
    length = names.index(after) + 1
    while length < len(names) and isinstance(model._modules[names[length]], TimePooling):
        length += 1
    if length >= len(names):
        raise ValueError(
            f"Layer {after!r} is the last one: a cut there leaves nothing to train. Choose from {_listed(names[:-1])}."
        )
    return length


def cut(model: nn.Sequential, after: str) -> tuple[nn.Sequential, nn.Sequential]:
    """Cut any `nn.Sequential` after the layer named `after` into a front and a back that share its layers.

    Returns:
        `(front, back)` with `back(front(x)) == model(x)`. A time pooling right behind the layer belongs to the front.

    Raises:
        ValueError: there is no such layer, or nothing would be left for the back.
    """
    length = front_length(model, after)
    # named_children() would leave out a layer that stands in two places.
    layers = list(model._modules.items())
    return nn.Sequential(OrderedDict(layers[:length])), nn.Sequential(OrderedDict(layers[length:]))


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names) or "only one layer"
