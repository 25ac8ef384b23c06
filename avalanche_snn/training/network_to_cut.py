"""Making a user's network one that can be cut."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from avalanche_snn.models import INPUT, CuttableSequential


def network_to_cut(model: nn.Module, after: str) -> nn.Module:
    """Return the network as one that can be cut: itself, or a `CuttableSequential` of the same layers.

    Args:
        model: a `CuttableSequential`, or a plain `nn.Sequential`.
        after: where it is to be cut; "input" leaves any network as it is.

    Raises:
        TypeError: another kind of network.
        ValueError: a layer that is named "input", if that is where to cut.
    """
    if after == INPUT:
        if INPUT in dict(model.named_children()):
            raise ValueError(
                f"after={INPUT!r} means rasters, ahead of all layers, but this network has a layer of that name: call "
                "it otherwise."
            )
        return model
    if isinstance(model, CuttableSequential):
        return model
    if type(model) is not nn.Sequential:
        raise TypeError(
            "Latent replay cuts a network of named layers: a CuttableSequential (RecurrentSNN is one) or an "
            f"nn.Sequential was wanted, but {type(model).__name__} came. A subclass of nn.Sequential would lose what "
            "it has beside its layers: make it one of CuttableSequential."
        )
    return CuttableSequential(OrderedDict(model._modules)).train(model.training)
