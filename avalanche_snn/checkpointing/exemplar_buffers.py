"""The state of Avalanche's buffers of exemplars: which samples they hold, in which groups, with which lots."""

from __future__ import annotations

from typing import Any

import torch
from avalanche.training.storage_policy import (
    BalancedExemplarsBuffer,
    ExemplarsBuffer,
    ParametricBuffer,
    ReservoirSamplingBuffer,
    _ParametricSingleBuffer,
)

_GROUPS = "buffer_groups"
# These are what the buffer was made with, or of the moment; the classes that were seen are those of the groups.
_NO_STATE = {_GROUPS, "selection_strategy", "_curr_strategy", "seen_classes", "seen_groups"}
_PLAIN = (type(None), bool, int, float, str, torch.Tensor)


def buffer_state(buffer: ExemplarsBuffer) -> dict[str, Any]:
    """Return the state of one of Avalanche's buffers, as a plugin's `state_dict` may return it.

    Subclasses are known as far as what they add is plain: numbers, strings, tensors.

    Raises:
        TypeError: the buffer holds something else; it is named.
    """
    state: dict[str, Any] = {}
    for name, value in vars(buffer).items():
        if name == "_buffer":
            state[name] = buffer._buffer
        elif name not in _NO_STATE:
            if not isinstance(value, _PLAIN):
                raise TypeError(
                    f"The buffer {type(buffer).__qualname__} cannot be saved, since its attribute {name!r} is a "
                    f"{type(value).__qualname__}: take one of avalanche.training.storage_policy."
                )
            state[name] = value
    if isinstance(buffer, BalancedExemplarsBuffer):
        # A list: groups share the room by the order in which they came.
        state[_GROUPS] = [(key, buffer_state(group)) for key, group in buffer.buffer_groups.items()]
    return state


def load_buffer_state(buffer: ExemplarsBuffer, state: dict[str, Any]) -> None:
    """Let a buffer hold what another one held.

    Args:
        buffer: made as the other one.
        state: what `buffer_state` returned for that.
    """
    for name, value in state.items():
        if name != _GROUPS:
            setattr(buffer, name, value)
    if not isinstance(buffer, BalancedExemplarsBuffer):
        return
    groups = buffer.buffer_groups
    groups.clear()
    for key, group_state in state[_GROUPS]:
        groups[key] = _new_group(buffer)
        load_buffer_state(groups[key], group_state)
    for name in ("seen_classes", "seen_groups"):
        seen = getattr(buffer, name, None)
        if seen is not None:
            # Filled one by one, as it was: a set of numbers is gone through in an order that depends on that, and the
            # first groups of that order get the room that cannot be divided.
            seen.clear()
            seen.update(groups.keys())


def _new_group(buffer: BalancedExemplarsBuffer[Any]) -> ExemplarsBuffer:
    if isinstance(buffer, ParametricBuffer):
        return _ParametricSingleBuffer(0, buffer.selection_strategy)
    return ReservoirSamplingBuffer(0)
