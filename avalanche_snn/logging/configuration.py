"""What a run was made of: its strategy, plugins, model and optimizer, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.plugins.clock import Clock
from avalanche.training.templates.base_sgd import PeriodicEval
from torch import nn

# Settings longer than this are data.
_LONGEST_LIST = 32
# Parts of every strategy, not of its composition.
_OF_EVERY_STRATEGY = (EvaluationPlugin, PeriodicEval, Clock)
# What the template lends out for the time of a call.
_STATE_OF_A_STRATEGY = {
    "adapted_dataset", "current_eval_stream", "dataloader", "experience", "is_training", "loss", "mb_output", "mbatch",
    "optimized_param_id",
}  # fmt: skip


def run_configuration(strategy: Any) -> dict[str, Any]:
    """Return what a strategy is composed of.

    Args:
        strategy: any Avalanche strategy.

    Returns:
        Plain values under `strategy` (its class and public settings: minibatch sizes, epochs, device, ...), `plugins`
        (the same of each plugin, by its class; of two of a class the second is `Name_2`), `criterion`, `model` (class,
        public settings, numbers of parameters, architecture) and `optimizer` (class, learning rate and all else; a
        list `groups` if it has several parameter groups).
    """
    plugins: dict[str, dict[str, Any]] = {}
    for plugin in strategy.plugins:
        if not isinstance(plugin, _OF_EVERY_STRATEGY):
            name = type(plugin).__qualname__
            same = sum(settings["class"] == name for settings in plugins.values())
            plugins[f"{name}_{same + 1}" if same else name] = {"class": name, **plain_settings(plugin)}
    settings = plain_settings(strategy)
    return {
        "strategy": {
            "class": type(strategy).__qualname__,
            **{name: value for name, value in settings.items() if name not in _STATE_OF_A_STRATEGY},
        },
        "plugins": plugins,
        "criterion": type(getattr(strategy, "_criterion", None)).__qualname__,
        "model": _model_settings(strategy.model),
        "optimizer": _optimizer_settings(strategy.optimizer),
    }


def training_schedule(strategy: Any) -> dict[str, Any]:
    """Return the settings that a script may change between experiences: epochs, minibatch size and learning rates."""
    return {
        "train_epochs": getattr(strategy, "train_epochs", None),
        "train_mb_size": getattr(strategy, "train_mb_size", None),
        "learning_rates": [_plain(group.get("lr")) for group in strategy.optimizer.param_groups],
    }


def plain_settings(thing: Any) -> dict[str, Any]:
    """Return the public attributes of an object that are numbers, strings, or short lists or dictionaries of them."""
    settings = {}
    for name, value in vars(thing).items():
        if not name.startswith("_") and _is_plain(value):
            settings[name] = _plain(value)
    return settings


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        parts = [*value, *value.values()]
    elif isinstance(value, (list, tuple)):
        parts = list(value)
    else:
        return value is None or isinstance(value, (bool, int, float, str, torch.device, torch.dtype))
    return len(parts) <= _LONGEST_LIST and all(map(_is_plain, parts))


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):  # a learning rate, in some optimizers
        return value.item() if value.numel() == 1 else value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, (torch.device, torch.dtype)) else value


def _model_settings(model: nn.Module) -> dict[str, Any]:
    settings = {name: value for name, value in plain_settings(model).items() if name != "training"}
    parameters = list(model.parameters())
    return {
        "class": type(model).__qualname__,
        **settings,
        "n_parameters": sum(parameter.numel() for parameter in parameters),
        "n_trainable_parameters": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        "architecture": str(model),
    }


def _optimizer_settings(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    groups = [
        {
            name: _plain(value)
            for name, value in group.items()
            if name != "params" and (_is_plain(value) or isinstance(value, torch.Tensor))
        }
        for group in optimizer.param_groups
    ]
    settings: dict[str, Any] = groups[0] if len(groups) == 1 else {"groups": groups}
    return {"class": type(optimizer).__qualname__, **settings}
