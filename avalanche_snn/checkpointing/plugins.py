"""What belongs to the state of a strategy's plugins: they say it themselves, or are plugins of Avalanche known here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from avalanche.training.plugins import EvaluationPlugin, LRSchedulerPlugin
from avalanche.training.plugins.clock import Clock
from avalanche.training.templates.base_sgd import PeriodicEval

from avalanche_snn.checkpointing.importances import SETTINGS, importances_state, known_kind, load_importances
from avalanche_snn.checkpointing.metrics import evaluator_state, load_evaluator_state
from avalanche_snn.checkpointing.plain import ALLOWED, plain_copy


@runtime_checkable
class Checkpointable(Protocol):
    """An object whose state can be saved, as a plugin or metric has to be.

    State is what the object holds when an experience or an epoch begins, unless its own `before_training_exp` makes it
    anew. A plugin that holds nothing returns an empty dict. A plugin may also have an attribute `settings`, a dict of
    what it was made with: a checkpoint of a plugin with other settings is refused then.
    """

    def state_dict(self) -> dict[str, Any]:
        """Return the state: tensors, numbers, strings, bytes, None, and lists, tuples and dicts of these."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a state over: in a fresh object between experiences, or after `before_training_exp` between epochs."""


@dataclass(frozen=True)
class _Adapter:
    """How to save and load a plugin of Avalanche, which does not say it itself."""

    state: Callable[[Any], dict[str, Any]]
    load: Callable[[Any, dict[str, Any]], None]


def plugin_states(strategy: Any) -> list[dict[str, Any]]:
    """Return the state of every plugin, in the order of `strategy.plugins`, as plain data.

    Raises:
        TypeError: a plugin that does not say what its state is, or says something that is no plain data.
    """
    return [
        plain_copy(_adapter_of(plugin).state(plugin), f"the state of {type(plugin).__qualname__}")
        for plugin in strategy.plugins
    ]


def load_plugin_states(strategy: Any, states: list[dict[str, Any]]) -> None:
    """Give every plugin its state back."""
    for plugin, state in zip(strategy.plugins, states, strict=True):
        _adapter_of(plugin).load(plugin, state)


def settings_of(plugin: Any) -> dict[str, Any]:
    """Return what a plugin was made with, as far as that is known."""
    if isinstance(plugin, EvaluationPlugin):
        return {"metrics": [str(metric) for metric in plugin.metrics], "collect_all": plugin.collect_all}
    if isinstance(plugin, PeriodicEval):
        return {"eval_every": plugin.eval_every, "peval_mode": plugin.peval_mode}
    if isinstance(plugin, LRSchedulerPlugin):
        names = ("reset_scheduler", "reset_lr", "metric", "step_granularity", "first_epoch_only", "first_exp_only")
        return {"scheduler": type(plugin.scheduler).__qualname__, **{name: getattr(plugin, name) for name in names}}
    if (kind := known_kind(plugin)) is not None:
        return {name: getattr(plugin, name) for name in SETTINGS[kind]}
    return dict(getattr(plugin, "settings", {}))


def _adapter_of(plugin: Any) -> _Adapter:
    if isinstance(plugin, Checkpointable):
        return _Adapter(lambda plugin: plugin.state_dict(), lambda plugin, state: plugin.load_state_dict(state))
    if (kind := known_kind(plugin)) is not None:
        return _Adapter(
            lambda plugin: importances_state(plugin, kind), lambda plugin, state: load_importances(plugin, kind, state)
        )
    # A subclass may hold more than its base, so only the very classes count.
    adapter = _adapters().get(type(plugin))
    if adapter is None:
        raise TypeError(
            f"The plugin {type(plugin).__qualname__} cannot be saved, since it does not say what its state is: give it "
            f"state_dict(), which returns a dict of {ALLOWED} (an empty one where there is no state), and "
            "load_state_dict(state); see avalanche_snn.checkpointing.Checkpointable."
        )
    return adapter


def _adapters() -> dict[type, _Adapter]:
    return {
        EvaluationPlugin: _Adapter(evaluator_state, load_evaluator_state),
        LRSchedulerPlugin: _Adapter(_scheduler_state, _load_scheduler_state),
        Clock: _attributes(
            "train_iterations",
            "train_exp_counter",
            "train_exp_epochs",
            "train_exp_iterations",
            "train_epoch_iterations",
            "total_iterations",
        ),
        PeriodicEval: _attributes("do_initial", "do_final"),
    }


def _attributes(*names: str) -> _Adapter:
    def load(plugin: Any, state: dict[str, Any]) -> None:
        for name in names:
            setattr(plugin, name, state[name])

    return _Adapter(lambda plugin: {name: getattr(plugin, name) for name in names}, load)


_OF_SCHEDULER_PLUGIN = _attributes("_was_training", "_just_validated", "_executed_train_iteration")


def _scheduler_state(plugin: LRSchedulerPlugin) -> dict[str, Any]:
    mean = plugin.rolling_metric
    return {
        "scheduler": plugin.scheduler.state_dict(),
        "mean": [mean.summed, mean.weight],
        **_OF_SCHEDULER_PLUGIN.state(plugin),
    }


def _load_scheduler_state(plugin: LRSchedulerPlugin, state: dict[str, Any]) -> None:
    plugin.scheduler.load_state_dict(state["scheduler"])
    plugin.rolling_metric.summed, plugin.rolling_metric.weight = state["mean"]
    _OF_SCHEDULER_PLUGIN.load(plugin, state)
