"""The state of Avalanche's plugins that keep tensors by parameter or by experience: EWC, MAS, SI, RWalk, GEM."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from avalanche.training.plugins import EWCPlugin, GEMPlugin, MASPlugin, RWalkPlugin, SynapticIntelligencePlugin
from avalanche.training.utils import ParamData

# Plugin -> what it was made with, and what it holds. GEM's gradients are computed anew for every minibatch.
SETTINGS: dict[type, tuple[str, ...]] = {
    EWCPlugin: ("ewc_lambda", "mode", "decay_factor", "keep_importance_data"),
    MASPlugin: ("_lambda", "alpha"),
    SynapticIntelligencePlugin: ("si_lambda", "eps", "excluded_parameters"),
    RWalkPlugin: ("ewc_alpha", "ewc_lambda", "delta_t"),
    GEMPlugin: ("patterns_per_experience", "memory_strength"),
}
STATE: dict[type, tuple[str, ...]] = {
    EWCPlugin: ("saved_params", "importances"),
    MASPlugin: ("params", "importance"),
    SynapticIntelligencePlugin: ("ewc_data", "syn_data"),
    RWalkPlugin: (
        *("checkpoint_params", "checkpoint_loss", "checkpoint_scores", "iter_grad", "iter_importance", "iter_params"),
        *("exp_scores", "exp_params", "exp_importance", "exp_penalties"),
    ),
    GEMPlugin: ("memory_x", "memory_y", "memory_tid"),
}
_NO_STATE: dict[type, tuple[str, ...]] = {
    MASPlugin: ("verbose",),
    SynapticIntelligencePlugin: ("_device",),
    GEMPlugin: ("G",),
}
_PARAMETER, _TENSOR, _VALUE = "parameter", "tensor", "value"


def known_kind(plugin: Any) -> type | None:
    """Return which of these plugins it is, None if it is none, or of a subclass that holds more than its base."""
    for kind, names in STATE.items():
        if isinstance(plugin, kind) and vars(plugin).keys() <= {*names, *SETTINGS[kind], *_NO_STATE.get(kind, ())}:
            return kind
    return None


def importances_state(plugin: Any, kind: type) -> dict[str, Any]:
    """Return what one of these plugins holds, as plain data."""
    return {name: _encoded(getattr(plugin, name)) for name in STATE[kind]}


def load_importances(plugin: Any, kind: type, state: dict[str, Any]) -> None:
    """Let one of these plugins hold what another one held."""
    for name in STATE[kind]:
        held, live = _decoded(state[name]), getattr(plugin, name)
        if isinstance(live, dict) and isinstance(held, dict):
            # Some of them make entries by themselves when they are asked for one.
            live.clear()
            live.update(held)
        else:
            setattr(plugin, name, held)


def _encoded(value: Any) -> Any:
    if isinstance(value, ParamData):
        return _PARAMETER, (value.name, list(value.shape), str(value.device), value.data)
    if isinstance(value, torch.Tensor):
        return _TENSOR, (str(value.device), value)
    if isinstance(value, Mapping):
        return {key: _encoded(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_encoded(item) for item in value]
    return _VALUE, value


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _decoded(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(_decoded(item) for item in value)
    kind, content = value
    if kind == _PARAMETER:
        name, shape, device, tensor = content
        parameter = ParamData(name, init_tensor=tensor.to(device), device=device)
        # Some of them keep their tensors flat.
        parameter.shape = torch.Size(shape)
        return parameter
    if kind == _TENSOR:
        device, tensor = content
        return tensor.to(device)
    return content
