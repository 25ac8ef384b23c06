"""Holding a frozen front in place, whatever a strategy does to its network."""

from __future__ import annotations

import torch

from avalanche_snn.models import CuttableSequential


class FrozenFront:
    """A copy of a network's frozen front, for strategies that swap or reset the network (GDumb, from-scratch training).

    Args:
        model: the network, cut and frozen.
    """

    def __init__(self, model: CuttableSequential) -> None:
        self._state = {name: tensor.detach().clone() for name, tensor in model.front_state().items()}

    @property
    def nbytes(self) -> int:
        """Bytes of the copy."""
        return sum(tensor.nbytes for tensor in self._state.values())

    def put_back(self, model: CuttableSequential) -> None:
        """Give the network this front where it has another one, and freeze it; the network is cut at the same place."""
        now = model.front_state()
        if model.front_is_frozen and all(torch.equal(now[name], kept) for name, kept in self._state.items()):
            return
        with torch.no_grad():
            for name, kept in self._state.items():
                now[name].copy_(kept)
        model.freeze_front()
